"""The menu of a restaurant: four colourful Vietnamese pages with drawn dishes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pymupdf

from .canvas import A4, INK, WHITE, Color, Point, Sheet, face, save, tint

_LOTUS: Color = (0.85, 0.36, 0.50)
_JADE: Color = (0.15, 0.45, 0.40)
_CREAM: Color = (0.99, 0.96, 0.89)
_GOLD: Color = (0.86, 0.63, 0.22)
_BROTH: Color = (0.80, 0.52, 0.24)
_HERB: Color = (0.33, 0.62, 0.28)
_SHRIMP: Color = (0.95, 0.52, 0.36)

_Dish = tuple[str, str, str]
_STARTERS: tuple[_Dish, ...] = (
    ("Gỏi cuốn tôm thịt", "ba cuốn, rau thơm, chấm tương đậu phộng", "65.000"),
    ("Chả giò cua đồng", "sáu cuốn giòn, ăn với xà lách và nước mắm gừng", "79.000"),
    ("Gỏi ngó sen tôm khô", "ngó sen giòn, hành phi, rau răm", "85.000"),
    ("Canh chua cá nhỏ", "bông điên điển, me non, ngò gai", "95.000"),
    ("Đậu hũ chiên sả ớt", "món chay, đậu nhà làm mỗi sáng", "52.000"),
)
_MAINS: tuple[_Dish, ...] = (
    ("Cơm sen gà nướng mật", "cơm gói lá sen, hạt sen bùi, gà thả vườn", "125.000"),
    ("Bún cá lóc lá é", "nước dùng nấu từ xương cá mười hai giờ", "89.000"),
    ("Cá kho tộ làng chài", "cá basa kho tiêu trong nồi đất, cơm trắng", "139.000"),
    ("Lẩu mắm miền Tây", "cho hai đến ba người, mười lăm loại rau", "320.000"),
    ("Bò cuốn lá lốt", "tám cuốn nướng than, bánh hỏi, dưa góp", "118.000"),
)
_DRINKS: tuple[_Dish, ...] = (
    ("Trà sen vàng", "ướp trong búp sen qua đêm, ấm cho hai người", "58.000"),
    ("Nước mía tắc", "ép tại quầy, không thêm đường", "25.000"),
    ("Cà phê dừa đá xay", "cà phê rang mộc, cốt dừa tươi", "49.000"),
    ("Chè hạt sen nhãn nhục", "ăn nóng hoặc lạnh", "39.000"),
    ("Bánh da lợn lá dứa", "bốn miếng, hấp mỗi chiều lúc ba giờ", "32.000"),
)


def write_menu(path: Path) -> None:
    """Writes the menu of the Sen Hồ restaurant (vi, 4 pages)."""
    pages: tuple[Callable[[Sheet], None], ...] = (_cover, _starters, _mains, _drinks)
    document = pymupdf.open()
    for draw in pages:
        sheet = Sheet(document.new_page(width=A4[0], height=A4[1]), face("vi"))
        sheet.rect(0, 0, *A4, fill=_CREAM)
        draw(sheet)
    save(document, path, "Thực đơn quán Sen Hồ")


def _flower(sheet: Sheet, base: Point, size: float, color: Color = _LOTUS) -> None:
    """A lotus: petals fanned out around its base point."""
    x, y = base
    for lean, share in ((-1.0, 0.45), (1.0, 0.45), (-0.55, 0.7), (0.55, 0.7), (0.0, 1.0)):
        tip = (x + lean * size, y - size * (1.15 - 0.45 * abs(lean)))
        for side in (-1, 1):
            bulge = size * 0.34 * side
            sheet.curve(
                (
                    base,
                    (x + lean * size * 0.3 + bulge, y - size * 0.3),
                    (tip[0] + bulge * 0.8, tip[1] + size * 0.4),
                    tip,
                ),
                color=None,
                fill=tint(color, share if side < 0 else share * 0.82),
            )


def _leaf_pad(sheet: Sheet, center: Point, rx: float) -> None:
    sheet.oval(center, rx, rx * 0.3, fill=_JADE)
    sheet.oval(center, rx * 0.82, rx * 0.22, fill=tint(_JADE, 0.85))
    for dx in (-0.7, -0.3, 0.3, 0.7):
        sheet.line(center, (center[0] + dx * rx, center[1] - rx * 0.14), color=_JADE, line=1)


def _cover(sheet: Sheet) -> None:
    sheet.rect(28, 28, A4[0] - 56, A4[1] - 56, color=_GOLD, line=2.5)
    sheet.rect(36, 36, A4[0] - 72, A4[1] - 72, color=_GOLD, line=0.8)
    sheet.text(A4[0] / 2, 150, "Quán Sen Hồ", size=58, color=_JADE, bold=True, align="center")
    sheet.text(A4[0] / 2, 192, "Món ăn miền Tây bên hồ sen", size=20, color=_LOTUS, align="center")
    sheet.rect(37, 520, A4[0] - 74, 285, fill=tint(_JADE, 0.3))
    for x, y, radius in ((130, 580, 80), (460, 600, 90), (300, 700, 120), (110, 740, 66), (500, 750, 60)):
        _leaf_pad(sheet, (x, y), radius)
    for x, y, size in ((300, 560, 190), (136, 600, 84), (458, 610, 88)):
        sheet.line((x, y), (x + 8, y + 110), color=_JADE, line=5)
        _flower(sheet, (x, y), size)
    sheet.rect(150, 640, 295, 104, fill=WHITE, radius=0.1)
    sheet.text(A4[0] / 2, 674, "Mở cửa 10 giờ – 21 giờ 30", size=17, bold=True, color=INK, align="center")
    sheet.text(A4[0] / 2, 700, "nghỉ chiều thứ hai hằng tuần", size=14, align="center")
    sheet.text(A4[0] / 2, 726, "Đặt bàn: 0900 000 288 · 9 bến Đò Sen", size=13, align="center")


def _page(sheet: Sheet, title: str, color: Color, dishes: Sequence[_Dish], note: str) -> None:
    """Band with the title above, dishes with their prices in the lower half."""
    sheet.rect(0, 0, A4[0], 104, fill=color)
    sheet.text(A4[0] / 2, 66, title, size=36, color=WHITE, bold=True, align="center")
    y = 412.0
    for name, detail, price in dishes:
        sheet.text(58, y, name, size=19, bold=True, color=color)
        sheet.text(A4[0] - 58, y, f"{price} đ", size=19, bold=True, color=INK, align="right")
        sheet.text(58, y + 24, detail, size=13.5)
        sheet.line((58, y + 39), (A4[0] - 58, y + 39), color=tint(color, 0.4), line=0.8, dashes="[2 3]")
        y += 70
    sheet.rect(58, 752, A4[0] - 116, 40, fill=tint(color, 0.15), radius=0.3)
    sheet.text(A4[0] / 2, 777, note, size=13.5, align="center")


def _plate(sheet: Sheet, center: Point, radius: float) -> None:
    sheet.circle(center, radius, fill=WHITE, color=tint(INK, 0.2), line=1.5)
    sheet.circle(center, radius * 0.82, color=tint(INK, 0.12), line=1.5)


def _starters(sheet: Sheet) -> None:
    _page(sheet, "Khai vị", _HERB, _STARTERS, "Khách dị ứng đậu phộng xin báo trước với nhân viên.")
    _plate(sheet, (205, 240), 112)
    for row in range(3):
        y = 190 + row * 44
        sheet.rect(128, y, 150, 36, fill=(0.96, 0.95, 0.88), color=(0.85, 0.85, 0.78), radius=0.5)
        sheet.rect(150, y + 8, 106, 20, fill=tint(_HERB, 0.5), radius=0.5)
        for index in range(3):
            sheet.oval((168 + index * 35, y + 18), 12, 8, fill=_SHRIMP)
    sheet.circle((420, 250), 62, fill=(0.55, 0.33, 0.16))
    sheet.circle((420, 250), 50, fill=(0.72, 0.47, 0.25))
    for index in range(9):
        sheet.circle((392 + (index % 3) * 26, 228 + (index // 3) * 22), 4, fill=(0.95, 0.84, 0.6))


def _mains(sheet: Sheet) -> None:
    _page(sheet, "Món chính", _BROTH, _MAINS, "Cơm trắng thêm 10.000 đ một chén, ăn đến no.")
    sheet.circle((185, 250), 116, fill=(0.20, 0.32, 0.55))
    sheet.circle((185, 250), 102, fill=_BROTH)
    for index in range(7):
        x = 112 + index * 22
        sheet.curve(((x, 300), (x + 40, 210), (x - 30, 250), (x + 30, 190)), color=(0.98, 0.95, 0.86), line=5)
    for x, y in ((150, 220), (210, 290), (226, 226)):
        sheet.oval((x, y), 26, 14, fill=(0.93, 0.90, 0.84), color=(0.7, 0.6, 0.5))
    for x, y in ((180, 200), (130, 270), (240, 262), (186, 310), (204, 250)):
        sheet.oval((x, y), 9, 5, fill=_HERB)
    sheet.polygon([(330, 300), (420, 140), (520, 200), (500, 330), (390, 350)], fill=_JADE)
    sheet.line((360, 320), (500, 190), color=tint(_JADE, 0.6), line=2)
    sheet.circle((430, 262), 54, fill=(0.99, 0.97, 0.90))
    for index in range(12):
        sheet.circle((400 + (index % 4) * 20, 240 + (index // 4) * 20), 6, fill=(0.96, 0.86, 0.58))
    sheet.polygon([(410, 230), (480, 226), (492, 262), (440, 276)], fill=(0.72, 0.36, 0.12))


def _drinks(sheet: Sheet) -> None:
    _page(sheet, "Đồ uống và món ngọt", _LOTUS, _DRINKS, "Mang ly riêng được giảm 5.000 đ mỗi phần nước.")
    for x, color, level in (
        (120, (0.93, 0.80, 0.35), 0.75),
        (250, (0.76, 0.86, 0.42), 0.85),
        (380, (0.45, 0.28, 0.17), 0.8),
    ):
        top, bottom = 150.0, 350.0
        surface = bottom - (bottom - top) * level
        sheet.polygon([(x - 38, surface), (x + 38, surface), (x + 30, bottom), (x - 30, bottom)], fill=color)
        sheet.polygon([(x - 42, top), (x + 42, top), (x + 30, bottom), (x - 30, bottom)], color=tint(INK, 0.5), line=2)
        for dx, dy in ((-14, 18), (12, 30), (-4, 52)):
            sheet.rect(x + dx - 9, surface + dy, 18, 18, fill=tint(color, 0.5), radius=0.2)
        sheet.line((x + 10, bottom - 30), (x + 30, top - 34), color=_LOTUS, line=5)
    sheet.oval((498, 336), 58, 18, fill=WHITE, color=tint(INK, 0.3))
    for index, color in enumerate(((0.42, 0.68, 0.35), (0.95, 0.85, 0.5), (0.42, 0.68, 0.35), (0.95, 0.85, 0.5))):
        sheet.rect(464, 318 - index * 17, 68, 17, fill=color)
    _flower(sheet, (498, 232), 46)

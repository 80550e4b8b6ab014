"""Documents without a text layer: an invoice, a filled form, a photo, a poster and a bundle of scanned letters."""

import math
from pathlib import Path

import pymupdf
from PIL import Image

from .canvas import A4, GREY, INK, WHITE, Color, Language, Sheet, face
from .effects import Pen, photographed, render, scanned
from .typeset import Style, compose, manuscript

DPI = 110
_SEAL: Color = (0.80, 0.12, 0.16)
_PEN: Color = (0.12, 0.2, 0.6)
_BLACK: Color = (0.1, 0.1, 0.12)


def _blank(language: Language) -> Sheet:
    """An A4 page of a document that is only rendered, never saved."""
    page = pymupdf.open().new_page(width=A4[0], height=A4[1])
    return Sheet(page, face(language))


def _seal(sheet: Sheet, x: float, y: float, lines: tuple[str, ...], radius: float = 46) -> None:
    for share, line in ((1.0, 2.6), (0.86, 0.9)):
        sheet.circle((x, y), radius * share, color=_SEAL, line=line)
    for row, text in enumerate(lines):
        top = y + 4 - 7 * (len(lines) - 1) + 14 * row
        sheet.text(x, top, text, size=10, color=_SEAL, bold=True, align="center")


def _scrawl(sheet: Sheet, x: float, y: float, phase: float) -> None:
    points = [
        (x - 48 + 96 * t + 15 * math.sin(21 * t + phase), y + 18 * math.sin(26 * t + phase) * (1 - 0.5 * t))
        for t in (i / 120 for i in range(121))
    ]
    sheet.polyline(points, color=_PEN, line=1.3)


def write_invoice(path: Path) -> None:
    """Writes the scanned invoice of a printing shop (vi, one page)."""
    sheet = _blank("vi")
    sheet.rect(46, 48, 58, 58, fill=(0.80, 0.30, 0.12), radius=0.2)
    sheet.text(75, 88, "LP", size=30, color=WHITE, bold=True, align="center")
    sheet.text(120, 70, "CÔNG TY TNHH IN ẤN LÁ PHONG", size=16, bold=True)
    sheet.text(120, 90, "Số 77 đường Hàng Chỉ, phường Mai Động Thượng", size=11)
    sheet.text(120, 106, "Mã số thuế: 0000 123 987 · Điện thoại: 0900 000 402", size=11)
    sheet.text(298, 158, "HÓA ĐƠN BÁN HÀNG", size=26, color=(0.80, 0.30, 0.12), bold=True, align="center")
    sheet.text(298, 180, "Số 000318 · ngày 27 tháng 8 năm 2025", size=12, align="center")
    sheet.text(46, 216, "Khách hàng: Trường tiểu học Bến Đò", size=12.5)
    sheet.text(46, 236, "Người nhận: bà Nghiêm Thục Anh · Hình thức trả: chuyển khoản", size=12.5)
    rows = (
        ("Mặt hàng", "SL", "Đơn giá", "Thành tiền"),
        ("Tờ rơi A5 in hai mặt", "2.000", "650", "1.300.000"),
        ("Sổ tay học sinh bìa cứng", "350", "18.500", "6.475.000"),
        ("Thiệp mời khai giảng", "120", "9.000", "1.080.000"),
        ("Băng rôn 4 mét", "3", "240.000", "720.000"),
    )
    y = 258.0
    for index, row in enumerate(rows):
        sheet.rect(46, y, 503, 30, fill=(0.92, 0.90, 0.86) if index == 0 else None, color=GREY, line=0.8)
        for x in (270, 340, 430):
            sheet.line((x, y), (x, y + 30), color=GREY, line=0.8)
        sheet.text(54, y + 20, row[0], size=12.5, bold=index == 0)
        for x, cell in zip((332, 422, 541), row[1:], strict=True):
            sheet.text(x, y + 20, cell, size=12.5, bold=index == 0, align="right")
        y += 30
    for label, amount, bold in (
        ("Cộng tiền hàng", "9.575.000", False),
        ("Thuế GTGT 8%", "766.000", False),
        ("TỔNG CỘNG", "10.341.000 đ", True),
    ):
        y += 26
        sheet.text(422, y, label, size=13, bold=bold, align="right")
        sheet.text(541, y, amount, size=13, bold=bold, align="right")
    sheet.text(46, y + 40, "Bằng chữ: mười triệu ba trăm bốn mươi mốt nghìn đồng.", size=12.5)
    sheet.text(140, y + 88, "Người mua hàng", size=12.5, bold=True, align="center")
    sheet.text(440, y + 88, "Người bán hàng", size=12.5, bold=True, align="center")
    _scrawl(sheet, 140, y + 134, 0.4)
    _scrawl(sheet, 452, y + 134, 2.1)
    _seal(sheet, 404, y + 136, ("IN ẤN", "LÁ PHONG", "0000123987"))
    sheet.text(440, y + 200, "Đoàn Quế Chi", size=12.5, align="center")
    sheet.text(140, y + 200, "Nghiêm Thục Anh", size=12.5, align="center")
    scanned(render(sheet.page, DPI), seed=318, skew=0.9).save(path, quality=82, dpi=(DPI, DPI))


def write_clinic_form(path: Path) -> None:
    """Writes the intake form of a veterinary clinic, filled in by hand (en, one page)."""
    sheet = _blank("en")
    accent: Color = (0.13, 0.40, 0.38)
    sheet.rect(46, 44, 503, 62, fill=accent, radius=0.12)
    sheet.text(66, 84, "Willow Lane Animal Clinic", size=25, color=WHITE, bold=True)
    sheet.circle((512, 80), 9, fill=WHITE)
    for dx, dy in ((-14, -9), (-5, -17), (6, -17), (15, -9)):
        sheet.circle((512 + dx, 78 + dy), 4.4, fill=WHITE)
    sheet.text(46, 138, "Patient intake form", size=19, bold=True)
    sheet.text(46, 157, "Please write clearly with a pen and hand the form to the front desk.", size=11, color=GREY)
    answers = (
        ("Owner", "Marguerite Oyelaran"),
        ("Telephone", "0900 555 0142"),
        ("Pet's name", "Pepper"),
        ("Kind and breed", "cat, tortoiseshell"),
        ("Age and weight", "6 years, 4.3 kg"),
        ("Vaccinated on", "12 May 2025"),
        ("Allergies", "penicillin, fish oil"),
        ("Medicine now", "none"),
    )
    for row, (label, _) in enumerate(answers):
        y = 204 + row * 38
        sheet.text(46, y, label, size=13, bold=True, color=accent)
        sheet.line((180, y + 5), (549, y + 5), color=GREY, line=0.8)
    sheet.text(46, 520, "Reason for the visit", size=13, bold=True, color=accent)
    for row in range(4):
        sheet.line((46, 556 + row * 34), (549, 556 + row * 34), color=GREY, line=0.8)
    for column, label in enumerate(("indoors", "outdoors", "both")):
        x = 46 + column * 130
        sheet.rect(x, 688, 15, 15, color=INK, line=1.2)
        sheet.text(x + 24, 701, label, size=13)
    sheet.text(46, 756, "Date", size=13, bold=True, color=accent)
    sheet.line((90, 760), (230, 760), color=GREY, line=0.8)
    sheet.text(290, 756, "Signature", size=13, bold=True, color=accent)
    sheet.line((370, 760), (549, 760), color=GREY, line=0.8)
    image = render(sheet.page, DPI)
    pen, scale = Pen(seed=42), DPI / 72
    for row, (_, answer) in enumerate(answers):
        pen.write(image, (190 * scale, (202 + row * 38) * scale), answer, 19 * scale)
    story = (
        "limps on the left front paw since",
        "Sunday. She jumped from the garage",
        "roof. Eats well but hides under the",
        "bed and growls when touched.",
    )
    for row, line in enumerate(story):
        pen.write(image, (54 * scale, (552 + row * 34) * scale), line, 19 * scale)
    pen.write(image, (307 * scale, 702 * scale), "x", 24 * scale)
    pen.write(image, (98 * scale, 756 * scale), "9 Feb 2026", 18 * scale)
    pen.write(image, (384 * scale, 756 * scale), "M. Oyelaran", 22 * scale)
    scanned(image, seed=9, skew=-0.5, noise=3.0).save(path, dpi=(DPI, DPI))


def write_notice_photo(path: Path) -> None:
    """Writes the photo of a notice on a wooden board (vi, one page)."""
    style = Style(face("vi"), accent=(0.10, 0.32, 0.58), footer="", size=20, leading=1.55, margin=54, gap=16)
    page = render(compose(manuscript("thong_bao_nuoc.txt"), style)[0], 120)
    corners = ((0.13, 0.07), (0.88, 0.10), (0.95, 0.93), (0.06, 0.95))
    photo = photographed(page, seed=14, size=(1080, 1440), corners=corners, desk=(128, 88, 56))
    photo.save(path, quality=78)


def write_letters_tiff(path: Path) -> None:
    """Writes a bundle of a school library's letters as a two-colour TIFF (vi, 4 pages)."""
    style = Style(face("vi"), accent=_BLACK, footer="", size=13.5, leading=1.55, margin=60, gap=10)
    figures = {"stamp_head": _stamp_head, "stamp_count": _stamp_count, "roof": _roof}
    pages = []
    for number, page in enumerate(compose(manuscript("ho_so_thu_vien.txt"), style, figures)):
        grey = scanned(render(page, 150), seed=60 + number, skew=(0.6, -0.8, 0.4, 1.0)[number], noise=10)
        pages.append(grey.convert("L").point(lambda value: 255 if value > 150 else 0).convert("1"))
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="group4", dpi=(150, 150))


def _stamp_head(sheet: Sheet, box: pymupdf.Rect) -> None:
    x = box.x1 - 120
    sheet.text(x, box.y0 + 26, "HIỆU TRƯỞNG", bold=True, size=13, align="center")
    _scrawl(sheet, x + 20, box.y0 + 84, 1.0)
    _seal(sheet, x - 30, box.y0 + 84, ("TIỂU HỌC", "BẾN ĐÒ"))
    sheet.text(x, box.y0 + 152, "Vi Thị Hường", size=13, align="center")


def _stamp_count(sheet: Sheet, box: pymupdf.Rect) -> None:
    for share, role, name, phase in ((0.2, "Người kiểm", "Cù Thị Nhài", 0.2), (0.8, "Người lập", "Lại Văn Sáng", 2.6)):
        x = box.x0 + box.width * share
        sheet.text(x, box.y0 + 22, role, bold=True, size=13, align="center")
        _scrawl(sheet, x, box.y0 + 74, phase)
        sheet.text(x, box.y0 + 132, name, size=13, align="center")


def _roof(sheet: Sheet, box: pymupdf.Rect) -> None:
    """A sketch of the store with seven sheets missing."""
    left, right, ridge, eaves, ground = box.x0 + 60, box.x1 - 60, box.y0 + 14, box.y0 + 92, box.y1 - 14
    sheet.polygon([(left + 60, ridge), (right - 60, ridge), (right, eaves), (left, eaves)], color=_BLACK, line=2)
    for index in range(1, 16):
        top = left + 60 + (right - left - 120) * index / 16
        bottom = left + (right - left) * index / 16
        sheet.line((top, ridge), (bottom, eaves), color=_BLACK, line=0.9)
    sheet.polygon(
        [(left + 74, ridge + 24), (left + 190, ridge + 24), (left + 176, eaves), (left + 20, eaves)],
        fill=(0.25, 0.25, 0.27),
    )
    sheet.rect(left + 24, eaves, right - left - 48, ground - eaves, color=_BLACK, line=2)
    sheet.rect((left + right) / 2 - 24, ground - 58, 48, 58, color=_BLACK, line=1.5)
    sheet.text(left + 100, ground - 28, "bảy tấm bị tốc", size=13, align="center")
    sheet.arrow((left + 96, ground - 42), (left + 96, eaves - 10), color=_BLACK)


def write_safety_poster(path: Path) -> None:
    """Writes a safety poster for a building site (zh, one page, clean pixels)."""
    sheet = _blank("zh")
    yellow, black = (0.99, 0.80, 0.10), (0.09, 0.09, 0.1)
    sheet.rect(0, 0, *A4, fill=yellow)
    for index in range(-1, 16):
        for y in (0, A4[1] - 34):
            x = index * 44
            sheet.polygon([(x, y + 34), (x + 22, y + 34), (x + 56, y), (x + 34, y)], fill=black)
    sheet.text(A4[0] / 2, 118, "进入工地", size=62, bold=True, color=black, align="center")
    sheet.text(A4[0] / 2, 186, "必须戴好安全帽", size=50, bold=True, color=(0.78, 0.1, 0.1), align="center")
    sheet.circle((297, 348), 138, fill=(0.08, 0.32, 0.66))
    sheet.circle((297, 390), 62, fill=(0.98, 0.85, 0.72))
    sheet.curve(((219, 350), (222, 232), (372, 232), (375, 350)), color=None, fill=WHITE)
    sheet.rect(207, 344, 180, 20, fill=WHITE, radius=0.5)
    sheet.rect(286, 250, 22, 96, fill=(0.85, 0.88, 0.92), radius=0.4)
    for x in (276, 318):
        sheet.circle((x, 388), 6, fill=black)
    sheet.curve(((276, 416), (286, 430), (308, 430), (318, 416)), color=black, line=3)
    signs = (("禁止吸烟", ""), ("系好安全带", "带"), ("穿防滑鞋", "鞋"))
    for index, (text, mark) in enumerate(signs):
        x = 112 + index * 186
        ban = index == 0
        color: Color = (0.78, 0.1, 0.1) if ban else (0.08, 0.32, 0.66)
        sheet.circle((x, 566), 56, fill=WHITE if ban else color, color=color, line=9)
        if ban:
            sheet.rect(x - 32, 562, 46, 11, fill=WHITE, color=black, line=1.5)
            sheet.rect(x + 14, 562, 14, 11, fill=(0.95, 0.45, 0.1))
            sheet.curve(((x + 24, 554), (x + 12, 544), (x + 34, 540), (x + 20, 528)), color=black, line=3)
            sheet.line((x - 38, 528), (x + 38, 604), color=color, line=8)
        else:
            sheet.text(x, 584, mark, size=50, bold=True, color=WHITE, align="center")
        sheet.text(x, 658, text, size=25, bold=True, color=black, align="center")
    sheet.rect(46, 690, A4[0] - 92, 92, fill=black, radius=0.12)
    sheet.text(A4[0] / 2, 728, "高处作业二米以上，先挂钩，后移动", size=24, color=yellow, align="center")
    sheet.text(A4[0] / 2, 766, "紧急电话 分机 5119", size=24, color=WHITE, bold=True, align="center")
    image: Image.Image = render(sheet.page, DPI)
    image.save(path, dpi=(DPI, DPI), optimize=True)

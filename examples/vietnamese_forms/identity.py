"""The application for an identity card, and a driving licence copied on one sheet, front and back."""

import pymupdf

from examples.sample_documents.canvas import A4, GREY, INK, WHITE, Color, Sheet, tint

from .parts import LEFT, PEN, RED, RIGHT, comb, field, motto, photo, sample_page, signature
from .people import Person, day_shown

_TEAL: Color = (0.05, 0.42, 0.44)
_OCHRE: Color = (0.70, 0.45, 0.08)
_MAY_DRIVE = {
    "A1": "Mô tô hai bánh đến 125 cm³",
    "B": "Ô tô chở người đến 8 chỗ, ô tô tải đến 3.500 kg",
    "C1": "Ô tô tải trên 3.500 kg đến 7.500 kg",
    "C": "Ô tô tải trên 7.500 kg",
    "D2": "Ô tô chở người trên 16 chỗ đến 29 chỗ",
}


def draw_identity(document: pymupdf.Document, person: Person) -> None:
    """One page: the application for an identity card (tờ khai căn cước)."""
    sheet = sample_page(document)
    sheet.text(150, 56, "CƠ QUAN CẤP THẺ MẪU", size=10.5, bold=True, align="center")
    sheet.text(150, 71, "Biểu mẫu tập dượt số 00", size=9.5, color=GREY, align="center")
    motto(sheet, 405, 56)
    sheet.text(A4[0] / 2 + 30, 122, "TỜ KHAI CĂN CƯỚC", size=20, bold=True, align="center")
    sheet.text(A4[0] / 2 + 30, 140, "(dùng cho công dân từ đủ 14 tuổi trở lên)", size=10, color=GREY, align="center")
    photo(sheet, LEFT, 96, 84, _TEAL)
    sheet.text(LEFT + 106, 178, "Kính gửi: Công an xã, phường nơi cư trú (mẫu)", size=11)
    y, step = 236.0, 28.0
    field(sheet, LEFT, y, 400, "1. Họ, chữ đệm và tên khai sinh", person.name.upper(), size=11)
    field(sheet, 410, y, RIGHT, "2. Giới tính", person.sex)
    comb(sheet, LEFT, y + step * 1.1, "3. Số căn cước (số định danh cá nhân)", person.id_number)
    rows = (
        (("4. Ngày sinh", day_shown(person.born)), ("5. Quốc tịch", "Việt Nam")),
        (("6. Dân tộc", "Kinh"), ("7. Tôn giáo", "Không")),
        (("8. Nơi đăng ký khai sinh", person.birthplace),),
        (("9. Nơi thường trú", person.home),),
        (("10. Nơi ở hiện tại", "như nơi thường trú"),),
        (("11. Số điện thoại", person.phone), ("12. Nghề nghiệp", "người mẫu biểu mẫu")),
        (("13. Yêu cầu", "cấp đổi thẻ căn cước, trả kết quả tại nơi tiếp nhận hồ sơ"),),
    )
    y += step * 2.3
    for row in rows:
        ends = (RIGHT,) if len(row) == 1 else (298.0, RIGHT)
        for x, end, (label, value) in zip((LEFT, 308.0), ends, row, strict=False):
            field(sheet, x, y, end, label, value)
        y += step
    sheet.paragraph(
        LEFT,
        y - 6,
        RIGHT - LEFT,
        "Tôi xin cam đoan những thông tin kê khai trên là đúng với nhân vật mẫu; tờ khai này được làm bằng chương "
        "trình để thử việc đọc tài liệu và không thay cho giấy tờ nào.",
        size=10.5,
    )
    y += 52
    sheet.text(430, y, "Sông Mẫu, ngày 05 tháng 01 năm 2026", size=10, align="center")
    signature(sheet, 160, y + 18, "CÁN BỘ TIẾP NHẬN", "(ký, ghi rõ họ tên)", "Đặng Bản Nháp")
    signature(sheet, 430, y + 18, "NGƯỜI KHAI", "(ký, ghi rõ họ tên)", person.name)
    sheet.rect(LEFT, y + 116, RIGHT - LEFT, 74, color=INK, line=0.8)
    sheet.text(LEFT + 10, y + 134, "PHẦN DÀNH CHO CƠ QUAN TIẾP NHẬN", size=10, bold=True)
    field(sheet, LEFT + 10, y + 156, 290, "Mã hồ sơ", f"MAU-{person.id_number[-6:]}-26", size=10)
    field(sheet, 300, y + 156, RIGHT - 10, "Ngày hẹn trả", "26/01/2026", size=10)
    field(sheet, LEFT + 10, y + 178, RIGHT - 10, "Ghi chú", "hồ sơ mẫu, không tiếp nhận", size=10)


def draw_licence(document: pymupdf.Document, person: Person) -> None:
    """One page: a driving licence (giấy phép lái xe), both sides on one sheet as copies are handed in."""
    sheet = sample_page(document)
    sheet.text(A4[0] / 2, 62, "BẢN CHỤP HAI MẶT GIẤY PHÉP LÁI XE", size=13, bold=True, align="center")
    _front(sheet, person, 84)
    _back(sheet, person, 434)
    sheet.text(LEFT, 800, "Bản chụp mẫu để thử phần mềm; không dùng để điều khiển phương tiện.", size=10, color=GREY)


def _card(sheet: Sheet, top: float) -> None:
    sheet.rect(LEFT - 10, top, RIGHT - LEFT + 20, 318, fill=tint(_OCHRE, 0.08), color=_OCHRE, line=1.4, radius=0.05)
    for number in range(9):
        y = top + 96 + number * 24
        sheet.curve(
            ((LEFT - 8, y), (LEFT + 150, y - 26), (RIGHT - 150, y + 26), (RIGHT + 8, y)),
            color=tint(_OCHRE, 0.18),
            line=0.7,
        )
    sheet.text(RIGHT - 8, top + 306, "MẪU – SAMPLE", size=17, color=tint(RED, 0.75), bold=True, align="right")


def _front(sheet: Sheet, person: Person, top: float) -> None:
    licence = person.licence
    _card(sheet, top)
    sheet.rect(LEFT - 9, top + 10, RIGHT - LEFT + 18, 48, fill=_OCHRE)
    sheet.text(A4[0] / 2, top + 32, "GIẤY PHÉP LÁI XE", size=19, color=WHITE, bold=True, align="center")
    sheet.text(A4[0] / 2, top + 50, "DRIVER’S LICENCE", size=11, color=WHITE, align="center")
    photo(sheet, LEFT + 6, top + 76, 108, _OCHRE)
    sheet.text(LEFT + 60, top + 246, "Hạng/Class:", size=11, align="center")
    sheet.text(LEFT + 60, top + 280, licence.grade, size=30, color=RED, bold=True, align="center")
    x, size = LEFT + 134, 12.0
    field(sheet, x, top + 90, RIGHT - 10, "Số/No.", licence.number, size=15)
    rows = (
        ("Họ tên/Full name", person.name.upper()),
        ("Ngày sinh/Date of birth", day_shown(person.born)),
        ("Quốc tịch/Nationality", "VIỆT NAM"),
    )
    for place, (label, value) in enumerate(rows):
        field(sheet, x, top + 118 + 26 * place, RIGHT - 10, label, value, size=size)
    sheet.text(x, top + 196, "Nơi cư trú/Address:", size=size)
    for place, part in enumerate(person.home.split(", ", 1)):
        sheet.text(x + 12, top + 214 + 18 * place, part + ("," if place == 0 else ""), size=size, color=PEN, bold=True)
    field(sheet, x, top + 260, RIGHT - 10, "Ngày cấp/Issued", day_shown(licence.issued), size=size)
    expires = day_shown(licence.expires) if licence.expires else "không thời hạn"
    field(sheet, x, top + 284, RIGHT - 10, "Có giá trị đến/Expires", expires, size=size)


def _back(sheet: Sheet, person: Person, top: float) -> None:
    licence = person.licence
    _card(sheet, top)
    sheet.text(A4[0] / 2, top + 30, "CÁC LOẠI XE ĐƯỢC ĐIỀU KHIỂN", size=13, color=_OCHRE, bold=True, align="center")
    columns = (LEFT + 6, LEFT + 66, RIGHT - 110, RIGHT - 6)
    rows = [("Hạng", "Loại xe", "Ngày trúng tuyển"), *((g, text, "") for g, text in _MAY_DRIVE.items())]
    for place, (grade, text, day) in enumerate(rows):
        y = top + 44 + 32 * place
        if place == 0:
            sheet.rect(columns[0], y, columns[-1] - columns[0], 32, fill=tint(_OCHRE, 0.25))
        sheet.rect(columns[0], y, columns[-1] - columns[0], 32, color=GREY, line=0.7)
        for x in columns[1:-1]:
            sheet.line((x, y), (x, y + 32), color=GREY, line=0.7)
        held = grade == licence.grade
        sheet.text(columns[0] + 10, y + 20, grade, size=11, bold=place == 0 or held)
        sheet.text(columns[1] + 8, y + 20, text, size=10.5, bold=place == 0 or held)
        shown = day_shown(licence.issued) if held else day or "–"
        sheet.text((columns[2] + columns[3]) / 2, y + 20, shown, size=10, bold=place == 0, align="center")
    sheet.text(LEFT + 10, top + 262, "Giấy phép số " + licence.number, size=11, bold=True)
    sheet.text(LEFT + 10, top + 284, "Nơi cấp: Sở Xây dựng tỉnh Giả Định (mẫu)", size=11)

"""The VAT invoice and the claim on a motor insurance."""

import pymupdf

from examples.sample_documents.canvas import A4, GREY, WHITE, Align, Color, Sheet, tint

from .amounts import in_words, shown
from .parts import LEFT, PEN, RED, RIGHT, bar, field, motto, sample_page, signature
from .people import Person, day_shown

_BLUE: Color = (0.09, 0.29, 0.56)
_GREEN: Color = (0.07, 0.45, 0.27)
INSURER = "CÔNG TY BẢO HIỂM SÔNG MẪU"


def draw_invoice(document: pymupdf.Document, person: Person) -> None:
    """One page: a VAT invoice (hoá đơn giá trị gia tăng)."""
    invoice = person.invoice
    sheet = sample_page(document)
    sheet.text(244, 66, "HOÁ ĐƠN GIÁ TRỊ GIA TĂNG", size=20, color=_BLUE, bold=True, align="center")
    sheet.text(244, 84, "(bản thể hiện mẫu của hoá đơn điện tử)", size=10, color=GREY, align="center")
    day = invoice.day
    sheet.text(244, 102, f"Ngày {day:%d} tháng {day:%m} năm {day:%Y}", size=11, align="center")
    for place, (label, value) in enumerate((("Mẫu số", "1"), ("Ký hiệu", invoice.symbol), ("Số", invoice.number))):
        sheet.text(440, 58 + 17 * place, f"{label}: ", size=10.5)
        color = RED if label == "Số" else PEN
        sheet.text(
            440 + sheet.face.width(f"{label}: ", 10.5), 58 + 17 * place, value, size=10.5, color=color, bold=True
        )
    sheet.line((LEFT, 116), (RIGHT, 116), color=_BLUE, line=1.2)
    y = 136.0
    for label, value in (
        ("Đơn vị bán hàng", invoice.seller),
        ("Mã số thuế", invoice.seller_tax),
        ("Địa chỉ", invoice.seller_address),
    ):
        field(sheet, LEFT, y, RIGHT, label, value, size=10.5)
        y += 20
    sheet.line((LEFT, y - 8), (RIGHT, y - 8), color=_BLUE, line=0.6)
    y += 10
    for label, value in (
        ("Họ tên người mua hàng", person.name),
        ("Số căn cước", person.id_number),
        ("Địa chỉ", person.home),
        ("Hình thức thanh toán", "chuyển khoản (CK)"),
    ):
        field(sheet, LEFT, y, RIGHT, label, value, size=10.5)
        y += 20
    y = _items(sheet, person, y + 2)
    field(sheet, LEFT, y + 16, RIGHT, "Số tiền viết bằng chữ", _sentence(person.total_in_words), size=10)
    y += 52
    signature(sheet, 165, y, "NGƯỜI MUA HÀNG", "(ký, ghi rõ họ tên)", person.name)
    signature(sheet, 430, y, "NGƯỜI BÁN HÀNG", "(ký số, ghi rõ họ tên)", "Hoàng Nháp Văn")
    sheet.rect(330, y + 92, 200, 40, color=_GREEN, line=1)
    sheet.text(430, y + 108, "Chữ ký số mẫu – không hợp lệ", size=10, color=_GREEN, bold=True, align="center")
    sheet.text(430, y + 123, f"Ngày ký: {day_shown(day)}", size=10, color=_GREEN, align="center")
    sheet.text(
        A4[0] / 2, 812, "Hoá đơn mẫu, không dùng để kê khai thuế hay thanh toán.", size=9.5, color=GREY, align="center"
    )


def _items(sheet: Sheet, person: Person, y: float) -> float:
    """The table of goods and the three sums; returns the y below."""
    invoice = person.invoice
    edges = (LEFT, LEFT + 34, 258.0, 312.0, 370.0, 452.0, RIGHT)
    align: tuple[Align, ...] = ("center", "left", "center", "right", "right", "right")
    head = ("STT", "Tên hàng hoá, dịch vụ", "Đơn vị", "Số lượng", "Đơn giá", "Thành tiền")
    body = [
        (str(place), item.name, item.unit, shown(item.count), shown(item.price), shown(item.amount))
        for place, item in enumerate(invoice.items, start=1)
    ]
    for number, row in enumerate((head, *body)):
        top = y + 26 * number
        if number == 0:
            sheet.rect(LEFT, top, RIGHT - LEFT, 26, fill=tint(_BLUE, 0.14))
        _row(sheet, top, 26, edges, align if number else ("center",) * 6, row, bold=number == 0)
    y += 26 * (len(body) + 1)
    for label, amount, last in (
        ("Cộng tiền hàng", invoice.net, False),
        (f"Thuế suất GTGT {invoice.vat_percent}%, tiền thuế GTGT", invoice.vat, False),
        ("Tổng tiền thanh toán", invoice.total, True),
    ):
        if last:
            sheet.rect(LEFT, y, RIGHT - LEFT, 26, fill=tint(_BLUE, 0.14))
        texts = (f"{label}:", shown(amount) + (" đồng" if last else ""))
        _row(sheet, y, 26, (LEFT, 420.0, RIGHT), ("right", "right"), texts, bold=last)
        y += 26
    return y


def _row(
    sheet: Sheet,
    top: float,
    height: float,
    edges: tuple[float, ...],
    align: tuple[Align, ...],
    texts: tuple[str, ...],
    bold: bool = False,
) -> None:
    """A table's row with its lines."""
    sheet.rect(edges[0], top, edges[-1] - edges[0], height, color=GREY, line=0.7)
    for x in edges[1:-1]:
        sheet.line((x, top), (x, top + height), color=GREY, line=0.7)
    for left, right, side, text in zip(edges, edges[1:], align, texts, strict=False):
        at = {"left": left + 6, "center": (left + right) / 2, "right": right - 6}[side]
        sheet.text(at, top + height * 0.66, text, size=10, bold=bold, align=side)


def draw_claim(document: pymupdf.Document, person: Person) -> None:
    """One page: a claim on a motor insurance (giấy yêu cầu bồi thường bảo hiểm)."""
    claim = person.claim
    sheet = sample_page(document)
    sheet.rect(LEFT, 42, 40, 40, fill=_GREEN, radius=0.3)
    sheet.text(LEFT + 20, 70, "SM", size=18, color=WHITE, bold=True, align="center")
    sheet.text(LEFT + 50, 60, INSURER, size=10.5, color=_GREEN, bold=True)
    sheet.text(LEFT + 50, 75, "Đường dây mẫu: 0900 000 000", size=9, color=GREY)
    motto(sheet, 430, 56)
    sheet.text(A4[0] / 2, 116, "GIẤY YÊU CẦU BỒI THƯỜNG BẢO HIỂM", size=18, bold=True, align="center")
    sheet.text(A4[0] / 2, 133, "(bảo hiểm xe cơ giới, bản mẫu)", size=10, color=GREY, align="center")
    y = 162.0
    bar(sheet, y, "I. BÊN ĐƯỢC BẢO HIỂM", _GREEN)
    y = _fields(
        sheet,
        y + 24,
        (
            (("Họ và tên người yêu cầu", person.name),),
            (("Số căn cước", person.id_number), ("Điện thoại", person.phone)),
            (("Địa chỉ", person.home),),
            (("Số hợp đồng bảo hiểm", claim.policy), ("Biển số xe", claim.plate)),
            (("Nhãn hiệu xe", claim.vehicle),),
        ),
    )
    bar(sheet, y + 6, "II. DIỄN BIẾN TAI NẠN", _GREEN)
    y = _fields(
        sheet,
        y + 30,
        (
            (("Ngày xảy ra tai nạn", day_shown(claim.day)), ("Lúc", claim.hour)),
            (("Nơi xảy ra tai nạn", claim.place),),
            (("Nguyên nhân và diễn biến", claim.what),),
        ),
    )
    bar(sheet, y + 6, "III. THIỆT HẠI VÀ SỐ TIỀN YÊU CẦU BỒI THƯỜNG", _GREEN)
    y += 20
    edges = (LEFT, LEFT + 34, 400.0, RIGHT)
    rows = [("STT", "Hạng mục thiệt hại", "Số tiền (đồng)")]
    rows += [(str(place), what, shown(amount)) for place, (what, amount) in enumerate(claim.damages, start=1)]
    for number, row in enumerate(rows):
        align: tuple[Align, ...] = ("center", "left", "right") if number else ("center",) * 3
        if number == 0:
            sheet.rect(LEFT, y, RIGHT - LEFT, 24, fill=tint(_GREEN, 0.12))
        _row(sheet, y, 24, edges, align, row, bold=number == 0)
        y += 24
    sheet.rect(LEFT, y, RIGHT - LEFT, 24, fill=tint(_GREEN, 0.12))
    total = ("Tổng số tiền yêu cầu bồi thường:", f"{shown(claim.total)} đồng")
    _row(sheet, y, 24, (LEFT, 400.0, RIGHT), ("right", "right"), total, bold=True)
    field(sheet, LEFT, y + 44, RIGHT, "Bằng chữ", _sentence(in_words(claim.total)), size=10)
    field(sheet, LEFT, y + 66, RIGHT, "Chuyển tiền vào tài khoản số", f"{claim.account}, Ngân hàng Giấy Nháp (mẫu)")
    y += 94
    bar(sheet, y, "IV. CAM KẾT", _GREEN)
    sheet.paragraph(
        LEFT,
        y + 12,
        RIGHT - LEFT,
        "Tôi cam kết những điều khai trên là của nhân vật mẫu. Kèm theo: ☒ ảnh hiện trường mẫu  ☒ báo giá "
        "sửa chữa mẫu  ☐ biên bản của cảnh sát giao thông",
        size=10,
    )
    sheet.text(
        430, y + 60, f"Sông Mẫu, ngày {claim.day:%d} tháng {claim.day:%m} năm {claim.day:%Y}", size=10, align="center"
    )
    signature(sheet, 165, y + 76, "GIÁM ĐỊNH VIÊN", "(ký, ghi rõ họ tên)", "Bùi Bản Thảo")
    signature(sheet, 430, y + 76, "NGƯỜI YÊU CẦU", "(ký, ghi rõ họ tên)", person.name)


def _fields(sheet: Sheet, y: float, rows: tuple[tuple[tuple[str, str], ...], ...]) -> float:
    """Rows of one or two fields; returns the y of the next row."""
    for row in rows:
        ends = (RIGHT,) if len(row) == 1 else (340.0, RIGHT)
        for x, end, (label, value) in zip((LEFT, 350.0), ends, row, strict=False):
            field(sheet, x, y, end, label, value, size=10.5)
        y += 21
    return y


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."

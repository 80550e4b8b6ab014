"""What forms are made of: the mark that they are samples, labels with values on dotted lines, boxes for figures."""

import pymupdf

from examples.sample_documents.canvas import A4, GREY, Color, Sheet, face, tint

PEN: Color = (0.08, 0.16, 0.50)
RED: Color = (0.76, 0.10, 0.12)
SAMPLE = "MẪU – SAMPLE, KHÔNG CÓ GIÁ TRỊ"
LEFT, RIGHT = 56.0, A4[0] - 56.0


def sample_page(document: pymupdf.Document) -> Sheet:
    """A new A4 page that says on its face, in its text layer and across that it is a sample."""
    sheet = Sheet(document.new_page(width=A4[0], height=A4[1]), face("vi"))
    for y in (310, 560, 810):
        sheet.text(150, y, "MẪU – SAMPLE", size=54, color=tint(RED, 0.10), bold=True, angle=32)
    sheet.rect(0, 0, A4[0], 24, fill=RED)
    sheet.text(A4[0] / 2, 17, SAMPLE, size=12, color=(1, 1, 1), bold=True, align="center")
    return sheet


def motto(sheet: Sheet, x: float, y: float) -> None:
    """The two lines that official papers begin with."""
    sheet.text(x, y, "CỘNG HOÀ XÃ HỘI CHỦ NGHĨA VIỆT NAM", size=10.5, bold=True, align="center")
    width = sheet.text(x, y + 15, "Độc lập – Tự do – Hạnh phúc", size=10.5, bold=True, align="center")
    sheet.line((x - width / 2, y + 20), (x + width / 2, y + 20), line=0.7)


def field(sheet: Sheet, x: float, y: float, right: float, label: str, value: str, *, size: float = 11) -> None:
    """A label and, on a dotted line that reaches to `right`, its value.

    Raises:
        ValueError: the value does not fit.
    """
    start = x + sheet.text(x, y, f"{label}:", size=size) + 0.3 * size
    if start + sheet.face.width(value, size, bold=True) > right + 0.5:
        raise ValueError(f"no room for {value!r} after {label!r}")
    sheet.line((start, y + 2.5), (right, y + 2.5), color=GREY, line=0.6, dashes="[0.6 2] 0")
    sheet.text(start, y, value, size=size, color=PEN, bold=True)


def comb(sheet: Sheet, x: float, y: float, label: str, value: str, *, size: float = 15) -> None:
    """A label and its value with a box for each figure.

    The boxes stand so close that a text layer keeps the figures one word, and are printed pale, as on forms that are
    to be scanned: in black, Tesseract takes their sides for figures.
    """
    start = x + sheet.text(x, y, f"{label}:", size=11) + 6
    pitch = sheet.face.width("0", size, bold=True) + 0.11 * size
    for place, letter in enumerate(value):
        left = start + place * pitch
        sheet.rect(left, y - size * 0.92, pitch, size * 1.22, color=tint(GREY, 0.35), line=0.7)
        sheet.text(left + pitch / 2, y, letter, size=size, color=PEN, bold=True, align="center")


def bar(sheet: Sheet, y: float, text: str, color: Color) -> None:
    """A section's heading on a coloured bar."""
    sheet.rect(LEFT, y - 13, RIGHT - LEFT, 19, fill=tint(color, 0.16))
    sheet.rect(LEFT, y - 13, 4, 19, fill=color)
    sheet.text(LEFT + 12, y + 1, text, size=11.5, color=color, bold=True)


def photo(sheet: Sheet, x: float, y: float, width: float, ground: Color) -> None:
    """Where a photo would be: a head and shoulders like nobody's."""
    height = width * 4 / 3
    sheet.rect(x, y, width, height, fill=tint(ground, 0.25), color=GREY, line=0.8)
    middle = x + width / 2
    sheet.circle((middle, y + height * 0.38), width * 0.19, fill=tint(ground, 0.7))
    low, wide = y + height, width * 0.38
    sheet.curve(
        (
            (middle - wide, low),
            (middle - wide, y + height * 0.56),
            (middle + wide, y + height * 0.56),
            (middle + wide, low),
        ),
        color=None,
        fill=tint(ground, 0.7),
    )
    sheet.text(middle, y + height - 6, "ẢNH MẪU", size=width / 9, color=RED, bold=True, align="center")


def signature(sheet: Sheet, x: float, y: float, role: str, note: str, name: str) -> None:
    """Who signs; what stands in the place of the signature says that it is none."""
    sheet.text(x, y, role, size=11, bold=True, align="center")
    sheet.text(x, y + 14, note, size=9, color=GREY, align="center")
    sheet.text(x, y + 46, "(chữ ký mẫu)", size=11, color=tint(PEN, 0.6), align="center", angle=8)
    sheet.text(x, y + 78, name, size=11, align="center")

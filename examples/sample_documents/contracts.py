"""The lease: six pages of numbered articles in Vietnamese, signed on the last one."""

import math
from pathlib import Path

import pymupdf

from .canvas import GREY, Color, Sheet, face
from .typeset import Style, manuscript, typeset

_PEN: Color = (0.1, 0.2, 0.6)
_SEAL: Color = (0.78, 0.12, 0.15)


def write_lease(path: Path) -> None:
    """Writes the lease of a flat (vi, 6 pages)."""
    style = Style(
        face("vi"),
        accent=(0.16, 0.22, 0.36),
        header="Hợp đồng thuê căn hộ số 27/2026/HĐT-SH",
        footer="Trang {page} / {pages}",
        size=13.5,
        leading=1.6,
        margin=62,
        gap=9,
    )
    typeset(manuscript("hop_dong_thue.txt"), path, "Hợp đồng thuê căn hộ", style, {"signatures": _signatures})


def _signatures(sheet: Sheet, box: pymupdf.Rect) -> None:
    parties = (("ĐẠI DIỆN BÊN A", "Trịnh Ngọc Lam", 0.0), ("ĐẠI DIỆN BÊN B", "Phùng Gia Khiêm", 1.3))
    for index, (role, name, phase) in enumerate(parties):
        x = box.x0 + box.width * (0.25 + 0.5 * index)
        sheet.text(x, box.y0 + 22, role, bold=True, align="center")
        sheet.text(x, box.y0 + 38, "(ký, ghi rõ họ tên)", size=9, color=GREY, align="center")
        stroke = [
            (
                x - 55 + 110 * t + 16 * math.sin(19 * t + phase),
                box.y0 + 88 + 20 * math.sin(24 * t + phase) * (1 - 0.5 * t),
            )
            for t in (i / 120 for i in range(121))
        ]
        sheet.polyline(stroke, color=_PEN, line=1.2)
        sheet.text(x, box.y0 + 142, name, align="center")
    seal = (box.x0 + box.width * 0.5, box.y0 + 92)
    for radius, line in ((40, 2.2), (34, 0.8)):
        sheet.circle(seal, radius, color=_SEAL, line=line)
    for row, text in enumerate(("CHUNG CƯ", "SEN HỒ", "Ban quản lý")):
        sheet.text(seal[0], seal[1] - 8 + 13 * row, text, size=9, color=_SEAL, bold=row < 2, align="center")

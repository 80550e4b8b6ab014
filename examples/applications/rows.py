"""One HTML page of rows of pictures, each row with a heading: how the applications show what they found."""

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from examples.contact_sheet import STYLE, THUMBNAIL


@dataclass(frozen=True)
class Pictured:
    """A picture with a line below it; `good` frames it."""

    image: Image.Image
    caption: str
    good: bool = False


@dataclass(frozen=True)
class Row:
    """A heading, a remark, a picture that was asked with where there is one, and what was found."""

    title: str
    note: str
    found: Sequence[Pictured]
    asked: Image.Image | None = None


def write_rows(path: Path, title: str, lead: str, rows: Sequence[Row]) -> None:
    """Write the page; its pictures are inside the file."""
    sections = "\n".join(_section(row) for row in rows)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>\n{sections}\n</body></html>\n',
        encoding="utf-8",
    )


def _section(row: Row) -> str:
    asked = f'<img alt="asked with" src="{_data_uri(row.asked)}">' if row.asked else ""
    figures = "\n".join(
        f"<figure{' class=right' if one.good else ''}><div class='thumb'>"
        f"<img alt='' src='{_data_uri(one.image)}'></div>"
        f"<figcaption>{html.escape(one.caption)}</figcaption></figure>"
        for one in row.found
    )
    return (
        f'<section><div class="query"><h2>{html.escape(row.title)}</h2>{asked}'
        f'<p class="lead">{html.escape(row.note)}</p></div><div class="hits">{figures}</div></section>'
    )


def _data_uri(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""One HTML page with the answers: each question, the form that answers it, and the cited words marked on it."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from vipylo_rag import Hit

from .asked import Asked

_WIDTH = 620
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #b42318; --text: #1f2328; --quiet: #59636e;
  --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --paper: #0d1117; --good: #3fb950;
  --bad: #f97066; } }
body { margin: 2rem auto; max-width: 1240px; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--paper); }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } .lead, .quiet { color: var(--quiet); } .lead { margin-top: 0; }
section { border-top: 1px solid var(--line); padding: 1.2rem 0; display: grid; gap: 1.4rem;
  grid-template-columns: minmax(0, 1fr) minmax(0, 620px); }
h2 { font-size: 1.05rem; margin: 0 0 .5rem; } img { width: 100%; border: 1px solid var(--line); border-radius: 4px; }
blockquote { margin: .6rem 0; padding-left: .8rem; border-left: 3px solid var(--line); overflow-wrap: anywhere; }
mark { background: #ffd54a; color: #1f2328; } .good { color: var(--good); } .bad { color: var(--bad); }
@media (max-width: 760px) { section { grid-template-columns: minmax(0, 1fr); } }
"""


def write_page(path: Path, lead: str, answered: Sequence[Asked]) -> None:
    """Write the page; pictures are inside the file."""
    sections = "\n".join(_section(one) for one in answered)
    title = "Hỏi biểu mẫu: câu trả lời và chỗ đứng của nó"
    path.write_text(
        f'<!doctype html>\n<html lang="vi"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<h1>{title}</h1><p class="lead">{html.escape(lead)}</p>\n{sections}\n</body></html>\n',
        encoding="utf-8",
    )


def _section(one: Asked) -> str:
    hit = one.answer.pages[(one.rank or 1) - 1]
    said = "giá trị đúng nằm trong đoạn trích" if one.in_quote else "đoạn trích không có giá trị đúng"
    quotes = "".join(
        f"<blockquote>{_marked(cited.quote, one.question.value)}"
        f'<div class="quiet">[{cited.number}] {html.escape(cited.hit.name)}</div></blockquote>'
        for cited in one.answer.citations
    )
    return (
        f"<section><div><h2>{html.escape(one.question.text)}</h2>"
        f'<div class="{"good" if one.in_quote else "bad"}">{"✓" if one.in_quote else "✗"} {said}: '
        f"<b>{html.escape(one.question.value)}</b></div>"
        f'<div class="quiet">biểu mẫu đúng: {html.escape(one.question.form)}, hạng {one.rank or "–"}</div>'
        f"{quotes}</div>"
        f'<img alt="{html.escape(hit.name)}" loading="lazy" src="{_picture(hit, one)}"></section>'
    )


def _marked(quote: str, value: str) -> str:
    """The quote as HTML, the value marked where it stands in it word for word."""
    before, found, after = quote.partition(value)
    return html.escape(before) + (f"<mark>{html.escape(found)}</mark>" if found else "") + html.escape(after)


def _picture(hit: Hit, one: Asked) -> str:
    """The form with the cited words' boxes, as a data URI."""
    assert hit.image is not None
    form = hit.image.convert("RGB")
    form = form.resize((_WIDTH, round(form.height * _WIDTH / form.width)), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(form, "RGBA")
    for box in one.boxes:
        corners = (box.x0 * form.width, box.y0 * form.height, box.x1 * form.width, box.y1 * form.height)
        draw.rectangle(corners, fill=(255, 200, 0, 70), outline=(214, 120, 0, 255))
    buffer = io.BytesIO()
    form.save(buffer, format="JPEG", quality=72)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

"""One HTML page that shows searches as pictures: each query with the thumbnails of the pages it found, best first."""

import base64
import html
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vipylo_rag import Hit

THUMBNAIL = (210, 280)

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --text: #1f2328; --quiet: #59636e; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --paper: #0d1117; --good: #3fb950; } }
body { margin: 2rem auto; max-width: 1280px; padding: 0 1rem; font: 15px/1.45 system-ui, sans-serif;
  color: var(--text); background: var(--paper); }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } p.lead { color: var(--quiet); margin-top: 0; }
section { border-top: 1px solid var(--line); padding: 1.2rem 0; display: grid; gap: 1.2rem;
  grid-template-columns: 230px 1fr; }
.query h2 { font-size: 1.02rem; margin: 0 0 .4rem; } .query img { max-width: 100%; border: 1px solid var(--line); }
.kind { font-size: .78rem; text-transform: uppercase; letter-spacing: .06em; color: var(--quiet); }
.hits { display: flex; gap: .9rem; overflow-x: auto; padding-bottom: .4rem; }
figure { margin: 0; width: 170px; flex: none; } figcaption { font-size: .8rem; color: var(--quiet); margin-top: .3rem;
  overflow-wrap: anywhere; }
figcaption b { color: var(--text); }
.thumb { height: 226px; display: flex; align-items: center; justify-content: center; border: 2px solid var(--line);
  border-radius: 6px; overflow: hidden; background: #8881; }
.thumb img { max-width: 100%; max-height: 100%; } .thumb pre { font-size: .62rem; white-space: pre-wrap; margin: .6rem;
  align-self: start; }
.right .thumb { border-color: var(--good); box-shadow: 0 0 0 2px var(--good); }
.right figcaption::before { content: "✓ "; color: var(--good); font-weight: 700; }
@media (max-width: 720px) { section { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True)
class Shown:
    """A query as it is shown: what was asked, what came back, and which (file name, page) answers it."""

    title: str
    kind: str
    image: Path | None
    hits: list[Hit]
    expected: frozenset[tuple[str, int]]
    note: str = ""


def write_contact_sheet(path: Path, title: str, lead: str, queries: list[Shown]) -> None:
    """Write the page. Pictures are inside the file, so that it can be sent by mail and opened anywhere."""
    sections = "\n".join(_section(query) for query in queries)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>'
        f'<h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>\n{sections}\n</body></html>\n',
        encoding="utf-8",
    )


def _section(query: Shown) -> str:
    picture = f'<img alt="query picture" src="{_data_uri(Image.open(query.image))}">' if query.image else ""
    hits = "\n".join(_figure(rank, hit, query) for rank, hit in enumerate(query.hits, start=1))
    return (
        f'<section><div class="query"><div class="kind">{html.escape(query.kind)}</div>'
        f"<h2>{html.escape(query.title)}</h2>{picture}<p class='lead'>{html.escape(query.note)}</p></div>"
        f'<div class="hits">{hits}</div></section>'
    )


def _figure(rank: int, hit: Hit, query: Shown) -> str:
    right = " class='right'" if (hit.name, hit.page) in query.expected else ""
    if hit.image is not None:
        alt = html.escape(f"{hit.name} page {hit.page}")
        shown = f'<img alt="{alt}" loading="lazy" src="{_data_uri(hit.image)}">'
    else:
        shown = f"<pre>{html.escape(hit.text[:600])}</pre>"
    caption = f"{rank}. <b>{html.escape(hit.name)}</b><br>page {hit.page} · {hit.score:.3f}"
    return f"<figure{right}><div class='thumb'>{shown}</div><figcaption>{caption}</figcaption></figure>"


def _data_uri(image: Image.Image) -> str:
    small = image.convert("RGB")
    small.thumbnail(THUMBNAIL)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()

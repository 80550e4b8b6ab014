"""The evaluation as one HTML file: tables, charts and the worst queries. No script, nothing from elsewhere."""

import base64
import hashlib
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from vipylo_rag.evaluate.corpus import Progress
from vipylo_rag.evaluate.dataset import Corpus, Dataset
from vipylo_rag.evaluate.html_pictures import PictureSheet
from vipylo_rag.evaluate.html_tables import all_figures, differences_table, distributions, results_table
from vipylo_rag.evaluate.html_worst import worst_section
from vipylo_rag.evaluate.outputs import HTML_MARK, written
from vipylo_rag.evaluate.result import Evaluation
from vipylo_rag.evaluate.words import plain, say
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.passages import quoted

PICTURE_BYTES: Final = 8 * 2**20


def write_html(
    file: str | Path,
    evaluation: Evaluation,
    dataset: Dataset,
    documents: MultimodalIndex | Corpus | None,
    *,
    worst: int = 12,
    picture_bytes: int = PICTURE_BYTES,
    tenant: str = "",
    progress: Progress | None = None,
) -> int:
    """Write the page; returns its size in bytes.

    Whoever gets the file sees the worst queries, and of the pages beside them small pictures and parts of their texts.

    Args:
        documents: what has the documents that are shown: the index that was evaluated, still open; of runs, the data
            set's corpus (`dataset.corpus`), or None, and then their ids alone are shown.
        worst: how many of the worst queries are shown.
        picture_bytes: all pictures together.
        progress: called with "draw", how many of these queries are done, and how many there are.

    Raises:
        InputError: the file cannot be written.
    """
    sheet = PictureSheet(picture_bytes)
    tell = progress or (lambda stage, done, total: None)
    cards = worst_section(
        evaluation, dataset, documents, sheet, count=worst, tenant=tenant, picture_bytes=picture_bytes,
        progress=lambda done, total: tell("draw", done, total),
    )  # fmt: skip
    style = (files("vipylo_rag.evaluate") / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    title = f"{plain('title')}: {quoted(evaluation.measured.dataset)}"
    page = f"""{HTML_MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'sha256-{digest}'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<div class=languages>
<input type=radio name=language id=in-en checked><label for=in-en lang=en>English</label>
<input type=radio name=language id=in-vi><label for=in-vi lang=vi>Tiếng Việt</label>
</div>
<main>
{_head(evaluation)}
<section><h2>{say("results")}</h2>{results_table(evaluation)}{all_figures(evaluation)}</section>
{differences_table(evaluation)}
{distributions(evaluation)}
{cards}
{_definitions(evaluation)}
</main>
{sheet.definitions()}
</body>
</html>
"""
    return written(Path(file), page.encode("utf-8", "replace"))


def _head(evaluation: Evaluation) -> str:
    measured = evaluation.measured
    facts = [f"{measured.queries:,} {say('queries')}"]
    if measured.documents is not None:
        several = measured.pages not in (None, measured.documents)
        facts.append(
            f"{measured.documents:,} {say('documents')}" + (f" ({measured.pages:,} {say('pages')})" if several else "")
        )
    if measured.embedder is not None:
        facts.append(
            f"{say('embedder')} <bdi>{escape(quoted(measured.embedder))}</bdi> "
            f"<code>{escape(quoted((measured.fingerprint or '')[:12]))}</code>"
        )
    if measured.runs:
        files = ", ".join(f"<bdi>{escape(quoted(run.file))}</bdi>" for run in measured.runs)
        facts.append(f"{say('run files')}: {files}")
    return (
        f"<h1>{say('title')}: <bdi>{escape(quoted(measured.dataset))}</bdi> "
        f"<small>{escape(quoted(measured.split))}</small></h1><p class=quiet>{' · '.join(facts)}</p>"
    )


def _definitions(evaluation: Evaluation) -> str:
    measured = evaluation.measured
    ties = say("ties of runs" if measured.runs else "ties", depth=measured.depth)
    lines = [say("ndcg"), say("recall"), say("mrr"), say("intervals"), ties]
    if measured.unjudged:
        lines.append(say("unjudged", count=measured.unjudged))
    if measured.empty:
        lines.append(say("empty", count=measured.empty))
    return f"<section><h2>{say('definitions')}</h2><ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul></section>"

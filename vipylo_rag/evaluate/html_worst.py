"""The worst queries as the HTML page shows them: what was asked, what is right, what was found."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Final

from vipylo_rag.evaluate.dataset import Corpus, Dataset
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.figures import main_metric
from vipylo_rag.evaluate.html_documents import Documents, Shown, documents_of
from vipylo_rag.evaluate.html_pictures import PictureSheet
from vipylo_rag.evaluate.html_tables import shown_metric, shown_mode
from vipylo_rag.evaluate.result import Evaluation, QueryResult, Right
from vipylo_rag.evaluate.words import say
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.passages import quoted
from vipylo_rag.search import snippet

_SHOWN_RIGHT: Final = 2
_SHOWN_FOUND: Final = 3
# Beside a picture, fewer.
_TEXT: Final = 260
_TEXT_BESIDE: Final = 120
_QUERY_TEXT: Final = 600


@dataclass(frozen=True)
class _Card:
    """A query with the documents that are shown beside it, right ones and found ones; None where one is gone."""

    item: Item
    result: QueryResult
    right: tuple[tuple[Right, Shown | None], ...]
    found: tuple[Shown | None, ...]


def worst_queries(evaluation: Evaluation, count: int) -> list[QueryResult]:
    """The queries of the first mode with the lowest nDCG, lowest first; those that could not be better are left out.

    Among equals, the one whose last right document stands lower comes first.
    """
    metric = main_metric(evaluation.ks)
    own = [one for one in evaluation.of(evaluation.modes[0]) if one.metrics[metric] < 1.0 - 1e-9]
    return sorted(own, key=lambda one: (one.metrics[metric], -one.last_rank))[:count]


def worst_section(
    evaluation: Evaluation,
    dataset: Dataset,
    place: MultimodalIndex | Corpus | None,
    sheet: PictureSheet,
    *,
    count: int,
    tenant: str,
    picture_bytes: int,
    progress: Callable[[int, int], None],
) -> str:
    """HTML of the worst queries; fills the picture sheet. `place` has the documents."""
    chosen = worst_queries(evaluation, count)
    documents = documents_of(place, dataset, chosen, _SHOWN_FOUND, tenant)
    cards = []
    for number, result in enumerate(chosen, start=1):
        cards.append(_card(dataset, documents, result))
        progress(number, len(chosen))
    sheet.add_files([path for card in cards for path in card.item.images], picture_bytes // 2)
    beside = [one for card in cards for one in (*card.found, *(shown for _, shown in card.right)) if one is not None]
    documents.draw(sheet, beside)
    articles = "".join(_article(card, evaluation, sheet) for card in cards)
    if not cards:
        articles = f"<p>{say('none worse')}</p>"
    note = say("worst note", mode=quoted(evaluation.modes[0]))
    return f"<section><h2>{say('worst')}</h2><p class=quiet>{note}</p>{articles}</section>"


def _card(dataset: Dataset, documents: Documents, result: QueryResult) -> _Card:
    best = sorted(result.right, key=lambda one: (-one.grade, one.rank or 10**9))[:_SHOWN_RIGHT]
    right = tuple((one, documents.right(result, one)) for one in best)
    found = tuple(documents.found(one) for one in result.found[:_SHOWN_FOUND])
    return _Card(dataset.queries[result.query], result, right, found)


def _article(card: _Card, evaluation: Evaluation, sheet: PictureSheet) -> str:
    item, result = card.item, card.result
    metric = main_metric(evaluation.ks)
    ranks = "".join(
        f"<li><b>{shown_mode(one.mode)}</b> {one.first_rank or '–'}</li>"
        for one in evaluation.results
        if one.query == result.query
    )
    language = f" · <bdi>{escape(quoted(result.language))}</bdi>" if result.language else ""
    head = (
        f"<header><h3><bdi>{escape(quoted(item.id))}</bdi></h3>"
        f"<p class=quiet>{say(result.modality)}{language} · {shown_metric(metric)} {result.metrics[metric]:.3f}</p>"
        f"<ul class=ranks><li>{say('first right')}:</li>{ranks}</ul></header>"
    )
    asked = "".join(sheet.shown(str(path), item.id) for path in item.images)
    if item.text:
        asked += f"<p class=question><bdi>{escape(_cut(item.text, _QUERY_TEXT))}</bdi></p>"
    figures = [f"<figure class=asked><figcaption>{say('asked')}</figcaption>{asked}</figure>"]
    depth = evaluation.measured.depth
    for one, shown in card.right:
        place = f"{say('rank')} {one.rank}" if one.rank else say("not in first", depth=depth)
        said = f"{say('right')} · {say('grade')} {one.grade:g} · {place}"
        figures.append(_figure("right", said, one.id, shown, item, sheet))
    if len(result.right) > _SHOWN_RIGHT:
        more = say("more right", count=len(result.right) - _SHOWN_RIGHT)
        figures[-1] = figures[-1].replace("</figure>", f"<p class=quiet>{more}</p></figure>")
    right = {one.id for one in result.right}
    for rank, (found, shown) in enumerate(zip(result.found, card.found, strict=False), start=1):
        good = found.id in right
        said = f"{say('found')} {rank} · {found.score:.4f}" + (f" · {say('right')}" if good else "")
        figures.append(_figure("found good" if good else "found", said, found.id, shown, item, sheet))
    if not result.found:
        reason = f" <bdi>{escape(quoted(result.error))}</bdi>" if result.error else ""
        figures.append(f"<figure class=found><p>{say('nothing found')}{reason}</p></figure>")
    return f"<article>{head}<div class=figures>{''.join(figures)}</div></article>"


def _figure(kind: str, said: str, id_: str, shown: Shown | None, item: Item, sheet: PictureSheet) -> str:
    name = f"<p class=id><bdi>{escape(quoted(id_))}</bdi></p>"
    body = ""
    if shown is not None:
        if shown.picture:
            body += sheet.shown(shown.picture, id_)
        if shown.text:
            part = snippet(shown.text, item.text or None, _TEXT_BESIDE if shown.picture else _TEXT)
            body += f"<p class=said><bdi>{escape(quoted(part))}</bdi></p>"
    return f'<figure class="{kind}"><figcaption>{said}</figcaption>{name}{body}</figure>'


def _cut(text: str, length: int) -> str:
    line = quoted(text)
    return line if len(line) <= length else line[:length] + " …"

"""The worst queries as the HTML page shows them: what was asked, what is right, what was found."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Final

from connectors.page import page_id
from embedder.errors import InputError
from vipylo_rag.evaluate.dataset import Dataset
from vipylo_rag.evaluate.dataset_lines import Item
from vipylo_rag.evaluate.figures import main_metric
from vipylo_rag.evaluate.html_pictures import PictureSheet
from vipylo_rag.evaluate.html_tables import shown_metric
from vipylo_rag.evaluate.result import Evaluation, QueryResult, Right
from vipylo_rag.evaluate.targets import Targets
from vipylo_rag.evaluate.words import say
from vipylo_rag.index import MultimodalIndex
from vipylo_rag.passages import quoted
from vipylo_rag.search import Hit

_SHOWN_RIGHT: Final = 2
_SHOWN_FOUND: Final = 3
# Beside a picture, fewer.
_TEXT: Final = 260
_TEXT_BESIDE: Final = 120
_QUERY_TEXT: Final = 600


@dataclass(frozen=True)
class _Card:
    """A query with the pages that are shown beside it, right ones and found ones; None where a page is gone."""

    item: Item
    result: QueryResult
    right: tuple[tuple[Right, Hit | None], ...]
    found: tuple[Hit | None, ...]


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
    index: MultimodalIndex,
    sheet: PictureSheet,
    *,
    count: int,
    tenant: str,
    picture_bytes: int,
    progress: Callable[[int, int], None],
) -> str:
    """HTML of the worst queries; fills the picture sheet."""
    targets = Targets(index, tenant, corpus=dataset.corpus)
    chosen = worst_queries(evaluation, count)
    cards = []
    for number, result in enumerate(chosen, start=1):
        cards.append(_card(dataset, index, targets, result, tenant))
        progress(number, len(chosen))
    sheet.add_files([path for card in cards for path in card.item.images], picture_bytes // 2)
    pages = [page for card in cards for page in (*card.found, *(hit for _, hit in card.right)) if page is not None]
    sheet.add_assets(index.assets, [asset for page in pages if (asset := _asset(page, index))])
    shown = "".join(_shown(card, evaluation, index, sheet) for card in cards)
    if not cards:
        shown = f"<p>{say('none worse')}</p>"
    note = say("worst note", mode=evaluation.modes[0])
    return f"<section><h2>{say('worst')}</h2><p class=quiet>{note}</p>{shown}</section>"


def _card(dataset: Dataset, index: MultimodalIndex, targets: Targets, result: QueryResult, tenant: str) -> _Card:
    def page(id_: str | None) -> Hit | None:
        try:
            return index.page(id_, tenant=tenant) if id_ else None
        except InputError:  # removed since
            return None

    found_at = {one.id: one.page_id for one in result.found}
    wanted = targets.wanted(dataset.judgements[result.query])
    first = {id_: (target.source, targets.first_page(target)) for target, id_ in wanted.ids.items()}
    right = []
    for one in sorted(result.right, key=lambda one: (-one.grade, one.rank or 10**9))[:_SHOWN_RIGHT]:
        source, number = first[one.id]
        stored = page_id(source, number, tenant) if number is not None else None
        right.append((one, page(found_at.get(one.id) or stored)))
    found = tuple(page(one.page_id) for one in result.found[:_SHOWN_FOUND])
    return _Card(dataset.queries[result.query], result, tuple(right), found)


def _shown(card: _Card, evaluation: Evaluation, index: MultimodalIndex, sheet: PictureSheet) -> str:
    item, result = card.item, card.result
    metric = main_metric(evaluation.ks)
    ranks = "".join(
        f"<li><b>{one.mode}</b> {one.first_rank or '–'}</li>" for one in evaluation.results if one.query == result.query
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
    for one, page in card.right:
        place = f"{say('rank')} {one.rank}" if one.rank else say("not in first", depth=depth)
        said = f"{say('right')} · {say('grade')} {one.grade:g} · {place}"
        figures.append(_figure("right", said, one.id, page, item, index, sheet))
    if len(result.right) > _SHOWN_RIGHT:
        more = say("more right", count=len(result.right) - _SHOWN_RIGHT)
        figures[-1] = figures[-1].replace("</figure>", f"<p class=quiet>{more}</p></figure>")
    right = {one.id for one in result.right}
    for rank, (found, page) in enumerate(zip(result.found, card.found, strict=False), start=1):
        good = found.id in right
        said = f"{say('found')} {rank} · {found.score:.4f}" + (f" · {say('right')}" if good else "")
        figures.append(_figure("found good" if good else "found", said, found.id, page, item, index, sheet))
    if not result.found:
        reason = f" <bdi>{escape(quoted(result.error))}</bdi>" if result.error else ""
        figures.append(f"<figure class=found><p>{say('nothing found')}{reason}</p></figure>")
    return f"<article>{head}<div class=figures>{''.join(figures)}</div></article>"


def _figure(
    kind: str, said: str, id_: str, page: Hit | None, item: Item, index: MultimodalIndex, sheet: PictureSheet
) -> str:
    name = f"<p class=id><bdi>{escape(quoted(id_))}</bdi></p>"
    body = ""
    if page is not None:
        asset = _asset(page, index)
        if asset:
            body += sheet.shown(asset, id_)
        if page.text:
            said_there = page.snippet(item.text or None, _TEXT_BESIDE if asset else _TEXT)
            body += f"<p class=said><bdi>{escape(quoted(said_there))}</bdi></p>"
    return f'<figure class="{kind}"><figcaption>{said}</figcaption>{name}{body}</figure>'


def _asset(page: Hit, index: MultimodalIndex) -> str | None:
    return page.image_path.relative_to(index.assets).as_posix() if page.image_path else None


def _cut(text: str, length: int) -> str:
    line = quoted(text)
    return line if len(line) <= length else line[:length] + " …"

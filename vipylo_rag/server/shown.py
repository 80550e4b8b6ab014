"""Pages as the server shows them: their JSON from what the index holds. No path of this machine is in it."""

from pathlib import PurePosixPath
from typing import Any

from connectors.page import WordBox, source_id
from embedder.explain import Floats
from vipylo_rag import explain
from vipylo_rag.explain import PageExplanation
from vipylo_rag.search import Hit
from vipylo_rag.server.schemas import Box, Explanation, FoundPage, HeatMap, PageSummary, PathStep, WordShare
from vipylo_rag.sources import MEMBER_MARK
from vipylo_rag.stored_page import WARNING_FIELDS

MOST_BOXES = 200


def shown_name(source: str) -> str:
    """A document's file name; of a file in an archive, "archive.zip!/inner/name"."""
    outer, mark, inner = source.partition(MEMBER_MARK)
    return PurePosixPath(outer).name + mark + inner


def page_summary(hit: Hit, tenant: str) -> PageSummary:
    """A page as lists show it."""
    return PageSummary(**_summary(hit, tenant))


def found_page(hit: Hit, rank: int, query: str, tenant: str) -> FoundPage:
    """A page in a ranked list; `query` is the text that was asked for."""
    return FoundPage(
        **_summary(hit, tenant),
        rank=rank,
        score=hit.score,
        snippet=hit.snippet(query),
        boxes=shown_boxes(hit.boxes(query)) if query else [],
        path=[
            PathStep(label=step.label, name=step.name, relation=step.relation, page_id=step.page_id or None)
            for step in hit.path
        ],
    )


def explanation(why: PageExplanation) -> Explanation:
    """Why a page has its score, as JSON."""
    return Explanation(
        score=why.score,
        picture=_heat_map(why.picture),
        heat=_heat_map(why.heat),
        words=[_word_share(word) for word in why.words[:MOST_BOXES]],
        text_share=why.text_share,
        picture_share=why.picture_share,
        other_share=why.other_share,
        query_words=[_word_share(word) for word in why.query_words],
        boxes=shown_boxes(why.boxes),
    )


def _heat_map(shares: Floats | None) -> HeatMap | None:
    if shares is None:
        return None
    rows, columns = shares.shape
    return HeatMap(rows=rows, columns=columns, shares=[round(float(share), 7) for share in shares.ravel()])


def _word_share(word: explain.WordShare) -> WordShare:
    return WordShare(text=word.text, share=word.share, box=shown_box(word.box) if word.box else None)


def shown_boxes(boxes: tuple[WordBox, ...]) -> list[Box]:
    """The first boxes."""
    return [shown_box(box) for box in boxes[:MOST_BOXES]]


def shown_box(box: WordBox) -> Box:
    """A word's box."""
    return Box(text=box.text, x0=box.x0, y0=box.y0, x1=box.x1, y1=box.y1)


def picture_version(hit: Hit) -> str:
    """What a page's picture is, short: part of its address, so that a changed picture is never taken from a cache."""
    return hit.image_path.stem[:16] if hit.image_path else ""


def _summary(hit: Hit, tenant: str) -> dict[str, Any]:
    address = f"/api/pages/{hit.id}" if hit.image_path else None
    version = picture_version(hit)
    warnings = [str(hit.metadata[name]) for name in WARNING_FIELDS if hit.metadata.get(name)]
    return {
        "id": hit.id,
        "document": source_id(hit.source, tenant),
        "name": shown_name(hit.source),
        "page": hit.page,
        "kind": hit.kind,
        "image": address and f"{address}/image?v={version}",
        "thumbnail": address and f"{address}/thumbnail?v={version}",
        "width": hit.metadata.get("width"),
        "height": hit.metadata.get("height"),
        "warning": "; ".join(warnings) or None,
    }

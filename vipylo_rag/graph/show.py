"""`vipylo graph show`: the page graph on one HTML page that needs nothing else, no server and no internet."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
from llama_index.core.graph_stores.types import LabelledNode, Triplet

from connectors.stores.protocol import StoredPoint
from embedder.errors import InputError
from vipylo_rag.graph.drawing import best_connected, laid_out, strong
from vipylo_rag.graph.elements import (
    DOCUMENT,
    FIGURE,
    HAS_FIGURE,
    HAS_PAGE,
    MENTIONS,
    NEAR,
    NEXT,
    PAGE,
    is_point_id,
    number_of,
)
from vipylo_rag.index_reading import IndexReading
from vipylo_rag.map_pictures import Pictures, small_pictures
from vipylo_rag.one_file_page import drawn_page
from vipylo_rag.search import snippet
from vipylo_rag.tenants import check_tenant

Progress = Callable[[str, int, int], None]

MOST_NODES: Final = 500
PICTURE_BYTES: Final = 12 * 2**20
_LIMIT: Final = 5000
_TEXT: Final = 180
_NAME: Final = 120
_IDS: Final = 1000
_WEAK: Final = 0.1  # how much of its pull a link has that is not drawn
_PULL: Final = {HAS_PAGE: 1.6, HAS_FIGURE: 0.9, NEXT: 0.5, NEAR: 0.5}
_PAGE: Final = drawn_page("ViPylo graph", "graph/graph_page", "graph", ("nodes", "drawing", "panel"))


@dataclass(frozen=True)
class GraphPageReport:
    """What was written.

    Attributes:
        file: where. bytes: its size.
        nodes: on the page. held: in the tenant's graph; more than `nodes` where the limit left some out.
        edges: between them. labels: how many nodes there are of each label.
        pictures: in the file. left_out: would have been too much. unreadable: page images that are missing or damaged.
    """

    file: Path
    bytes: int
    nodes: int
    held: int
    edges: int
    labels: dict[str, int]
    pictures: int
    left_out: int
    unreadable: int


@dataclass(frozen=True)
class _Read:
    """The nodes to show, the triplets between them, the pages as the index holds them, and how many neighbours each
    node has in the whole graph."""

    nodes: list[LabelledNode]
    triplets: list[Triplet]
    pages: dict[str, StoredPoint]
    degree: list[int]
    held: int


def write_graph(
    index: IndexReading,
    path: str | Path,
    *,
    tenant: str = "",
    limit: int = MOST_NODES,
    picture_bytes: int = PICTURE_BYTES,
    title: str | None = None,
    progress: Progress | None = None,
) -> GraphPageReport:
    """Write a tenant's page graph to one HTML file: documents, pages, figures, entities, and what links them.

    It holds small pictures of the pages, the beginnings of their texts, and the sentences that entities stand in: who
    gets the file sees them.

    Args:
        path: the file; such a page that is there is replaced, nothing else is.
        tenant: whose graph.
        limit: at most so many nodes; of more, those that are connected best.
        picture_bytes: all small pictures together. 0: none.
        title: what the page says that it is of; None: the name of the index's folder.
        progress: called with what is being done ("read", "lay out", "pictures", "write"), how much of it is done, and
            of how much (0: not known).

    Raises:
        InputError: an option out of its bounds, there is no graph or nothing of this tenant in it, or `path` is
            something else than such a page. IndexDirectoryError, StoreError: see `OpenedIndex.graph`.
    """
    path = Path(path).expanduser()
    _check(path, limit, picture_bytes)
    told = progress or (lambda stage, done, total: None)
    told("read", 0, 0)
    with index.turnstile.passing():
        read = _read(index, check_tenant(tenant), limit)
    told("lay out", 0, 0)
    number = {node.id: place for place, node in enumerate(read.nodes)}
    edges = np.array([(number[a.id], number[b.id]) for a, _, b in read.triplets], dtype=np.int64).reshape(-1, 2)
    weights = np.array([_weight(triplet) for triplet in read.triplets], dtype=np.float64)
    radii = np.array([_radius(node) for node in read.nodes], dtype=np.float64)
    main = strong(len(read.nodes), edges, weights)
    pull = np.where(main, weights, _WEAK * weights)
    places = laid_out(len(read.nodes), edges, pull, radii, progress=lambda done, total: told("lay out", done, total))
    assets = list(dict.fromkeys(point.payload["asset"] for point in read.pages.values() if point.payload.get("asset")))
    pictures = small_pictures(index.assets, assets, picture_bytes, lambda done, total: told("pictures", done, total))
    told("write", 0, 0)
    labels = dict(Counter(node.label for node in read.nodes).most_common())
    kinds = sorted({relation.label for _, relation, _ in read.triplets})
    content = {
        "title": title or index.directory.resolve().name,
        "held": read.held,
        "labels": list(labels),
        "kinds": kinds,
        "x": np.rint(places[:, 0]).astype(int).tolist(),
        "y": np.rint(places[:, 1]).astype(int).tolist(),
        "radius": np.rint(radii).astype(int).tolist(),
        **_columns(read, list(labels), assets),
        "from": edges[:, 0].tolist(),
        "to": edges[:, 1].tolist(),
        "link": [kinds.index(relation.label) for _, relation, _ in read.triplets],
        "strong": main.astype(int).tolist(),
        "said": [_said(triplet, read.pages) for triplet in read.triplets],
    }
    size = _PAGE.write(path, content, pictures.webp)
    return _report(path, size, read, labels, pictures)


def _check(path: Path, limit: int, picture_bytes: int) -> None:
    if not 1 <= limit <= _LIMIT:
        raise InputError(f"limit={limit}: show 1 to {_LIMIT} nodes")
    if picture_bytes < 0:
        raise InputError(f"picture_bytes={picture_bytes}: 0 for no pictures, or more")
    if path.exists() and not _PAGE.wrote(path):
        raise InputError(f"{path} is there and is no page of a graph: choose another file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or choose another file")


def _read(index: IndexReading, tenant: str, limit: int) -> _Read:
    graph = index.graph
    nodes = sorted(graph.store.get(properties={"tenant": tenant}), key=_order)
    if not nodes:
        raise InputError("there is nothing to show: this tenant has no pages in the graph (see `vipylo graph info`)")
    number = {node.id: place for place, node in enumerate(nodes)}
    triplets = [t for t in graph.triplets(list(number)) if t[0].id in number and t[2].id in number]
    ends = np.array([(number[a.id], number[b.id]) for a, _, b in triplets], dtype=np.int64).reshape(-1, 2)
    kept = best_connected(len(nodes), ends, limit).tolist()
    degree = np.bincount(ends.ravel(), minlength=len(nodes))
    chosen = {nodes[place].id: nodes[place] for place in kept}
    pages = [node.id for node in chosen.values() if node.label == PAGE and is_point_id(node.id)]
    points = [point for begin in range(0, len(pages), _IDS) for point in index.store.get(pages[begin : begin + _IDS])]
    return _Read(
        nodes=list(chosen.values()),
        triplets=[t for t in triplets if t[0].id in chosen and t[2].id in chosen],
        pages={point.id: point for point in points if point.payload.get("tenant") == tenant},
        degree=degree[kept].tolist(),
        held=len(nodes),
    )


def _order(node: LabelledNode) -> tuple[Any, ...]:
    """Documents with their pages in order, then figures and entities: a start from which the layout does not cross."""
    said = node.properties
    rank = {DOCUMENT: 0, PAGE: 0, FIGURE: 1}.get(node.label, 2)
    return rank, str(said.get("source", "")), int(number_of(said.get("page"))), -number_of(said.get("pages")), node.id


def _weight(triplet: Triplet) -> float:
    """How much a link says: a name on two pages more than one on a hundred, one that is said often more than once."""
    _, relation, entity = triplet
    if relation.label != MENTIONS:
        return _PULL.get(relation.label, 0.8)
    count, pages = (max(1.0, number_of(n)) for n in (relation.properties.get("count"), entity.properties.get("pages")))
    return (1 + log(count) / 4) / sqrt(pages)


def _radius(node: LabelledNode) -> float:
    sizes = {DOCUMENT: 15.0, PAGE: 24.0, FIGURE: 9.0}
    return sizes.get(node.label) or 5 + 3.2 * sqrt(min(60.0, max(1.0, number_of(node.properties.get("pages")))))


def _columns(read: _Read, labels: Sequence[str], assets: Sequence[str]) -> dict[str, Any]:
    """What the page draws, a list for each thing that it knows of a node."""
    picture = {asset: place for place, asset in enumerate(assets)}
    payloads = [read.pages[node.id].payload if node.id in read.pages else {} for node in read.nodes]
    return {
        "label": [labels.index(node.label) for node in read.nodes],
        "name": [_name(node) for node in read.nodes],
        "page": [int(number_of(node.properties.get("page"))) if node.label == PAGE else 0 for node in read.nodes],
        "pages": [int(number_of(node.properties.get("pages"))) for node in read.nodes],
        "degree": read.degree,
        "text": [snippet(str(payload.get("text", "")), None, _TEXT) for payload in payloads],
        "picture": [picture.get(payload.get("asset", ""), -1) for payload in payloads],
        "box": [node.properties.get("box") if node.label == FIGURE else None for node in read.nodes],
    }


def _name(node: LabelledNode) -> str:
    said = node.properties
    written = said.get("caption", "") if node.label == FIGURE else said.get("name") or getattr(node, "name", "")
    return " ".join(str(written).split())[:_NAME] or (f"#{said.get('number', '')}" if node.label == FIGURE else node.id)


def _said(triplet: Triplet, pages: dict[str, StoredPoint]) -> Any:
    """What the page tells of a link: the words around a mention, the likeness of two pages."""
    page, relation, entity = triplet
    if relation.label == NEAR:
        return round(number_of(relation.properties.get("cosine")), 3)
    if relation.label != MENTIONS or page.id not in pages:
        return None
    surface = str(relation.properties.get("surface") or _name(entity))
    return [snippet(str(pages[page.id].payload.get("text", "")), surface, _TEXT), surface]


def _report(path: Path, size: int, read: _Read, labels: dict[str, int], pictures: Pictures) -> GraphPageReport:
    return GraphPageReport(
        file=path,
        bytes=size,
        nodes=len(read.nodes),
        held=read.held,
        edges=len(read.triplets),
        labels=labels,
        pictures=sum(picture is not None for picture in pictures.webp),
        left_out=pictures.left_out,
        unreadable=pictures.unreadable,
    )

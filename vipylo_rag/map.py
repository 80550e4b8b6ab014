"""`vipylo map`: a 2-D map of an index's pages in one HTML file that needs nothing else, no server and no internet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from connectors.stores.filters import Filter
from embedder.errors import InputError
from vipylo_rag.index_reading import IndexReading
from vipylo_rag.map_layout import Alike, Layout, Method, Vectors, compare, lay_out
from vipylo_rag.map_pages import StoredPages
from vipylo_rag.map_pictures import Pictures, small_pictures
from vipylo_rag.near_duplicates import LEAST_COSINE, MOST_PAIRS, Twins, find_twins
from vipylo_rag.one_file_page import drawn_page
from vipylo_rag.query import checked_filter
from vipylo_rag.search import snippet
from vipylo_rag.tenants import check_tenant, for_tenant

Progress = Callable[[str, int, int], None]

MOST_PAGES: Final = 50_000
PICTURE_BYTES: Final = 24 * 2**20
_SHOWN_ALIKE: Final = 5
_SNIPPET: Final = 180
_GRID: Final = 65_535
_PAGE: Final = drawn_page("ViPylo map", "map_page", "map", ("pages", "canvas", "panel"))


@dataclass(frozen=True)
class MapReport:
    """What was written.

    Attributes:
        file: where. bytes: its size.
        pages: on the map. held: that pass the filter; more than `pages` where the limit left some out.
        documents: that the pages are of.
        layout: the method, the reason for it, and what the axes show.
        groups, pairs: of near-duplicates. compared: pairs of pages whose texts or pictures were compared for them.
            uncompared: pairs that reach the cosine and were not, as there are more than `pairs` allows.
        pictures: in the file. side: their longest side in pixels. left_out: would have been too much.
        unreadable: page images that are missing or damaged.
    """

    file: Path
    bytes: int
    pages: int
    held: int
    documents: int
    layout: Layout
    groups: int
    pairs: int
    compared: int
    uncompared: int
    pictures: int
    side: int
    left_out: int
    unreadable: int


@dataclass(frozen=True)
class _Read:
    """The pages on the map: payload fields that it shows, and vectors [n, dim]; `held` pass the filter."""

    pages: list[dict[str, Any]]
    vectors: Vectors
    held: int


def write_map(
    index: IndexReading,
    path: str | Path,
    *,
    where: Mapping[str, Any] | Filter | None = None,
    tenant: str = "",
    method: Method = "auto",
    limit: int = MOST_PAGES,
    duplicates: float = LEAST_COSINE,
    most_pairs: int = MOST_PAIRS,
    picture_bytes: int = PICTURE_BYTES,
    title: str | None = None,
    progress: Progress | None = None,
) -> MapReport:
    """Write a map of a tenant's pages to one HTML file.

    It holds their small pictures and the beginnings of their texts: who gets the file sees them.

    Args:
        path: the file; a map that is there is replaced, nothing else is.
        where: only pages that pass this filter, as for `search`.
        tenant: whose pages.
        method: "umap" keeps alike pages together, "pca" needs no further package; "auto" takes UMAP where it is there.
        limit: at most so many pages; of more, a random sample that is the same each time.
        duplicates: pages whose vectors have at least this cosine are compared by what they say and show, and marked as
            near-duplicates where that is the same (see `near_duplicates`).
        most_pairs: at most so many pairs of pages are compared, the most alike first; 0: only equal pages are marked.
        picture_bytes: all small pictures together; the more pages, the smaller they are. 0: none.
        title: what the map says that it is of; None: the name of the index's folder.
        progress: called with what is being done ("read", "compare", "match", "lay out", "pictures", "write"), how
            much of it is done, and of how much (0: not known).

    Raises:
        InputError: an option out of its bounds, no page to show, UMAP asked for and not installed, or `path` is
            something else than a map. FilterError: see `search`.
    """
    path = Path(path).expanduser()
    _check(path, method, limit, duplicates, most_pairs, picture_bytes)
    told = progress or (lambda stage, done, total: None)
    passing = for_tenant(check_tenant(tenant), checked_filter(where, index.fields(tenant)))
    with index.turnstile.passing():
        read = _read(index, passing, limit, told)
    if not read.pages:
        raise InputError("there is no page to show: none passes the filter, or the index is empty (see `vipylo info`)")
    told("compare", 0, len(read.pages))
    alike = compare(read.vectors, lambda done, total: told("compare", done, total))
    told("match", 0, 0)
    twins = find_twins(
        alike,
        [page["content_sha256"] or "" for page in read.pages],
        StoredPages(index, read.pages),
        least=duplicates,
        most_pairs=most_pairs,
        progress=lambda done, total: told("match", done, total),
    )
    told("lay out", 0, 0)
    layout = lay_out(read.vectors, alike, method)
    names = list(dict.fromkeys(page["asset"] for page in read.pages if page["asset"]))
    pictures = small_pictures(index.assets, names, picture_bytes, lambda done, total: told("pictures", done, total))
    told("write", 0, 0)
    sources = sorted({page["source"] for page in read.pages})
    content = {
        "title": title or index.directory.resolve().name,
        "held": read.held,
        "threshold": duplicates,
        "pairs": twins.pairs,
        "uncompared": twins.left,
        "method": layout.method,
        "why": layout.why,
        "share": layout.held,
        "pictures": {"side": pictures.side, "left_out": pictures.left_out, "unreadable": pictures.unreadable},
        "sources": shown_names(sources),
        **_columns(read.pages, sources, names, layout, alike),
        "group": twins.group.tolist(),
        "groups": _groups(read, twins),
    }
    size = _PAGE.write(path, content, pictures.webp)
    return _report(path, size, read, len(sources), layout, twins, pictures)


def shown_names(sources: Sequence[str]) -> list[str]:
    """The sources without the folder that all of them share: a map that is passed on does not tell where they lay."""
    parts = [source.split("/") for source in sources]
    first, last = (min(parts), max(parts)) if parts else ([], [])
    most = min((len(part) - 1 for part in parts), default=0)
    shared = next((n for n in range(most) if first[n] != last[n]), most)  # what these two share, all share
    return ["/".join(part[shared:]) for part in parts]


def _check(path: Path, method: str, limit: int, duplicates: float, most_pairs: int, picture_bytes: int) -> None:
    if method not in ("auto", "umap", "pca"):
        raise InputError(f"method={method!r} is none of auto, umap, pca")
    if limit < 1:
        raise InputError(f"limit={limit}: show at least 1 page")
    if not 0 < duplicates <= 1:
        raise InputError(f"duplicates={duplicates}: a cosine above 0, and 1 at most")
    if most_pairs < 0:
        raise InputError(f"most_pairs={most_pairs}: 0 to compare none, or more")
    if picture_bytes < 0:
        raise InputError(f"picture_bytes={picture_bytes}: 0 for no pictures, or more")
    if path.exists() and not _PAGE.wrote(path):
        raise InputError(f"{path} is there and is no map: choose another file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: make it, or choose another file")


def _read(index: IndexReading, where: Filter, limit: int, progress: Progress) -> _Read:
    held = index.store.count(where)
    most = min(held, limit)
    vectors = np.empty((most, index.store.dim), dtype=np.float32)
    pages: list[dict[str, Any]] = []
    # In the order of the ids, which are hashes: the first are a random sample.
    for point in islice(index.store.scroll(where, with_vectors=True), most):
        assert point.vector is not None
        vectors[len(pages)] = point.vector
        kept = {name: point.payload.get(name) for name in ("source", "page", "kind", "asset", "content_sha256")}
        pages.append({"id": point.id, **kept, "text": snippet(point.payload["text"], None, _SNIPPET)})
        progress("read", len(pages), most)
    return _Read(pages, vectors[: len(pages)], max(held, len(pages)))


def _columns(
    pages: list[dict[str, Any]], sources: list[str], names: list[str], layout: Layout, alike: Alike
) -> dict[str, Any]:
    """What the page draws, a list for each thing that it knows of a page: half the size of a list of objects."""
    kinds = sorted({page["kind"] for page in pages})
    number, picture = ({value: place for place, value in enumerate(known)} for known in (sources, names))
    low = layout.places.min(axis=0)
    extent = max(float((layout.places.max(axis=0) - low).max()), 1e-9)
    places = np.rint((layout.places - low) / extent * _GRID).astype(int)
    return {
        "kinds": kinds,
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "source": [number[page["source"]] for page in pages],
        "page": [page["page"] for page in pages],
        "kind": [kinds.index(page["kind"]) for page in pages],
        "text": [page["text"] for page in pages],
        "picture": [picture.get(page["asset"], -1) for page in pages],
        "alike": alike.neighbours[:, :_SHOWN_ALIKE].tolist(),
        "cosines": np.rint(alike.cosines[:, :_SHOWN_ALIKE] * 1000).astype(int).tolist(),
    }


def _groups(read: _Read, twins: Twins) -> list[dict[str, Any]]:
    """Near-duplicates: `same` says that their contents are equal, `least` how like the first each one is."""
    groups = []
    order = np.argsort(twins.group, kind="stable")
    numbers, starts = np.unique(twins.group[order], return_index=True)
    for number, members in zip(numbers, np.split(order, starts[1:]), strict=True):
        if number >= 0:
            contents = {read.pages[row]["content_sha256"] for row in members}
            least = float((read.vectors[members] @ read.vectors[members[0]]).min())
            groups.append({"members": members.tolist(), "same": len(contents) == 1, "least": round(least, 3)})
    return groups


def _report(
    path: Path, size: int, read: _Read, documents: int, layout: Layout, twins: Twins, pictures: Pictures
) -> MapReport:
    return MapReport(
        file=path,
        bytes=size,
        pages=len(read.pages),
        held=read.held,
        documents=documents,
        layout=layout,
        groups=int(twins.group.max()) + 1,
        pairs=twins.pairs,
        compared=twins.compared,
        uncompared=twins.left,
        pictures=sum(picture is not None for picture in pictures.webp),
        side=pictures.side,
        left_out=pictures.left_out,
        unreadable=pictures.unreadable,
    )

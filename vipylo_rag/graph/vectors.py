"""The vectors by which a query enters the graph: of entities (their name and where it stands) and of figures (their
cut-out and caption)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llama_index.core.graph_stores.types import EntityNode, LabelledNode
from PIL import Image

from connectors.payload import asset_path
from connectors.stores.protocol import Point, StoredPoint, Vector, VectorStore
from embedder.errors import ViPyloError
from embedder.protocol import Embedder, Sample
from vipylo_rag.graph.page_graph import vector_id
from vipylo_rag.graph.projection import Projection, Shown
from vipylo_rag.graph.readings import Readings
from vipylo_rag.stored_page import page_sample

# Embedded at a time (figures are pictures), and stored at a time: each is a write to disk, and what a kill may cost.
_BATCH: Final = 64
_STORED: Final = 512
_WHOLE: Final = [0.0, 0.0, 1.0, 1.0]

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Unembedded:
    """A node that could not be embedded, and why; the next build tries again."""

    node: LabelledNode
    reason: str


class NodeVectors:
    """Keeps the vectors in step with the readings. `pages` and `assets` are the index's."""

    def __init__(self, readings: Readings, vectors: VectorStore, pages: VectorStore, assets: Path) -> None:
        self._readings = readings
        self._vectors = vectors
        self._pages = pages
        self._assets = assets

    def drop(self, nodes: Sequence[str]) -> None:
        """Delete vectors of nodes that are gone, or are not what they were."""
        for start in range(0, len(nodes), _BATCH):
            some = nodes[start : start + _BATCH]
            self._vectors.delete([vector_id(node) for node in some])
            self._readings.db.executemany("DELETE FROM vectors WHERE node = ?", [(node,) for node in some])

    def make(
        self, projection: Projection, embedder: Embedder, told: Told = lambda done, total: None
    ) -> list[Unembedded]:
        """Make the vectors that are noted as due, some at a time; returns those that cannot be made."""
        readings, failed = self._readings, list[Unembedded]()
        total, done = readings.count("due"), 0
        for nodes in readings.portions("due", _STORED):
            points, digests = list[Point](), list[tuple[str, str]]()
            try:
                for start in range(0, len(nodes), _BATCH):
                    some = nodes[start : start + _BATCH]
                    made = self._points(projection.shown(some), embedder, failed)
                    points += made[0]
                    digests += made[1]
                    told(done + start + len(some), total)
            finally:  # who ends the run in between has the next one go on from here
                self._keep(points, digests)
            done += len(nodes)
        return failed

    def _keep(self, points: list[Point], digests: list[tuple[str, str]]) -> None:
        if not points:
            return
        self._vectors.upsert(points)
        with self._readings.transaction():
            self._readings.db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", digests)
            self._readings.db.executemany("DELETE FROM due WHERE node = ?", [(node,) for node, _ in digests])

    def _points(
        self, shown: Iterable[Shown], embedder: Embedder, failed: list[Unembedded]
    ) -> tuple[list[Point], list[tuple[str, str]]]:
        made: list[tuple[Shown, Vector]] = []
        wanted: list[Shown] = []
        samples: list[Sample] = []
        for one in shown:
            try:
                sample = self._sample(one)
            except (ViPyloError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                failed.append(Unembedded(one.node, f"its picture cannot be read ({error})"))
                continue
            if isinstance(sample, Sample):
                wanted.append(one)
                samples.append(sample)
            else:
                made.append((one, sample))
        if samples:
            rows = embedder.encode_rows(samples)
            for number, one in enumerate(wanted):
                if number in rows.errors:
                    failed.append(Unembedded(one.node, str(rows.errors[number])))
                else:
                    made.append((one, rows.vectors[number]))
        points = [Point(vector_id(one.node.id), vector, one.text or "", _payload(one.node)) for one, vector in made]
        return points, [(one.node.id, one.digest) for one, _ in made]

    def _sample(self, one: Shown) -> Sample | Vector:
        """What is embedded of a node. A figure that is its whole page has that page's vector."""
        if isinstance(one.node, EntityNode):
            return page_sample(one.text or "", None)
        said = one.node.properties
        whole = said["box"] == _WHOLE
        found = self._pages.get([said["page_id"]], with_vectors=whole)
        if not found:
            raise ValueError("its page has left the index")
        page = found[0]
        if whole and page.vector is not None:
            return page.vector
        return page_sample(one.text or "", figure_picture(page, said["box"], self._assets))


def figure_picture(page: StoredPoint, box: Sequence[float], assets: Path) -> Image.Image:
    """A figure, cut out of its page's stored picture.

    Args:
        page: as the index's store gives it.
        box: x0, y0, x1, y1 as fractions of the picture's width and height.
        assets: the index's asset folder.

    Raises:
        OSError, ValueError: there is no picture, or it is damaged. StoreError: it is not in the asset folder.
    """
    path = asset_path(assets, page.payload["asset"]) if page.payload.get("asset") else None
    if path is None:
        raise ValueError("its page has no picture")
    with Image.open(path) as picture:
        width, height = picture.size
        left, top = int(box[0] * width), int(box[1] * height)
        right, bottom = max(left + 1, round(box[2] * width)), max(top + 1, round(box[3] * height))
        return picture.convert("RGB").crop((left, top, min(right, width), min(bottom, height)))


def _payload(node: LabelledNode) -> dict[str, Any]:
    said = node.properties
    if isinstance(node, EntityNode):
        return {"node": node.id, "label": node.label, "name": said["name"], "tenant": said["tenant"]}
    name = said["caption"] or f"figure {said['number']}"
    return {
        "node": node.id,
        "label": node.label,
        "name": name,
        "tenant": said["tenant"],
        "page_id": said["page_id"],
    }

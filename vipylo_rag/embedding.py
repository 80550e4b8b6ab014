"""Pages to stored vectors, in threads beside the one that reads and keeps the books."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from connectors.errors import StoreError, StoreUnavailableError
from connectors.loaders.pool import PageRead
from connectors.stores.protocol import Point, Vector, VectorStore
from embedder.errors import ViPyloError
from embedder.protocol import Embedder, EncodedRows, Sample
from vipylo_rag.report import IngestReport
from vipylo_rag.stored_page import page_sample

# One batch is with the model, one is decoded and waits for it, one is being stored.
_IN_WORK = 3


class EmbedderFailedError(ViPyloError):
    """The embedder fails whatever it is given: the run ends, and no page is blamed for it."""


@dataclass
class Embedded:
    """What became of a batch.

    Attributes:
        stored: durably in the store.
        lost: pages with the reason why they are not.
        seconds: the time that embedding and storing took.
    """

    stored: list[PageRead] = field(default_factory=list)
    lost: list[tuple[PageRead, str]] = field(default_factory=list)
    seconds: float = 0.0


class EmbeddingLine:
    """Takes batches of pages, gives them back embedded and stored, in order.

    While the model works on one batch, the next is decoded and the one before is stored. At most three batches are in
    work, so memory is bounded by three times a batch's pixels.
    """

    def __init__(self, station: "EmbeddingStation") -> None:
        self._station = station
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="embed")
        self._waiting: deque[Future[Embedded]] = deque()

    @property
    def idle(self) -> bool:
        """Nothing is in work."""
        return all(future.done() for future in self._waiting)

    def put(self, batch: Sequence[PageRead]) -> list[Embedded]:
        """Take a batch; returns those that are ready, after waiting for one if too many are in work."""
        self._waiting.append(self._threads.submit(self._station.work, list(batch)))
        ready = self.ready()
        while len(self._waiting) >= _IN_WORK:
            ready.append(self._waiting.popleft().result())
        return ready

    def ready(self) -> list[Embedded]:
        """The batches that are done by now."""
        done = []
        while self._waiting and self._waiting[0].done():
            done.append(self._waiting.popleft().result())
        return done

    def rest(self) -> list[Embedded]:
        """Wait for all."""
        done = [future.result() for future in self._waiting]
        self._waiting.clear()
        return done

    def stop(self) -> list[Embedded]:
        """Let the batches that are in work end, and drop the others; gives those that were stored."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        ended = [future for future in self._waiting if not future.cancelled() and future.exception() is None]
        self._waiting.clear()
        return [future.result() for future in ended]


class EmbeddingStation:
    """Decodes, embeds and stores one batch of pages at a time; several threads may bring batches.

    Args:
        point: makes the point of a page and its vector.
        report: gets the seconds of each stage.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        assets: Path,
        point: Callable[[PageRead, Vector], Point],
        report: IngestReport,
    ) -> None:
        self._encoder = Encoder(embedder)
        self._store = store
        self._assets = assets
        self._point = point
        self._report = report
        self._model = threading.Lock()
        self._clock = threading.Lock()

    def work(self, batch: Sequence[PageRead]) -> Embedded:
        """Embed and store a batch.

        Raises:
            StoreError: the store is away or broken; no page is to blame. EmbedderFailedError: the embedder is.
        """
        done = Embedded()
        begun = time.perf_counter()
        samples = self._samples(batch, done)
        self._spent("decode", begun)
        if not samples:
            return done
        with self._model:
            begun = time.perf_counter()
            rows = self._encoder.encode([sample for _, sample in samples])
            self._spent("embed", begun)
        done.lost += [(samples[row][0], str(error)) for row, error in sorted(rows.errors.items())]
        pages = [(page, rows.vectors[row]) for row, (page, _) in enumerate(samples) if row not in rows.errors]
        stored_from = time.perf_counter()
        self._put(pages, done)
        self._spent("store", stored_from)
        done.seconds = time.perf_counter() - begun
        return done

    def _spent(self, stage: str, begun: float) -> None:
        with self._clock:
            self._report.spent(stage, time.perf_counter() - begun)

    def _samples(self, batch: Sequence[PageRead], done: Embedded) -> list[tuple[PageRead, Sample]]:
        samples = []
        for page in batch:
            try:
                picture = _decoded(self._assets / page.asset) if page.asset else None
            except OSError as error:
                # Content-addressed files are never rewritten: a damaged one must go, or it stays damaged for ever.
                (self._assets / str(page.asset)).unlink(missing_ok=True)
                done.lost.append(
                    (
                        page,
                        f"its stored image was damaged and is removed, `vipylo retry --failed` makes it anew: {error}",
                    )
                )
                continue
            samples.append((page, page_sample(page.text, picture)))
        return samples

    def _put(self, pages: Sequence[tuple[PageRead, Vector]], done: Embedded) -> None:
        """Upsert all pages; if the store refuses one, the others one by one.

        Raises:
            StoreError: the store is away or broken; no page is to blame.
        """
        points = [self._point(page, vector) for page, vector in pages]
        try:
            self._store.upsert(points)
            done.stored += [page for page, _ in pages]
        except StoreUnavailableError:
            raise
        except StoreError as error:
            if len(pages) > 1:
                for pair in pages:
                    self._put([pair], done)
            elif pages and points[0].id in str(error):  # a refused point is named
                done.lost.append((pages[0][0], str(error)))
            else:
                raise


class Encoder:
    """`encode_rows` of an embedder that may raise for a whole batch because of one odd row, or for want of memory."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._most_rows: int | None = None

    def encode(self, samples: Sequence[Sample]) -> EncodedRows:
        """Vectors of all samples that can be embedded; the others are reported row by row.

        Raises:
            EmbedderFailedError: it fails for any sample. ConnectionError, TimeoutError: its server is away.
        """
        size = min(len(samples), self._most_rows or len(samples))
        parts = [self._part(samples[start : start + size]) for start in range(0, len(samples), size)]
        return joined(parts)

    def _part(self, samples: Sequence[Sample]) -> EncodedRows:
        try:
            return self._embedder.encode_rows(samples)
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # an embedder may be a third party's
            if len(samples) > 1:
                half = (len(samples) + 1) // 2 if _wants_memory(error) else 1
                if half > 1:
                    self._most_rows = half  # the next batches would run into the same wall
                return joined([self._part(samples[start : start + half]) for start in range(0, len(samples), half)])
            self._check_alive(error)
            return EncodedRows(np.full((1, self._embedder.dim), np.nan, dtype=np.float32), {0: error})

    def _check_alive(self, error: Exception) -> None:
        """One row failed alone. If one word fails as well, it is not the row."""
        try:
            self._embedder.encode_rows([Sample("a")])
        except Exception:
            raise EmbedderFailedError(
                f"the embedder {self._embedder.name!r} fails ({type(error).__name__}: {error}); when it works again, "
                "go on with `vipylo ingest --resume`"
            ) from error


def joined(parts: Sequence[EncodedRows]) -> EncodedRows:
    """Parts of a call, embedded one after the other, as one."""
    if len(parts) == 1:
        return parts[0]
    errors, start = {}, 0
    for part in parts:
        errors.update({start + row: error for row, error in part.errors.items()})
        start += len(part.vectors)
    return EncodedRows(np.concatenate([part.vectors for part in parts]), errors)


def _wants_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text


def _decoded(path: Path) -> Image.Image:
    with Image.open(path) as stored:
        stored.load()
        return stored

"""Kills a process that writes an index, at points drawn by a seed, and compares what resuming it gives.

Run as a program (`python -m tests.vipylo_rag.crash FOLDER SEED`): one process imports everything and loads the tiny
models, with one thread; each run is a fork of it. The last line of its output is a JSON report.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from PIL import Image, ImageDraw

from connectors.stores.edge import EdgeStore
from embedder import ColPaLiQwenEmbedder
from tests.tiny_qwen import write_tiny_checkpoint
from vipylo_rag import MultimodalIndex, pipeline
from vipylo_rag.ledger import Ledger
from vipylo_rag.manifest import FILE_NAME, Manifest

# A batch of the real size would hold all these documents: there would be nothing between the batches to be killed at.
PAGES_AT_A_TIME = 2
# Of a hundred kills, so many come right at a step; the others some milliseconds behind it, wherever that is.
_AT_ONCE = 50
_LONGEST_DELAY = 0.04
_STEPS = {"os.rename", "os.remove", "os.mkdir", "shutil.rmtree", "sqlite3.connect", "open"}
_RUN_SECONDS = 300.0

Action = Callable[[MultimodalIndex], object]


@dataclass
class State:
    """What an index is, apart from the times and attempts in its ledger."""

    points: dict[str, tuple[str, Any]]
    sources: list[Any]
    pages: list[Any]
    fields: list[Any]
    assets: list[str]
    folder: list[str]
    embedder: str

    def differences(self, other: "State") -> list[str]:
        """Where two states differ, in words."""
        found = []
        for name in ("sources", "pages", "fields", "assets", "folder", "embedder"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                lost, more = [x for x in mine if x not in theirs], [x for x in theirs if x not in mine]
                found.append(f"{name}: missing {lost}, too many {more}")
        if self.points.keys() != other.points.keys():
            found.append(f"points: {sorted(self.points.keys() ^ other.points.keys())} are in one only")
            return found
        for id_, (payload, vector) in self.points.items():
            if payload != other.points[id_][0]:
                found.append(f"payload: {payload} became {other.points[id_][0]}")
            if len(vector) != len(other.points[id_][1]) or np.abs(vector - other.points[id_][1]).max() > 1e-5:
                found.append(f"vector of {payload} differs")
        return found


@dataclass
class Outcome:
    """A scenario's trials."""

    steps: int
    seconds: float
    kills: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Crashes:
    """Trials in a folder of their own. `embedders`: the one that indexes are made with, and another."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.draw = random.Random(seed)
        self.seed = seed
        self.embedders = [
            ColPaLiQwenEmbedder.from_pretrained(write_tiny_checkpoint(folder / name, seed, dim), device="cpu")
            for name, seed, dim in (("one", 1, 1024), ("two", 2, 256))
        ]

    def scenario(self, name: str, base: Path, action: Action, trials: int) -> tuple[Outcome, Path]:
        """Run `action` on copies of an index: once to its end, then killed `trials` times and resumed.

        Returns what happened, and the index of the uninterrupted run.
        """
        begun = time.monotonic()
        whole = shutil.copytree(base, self.folder / f"{name}-whole")
        steps = self._run(lambda: self._act(whole, action, count=True))
        outcome = Outcome(steps=int(steps), seconds=0.0)
        expected = self._state(whole)
        before = self._state(base, collect=False)
        while len(outcome.kills) < trials:
            step = self.draw.randrange(1, outcome.steps + 1)
            delay = 0.0 if self.draw.random() * 100 < _AT_ONCE else self.draw.random() * _LONGEST_DELAY
            point = f"seed {self.seed}, {name}: killed {delay * 1000:.1f} ms after step {step} of {outcome.steps}"
            index = shutil.copytree(base, self.folder / "trial")
            if self._killed(index, action, step, delay):
                outcome.kills.append(point)
                try:
                    self._run(lambda index=index: self._look(index))
                    self._run(lambda index=index: self._act(index, action))
                    found = expected.differences(self._state(index))
                except RuntimeError as error:
                    found = [str(error)]
                if name == "ingest" and not before.points and not found and not expected.points:
                    found = ["the uninterrupted run stored nothing"]
                outcome.failures += [f"{point}: {difference}" for difference in found]
            shutil.rmtree(index)
        outcome.seconds = time.monotonic() - begun
        return outcome, whole

    # In forks

    def _open(self, index: Path) -> MultimodalIndex:
        made_by = Manifest.read(index).embedder.fingerprint if (index / FILE_NAME).exists() else None
        embedder = next((e for e in self.embedders if e.fingerprint == made_by), self.embedders[0])
        return MultimodalIndex.open(index, embedder=embedder)

    def _act(self, index: Path, action: Action, *, count: bool = False) -> str:
        steps = _Steps()
        if count:
            steps.watch()
        with self._open(index) as opened:
            action(opened)
        return str(steps.seen)

    def _look(self, index: Path) -> str:
        """A killed run leaves an index that opens, and finds nothing but whole pages."""
        with self._open(index) as opened:
            for hit in opened.search("hợp đồng", top_k=50):
                assert hit.image_path is None or hit.image_path.is_file(), (
                    f"{hit.source} page {hit.page} has no picture"
                )
        return ""

    def _state(self, index: Path, *, collect: bool = True) -> State:
        return _from_json(self._run(lambda: json.dumps(self._read(index, collect))))

    def _read(self, index: Path, collect: bool) -> dict[str, Any]:
        with self._open(index) as opened:
            if collect:
                found = opened.collect()
                assert not (found.lost or found.unknown or found.unfinished), f"not whole after resuming: {found}"
            ledger = opened.ledger
            sources = [
                [r.tenant, r.source, r.sha256, r.bytes, r.state, r.reason, r.how, r.archive, r.container, r.walked]
                for r in ledger.sources()
            ]
            pages = [
                [p.tenant, p.source, p.page, p.digest, p.asset, p.words, p.state, p.reason]
                for r in ledger.sources()
                for p in ledger.pages(r.source, r.tenant).values()
            ]
            points = {
                point.id: [json.dumps(point.payload, sort_keys=True), np.asarray(point.vector).tolist()]
                for point in opened.store.scroll(with_vectors=True)
            }
            fields = {name: sorted(types) for name, types in ledger.fields().items()}
            assets = sorted(str(f.relative_to(opened.assets)) for f in opened.assets.rglob("*") if f.is_file())
            embedder = opened.manifest.embedder.fingerprint
            folder = sorted(f.name for f in index.iterdir() if not f.name.startswith(("ledger.sqlite-", "writer.lock")))
        return {
            "points": points,
            "sources": sources,
            "pages": pages,
            "fields": sorted(fields.items()),
            "assets": assets,
            "folder": folder,
            "embedder": embedder,
        }

    # Forking

    def _run(self, work: Callable[[], str]) -> str:
        """What `work` gives, done in a fork.

        Raises:
            RuntimeError: it raised; says what.
        """
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            signal.alarm(int(_RUN_SECONDS))
            code = 0
            try:
                said = work()
            except BaseException:
                said, code = traceback.format_exc(), 1
            with os.fdopen(writing, "w", encoding="utf-8") as pipe:
                pipe.write(said)
            os._exit(code)
        os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"exit status {status}: {said}")
        return said

    def _killed(self, index: Path, action: Action, step: int, delay: float) -> bool:
        """Run `action` in a fork and kill it; False if it ended before."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                steps = _Steps(at=step, tell=writing, die=delay == 0.0)
                steps.watch()
                with self._open(index) as opened:
                    action(opened)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            pipe.read(1)  # the step is reached, or the child has ended
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError("the run failed before it was killed; see above")
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


class _Steps:
    """Counts what a process does to its files, store and ledger. At step `at` it dies, or tells its parent."""

    def __init__(self, at: int = 0, tell: int = -1, die: bool = False) -> None:
        self.seen = 0
        self._at, self._tell, self._die = at, tell, die
        self._process = os.getpid()

    def watch(self) -> None:
        """Start counting."""
        for owner, names in (
            (EdgeStore, ("upsert", "delete", "flush", "close")),
            (Ledger, ("put_source", "put_pages", "delete_pages", "delete_source", "add_fields", "saw", "end_run")),
        ):
            for name in names:
                setattr(owner, name, self._around(getattr(owner, name)))
        sys.addaudithook(self._hook)

    def _around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = method(*args, **kwargs)
            self._step()
            return result

        return stepped

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _STEPS and os.getpid() == self._process:
            # Reading files changes nothing; a module that is imported late would come and go with the cache.
            if event == "open" and not (isinstance(args[1], str) and set(args[1]) & set("wax+")):
                return
            # Nor are the hundred files of a store that is removed a hundred steps: those names are relative.
            if event == "os.remove" and not Path(os.fsdecode(args[0])).is_absolute():
                return
            self._step()

    def _step(self) -> None:
        self.seen += 1
        if self.seen == self._at:
            if self._die:
                os.kill(self._process, signal.SIGKILL)
            os.write(self._tell, b".")


def _from_json(text: str) -> State:
    said = json.loads(text)
    points = {id_: (payload, np.asarray(vector)) for id_, (payload, vector) in said.pop("points").items()}
    return State(points=points, **said)


# The documents


def write_pdf(path: Path, pages: list[str]) -> None:
    """A PDF with one text a page."""
    document = pymupdf.open()
    for text in pages:
        document.new_page(width=200, height=260).insert_text((20, 60), text)
    document.save(path)
    document.close()


def write_first(folder: Path) -> None:
    """Documents as they are first."""
    folder.mkdir()
    for number in range(3):
        write_pdf(folder / f"doc{number}.pdf", [f"contract {number} page {page}" for page in range(3)])
    write_pdf(folder / "copied.pdf", ["a file", "that is there twice"])
    shutil.copyfile(folder / "copied.pdf", folder / "copy.pdf")
    picture = Image.new("RGB", (120, 90), "white")
    ImageDraw.Draw(picture).ellipse((20, 10, 90, 80), fill="red")
    picture.save(folder / "red.png")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")


def write_second(folder: Path) -> None:
    """The same folder later: changed, shorter, grown, renamed, new and gone."""
    write_pdf(folder / "doc0.pdf", ["contract 0 page 0", "another second page", "contract 0 page 2"])
    write_pdf(folder / "doc1.pdf", ["contract 1 page 0"])
    (folder / "doc2.pdf").rename(folder / "renamed.pdf")
    write_pdf(folder / "copy.pdf", ["no copy", "any more", "and longer"])
    write_pdf(folder / "new.pdf", ["new one", "new two"])
    (folder / "red.png").unlink()


def main(folder: Path, seed: int, trials: dict[str, int]) -> None:
    """All scenarios; the last line of the output is the report."""
    begun = time.monotonic()
    pipeline.BATCH_PAGES = PAGES_AT_A_TIME
    crashes = Crashes(folder, seed)
    documents = folder / "documents"
    write_first(documents)
    empty = folder / "empty"
    empty.mkdir()

    def take_in(index: MultimodalIndex) -> None:
        index.ingest(documents, prune=True, workers=1)

    def reindex(index: MultimodalIndex) -> None:
        index.reindex(crashes.embedders[1], batch_pages=PAGES_AT_A_TIME)

    outcomes = {}
    outcomes["ingest"], filled = crashes.scenario("ingest", empty, take_in, trials["ingest"])
    write_second(documents)
    outcomes["update"], updated = crashes.scenario("update", filled, take_in, trials["update"])
    outcomes["reindex"], _ = crashes.scenario("reindex", updated, reindex, trials["reindex"])
    report = {name: vars(outcome) for name, outcome in outcomes.items()}
    print(json.dumps({"seconds": time.monotonic() - begun, "scenarios": report}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))

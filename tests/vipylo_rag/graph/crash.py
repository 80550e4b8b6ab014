"""Kills a process that builds a graph, at points drawn by a seed, and compares what the next build comes to.

Run as a program (`python -m tests.vipylo_rag.graph.crash FOLDER SEED TRIALS`): one process imports everything, each run
is a fork of it. The last line of its output is a JSON report.
"""

import json
import os
import pickle
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.page import page_id
from connectors.stores.edge import EdgeStore
from tests.vipylo_rag.graph.graph_state import HashEmbedder, content, put_page, vector_content
from tests.vipylo_rag.graph.test_build import WORDS, WordExtractor
from vipylo_rag import MultimodalIndex
from vipylo_rag.graph import build, vectors

_STEPS = {"os.rename", "os.remove", "os.fsync", "open", "sqlite3.connect"}


def counted(told: Callable[[int], None]) -> None:
    """Call `told` with the number of each step: files opened and renamed, and calls of both stores."""
    seen = 0

    def step(*_: Any) -> None:
        nonlocal seen
        seen += 1
        told(seen)

    sys.addaudithook(lambda event, _: step() if event in _STEPS else None)
    for name in ("upsert", "delete", "flush", "search"):
        original = getattr(EdgeStore, name)

        def stepping(self: Any, *args: Any, original: Any = original, **named: Any) -> Any:
            step()
            given = original(self, *args, **named)
            step()
            return given

        setattr(EdgeStore, name, stepping)


def forked(work: Callable[[], Any]) -> Any:
    """What `work` gives in a fork; None if it was killed.

    Raises:
        RuntimeError: it raised; says what.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(120)
        try:
            said: Any = ("gave", work())
        except BaseException:
            said = ("raised", traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(said, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    _, status = os.waitpid(child, 0)
    if not raw:
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            raise RuntimeError(f"exit status {status}")
        return None
    kind, value = pickle.loads(raw)
    if kind == "raised":
        raise RuntimeError(value)
    return value


def opened(folder: Path) -> MultimodalIndex:
    return MultimodalIndex.open(folder, embedder=HashEmbedder())


def make(folder: Path, seed: int) -> None:
    """An index whose graph is out of date: pages came, changed and went after its build."""
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 5)))

    with opened(folder) as index:
        for number in range(12):
            put_page(index.store, f"{number % 3}.txt", number // 3 + 1, text())
        index.build_graph(WordExtractor())
        ids = [point.id for point in index.store.scroll()]
        index.store.delete(ids[:3])
        for number in range(6):
            put_page(index.store, f"{number % 4}.txt", number + 1, text())


def work(folder: Path) -> None:
    with opened(folder) as index:
        index.build_graph(WordExtractor())
        index.store.delete([page_id("0.txt", 1)])
        index.collect()  # has the graph follow
        index.build_graph(WordExtractor())


def state(folder: Path) -> Any:
    with opened(folder) as index:
        index.build_graph(WordExtractor())
        return content(index.graph.store), vector_content(index.graph.vectors)


def killed(folder: Path, at: int) -> bool:
    def die(step: int) -> None:
        if step == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def doomed() -> bool:
        counted(die)
        work(folder)
        return True

    return forked(doomed) is None


def steps_of(folder: Path) -> int:
    seen = [0]

    def counting() -> int:
        counted(lambda step: seen.__setitem__(0, step))
        work(folder)
        return seen[0]

    return int(forked(counting))


def main(folder: Path, seed: int, trials: int) -> dict[str, Any]:
    """Build to the end once, then be killed at `trials` steps and go on."""
    build._READ, vectors._STORED = 3, 4  # type: ignore[misc]  # so that there is something between portions
    base = folder / "base"
    forked(lambda: make(base, seed))
    whole = shutil.copytree(base, folder / "whole")
    steps = steps_of(whole)
    expected = forked(lambda: state(whole))
    draw, failures = random.Random(seed), []
    chosen = draw.sample(range(1, steps), trials)
    for at in chosen:
        trial = shutil.copytree(base, folder / "trial")
        if not killed(trial, at):
            failures.append(f"seed {seed}: step {at} of {steps} was not reached")
        try:
            found = forked(lambda trial=trial: resumed(trial))
            if found != expected:
                failures.append(f"seed {seed}: killed at step {at} of {steps}: {difference(expected, found)}")
        except RuntimeError as error:
            failures.append(f"seed {seed}: killed at step {at} of {steps}: {error}")
        shutil.rmtree(trial)
    return {"steps": steps, "kills": len(chosen), "failures": failures}


def resumed(folder: Path) -> Any:
    """After a kill the graph opens as it is; then the same work is done to its end."""
    with opened(folder) as index:
        content(index.graph.store)
    work(folder)
    return state(folder)


def difference(expected: Any, found: Any) -> str:
    parts = []
    for name, mine, theirs in (
        ("nodes", expected[0][0], found[0][0]),
        ("relations", expected[0][1], found[0][1]),
        ("vectors", expected[1], found[1]),
    ):
        differing = [key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)]
        if differing:
            parts.append(f"{name}: {differing[:5]}")
    return "; ".join(parts)


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

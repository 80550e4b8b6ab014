"""What tests of the examples share: the demo is run once for all of them, and for all workers of a run."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from rich.console import Console


@dataclass(frozen=True)
class DemoRun:
    """A run of the demo.

    Attributes:
        folder: what it wrote: documents, documents_queries, index (copy it, then open it), contact_sheet.html.
        printed: what it said.
        ranks: of the right page of each query in hybrid mode; None where it did not come.
    """

    folder: Path
    printed: str
    ranks: dict[str, int | None]


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The demo as `make demo` runs it; whichever worker comes first runs it, the others wait for that."""
    from examples.demo import run

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, said = shared / "demo", shared / "demo.json"
    with FileLock(shared / "demo.lock"):
        if not said.exists():
            console = Console(record=True, width=140)
            answered = run(folder, console)
            ranks = {one.query.name: one.hybrid for one in answered}
            said.write_text(json.dumps({"printed": console.export_text(), "ranks": ranks}), encoding="utf-8")
    return DemoRun(folder, **json.loads(said.read_text(encoding="utf-8")))

"""The sample documents and an index of them, for notebooks and examples: what `make demo` made, or made now.

The index is a copy of one's own in a temporary folder, so several notebooks can be open, and none changes the demo.
"""

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

import embedder
from examples.demo import own_index
from examples.sample_documents import DOCUMENTS, build, queries_folder
from vipylo_rag.errors import IndexDirectoryError
from vipylo_rag.ledger import Ledger
from vipylo_rag.manifest import FILE_NAME


@dataclass(frozen=True)
class SampleFolder:
    """Where the samples lie.

    Attributes:
        documents: the folder of the 20 documents; read it, do not change it.
        pictures: the pictures that the demo asks with.
        index: an index of the documents, to be opened with `MultimodalIndex.open`; it may be changed.
        scratch: an empty folder for anything else. It is removed at the end of the program, like the index.
    """

    documents: Path
    pictures: Path
    index: Path
    scratch: Path


def sample_folder() -> SampleFolder:
    """The samples; the first call on a machine makes them in the folder `demo` of the checkout, in about a minute.

    The environment variable VIPYLO_DEMO names another folder than `demo`.
    """
    demo = Path(os.environ.get("VIPYLO_DEMO") or Path(__file__).parents[1] / "demo")
    own = Path(tempfile.mkdtemp(prefix="vipylo-"))
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    demo.mkdir(parents=True, exist_ok=True)
    with FileLock(demo / ".lock"):
        if not _is_made(demo):
            _make(demo)
        shutil.copytree(demo / "index", own / "index")
    (own / "scratch").mkdir()
    return SampleFolder(demo / "documents", queries_folder(demo / "documents"), own / "index", own / "scratch")


def _is_made(demo: Path) -> bool:
    """Whether the index holds all samples and is younger than the starter's weights. It is not opened, so that a
    `vipylo serve` may hold it."""
    manifest, weights = demo / "index" / FILE_NAME, Path(embedder.__file__).parent / "starter" / "model.safetensors"
    try:
        if manifest.stat().st_mtime < weights.stat().st_mtime:
            return False
        ledger = Ledger(demo / "index" / "ledger.sqlite", read_only=True)
    except (OSError, IndexDirectoryError):
        return False
    try:
        return ledger.counts()["sources done"] >= len(DOCUMENTS)
    finally:
        ledger.close()


def _make(demo: Path) -> None:
    print("The sample documents are written and embedded: about a minute, this once.")
    build(demo / "documents")
    with own_index(demo / "index") as index:
        index.ingest(demo / "documents", prune=True)

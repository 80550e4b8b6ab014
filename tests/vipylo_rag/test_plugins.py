"""A third-party package adds a loader and an embedder, by entry points alone."""

import json
import sys
from pathlib import Path

from embedder.plugins import load_plugin, registered
from embedder.protocol import Embedder
from tests import prepared
from vipylo_rag import MultimodalIndex

PACKAGE = '''
import hashlib

import numpy as np
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document

from embedder.protocol import EncodedRows


class RecipeReader(BaseReader):
    """A plain LlamaIndex reader: one document for each recipe."""

    suffixes = (".recipe",)

    def load_data(self, file, extra_info=None):
        return [Document(text=part, metadata={"cook": "An"}) for part in file.read_text(encoding="utf-8").split("---")]


class WordHashEmbedder:
    """Words hashed to 64 dimensions: no model, but a real embedder by the protocol."""

    def __init__(self, name):
        self.name, self.dim, self.max_tokens, self.fingerprint = name, 64, 10_000, f"words-{name}"

    @classmethod
    def from_pretrained(cls, name, **options):
        return cls(name)

    def encode(self, text=None, images=None, *, batch_size=32, **options):
        return self.encode_rows([]).vectors

    def encode_rows(self, samples, *, batch_size=32):
        vectors = np.full((len(samples), 64), 1e-3, dtype=np.float32)
        for row, sample in enumerate(samples):
            for word in sample.text.lower().split():
                vectors[row, int(hashlib.sha256(word.encode()).hexdigest(), 16) % 64] += 1.0
        return EncodedRows(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
'''


def use_both(site: Path, directory: Path, food: Path, found: Path) -> None:
    """What a program does that knows the package's parts by their names alone."""
    sys.path.insert(0, str(site))  # as PYTHONPATH does, for a process that starts anew
    with MultimodalIndex.open(directory, embedder="words:v1") as index:
        assert isinstance(index.embedder, Embedder)
        report = index.ingest(food)
        hits = index.search("nước mắm tỏi", mode="dense")
    with MultimodalIndex.open(directory) as index:
        again = index.search("nước mắm tỏi", mode="dense")
    facts = {
        "indexed": report.indexed,
        "name": index.manifest.embedder.name,
        "dim": index.manifest.embedder.dim,
        "best": [hits[0].page, hits[0].kind, hits[0].metadata["cook"]],
        "same": [h.id for h in hits] == [h.id for h in again],
    }
    found.write_text(json.dumps(facts))


def test_a_third_party_adds_a_loader_and_an_embedder(tmp_path: Path, install_plugin) -> None:
    site = install_plugin(
        "cookery",
        PACKAGE,
        {
            "vipylo_rag.loaders": {"recipe": "cookery:RecipeReader"},
            "vipylo_rag.embedders": {"words": "cookery:WordHashEmbedder"},
        },
    )
    (tmp_path / "food").mkdir()
    (tmp_path / "food" / "all.recipe").write_text("phở bò hành --- nước mắm tỏi ớt --- bánh mì", encoding="utf-8")
    said, found = tmp_path / "said", tmp_path / "found"
    process = prepared.start(
        use_both, site, tmp_path / "index", tmp_path / "food", found, output=said, PYTHONPATH=str(site)
    )
    process.join(120)
    assert process.exitcode == 0, said.read_text()
    assert json.loads(found.read_text()) == {
        "indexed": 1, "name": "words:v1", "dim": 64, "best": [2, "recipe", "An"], "same": True,
    }  # fmt: skip


def test_our_own_parts_are_registered_the_same_way() -> None:
    assert {"pdf", "image", "dicom", "text"} <= set(registered("loaders"))
    assert {"edge", "server"} <= set(registered("stores"))
    assert {"pymupdf", "pypdfium2"} <= set(registered("renderers"))
    assert load_plugin("embedders", "qwen2-vl").__name__ == "ColPaLiQwenEmbedder"

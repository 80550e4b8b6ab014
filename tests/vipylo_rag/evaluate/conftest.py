"""Data sets written by tests, and an embedder whose vectors the texts themselves prescribe."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

PLUGIN = '''
"""An embedder for tests: a text "[0.6 0.8]" has that direction; without such a mark, the first axis."""
import hashlib, re
import numpy as np
from embedder.protocol import EncodedRows

class Prescribed:
    name, dim, max_tokens = "prescribed:x", 8, 1000
    fingerprint = hashlib.sha256(b"prescribed").hexdigest()

    @classmethod
    def from_pretrained(cls, name, **options):
        return cls()

    def encode_rows(self, samples, *, batch_size=32):
        rows = np.zeros((len(samples), self.dim), dtype=np.float32)
        for row, sample in enumerate(samples):
            found = re.search(r"\\[([-0-9. ]+)\\]", sample.text)
            values = [float(part) for part in found[1].split()] if found else [1.0]
            rows[row, : len(values)] = values
            rows[row] /= np.linalg.norm(rows[row])
        return EncodedRows(rows)

    def encode(self, text=None, images=None, *, batch_size=32, **options):
        raise NotImplementedError
'''


@pytest.fixture(scope="session")
def prescribed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The spec of that embedder, installed as a third party's package is: a module and its entry point."""
    site = tmp_path_factory.mktemp("site")
    (site / "prescribed_plugin.py").write_text(PLUGIN)
    info = site / "prescribed_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: prescribed-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vipylo_rag.embedders]\nprescribed = prescribed_plugin:Prescribed\n")
    sys.path.insert(0, str(site))
    yield "prescribed:x"
    sys.path.remove(str(site))


def write_lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_qrels(file: Path, rows: Sequence[tuple[str, str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


WriteDataset = Callable[..., Path]


@pytest.fixture
def write_dataset(tmp_path: Path) -> WriteDataset:
    """Writes a data set into a folder of the test's own."""

    def write(
        corpus: Sequence[Mapping[str, Any]] | None,
        queries: Sequence[Mapping[str, Any]],
        qrels: Sequence[tuple[str, str, object]],
        name: str = "data",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        if corpus is not None:
            write_lines(folder / "corpus.jsonl", corpus)
        write_lines(folder / "queries.jsonl", queries)
        write_qrels(folder / "qrels" / "test.tsv", qrels)
        return folder

    return write


Vipylo = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vipylo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vipylo:
    """Runs the `vipylo` command in this process: exit code, standard output and standard error."""
    from vipylo_rag.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vipylo", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "100")
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return int(code or 0), out, err  # type: ignore[call-overload]

    return run

"""Export and import: another place and another engine give the same answers; a file made to do harm is refused."""

import hashlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder import ColPaLiQwenEmbedder, InputError
from tests.connectors.qdrant_rest import QdrantRest
from tests.vipylo_rag.conftest import SUBJECTS, write_pdf
from vipylo_rag import IndexDirectoryError, MultimodalIndex
from vipylo_rag.transfer import import_index
from vipylo_rag.transfer_file import CHECKSUMS, HEADER, LEDGER, POINTS, VECTORS

QUERIES = ["hợp đồng thuê nhà", "labour contract số 1", "biên bản họp", "发票"]


@pytest.fixture
def server() -> Iterator[QdrantRest]:
    with QdrantRest() as running:
        yield running


@pytest.fixture
def varied(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    """An index in which no two pages have the same score: a tie's rank is the engine's business."""
    words = ["bên", "thuê", "trả", "tiền", "đúng", "hạn", "vào", "ngày", "đầu", "tháng", "theo", "thỏa", "thuận"]
    write_pdf(tmp_path / "a.pdf", [f"{SUBJECTS[n % 4]} {n} " + " ".join(words[: 1 + n]) for n in range(11)])
    with MultimodalIndex.open(tmp_path / "varied", embedder=tiny_embedder) as index:
        index.ingest(tmp_path / "a.pdf")
        yield index


@pytest.fixture(scope="module")
def exported(
    filled_directory: Path, tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder
) -> Path:
    file = tmp_path_factory.mktemp("exported") / "index.vipylo"
    copy = tmp_path_factory.mktemp("copy") / "index"
    shutil.copytree(filled_directory, copy)
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as index:
        index.export(file)
    return file


def answers(index: MultimodalIndex) -> list[Any]:
    """What every query finds in every mode, and whether the pictures are there."""
    found = []
    for query in QUERIES:
        for mode in ("dense", "lexical", "hybrid"):
            hits = index.search(query, mode=mode, top_k=20)  # type: ignore[arg-type]
            found.append([(h.id, round(h.score, 6), h.source, h.text, h.metadata) for h in hits])
            assert all(h.image_path is None or h.image_path.is_file() for h in hits)
    return found


def ledger_rows(index: MultimodalIndex) -> list[Any]:
    with sqlite3.connect(index.directory / "ledger.sqlite") as db:
        return [db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in ("sources", "pages")]


def test_another_place_gives_the_same_answers(
    varied: MultimodalIndex, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    seen: list[tuple[int, int]] = []
    report = varied.export(tmp_path / "out" / "index.vipylo", lambda done, total: seen.append((done, total)))
    assert report.pages == varied.store.count() == 11
    assert seen[-1][0] == seen[-1][1] == report.pages + report.assets
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["index.vipylo"]
    place = import_index(tmp_path / "out" / "index.vipylo", tmp_path / "elsewhere" / "index")
    before, rows = answers(varied), ledger_rows(varied)
    with MultimodalIndex.open(place, embedder=tiny_embedder, create=False) as index:
        assert answers(index) == before
        assert ledger_rows(index) == rows
        found = index.collect(dry_run=True)
        assert (found.assets, found.scraps, found.lost, found.unknown) == ([], [], [], [])
        report = index.ingest([row.source for row in index.sources()])
        assert report.pages_embedded == 0
        index.export(tmp_path / "again.vipylo")
    again = zipfile.ZipFile(tmp_path / "again.vipylo")
    with zipfile.ZipFile(tmp_path / "out" / "index.vipylo") as first:
        assert {name: first.read(name) for name in (HEADER, VECTORS, POINTS)} == {
            name: again.read(name) for name in (HEADER, VECTORS, POINTS)
        }


def test_to_a_server_and_back(
    varied: MultimodalIndex, tmp_path: Path, server: QdrantRest, tiny_embedder: ColPaLiQwenEmbedder
) -> None:
    before = answers(varied)
    file = tmp_path / "file.vipylo"
    varied.export(file)
    url, folder = f"{server.url}/docs", tmp_path / "remote"
    import_index(file, url, directory=folder)
    with MultimodalIndex.open(url, directory=folder, embedder=tiny_embedder, create=False) as index:
        # The in-memory engine behind this server weighs words a little differently: their order is the same.
        assert [[id_ for id_, *_ in found] for found in answers(index)] == [[id_ for id_, *_ in f] for f in before]
        index.export(tmp_path / "back.vipylo")
        index.backup(tmp_path / "backup")
    for place in (import_index(tmp_path / "back.vipylo", tmp_path / "back"), tmp_path / "backup"):
        with MultimodalIndex.open(place, embedder=tiny_embedder, create=False) as index:
            assert answers(index) == before
    with pytest.raises(IndexDirectoryError, match="holds pages already"):
        import_index(file, url, directory=tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_nothing_is_overwritten(filled: MultimodalIndex, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(IndexDirectoryError, match="exists already"):
        import_index(exported, tmp_path / "there")
    with pytest.raises(IndexDirectoryError, match="exists already"):
        filled.export(exported)
    with pytest.raises(IndexDirectoryError, match="inside the index"):
        filled.export(filled.directory / "assets" / "file.vipylo")
    with pytest.raises(InputError, match="does not exist"):
        import_index(tmp_path / "none.vipylo", tmp_path / "new")


def test_a_missing_picture_is_named_and_leaves_no_file(filled: MultimodalIndex, tmp_path: Path) -> None:
    next(filled.assets.rglob("*.jpeg")).unlink()
    with pytest.raises(IndexDirectoryError, match=r"is missing: run `vipylo gc`"):
        filled.export(tmp_path / "file.vipylo")
    assert not list(tmp_path.glob("file*"))


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **extra: bytes) -> Path:
    """A copy of an export with changed, dropped (None) or further entries, and checksums that fit."""
    rows = []
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        entries = {info.filename: old.read(info) for info in old.infolist() if info.filename != CHECKSUMS}
        for name, content in {**entries, **extra}.items():
            content = change(name, content)
            if content is not None:
                new.writestr(name, content)
                rows.append({"name": name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)})
        new.writestr(CHECKSUMS, "".join(json.dumps(row) + "\n" for row in rows))
    return target


def edited(entry: str, edit: Callable[[Any], Any]) -> Callable[[str, bytes], bytes]:
    """Changes the first JSON line of an entry."""

    def change(name: str, content: bytes) -> bytes:
        if name != entry:
            return content
        first, _, rest = content.partition(b"\n") if entry != HEADER else (content, b"", b"")
        return json.dumps(edit(json.loads(first))).encode() + b"\n" + rest

    return change


def payload(**fields: Any) -> Callable[[Any], Any]:
    return lambda row: {**row, "payload": {**row["payload"], **fields}}


def with_nan(name: str, content: bytes) -> bytes:
    if name != VECTORS:
        return content
    return content[:-4] + np.float32("nan").tobytes()


def same(name: str, content: bytes) -> bytes:
    return content


HARMFUL = {
    "no vectors": (lambda name, content: None if name == VECTORS else content, {}, "it has no vectors.npy"),
    "NaN": (with_nan, {}, "NaN"),
    "short vectors": (lambda n, c: c[:-8] if n == VECTORS else c, {}, "does not hold"),
    "other dim": (
        edited(HEADER, lambda h: {**h, "embedder": {**h["embedder"], "dim": 512}}),
        {},
        "does not hold .* length 512",
    ),
    "no dim": (edited(HEADER, lambda h: {**h, "embedder": {**h["embedder"], "dim": 0}}), {}, "length 0"),
    "other pages": (edited(HEADER, lambda h: {**h, "pages": 3}), {}, "does not hold 3 vectors"),
    "later format": (edited(HEADER, lambda h: {**h, "version": 9}), {}, "format version 9"),
    "later ledger": (edited(HEADER, lambda h: {**h, "ledger_version": 99}), {}, "ledger has version 99"),
    "climbing name": (same, {"assets/../../evil.png": b"x"}, "no name of an asset"),
    "absolute name": (same, {"/etc/evil": b"x"}, "does not belong there"),
    "further entry": (same, {"store/x": b"x"}, "does not belong there"),
    "no picture": (same, {"assets/ab/" + "ab" * 16 + ".png": b"#!/bin/sh"}, "not what its name says"),
    "bomb": (same, {"assets/ab/" + "ab" * 16 + ".words.json": b"0" * 50_000_000}, "would unpack to 50000000"),
    "foreign id": (edited(POINTS, payload(source="/etc/passwd")), {}, "not the id of its page"),
    "climbing asset": (edited(POINTS, payload(asset="../../secret.png")), {}, "names an asset that is not there"),
    "page is text": (edited(POINTS, payload(page="1")), {}, "the 'page' of"),
    "no json": (lambda n, c: b"{" if n == POINTS else c, {}, "damaged"),
    "deep json": (lambda n, c: b"[" * 200_000 + b"\n" if n == POINTS else c, {}, "damaged"),
    "fewer points": (lambda n, c: c.partition(b"\n")[2] if n == POINTS else c, {}, "instead of"),
    "twice a point": (
        lambda n, c: c.partition(b"\n")[0] + b"\n" + c[: c.rstrip().rfind(b"\n") + 1] if n == POINTS else c,
        {},
        "same page several times",
    ),
    "ledger table": (edited(LEDGER, lambda row: ["runs", row[1]]), {}, "another form"),
    "ledger column": (edited(LEDGER, lambda row: [row[0], {**row[1], "x": 1}]), {}, "another form"),
    "ledger state": (edited(LEDGER, lambda row: [row[0], {**row[1], "state": "odd"}]), {}, "cannot be"),
    "ledger number": (edited(LEDGER, lambda row: [row[0], {**row[1], "bytes": 2**70}]), {}, "cannot be"),
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_harmful_files_are_refused_and_leave_nothing(exported: Path, tmp_path: Path, harm: str) -> None:
    change, extra, message = HARMFUL[harm]
    bad = rewritten(exported, tmp_path / "bad.vipylo", change, **extra)  # type: ignore[arg-type]
    with pytest.raises((InputError, IndexDirectoryError), match=message):
        import_index(bad, tmp_path / "folder" / "index")
    assert not list((tmp_path / "folder").glob("*")), "something was left behind"


def test_a_rewritten_file_without_harm_is_taken(exported: Path, tmp_path: Path) -> None:
    assert import_index(rewritten(exported, tmp_path / "good.vipylo", same), tmp_path / "index").is_dir()


@pytest.mark.parametrize("damage", ["flipped", "cut", "doubled", "checksum", "no zip"])
def test_damaged_files_are_named(exported: Path, tmp_path: Path, damage: str) -> None:
    bad = tmp_path / "bad.vipylo"
    content = bytearray(exported.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 255
    bad.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "no zip":
        bad.write_bytes(b"something else")
    if damage == "doubled":
        with zipfile.ZipFile(bad, "a") as more, pytest.warns(UserWarning, match="Duplicate"):
            more.writestr(POINTS, "{}")
    if damage == "checksum":
        with zipfile.ZipFile(exported) as old, zipfile.ZipFile(bad, "w") as new:
            for info in old.infolist():
                text = old.read(info)
                new.writestr(info.filename, text.replace(b'"kind":"pdf"', b'"kind":"PDF"'))
    with pytest.raises(InputError, match=r"bad\.vipylo"):
        import_index(bad, tmp_path / "index")
    assert not (tmp_path / "index").exists()

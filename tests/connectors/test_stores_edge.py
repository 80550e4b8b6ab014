"""The embedded store's own promises: it survives reopening and kills, and says what is wrong with a directory."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import numpy as np
import pytest

from connectors.errors import StoreError
from connectors.stores import edge_files
from connectors.stores.edge import EdgeStore
from connectors.stores.filters import AnyOf
from connectors.stores.open import open_store
from connectors.stores.points import INDEXED_FIELDS
from connectors.stores.protocol import Point

DIM = 8


def point(number: int, text: str = "hóa đơn") -> Point:
    vector = np.random.default_rng(number).normal(size=DIM).astype(np.float32)
    return Point(str(uuid.UUID(int=number)), vector, text, {"page": number, "source": "a.pdf"})


def test_points_are_there_on_reopen(tmp_path: Path) -> None:
    with EdgeStore.open(tmp_path / "deep" / "store", DIM) as store:
        store.upsert(point(n) for n in range(100))
        before = store.search(point(3).vector, "hóa đơn", top_k=20)
    with EdgeStore.open(tmp_path / "deep" / "store", DIM) as store:
        assert store.count() == 100
        assert store.search(point(3).vector, "hóa đơn", top_k=20) == before
        assert store.facet("source") == {"a.pdf": 100}
        assert store.count(AnyOf("page", (7,))) == 1


def test_a_store_of_an_earlier_version_gets_the_newer_indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = {"node_id", "ref_doc_id"}
    earlier = {field: kind for field, kind in INDEXED_FIELDS.items() if field not in newer}
    with monkeypatch.context() as then:
        then.setattr(edge_files, "INDEXED_FIELDS", earlier)
        with EdgeStore.open(tmp_path / "store", DIM) as store:
            store.upsert([Point(point(1).id, point(1).vector, "x", {"node_id": "n", "ref_doc_id": "d"})])
            assert set(store._shard.info().payload_schema) == set(earlier)
    for _ in range(2):
        with EdgeStore.open(tmp_path / "store", DIM) as store:
            assert set(store._shard.info().payload_schema) == set(INDEXED_FIELDS)
            assert store.facet("ref_doc_id") == {"d": 1}
            assert store.count(AnyOf("node_id", ("n",))) == 1


CHILD = """
import sys, time
from test_stores_edge import DIM, EdgeStore, point
store = EdgeStore.open(sys.argv[1], DIM)
store.upsert(point(n) for n in range(1, 301))
store.upsert([point(1, "thay thế")])
store.delete([point(2).id])
print("written", flush=True)
while True:
    store.upsert(point(n) for n in range(1000, 1300))
"""


def test_kill_loses_nothing_that_upsert_returned(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "store")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        for _ in range(20):  # a refused open must not disturb the process that writes
            with pytest.raises(StoreError, match="open in another process"):
                EdgeStore.open(tmp_path / "store", DIM)
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)  # in the middle of an upsert
        child.wait()
        child.stdout.close()
    with EdgeStore.open(tmp_path / "store", DIM) as store:
        held = {stored.payload["page"] for stored in store.scroll()}
        assert set(range(1, 301)) - held == {2}
        assert held - set(range(1, 301)) <= set(range(1000, 1300))
        assert [hit.id for hit in store.search(text="thay thế")] == [point(1).id]
        store.upsert([point(2)])


def test_second_open_in_this_process_is_refused_until_close(tmp_path: Path) -> None:
    with EdgeStore.open(tmp_path / "store", DIM):
        with pytest.raises(StoreError) as raised:
            EdgeStore.open(tmp_path / "store", DIM)
        assert str(tmp_path / "store") in str(raised.value)
        assert "run a Qdrant server" in str(raised.value)
    EdgeStore.open(tmp_path / "store", DIM).close()


def test_other_dim_is_refused(tmp_path: Path) -> None:
    EdgeStore.open(tmp_path / "store", DIM).close()
    with pytest.raises(StoreError, match="holds 8-d vectors, 9-d were asked for"):
        EdgeStore.open(tmp_path / "store", 9)
    with pytest.raises(StoreError, match="at least 1"):
        EdgeStore.open(tmp_path / "new", 0)


def test_foreign_directories_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(StoreError, match="not an empty directory and holds no store"):
        EdgeStore.open(tmp_path / "letters", DIM)
    with pytest.raises(StoreError, match="not an empty directory"):
        EdgeStore.open(tmp_path / "letters" / "dear.txt", DIM)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with EdgeStore.open(tmp_path / "store", DIM) as store:
        assert store.count() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("damage", ["segments", "wal", "config", "foreign"])
def test_damage_is_named_with_the_way_out(tmp_path: Path, damage: str) -> None:
    with EdgeStore.open(tmp_path / "store", DIM) as store:
        store.upsert(point(n) for n in range(10))
    config = tmp_path / "store" / "edge_config.json"
    if damage == "config":
        config.write_text("{")
    elif damage == "foreign":
        config.write_text(json.dumps({"vectors": {"": {"size": DIM}}}))
    else:
        for file in (tmp_path / "store" / damage).rglob("*"):
            if file.is_file():
                file.write_bytes(b"junk")
    with pytest.raises(StoreError, match="restore a backup, or build the index again") as raised:
        EdgeStore.open(tmp_path / "store", DIM)
    assert str(tmp_path / "store") in str(raised.value)


def test_failed_backup_leaves_no_half_copy_and_the_store_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with EdgeStore.open(tmp_path / "store", DIM) as store:
        store.upsert([point(1)])
        monkeypatch.setattr(shutil, "copytree", full)
        with pytest.raises(StoreError, match="No space left"):
            store.backup(tmp_path / "copy")
        assert store.count() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_threads_share_one_store_while_it_is_backed_up(tmp_path: Path) -> None:
    errors: list[Exception] = []
    with EdgeStore.open(tmp_path / "store", DIM) as store:
        store.upsert(point(n) for n in range(50))
        done = threading.Event()

        def ask() -> None:
            try:
                while not done.is_set():
                    assert len(store.search(point(1).vector, "hóa đơn", top_k=5)) == 5
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        store.backup(tmp_path / "copy")
        store.upsert(point(n) for n in range(50, 100))
        done.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.count() == 100


def test_first_points_survive_a_refused_one(tmp_path: Path) -> None:
    bad = Point("no uuid", point(0).vector, "", {})
    with EdgeStore.open(tmp_path / "store", DIM) as store:
        with pytest.raises(StoreError, match="no uuid"):
            store.upsert([*(point(n) for n in range(256)), point(256), bad])
        assert store.count() == 256  # whole batches only


def test_open_store_takes_a_directory(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), DIM)
    assert isinstance(store, EdgeStore)
    assert store.path == tmp_path / "store"
    store.close()

"""Documents over HTTP: sent, listed, replaced, deleted; whose they are; files from elsewhere stay where they are."""

import io
import zipfile
from pathlib import Path

import httpx
import pytest

from connectors.page import source_id
from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import TENANT_KEYS, running
from tests.vipylo_rag.server.sending import left_over, listed, on_disk, pdf, send, sent_and_read, wait_until_done
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.options import ServerOptions


def test_sent_files_are_read_found_and_listed(index: MultimodalIndex) -> None:
    with running(index) as up:
        answer = send(
            up.client, ("hợp đồng.pdf", pdf("one", "two")), ("broken.pdf", b"%PDF-1.4 broken"), ("a.md", b"# A")
        )
        assert answer.status_code == 202
        said = answer.json()
        assert [file["state"] for file in said["files"]] == ["waiting"] * 3
        files = wait_until_done(up.client, said["id"])["files"]
        assert [(f["name"], f["state"], f["pages"]) for f in files] == [
            ("hợp đồng.pdf", "done", 2),
            ("broken.pdf", "failed", 0),
            ("a.md", "done", 1),
        ]
        assert files[1]["reason"]
        documents = listed(up.client)
        assert {d["name"]: (d["state"], d["pages"], d["uploaded"]) for d in documents} == {
            "hợp đồng.pdf": ("done", 2, True),
            "broken.pdf": ("failed", 0, True),
            "a.md": ("done", 1, True),
        }
        one = up.client.get(f"/api/documents/{files[0]['document']}").json()
        assert one["first_page"]["page"] == 1 and one["kind"] == "pdf"
        assert up.client.get(one["first_page"]["image"]).headers["content-type"] == "image/jpeg"
        assert up.search("two", mode="lexical")[0]["document"] == one["id"]
        assert str(index.directory) not in up.client.get("/api/documents").text
    assert left_over(index) == []


def test_the_same_name_again_is_a_new_version_if_it_is_said(index: MultimodalIndex) -> None:
    with running(index) as up:
        old = pdf("old words", "more")
        (first,) = sent_and_read(up.client, ("report.pdf", old))
        (again,) = sent_and_read(up.client, ("report.pdf", old))
        (second,) = sent_and_read(up.client, ("report.pdf", pdf("new words")), data={"replace": "true"})
        assert [file["state"] for file in (first, again, second)] == ["done", "unchanged", "done"]
        assert second["document"] == first["document"]
        assert [(d["name"], d["pages"]) for d in listed(up.client)] == [("report.pdf", 1)]
        assert not up.search("old", mode="lexical") and up.search("new", mode="lexical")
    assert on_disk(index) == ["report.pdf"]


def test_the_same_name_for_something_else_is_kept_beside_it(index: MultimodalIndex) -> None:
    first, second, third = (f"# scan {n}".encode() for n in range(3))
    with running(index) as up:
        said = [
            sent_and_read(up.client, ("scan.md", first)),
            sent_and_read(up.client, ("other/scan.md", second)),
            sent_and_read(up.client, ("scan.md", second)),
            sent_and_read(up.client, ("scan.md", third), ("scan.md", first), ("scan (2).md", third)),
        ]
        assert [[(f["name"], f["sent_as"], f["state"]) for f in files] for files in said] == [
            [("scan.md", None, "done")],
            [("scan (2).md", "scan.md", "done")],
            [("scan (2).md", "scan.md", "unchanged")],
            [
                ("scan (3).md", "scan.md", "done"),
                ("scan.md", None, "unchanged"),
                ("scan (2) (2).md", "scan (2).md", "done"),
            ],
        ]
        assert sorted(page.payload["text"] for page in index.pages()) == [
            "# scan 0",
            "# scan 1",
            "# scan 2",
            "# scan 2",
        ]
    assert on_disk(index) == ["scan (2) (2).md", "scan (2).md", "scan (3).md", "scan.md"]


def test_replacing_spares_documents_whose_names_were_not_said(index: MultimodalIndex) -> None:
    with running(index) as up:
        sent_and_read(up.client, ("a.md", b"# one"), ("a (2).md", b"# two"))
        files = sent_and_read(up.client, ("a.md", b"# new"), ("a.md", b"# newer"), data={"replace": "true"})
        assert [(f["name"], f["sent_as"]) for f in files] == [("a.md", None), ("a (3).md", "a.md")]
        assert sorted(page.payload["text"] for page in index.pages()) == ["# new", "# newer", "# two"]


def test_two_files_of_a_name_in_one_upload_are_two_documents(index: MultimodalIndex) -> None:
    with running(index) as up:
        files = sent_and_read(up.client, ("x/a.md", b"# one"), ("y/a.md", b"# two"), ("y\\A.md", b"# three"))
        assert [file["name"] for file in files] == ["a.md", "a (2).md", "A (3).md"]
        assert [file["state"] for file in files] == ["done"] * 3
        assert len(listed(up.client)) == 3


def test_an_archive_is_one_file_and_what_fails_in_it_is_told(index: MultimodalIndex) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("inner/good.pdf", pdf("inside", "twice"))
        archive.writestr("inner/bad.pdf", b"%PDF-1.4 broken")
        archive.writestr("../../escape.md", "# out")
    with running(index) as up:
        whole, failed = sent_and_read(up.client, ("papers.zip", packed.getvalue()))
        assert (whole["name"], whole["state"], whole["pages"]) == ("papers.zip", "done", 3)
        assert whole["reason"] == "1 of the 3 documents in it cannot be read"
        assert (failed["name"], failed["state"]) == ("papers.zip!/inner/bad.pdf", "failed")
        assert up.client.get(f"/api/documents/{whole['document']}").json()["pages"] == 3
        assert up.client.delete(f"/api/documents/{whole['document']}").status_code == 204
        assert listed(up.client) == []
    assert on_disk(index) == []
    assert index.store.count() == 0


def test_a_list_is_newest_first_and_can_be_narrowed(filled: MultimodalIndex) -> None:
    with running(filled) as up:
        sent_and_read(up.client, ("NEW Hợp.md", b"# new"))
        answer = up.client.get("/api/documents", params={"limit": 2}).json()
        assert answer["total"] == 8 and len(answer["documents"]) == 2
        assert answer["documents"][0]["name"] == "NEW Hợp.md"
        names = [d["name"] for offset in range(0, 8, 3) for d in listed(up.client, limit=3, offset=offset)]
        assert len(names) == len(set(names)) == 8
        assert {d["name"] for d in listed(up.client, state="failed")} == {"broken.pdf", "thing.xyz"}
        assert [d["name"] for d in listed(up.client, name="new hợp")] == ["NEW Hợp.md"]
        assert {d["name"] for d in listed(up.client, name="DOC", state="done")} == {"doc0.pdf", "doc1.pdf", "doc2.pdf"}
        assert listed(up.client, name="documents") == []  # the folder that they came from is nobody's business
        assert str(filled.directory.parent) not in up.client.get("/api/documents?limit=200").text
        assert up.client.get("/api/documents?limit=0").status_code == 422
        assert up.client.get("/api/documents?state=odd").status_code == 422


def test_deleting_spares_files_that_were_not_uploaded(index: MultimodalIndex, tmp_path: Path) -> None:
    mine = write_pdf(tmp_path / "mine.pdf", ["from a folder of mine"])
    index.ingest(mine)
    with running(index) as up:
        (sent,) = sent_and_read(up.client, ("sent.pdf", pdf("sent")))
        assert {d["name"]: d["uploaded"] for d in listed(up.client)} == {"mine.pdf": False, "sent.pdf": True}
        for document in listed(up.client):
            assert up.client.delete(f"/api/documents/{document['id']}").status_code == 204
            assert up.client.get(f"/api/documents/{document['id']}").status_code == 404
        assert up.client.delete(f"/api/documents/{sent['document']}").status_code == 404
    assert mine.is_file() and on_disk(index) == []
    assert index.store.count() == 0


@pytest.mark.parametrize("id_", ["x", "0" * 32, "00000000-0000-0000-0000-000000000000", "%00", "..%2f..%2fetc"])
def test_ids_that_nobody_gave_are_unknown(id_: str, index: MultimodalIndex) -> None:
    with running(index) as up:
        for address in (f"/api/documents/{id_}", f"/api/uploads/{id_}"):
            assert up.client.get(address).status_code == 404
        assert up.client.delete(f"/api/documents/{id_}").status_code == 404


def test_tenants_do_not_reach_each_other(index: MultimodalIndex) -> None:
    with (
        running(index, keys=TENANT_KEYS) as up,
        httpx.Client(base_url=up.url, headers={"Authorization": f"Bearer {TENANT_KEYS['blue']}"}, timeout=60) as blue,
        httpx.Client(base_url=up.url, headers={"Authorization": f"Bearer {TENANT_KEYS['green']}"}, timeout=60) as green,
    ):
        assert up.client.get("/api/documents").status_code == 401
        answer = send(blue, ("same.md", b"# blue words"))
        assert green.get(f"/api/uploads/{answer.json()['id']}").status_code == 404
        (of_blue,) = wait_until_done(blue, answer.json()["id"])["files"]
        (of_green,) = sent_and_read(green, ("same.md", b"# green words"))
        assert of_blue["document"] != of_green["document"]
        for client, other in ((blue, of_green), (green, of_blue)):
            assert len(listed(client)) == 1
            assert client.get(f"/api/documents/{other['document']}").status_code == 404
            assert client.delete(f"/api/documents/{other['document']}").status_code == 404
            assert len(client.get("/api/uploads").json()) == 1
        # An id is a hash of names that can be guessed: whose it is decides, not who knows it.
        source = index.find_source("same.md", tenant="green")
        assert blue.get(f"/api/documents/{source_id(source, 'green')}").status_code == 404
        assert blue.delete(f"/api/documents/{of_blue['document']}").status_code == 204
    assert on_disk(index, "blue") == [] and on_disk(index, "green") == ["same.md"]


def test_a_server_that_only_reads_changes_nothing(filled: MultimodalIndex) -> None:
    with running(filled, ServerOptions(writable=False)) as up:
        assert send(up.client, ("a.md", b"# a")).status_code == 403
        document = listed(up.client)[0]
        assert up.client.delete(f"/api/documents/{document['id']}").status_code == 403
        assert up.client.get("/api/uploads").json() == []
    assert not (filled.directory / "uploads").exists()

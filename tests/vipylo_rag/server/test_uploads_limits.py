"""What is refused of an upload, and that nothing of it stays: limits, odd names, broken bodies, bombs."""

import io
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.server.conftest import RunningServer, running
from tests.vipylo_rag.server.sending import (
    MULTIPART,
    left_over,
    listed,
    multipart,
    on_disk,
    send,
    sent_and_read,
    wait_until_done,
)
from vipylo_rag import MultimodalIndex
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.upload_files import NAME_BYTES, own_names, safe_file_name, tenant_folder

LIMITS = ServerOptions(upload_bytes=3_000_000, file_bytes=2_000_000, upload_files=20)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[RunningServer]:
    """A server with small limits."""
    folder = tmp_path_factory.mktemp("small")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index, running(index, LIMITS) as up:
        yield up


def test_too_much_is_refused_and_leaves_nothing(small: RunningServer) -> None:
    before = listed(small.client)
    one_too_large = send(small.client, ("a.bin", b"x" * 2_000_001))
    all_too_large = send(small.client, ("a.bin", b"x" * 1_600_000), ("b.bin", b"x" * 1_600_000))
    far_too_large = send(small.client, ("a.bin", b"x" * 50_000_000))
    assert [a.status_code for a in (one_too_large, all_too_large, far_too_large)] == [413] * 3
    assert "a.bin is larger than" in one_too_large.json()["detail"]
    many = [(f"{n}.md", b"#") for n in range(21)]
    assert "more than 20 files" in send(small.client, *many).json()["detail"]
    assert left_over(small.index) == [] and listed(small.client) == before


def test_ten_thousand_parts_are_refused(small: RunningServer) -> None:
    body = multipart([(b'form-data; name="files"; filename="a.md"', b"#")] * 10_000)
    assert len(body) < LIMITS.upload_bytes
    assert small.client.post("/api/documents", content=body, headers=MULTIPART).status_code == 413
    assert left_over(small.index) == []


def test_a_body_without_a_length_is_counted_while_it_comes(small: RunningServer) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
        while True:
            yield b"x" * 65536

    try:
        answer = small.client.post("/api/documents", content=endless(), headers=MULTIPART)
        assert answer.status_code == 413
    except OSError:  # the server has closed the connection while this still wrote
        pass
    assert small.client.get("/healthz").status_code == 200
    assert left_over(small.index) == []


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b""),
        (400, b"nonsense"),
        (400, multipart([(b'form-data; name="files"; filename="a.md"', b"# a")])[:-6]),
        (422, b"--xyz\r\nContent-Disposition: form-data\x00\r\n\r\n"),
        (400, multipart([(b'form-data; name="files"; filename="' + b"a" * 9000 + b'"', b"#")])),
        (422, b"--xyz--\r\n"),
        (422, multipart([(b'form-data; name="files"', b"no file name")])),
        (422, multipart([(b'form-data; name="other"; filename="a.md"', b"# a")])),
        (422, multipart([(b'form-data; name="files"; filename=""', b"")])),
        (422, multipart([(b'attachment; filename="a.md"', b"# a")])),
        (422, multipart([(b'form-data; name="replace"', b"true")])),
        (
            422,
            multipart([(b'form-data; name="replace"', b"perhaps"), (b'form-data; name="files"; filename="a"', b"#")]),
        ),
        (422, multipart([(b'form-data; name="replace"', b"t" * 500_000)])),
    ],
)
def test_bodies_that_are_no_upload(status: int, body: bytes, small: RunningServer) -> None:
    answer = small.client.post("/api/documents", content=body, headers=MULTIPART)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert left_over(small.index) == []


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=xyz", "multipart/form-data; x=y"]
)
def test_another_content_type_is_refused(kind: str, small: RunningServer) -> None:
    body = multipart([(b'form-data; name="files"; filename="a.md"', b"# a")])
    assert small.client.post("/api/documents", content=body, headers={"Content-Type": kind}).status_code == 415


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../etc/cron.d/x.md", "x.md"),
        ("/etc/passwd.md", "passwd.md"),
        ("..\\..\\windows\\system.md", "system.md"),
        ("C:\\secret\\a.md", "a.md"),
        ("nul\x00l.md", "null.md"),
        ("..", "unnamed"),
        ("con.md", "_con.md"),
        (".hidden.md", "_.hidden.md"),
        ("invoice\u202efdp.md", "invoicefdp.md"),
        ("a:b|c?.md", "a_b_c_.md"),
        ("  spaced   out .md ", "spaced out .md"),
        ("mục  lục.md", "mục lục.md"),
    ],
)
def test_names_lose_what_could_mislead(name: str, kept: str, small: RunningServer) -> None:
    body = multipart(
        [(b'form-data; name="files"; filename="' + name.replace("\\", "\\\\").encode() + b'"', b"# words")]
    )
    answer = small.client.post("/api/documents", content=body, headers=MULTIPART)
    assert answer.status_code == 202, answer.text
    assert [file["name"] for file in answer.json()["files"]] == [kept]
    wait_until_done(small.client, answer.json()["id"])
    assert kept in on_disk(small.index)
    folder = small.index.directory / "uploads"
    home = folder / tenant_folder("")
    assert {entry.name for entry in folder.iterdir()} == {home.name, ".receiving", ".waiting", "server.lock"}


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.sampled_from(["", ".pdf", ".PDF", ".tar.gz"]))
def test_any_name_becomes_one_that_every_system_takes(stem: str, suffix: str) -> None:
    name = safe_file_name(stem + suffix)
    assert 0 < len(name.encode()) <= NAME_BYTES
    assert Path(name).name == name and name not in (".", "..")
    assert not set(name) & set('/\\:*?"<>|') and name.isprintable()
    assert name == name.strip() and name[-1] not in ". " and name[0] not in ".~"
    assert safe_file_name(name) == name


@given(st.lists(st.sampled_from(["a.pdf", "A.pdf", "a (2).pdf", "é.pdf", "x" * 195 + ".pdf"]), max_size=12))
def test_names_in_one_upload_are_different(names: list[str]) -> None:
    own = list(own_names(names))
    assert len({name.casefold() for name in own}) == len(names)
    assert list(own_names(own)) == own
    assert all(len(name.encode()) <= NAME_BYTES for name in own)


def test_long_names_are_cut_and_stay_two(small: RunningServer) -> None:
    first, second = ("hợp đồng " * 60 + end + ".md" for end in ("một", "hai"))
    files = sent_and_read(small.client, (first, b"# one"), (second, b"# two"))
    names = [file["name"] for file in files]
    assert len(set(names)) == 2 and all(name.endswith(".md") and len(name.encode()) <= NAME_BYTES for name in names)
    assert sent_and_read(small.client, (first, b"# one"))[0]["state"] == "unchanged"


def test_bombs_and_links_in_archives_cost_their_own_file(small: RunningServer) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"0" * 400_000_000)
    links = io.BytesIO()
    with tarfile.open(fileobj=links, mode="w") as tar:
        link = tarfile.TarInfo("link.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
        good = tarfile.TarInfo("good.md")
        good.size = 6
        tar.addfile(good, io.BytesIO(b"# good"))
    assert len(bomb.getvalue()) < LIMITS.file_bytes
    files = sent_and_read(
        small.client, ("bomb.zip", bomb.getvalue()), ("links.tar", links.getvalue()), ("after.md", b"# after")
    )
    by_name = {file["name"]: file for file in files}
    assert by_name["after.md"]["state"] == "done"
    assert by_name["bomb.zip"]["pages"] == 0 and by_name["bomb.zip"]["reason"]
    assert by_name["links.tar"]["pages"] == 1
    assert "root:" not in str([hit for hit in small.search("root", mode="lexical", top_k=50)])


def test_a_sender_that_goes_away_leaves_nothing(small: RunningServer) -> None:
    address = urlsplit(small.url)
    received = small.index.directory / "uploads" / ".receiving"
    with socket.create_connection((address.hostname, address.port)) as line:
        head = b'--xyz\r\nContent-Disposition: form-data; name="files"; filename="half.md"\r\n\r\n'
        line.sendall(
            b"POST /api/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=xyz\r\n"
            b"Content-Length: 1000000\r\n\r\n" + head + b"# half" * 10_000
        )
        _wait_for(lambda: any(received.iterdir()))
    _wait_for(lambda: not any(received.iterdir()))
    assert "half.md" not in on_disk(small.index)


def test_more_uploads_than_there_is_room_for_are_refused(index: MultimodalIndex) -> None:
    with running(index, ServerOptions(uploads=2)) as up:
        with up.state.uploads.receiving(), up.state.uploads.receiving():
            refused = send(up.client, ("a.md", b"# a"))
            assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
        assert sent_and_read(up.client, ("a.md", b"# a"))[0]["state"] == "done"


def _send_at_once(up: RunningServer, contents: list[bytes], **more: Any) -> None:
    threads = [threading.Thread(target=send, args=(up.client, ("a.md", content)), kwargs=more) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_same_name_at_the_same_time_is_so_many_documents(index: MultimodalIndex) -> None:
    contents = [f"# version {n % 3}".encode() for n in range(6)]
    with running(index) as up:
        _send_at_once(up, contents)
        for upload in up.client.get("/api/uploads").json():
            (file,) = wait_until_done(up.client, upload["id"])["files"]
            assert (file["state"] in ("done", "unchanged"), file["reason"]) == (True, None)
        assert on_disk(index) == ["a (2).md", "a (3).md", "a.md"]
        assert sorted(page.payload["text"] for page in index.pages()) == ["# version 0", "# version 1", "# version 2"]


def test_the_same_name_at_the_same_time_is_one_document_whole_if_it_replaces(index: MultimodalIndex) -> None:
    with running(index) as up:
        contents = [f"# version {n}\n\n{'words ' * n}".encode() for n in range(6)]
        _send_at_once(up, contents, data={"replace": "true"})
        for upload in up.client.get("/api/uploads").json():
            files = wait_until_done(up.client, upload["id"])["files"]
            assert [(file["state"], file["reason"]) for file in files] == [("done", None)]
        (document,) = listed(up.client)
        assert (document["name"], document["state"], document["pages"]) == ("a.md", "done", 1)
        last = (index.directory / "uploads" / tenant_folder("") / "a.md").read_bytes()
        assert last in contents
        assert [page.payload["text"] for page in index.pages()] == [last.decode().strip()]


def _wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(200):
        if happened():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it did not happen")

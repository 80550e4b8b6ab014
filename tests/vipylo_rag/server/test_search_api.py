"""Search over HTTP: by text, by picture, by both; filters; what is refused; what there is."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.vipylo_rag.conftest import write_pdf
from tests.vipylo_rag.server.conftest import LEASE, RunningServer, document_id


def red_disc() -> bytes:
    """The picture that is indexed, as a file."""
    image = Image.new("RGB", (240, 180), "white")
    ImageDraw.Draw(image).ellipse((40, 20, 180, 160), fill="red")
    target = io.BytesIO()
    image.save(target, "PNG")
    return target.getvalue()


def test_text_finds_the_page_that_says_it(server: RunningServer) -> None:
    first = server.search("tiền đặt cọc", top_k=3)[0]
    assert (first["name"], first["page"], first["rank"]) == ("thuê nhà.pdf", 1, 1)
    assert "đặt cọc" in first["snippet"]
    assert {box["text"].strip(",") for box in first["boxes"]} == {"tiền", "đặt", "cọc"}
    assert all(0 <= box[side] <= 1 for box in first["boxes"] for side in ("x0", "y0", "x1", "y1"))
    assert first["document"] == document_id(server.index, "thuê nhà.pdf")


def test_get_and_post_give_the_same(server: RunningServer) -> None:
    fields = {"text": "annual leave", "top_k": 3, "mode": "dense", "where": '{"kind": "pdf"}'}
    asked = server.client.get("/api/search", params=fields).json()
    sent = server.client.post("/api/search", data=fields).json()
    assert asked["hits"] == sent["hits"] and asked["hits"][0]["name"] == "labour.pdf"


def test_a_picture_finds_itself(server: RunningServer) -> None:
    answer = server.client.post("/api/search", files={"images": ("x.png", red_disc())}, data={"mode": "dense"}).json()
    assert (answer["images"], answer["hits"][0]["name"]) == (1, "red.png")
    assert answer["hits"][0]["score"] > 0.999


def test_text_and_picture_are_one_query(server: RunningServer) -> None:
    both = {"data": {"text": LEASE, "mode": "dense"}, "files": {"images": ("x.png", red_disc())}}
    mixed = server.client.post("/api/search", **both).json()["hits"]  # type: ignore[arg-type]
    alone = server.search(LEASE, mode="dense")
    assert mixed[0]["score"] != alone[0]["score"]


def test_a_pdf_or_a_dicom_file_is_a_picture_too(server: RunningServer, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    pdf = write_pdf(tmp_path / "q.pdf", ["labour contract of an engineer", "second page", "third"])
    found = server.client.post("/api/search", files={"images": ("q.pdf", pdf.read_bytes())})
    assert (found.status_code, found.json()["images"]) == (200, 1)
    # The reader that was stopped behind the first page reads on.
    dicom = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    assert server.client.post("/api/search", files={"images": ("q", dicom)}).json()["images"] == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n broken", "picture 1"),
        ("a.pdf", b"%PDF-1.4 broken", "picture 1"),
        ("a.xyz", b"\x00\x01\x02", "no loader"),
        ("a.png", b"", "picture 1"),
        ("a.docx", b"PK\x03\x04 broken", "picture 1"),
    ],
)
def test_what_is_no_picture_is_told(server: RunningServer, name: str, content: bytes, says: str) -> None:
    answer = server.client.post("/api/search", files={"images": (name, content)})
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


def test_an_empty_field_of_a_form_is_no_picture(server: RunningServer) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="images"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\nlease\r\n--b--\r\n'
    )
    answer = server.client.post(
        "/api/search", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert (answer.status_code, answer.json()["images"]) == (200, 0)


def test_pictures_leave_no_files(server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for content in (red_disc(), b"broken"):
        server.client.post("/api/search", files={"images": ("x.png", content)})
    assert list(tmp_path.iterdir()) == []


def test_filters(server: RunningServer) -> None:
    lease, labour = (document_id(server.index, name) for name in ("thuê nhà.pdf", "labour.pdf"))

    def names(where: Any) -> set[str]:
        return {hit["name"] for hit in server.search("hợp đồng contract", top_k=50, where=json.dumps(where))}

    assert names({"kind": "image"}) == {"red.png"}
    assert names({"document": lease}) == {"thuê nhà.pdf"}
    assert names({"document": [lease, labour]}) == {"thuê nhà.pdf", "labour.pdf"}
    assert names({"document": lease, "page": {"gte": 9}}) == set()
    assert names({"document": "00000000-0000-0000-0000-000000000000"}) == set()
    assert names({"document": []}) == set()
    assert "labour.pdf" not in names({"document": {"not": labour}})
    assert names({"any": [{"document": labour}, {"kind": "image"}]}) == {"labour.pdf", "red.png"}
    assert names({}) == names(None) == {"thuê nhà.pdf", "labour.pdf", "red.png", "发票.md"}


@pytest.mark.parametrize(
    "where",
    ["{", "[]", "1", '"x"', '{"nope": 1}', '{"page": {"gte": NaN}}', '{"page": {"gte": 1e999}}', '{"page": 1e400}',
     '{"page": ' + "9" * 400 + "}", '{"page": ' + "9" * 5000 + "}", '{"kind": "\\ud800"}', '{"\\ud800": 1}',
     '{"not": ' * 900 + "{}" + "}" * 900, "[" * 100_000, '{"not": ' * 30 + '{"page": 1}' + "}" * 30,
     '{"document": ' + "[" * 900 + '"x"' + "]" * 900 + "}", '{"document": ' + '{"not": ' * 900 + '"x"' + "}" * 901,
     '{"document": 1}', '{"document": {"gte": "x"}}', '{"document": "x", "source": "y"}', '{"tenant": ""}',
     '{"kind": ' + '"' + "x" * 100_001 + '"}'],
)  # fmt: skip
def test_filters_that_cannot_be_are_told(server: RunningServer, where: str) -> None:
    answer = server.client.post("/api/search", data={"text": "x", "where": where})
    assert answer.status_code == 422, answer.text
    assert len(answer.json()["detail"]) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["kind", "page", "document", "any", "all", "not", "in", "gte", "lt", "exists", "width", "", "source"]
    ) | st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=json_values, text=st.text(max_size=20), mode=st.sampled_from(["hybrid", "dense", "lexical", "x", ""]))
def test_whatever_is_asked_is_answered(server: RunningServer, where: Any, text: str, mode: str) -> None:
    said = {"text": text.encode("utf-8", "replace"), "mode": mode, "where": json.dumps(where).encode()}
    answer = server.client.post("/api/search", data=said)
    assert answer.status_code in (200, 422), answer.text
    asked = server.client.get("/api/search", params={"text": text.encode("utf-8", "replace"), "top_k": 1})
    assert asked.status_code in (200, 422), asked.text


def test_facets_count_pages(server: RunningServer) -> None:
    facets = server.client.get("/api/facets").json()
    assert {one["value"]: one["pages"] for one in facets["kinds"]} == {"pdf": 5, "image": 1, "text": 1}
    assert {one["label"]: one["pages"] for one in facets["documents"]}["thuê nhà.pdf"] == 3
    assert document_id(server.index, "thuê nhà.pdf") in {one["value"] for one in facets["documents"]}


def test_info_says_what_the_server_takes(server: RunningServer) -> None:
    info = server.client.get("/api/info").json()
    assert (info["pages"], info["documents"], info["failed"], info["writable"]) == (7, 4, 0, False)
    assert (info["embedder"], info["llm"]) == ("starter", None)
    assert info["limits"]["images"] == 5


def test_health_and_documentation(server: RunningServer) -> None:
    assert server.client.get("/healthz").json() == {"status": "ok"}
    docs = server.client.get("/docs")
    assert "/api/search" in docs.text and "<script" not in docs.text and "://" not in docs.text.replace("http://", "")
    assert server.client.get("/docs.css").headers["content-type"].startswith("text/css")
    assert set(re.findall(r'href="#(\w+)"', docs.text)) <= set(re.findall(r'id="(\w+)"', docs.text))
    assert "<code>images</code>?</td><td>list of file" in docs.text
    document = server.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()}</span> <code>{path}</code>" in docs.text

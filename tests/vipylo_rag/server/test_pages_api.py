"""Pages over HTTP: detail, picture, thumbnail, explanation."""

import asyncio
import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from connectors.errors import DocumentError
from connectors.stores.protocol import Point
from embedder.errors import InputError
from tests.vipylo_rag.server.conftest import LEASE, RunningServer
from vipylo_rag.search import Hit
from vipylo_rag.server import thumbnails as thumbnails_module
from vipylo_rag.server.thumbnails import SIDE, Thumbnails


def first(server: RunningServer, text: str = LEASE) -> str:
    """The id of the best page for a text."""
    id_: str = server.search(text)[0]["id"]
    return id_


def test_a_page_whole(server: RunningServer) -> None:
    page = server.client.get(f"/api/pages/{first(server)}").json()
    assert (page["name"], page["page"], page["pages"], page["kind"]) == ("thuê nhà.pdf", 1, 3, "pdf")
    assert LEASE in " ".join(page["text"].split())
    assert page["previous"] is None
    names = []
    while page["next"]:
        following = server.client.get(f"/api/pages/{page['next']}").json()
        assert following["previous"] == page["id"]
        page = following
        names.append((page["name"], page["page"]))
    assert names == [("thuê nhà.pdf", 2), ("thuê nhà.pdf", 3)]


def test_its_picture_is_kept_by_caches_only_under_the_address_that_names_it(server: RunningServer) -> None:
    hit = server.search(LEASE)[0]
    picture = server.client.get(hit["image"])
    assert Image.open(io.BytesIO(picture.content)).size == (hit["width"], hit["height"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert "immutable" in picture.headers["cache-control"] and "private" in picture.headers["cache-control"]
    unnamed = server.client.get(f"/api/pages/{hit['id']}/image")
    assert unnamed.headers["cache-control"] == "private, no-cache"
    for address in (hit["image"], hit["thumbnail"]):
        etag = server.client.get(address).headers["etag"]
        again = server.client.get(address, headers={"If-None-Match": f'"x", W/{etag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert server.client.get(address, headers={"If-None-Match": '"x"'}).status_code == 200


def test_a_thumbnail_is_small(server: RunningServer) -> None:
    answer = server.client.get(server.search(LEASE)[0]["thumbnail"])
    small = Image.open(io.BytesIO(answer.content))
    assert (small.format, max(small.size)) == ("WEBP", SIDE)
    assert len(answer.content) < 30_000


def test_thumbnails_are_made_once_however_many_ask(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    real = thumbnails_module.thumbnail
    begun, go_on = threading.Event(), threading.Event()

    def slow(picture: Path) -> bytes:
        made.append(picture)
        begun.set()
        assert go_on.wait(10)
        return real(picture)

    monkeypatch.setattr(thumbnails_module, "thumbnail", slow)
    monkeypatch.setattr(server.app.state, "thumbnails", Thumbnails())
    address = server.search("red")[0]["thumbnail"]
    with ThreadPoolExecutor(8) as callers:
        asked = [callers.submit(server.client.get, address) for _ in range(8)]
        assert begun.wait(10)
        go_on.set()
        assert len({answer.result().content for answer in asked}) == 1
    assert len(made) == 1


def test_thumbnails_are_kept_while_there_is_room(tmp_path: Path) -> None:
    pictures = []
    for number in range(6):
        pictures.append(tmp_path / f"{number}.png")
        Image.effect_noise((300, 300), 60 + number).save(pictures[-1])

    async def ask() -> tuple[int, list[int]]:
        one = len(await Thumbnails().of(pictures[0]))
        kept = Thumbnails(int(one * 3.5))
        held = []
        for picture in [*pictures, pictures[5], pictures[5]]:
            await kept.of(picture)
            held.append(kept.held)
        return kept.made, held

    made, held = asyncio.run(ask())
    assert made == 6  # the last two were there
    assert max(held) < 4 * min(held) and held[-1] == held[-2]


def test_a_caller_who_leaves_takes_no_thumbnail_from_others(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    Image.effect_noise((300, 300), 60).save(picture)

    async def ask() -> bytes:
        thumbnails = Thumbnails()
        leaving, staying = (asyncio.create_task(thumbnails.of(picture)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    assert asyncio.run(ask())


def test_a_damaged_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(DocumentError, match="ingest its document again"):
        asyncio.run(Thumbnails().of(tmp_path / "a.png"))


def test_a_picture_that_is_gone_is_told(writable_server: RunningServer) -> None:
    hit = writable_server.search(LEASE)[0]
    stored = writable_server.index.page(hit["id"]).image_path
    assert stored is not None
    stored.unlink()
    assert writable_server.client.get(hit["image"]).status_code == 404
    assert writable_server.client.get(hit["thumbnail"]).status_code == 422


def test_why_a_page_was_found(server: RunningServer) -> None:
    hit = server.search("tiền đặt cọc", mode="dense")[0]
    why = server.client.post(f"/api/pages/{hit['id']}/explain", data={"text": "tiền đặt cọc"}).json()
    assert why["score"] == pytest.approx(hit["score"], abs=1e-3)
    assert why["text_share"] + why["picture_share"] + why["other_share"] == pytest.approx(why["score"], abs=1e-4)
    picture = why["picture"]
    assert len(picture["shares"]) == picture["rows"] * picture["columns"]
    assert sum(picture["shares"]) == pytest.approx(why["picture_share"], abs=1e-3)
    assert [word["text"] for word in why["query_words"]] == ["tiền", "đặt", "cọc"]
    assert {"tiền", "đặt", "cọc"} & {word["text"].strip(",") for word in why["words"][:5]}
    assert {box["text"].strip(",") for box in why["boxes"]} == {"tiền", "đặt", "cọc"}


def test_explanations_leave_threads_to_others(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits in a thread for the model: sixty of them kept lists and pages waiting for a minute."""
    goes_on, most = threading.Event(), server.state.options.explanations

    def held_up(*_: object) -> None:
        goes_on.wait(30)
        raise InputError("held up long enough")

    monkeypatch.setattr(Hit, "explain", held_up)
    address = f"/api/pages/{first(server)}/explain"

    def ask(_: int) -> int:
        return server.client.post(address, data={"text": LEASE}).status_code

    with ThreadPoolExecutor(most) as callers:
        held = [callers.submit(ask, number) for number in range(most)]
        while server.state.explanations.taken < most:
            time.sleep(0.01)
        refused = server.client.post(address, data={"text": LEASE})
        assert (refused.status_code, server.client.get("/api/facets").status_code) == (429, 200)
        assert int(refused.headers["retry-after"]) >= 1
        goes_on.set()
        assert {one.result() for one in held} == {422}
    assert server.state.explanations.taken == 0


def test_an_explanation_needs_a_query(server: RunningServer) -> None:
    answer = server.client.post(f"/api/pages/{first(server)}/explain")
    assert (answer.status_code, "the query is empty" in answer.text) == (422, True)


def test_a_page_of_text_only_has_no_picture(writable_server: RunningServer) -> None:
    store = writable_server.index.store
    (stored,) = store.get([first(writable_server)], with_vectors=True)
    payload = {name: value for name, value in stored.payload.items() if name not in ("asset", "width", "height")}
    assert stored.vector is not None
    store.upsert([Point(stored.id, stored.vector, payload["text"], payload)])
    page = writable_server.client.get(f"/api/pages/{stored.id}").json()
    assert (page["image"], page["thumbnail"], page["width"]) == (None, None, None)
    assert writable_server.client.get(f"/api/pages/{stored.id}/image").status_code == 404
    assert writable_server.client.get(f"/api/pages/{stored.id}/thumbnail").status_code == 404
    why = writable_server.client.post(f"/api/pages/{stored.id}/explain", data={"text": LEASE}).json()
    assert (why["picture"], why["heat"], why["picture_share"]) == (None, None, 0)


@pytest.mark.parametrize("id_", ["x", "1", "%00", "..%2f..", "f" * 5000, "{" + "0" * 32 + "}"])
def test_ids_that_are_none(server: RunningServer, id_: str) -> None:
    assert server.client.get(f"/api/pages/{id_}").status_code in (404, 422)

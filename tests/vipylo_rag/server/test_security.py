"""Who may ask: host names, origins, keys, sessions; and what every answer carries."""

import http.client
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder.errors import InputError
from tests.vipylo_rag.server.conftest import TENANT_KEYS, RunningServer
from vipylo_rag.server.app import create_app
from vipylo_rag.server.errors import without_folders
from vipylo_rag.server.keys import Keys
from vipylo_rag.server.options import ServerOptions
from vipylo_rag.server.security import HEADERS, is_loopback
from vipylo_rag.server.sessions import COOKIE, MOST, SECONDS, Sessions

KEY = "a-key-of-24-characters-.."


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_names_that_others_can_point_here_are_refused(server: RunningServer, host: str) -> None:
    answer = server.client.get("/api/info", headers={"Host": host})
    assert answer.status_code in (400, 403)
    assert "pages" not in answer.json()


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:9", "LOCALHOST"])
def test_names_of_this_machine_are_answered_to(server: RunningServer, host: str) -> None:
    assert server.client.get("/api/info", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(server: RunningServer, headers: dict[str, str]) -> None:
    answer = server.client.post("/api/search", data={"text": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (403, "a page of another site cannot change anything here")


def test_the_servers_own_page_and_other_programs_may(server: RunningServer) -> None:
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert server.client.post("/api/search", data={"text": "x"}, headers=own).status_code == 200
    assert server.client.post("/api/search", data={"text": "x"}).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/info", "/no/such", "/api/pages/x", "/docs", "/openapi.json"])
def test_every_answer_carries_the_security_headers(server: RunningServer, path: str) -> None:
    answer = server.client.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_errors_before_any_route_carry_them_too(server: RunningServer, tenants_server: RunningServer) -> None:
    for answer in (
        server.client.get("/api/info", headers={"Host": "evil.example"}),
        tenants_server.client.get("/api/info"),
        server.client.request("PUT", "/api/search"),
    ):
        assert answer.status_code in (403, 401, 405)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert answer.headers["cache-control"] == "no-store"


def test_a_bug_is_an_answer_without_its_traceback(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret /srv/data/x")

    monkeypatch.setattr(server.index, "facet", broken)
    answer = server.client.get("/api/facets")
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed: its log says why"})
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


def test_without_a_key_only_what_holds_no_documents_is_shown(tenants_server: RunningServer) -> None:
    paths = tenants_server.app.openapi()["paths"]
    assert len(paths) > 10
    open_to_all = set()
    for path, operations in paths.items():
        for method in operations:
            shown = path.replace("{id}", "00000000-0000-0000-0000-000000000000")
            if tenants_server.client.request(method, shown).status_code != 401:
                open_to_all.add((method, path))
    # "delete": ends the caller's own session. "post" without a body: 422.
    assert open_to_all == {("get", "/healthz"), ("post", "/api/session"), ("delete", "/api/session")}


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong-key-0123456789", "Basic YmxhY2s6a2V5", "bearer  x", "Bearer " + "k" * 5000],
)
def test_wrong_keys_are_refused(tenants_server: RunningServer, authorization: str) -> None:
    answer = tenants_server.client.get("/api/info", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_key_lets_in_whatever_the_host_is_called(tenants_server: RunningServer) -> None:
    headers = {"Authorization": f"Bearer {TENANT_KEYS['blue']}", "Host": "rag.example"}
    assert tenants_server.client.get("/api/info", headers=headers).json()["pages"] == 3


def test_a_session_stands_for_its_key_until_it_is_ended(tenants_server: RunningServer) -> None:
    with httpx.Client(base_url=tenants_server.url) as browser:
        begun = browser.post("/api/session", json={"key": TENANT_KEYS["green"]})
        assert begun.status_code == 204
        cookie = begun.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
        assert TENANT_KEYS["green"] not in cookie
        assert browser.get("/api/info").json()["pages"] == 2
        # A wrong key is not made good by the cookie.
        assert browser.get("/api/info", headers={"Authorization": "Bearer nope"}).status_code == 401
        kept = browser.cookies[COOKIE]
        assert browser.delete("/api/session").status_code == 204
        assert browser.get("/api/info", headers={"Cookie": f"{COOKIE}={kept}"}).status_code == 401


def test_under_https_the_cookie_is_for_https_alone(tenants_server: RunningServer) -> None:
    headers = {"X-Forwarded-Proto": "https", "Host": "rag.example", "Origin": "https://rag.example"}
    begun = tenants_server.client.post("/api/session", json={"key": TENANT_KEYS["blue"]}, headers=headers)
    assert "Secure" in begun.headers["set-cookie"]


@pytest.mark.parametrize("cookie", [f"{COOKIE}=x", f"{COOKIE}=", f"{COOKIE}", f"a=b; {COOKIE}=é", f'{COOKIE}="; x'])
def test_cookies_that_nobody_gave_are_refused(tenants_server: RunningServer, cookie: str) -> None:
    answer = tenants_server.client.get("/api/info", headers={"Cookie": cookie.encode()})
    assert answer.status_code == 401


def test_a_wrong_key_opens_no_session(tenants_server: RunningServer) -> None:
    for key in ("", "wrong-key-0123456789", "ключ", "\x00", KEY):
        answer = tenants_server.client.post("/api/session", json={"key": key})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_sessions_end_by_themselves_and_are_few_for_each_tenant() -> None:
    now = 0.0
    sessions = Sessions(clock=lambda: now)
    others = sessions.begin("other")
    mine = [sessions.begin("me") for _ in range(MOST + 1)]
    assert [sessions.tenant_of(mine[0]), sessions.tenant_of(mine[1]), sessions.tenant_of(others)] == [
        None,
        "me",
        "other",
    ]
    assert len(sessions) == MOST + 1
    now = SECONDS - 1.0
    assert sessions.tenant_of(others) == "other"
    now = SECONDS + 1.0
    assert sessions.tenant_of(others) is None
    assert len(sessions) == MOST


def test_every_key_is_compared_however_soon_one_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    keys = Keys.of({f"t{n}": f"{KEY}{n}" for n in range(5)})

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr("vipylo_rag.server.keys.hmac.compare_digest", compare)
    for key, tenant in ((f"{KEY}0", "t0"), (f"{KEY}4", "t4"), ("nothing", None), ("", None)):
        compared.clear()
        assert keys.tenant_of(key) == tenant
        assert len(compared) == 5
        assert {len(side) for pair in compared for side in pair} == {32}


def test_keys_are_not_shown(tmp_path: Path) -> None:
    assert KEY not in repr(Keys.of({"": KEY})) + str(Keys.of({"": KEY}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("blue: short", "has 5 characters"),
        ("blue: 1234567890123456", "no text"),
        ("blue: [1234567890123456]", "no text"),
        ("- a", "no mapping"),
        ("", "no mapping"),
        ("{}", "holds no key"),
        ("blue: []", "holds no key"),
        ("a: [", "no YAML"),
        (f"blue: {KEY}\ngreen: {KEY}", "same key"),
        (f"blue: '{KEY} x'", "spaces"),
        (f"blue: '{KEY}đ'", "ASCII"),
        (f"' blue': {KEY}", "space at either end"),
        ("!!python/object/apply:os.system ['true']", "no YAML"),
    ],
)
def test_a_file_of_keys_that_cannot_be_is_refused_without_telling_a_key(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says) as raised:
        Keys.read(file)
    assert KEY not in str(raised.value)


def test_keys_of_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(f'blue: [{KEY}1, {KEY}2]\n"": {KEY}3\n', encoding="utf-8")
    file.chmod(0o600)
    keys = Keys.read(file)
    assert [keys.tenant_of(f"{KEY}{n}") for n in range(4)] == [None, "blue", "blue", ""]
    assert not caplog.records
    file.chmod(0o644)
    Keys.read(file)
    assert "can be read by everyone" in caplog.text


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "rag.example", "127.evil.example", "localhost.example"]
)
def test_where_others_reach_it_a_key_is_needed(server: RunningServer, host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(InputError, match="--keys FILE"):
        create_app(server.index, ServerOptions(host=host), Keys())
    create_app(server.index, ServerOptions(host=host), Keys.of({"": KEY}))


def test_another_tenants_pages_are_as_if_they_were_not(
    tenants_server: RunningServer, as_tenant: Callable[[str], httpx.Client]
) -> None:
    pages = {
        tenant: [point.id for point in tenants_server.index.pages(tenant=tenant)] for tenant in ("blue", "green", "")
    }
    assert all(pages.values())
    for caller in ("blue", "green"):
        client = as_tenant(caller)
        for owner, ids in pages.items():
            for id_ in ids:
                answers = [
                    client.get(f"/api/pages/{id_}"),
                    client.get(f"/api/pages/{id_}/image"),
                    client.get(f"/api/pages/{id_}/thumbnail"),
                    client.post(f"/api/pages/{id_}/explain", data={"text": "lease"}),
                ]
                if owner == caller:
                    assert {answer.status_code for answer in answers} == {200}
                else:
                    nobody = client.get("/api/pages/00000000-0000-0000-0000-000000000000")
                    assert {(answer.status_code, answer.text) for answer in answers} == {(404, nobody.text)}


def test_lists_hold_the_callers_own(tenants_server: RunningServer, as_tenant: Callable[[str], httpx.Client]) -> None:
    mine = {"blue": {"blue.pdf", "blue.png"}, "green": {"green.pdf", "green.png"}}
    for tenant, names in mine.items():
        client = as_tenant(tenant)
        assert {one["label"] for one in client.get("/api/facets").json()["documents"]} == names
        for mode in ("hybrid", "dense", "lexical"):
            hits = client.post("/api/search", data={"text": "lease", "top_k": 100, "mode": mode}).json()["hits"]
            assert hits and {hit["name"] for hit in hits} <= names
    others = {one["value"] for one in as_tenant("green").get("/api/facets").json()["documents"]}
    for document in others:
        answer = as_tenant("blue").get(
            "/api/search", params={"text": "lease", "where": f'{{"document": "{document}"}}'}
        )
        assert (answer.status_code, answer.json()["hits"]) == (200, [])
    asked = {"text": "lease", "where": '{"any": [{"tenant": "green"}]}'}
    assert as_tenant("blue").get("/api/search", params=asked).status_code == 422


def test_no_answer_names_a_folder_of_the_machine(server: RunningServer, tmp_path: Path) -> None:
    folder = str(server.index.directory.parent)
    page = server.search("hợp đồng")[0]["id"]
    shown = [
        server.client.post("/api/search", data={"text": "x", "where": '{"nope": 1}'}),
        server.client.post("/api/search", files={"images": ("a.pdf", b"%PDF-1.4 broken")}),
        server.client.post("/api/search", files={"images": ("../../etc/passwd", b"\x00\x01")}),
        server.client.post("/api/search", files={"images": ("a.png", b"\x89PNG\r\n\x1a\n broken")}),
        server.client.post(f"/api/pages/{page}/explain", files={"images": ("a.dcm", b"\x00" * 128 + b"DICM")}),
        server.client.get(f"/api/pages/{page}"),
        server.client.get("/api/info"),
        server.client.get("/api/facets"),
        server.client.get("/openapi.json"),
    ]
    for answer in shown:
        assert answer.status_code in (200, 422)
        assert folder not in answer.text
        assert not re.search(r"/(home|tmp|var|usr|root)/", answer.text), answer.text


@given(st.lists(st.text("abcZ9._-đ", min_size=1), min_size=2, max_size=5), st.sampled_from(["/", "C:\\", "\\\\host\\"]))
def test_paths_in_messages_are_cut_to_their_last_name(parts: list[str], root: str) -> None:
    separator = "/" if root == "/" else "\\"
    cut = without_folders(f"'{root}{separator.join(parts)}' cannot be read: and/or not")
    assert cut == f"'{parts[-1]}' cannot be read: and/or not"


def test_folders_with_spaces_are_hidden_where_they_are_known() -> None:
    assert without_folders("/data/my index/assets/ab/x.png: gone", ("/data/my index",)) == "assets/ab/x.png: gone"


def test_paths_of_requests_open_no_files(server: RunningServer) -> None:
    for path in (
        "/static/../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static//etc/passwd",
        "/api/pages/..%2f/image",
    ):
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status in (404, 422)
        assert b"root:" not in answer.read()
        connection.close()

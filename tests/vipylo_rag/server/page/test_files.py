"""The web page's files: types, caching, names that are none, and words for everything in three languages."""

import re

import pytest

from tests.vipylo_rag.server.conftest import RunningServer
from vipylo_rag.server.page import page_files

LANGUAGES = ("vi", "en", "zh")


def words(language: str) -> dict[str, str]:
    source = page_files()[f"lang/{language}.js"].content.decode()
    return dict(re.findall(r'^  "?([\w.]+)"?: "(.*)",$', source, re.MULTILINE))


def test_files_have_their_types_and_a_strict_policy(server: RunningServer) -> None:
    front = server.client.get("/")
    assert front.status_code == 200
    assert front.headers["content-type"] == "text/html; charset=utf-8"
    assert "'unsafe-inline'" not in front.headers["content-security-policy"]
    for name, media_type in {
        "main.js": "text/javascript; charset=utf-8",
        "base.css": "text/css; charset=utf-8",
        "icons.svg": "image/svg+xml",
        "lang/vi.js": "text/javascript; charset=utf-8",
    }.items():
        assert server.client.get(f"/static/{name}").headers["content-type"] == media_type


def test_an_unchanged_file_is_not_sent_again(server: RunningServer) -> None:
    first = server.client.get("/static/main.js")
    again = server.client.get("/static/main.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    changed = server.client.get("/static/main.js", headers={"If-None-Match": '"other"'})
    assert changed.content == first.content


@pytest.mark.parametrize(
    "name",
    [
        "",
        "none.js",
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/schemas.py",
        "lang/../../page.py",
        "/etc/passwd",
        "lang",
        "lang/",
    ],
)
def test_no_other_file_is_reached(server: RunningServer, name: str) -> None:
    assert server.client.get(f"/static/{name}").status_code == 404


def test_every_word_is_there_in_every_language() -> None:
    everywhere = {language: words(language) for language in LANGUAGES}
    plain = {language: {key for key in said if not key.endswith("_one")} for language, said in everywhere.items()}
    assert plain["vi"] == plain["en"] == plain["zh"]
    assert len(plain["vi"]) > 150
    for key in plain["vi"]:
        blanks = {language: set(re.findall(r"\{(\w+)\}", said[key])) for language, said in everywhere.items()}
        assert blanks["vi"] == blanks["en"] == blanks["zh"], key


def test_every_key_that_the_page_uses_is_known_and_every_word_is_used() -> None:
    sources = {name: file.content.decode() for name, file in page_files().items() if not name.startswith("lang/")}
    code = "\n".join(sources.values())
    asked = set(re.findall(r'\bt\(\s*"([\w.]+)"', code)) | set(re.findall(r'data-t(?:-\w+)?="([\w.]+)"', code))
    known = {key.removesuffix("_one") for key in words("vi")}
    assert asked <= known
    made = {"mode", "kind", "state", "theme", "upload", "why", "results", "graph"}  # t(`mode.${mode}.hint`) and so on
    assert {key for key in known - asked if key.split(".")[0] not in made and f'"{key}"' not in code} == set()


def test_no_script_or_style_stands_in_the_markup() -> None:
    markup = page_files()["index.html"].content.decode()
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=", markup)
    code = "".join(file.content.decode() for name, file in page_files().items() if name.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", code)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", markup + code)

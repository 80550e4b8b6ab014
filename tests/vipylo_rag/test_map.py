"""A map of a real index: what is in the file, what is left out, and that no name or text can be more than data."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from embedder import ColPaLiQwenEmbedder
from embedder.errors import InputError
from tests.vipylo_rag.command_line import vipylo
from tests.vipylo_rag.conftest import write_picture
from vipylo_rag import FilterError, MultimodalIndex
from vipylo_rag.map import shown_names, write_map
from vipylo_rag.one_file_page import as_data

HOSTILE = "</script><script>document.title='owned'</script><!-- \u2028\u2029 \"'`${x} & <img src=x onerror=alert(1)>"
HOSTILE_NAME = "a</script><img src=x onerror=alert(1)>'&\u2028\u202egpj.md"


class Elements(HTMLParser):
    """The elements of a page as a browser's parser sees them, with what stands in scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append((dict(attributes), ""))

    def handle_data(self, text: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.scripts:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + text)


def parsed(file: Path) -> Elements:
    elements = Elements()
    elements.feed(file.read_text(encoding="utf-8"))
    return elements


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(parsed(file).scripts[0][1])
    return found


def pictures(file: Path) -> list[bytes]:
    return [base64.b64decode(one) for one in json.loads(parsed(file).scripts[1][1])]


@pytest.fixture(scope="module")
def hostile_directory(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    """Documents of two tenants; names and texts that would break out of a careless page; a picture twice."""
    folder = tmp_path_factory.mktemp("map")
    mine, theirs = folder / "mine", folder / "theirs"
    (mine / "sub").mkdir(parents=True)
    theirs.mkdir()
    (mine / HOSTILE_NAME.replace("/", "∕")).write_text(HOSTILE, encoding="utf-8")
    (mine / "note.md").write_text("biên bản họp ngày 5 tháng 3", encoding="utf-8")
    write_picture(mine / "red.png", "red")
    shutil.copyfile(mine / "red.png", mine / "sub" / "red again.png")
    write_picture(mine / "blue.png", "blue")
    (theirs / "secret.md").write_text("mật khẩu của chúng tôi", encoding="utf-8")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(mine)
        index.ingest(theirs, tenant="them")
    return folder / "index"


@pytest.fixture(scope="module")
def mapped(hostile_directory: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Any:
    """The index, open for the module; nothing here changes it."""
    with MultimodalIndex.open(hostile_directory, embedder=tiny_embedder) as index:
        yield index


def test_the_file_holds_every_page_with_its_picture(mapped: MultimodalIndex, tmp_path: Path) -> None:
    told: list[str] = []
    report = write_map(mapped, tmp_path / "map.html", progress=lambda stage, done, total: told.append(stage))
    held = content(report.file)
    assert report.pages == report.held == len(held["x"]) == len(mapped.pages())
    assert report.bytes == report.file.stat().st_size
    assert report.documents == 5 and "sub/red again.png" in held["sources"]
    assert list(dict.fromkeys(told)) == ["read", "compare", "match", "lay out", "pictures", "write"]
    # The copy shares its picture with the original.
    assert report.pictures == len(pictures(report.file)) == report.pages - 1
    for row, picture in enumerate(held["picture"]):
        with Image.open(BytesIO(pictures(report.file)[picture])) as small:
            stored = mapped.store.get([mapped.pages()[row].id])[0].payload
            assert small.format == "WEBP"
            assert small.width / small.height == pytest.approx(stored["width"] / stored["height"], abs=0.02)
    assert all(0 <= value <= 65535 for value in held["x"] + held["y"])


def test_a_copy_is_a_near_duplicate(mapped: MultimodalIndex, tmp_path: Path) -> None:
    report = write_map(mapped, tmp_path / "map.html", duplicates=0.9999)
    held = content(report.file)
    (group,) = [group for group in held["groups"] if group["same"]]
    assert {held["sources"][held["source"][row]] for row in group["members"]} == {"red.png", "sub/red again.png"}
    assert group["least"] == 1.0
    assert all(held["group"][row] == held["groups"].index(group) for row in group["members"])


def test_names_and_texts_are_data_only(mapped: MultimodalIndex, tmp_path: Path) -> None:
    report = write_map(mapped, tmp_path / "map.html", title=HOSTILE)
    elements = parsed(report.file)
    assert [attributes.get("type") for attributes, _ in elements.scripts] == ["application/json"] * 2 + [None]
    assert "img" not in elements.tags
    held = content(report.file)
    assert held["title"] == HOSTILE
    assert any(text.startswith("</script><script>") for text in held["text"])
    assert HOSTILE_NAME.replace("/", "∕") in held["sources"]
    raw = report.file.read_text(encoding="utf-8")
    assert "\u2028" not in raw and "onerror=alert(1)>" not in raw
    assert "'unsafe" not in raw and re.search(r"default-src 'none'; img-src data:; script-src 'sha256-", raw)


def test_data_is_json_that_no_text_can_end() -> None:
    texts = ["</script>", "<!--", "]]>", "\u2028\u2029", 'a"b\\c\n', "\x00\x7f", "đ😀"]
    written = as_data(texts)
    assert json.loads(written) == texts
    assert not set(written) & set(b"<>&")
    assert json.loads(as_data(["\udc80"])) == ["?"]  # a name that is no valid text


def test_other_tenants_never_show(mapped: MultimodalIndex, tmp_path: Path) -> None:
    for tenant, other in (("", "secret.md"), ("them", "note.md")):
        report = write_map(mapped, tmp_path / f"{tenant}map.html", tenant=tenant, where={"page": {"gte": 1}})
        raw = report.file.read_text(encoding="utf-8")
        assert other not in raw and ("mật khẩu" in raw) == (tenant == "them")
        assert report.held == len(mapped.pages(tenant=tenant))
    with pytest.raises(InputError, match="no page to show"):
        write_map(mapped, tmp_path / "none.html", tenant="nobody")
    assert not (tmp_path / "none.html").exists()


def test_filters(mapped: MultimodalIndex, tmp_path: Path) -> None:
    report = write_map(mapped, tmp_path / "map.html", where={"kind": "image"})
    assert report.pages == 3 and content(report.file)["kinds"] == ["image"]
    with pytest.raises(FilterError):
        write_map(mapped, tmp_path / "map.html", where={"nothing": 1})


def test_limit_takes_a_sample_and_says_so(mapped: MultimodalIndex, tmp_path: Path) -> None:
    whole = write_map(mapped, tmp_path / "whole.html")
    first, again = (write_map(mapped, tmp_path / name, limit=2) for name in ("a.html", "b.html"))
    assert first.pages == 2 and first.held == whole.pages == content(first.file)["held"]
    assert first.file.read_bytes() == again.file.read_bytes()


def test_pictures_stay_within_their_bytes(mapped: MultimodalIndex, tmp_path: Path) -> None:
    whole = write_map(mapped, tmp_path / "map.html")
    used = sum(map(len, pictures(whole.file)))
    small = write_map(mapped, tmp_path / "map.html", picture_bytes=used // 3)
    assert small.pictures == whole.pictures and small.side < whole.side and not small.left_out
    few = write_map(mapped, tmp_path / "map.html", picture_bytes=700)
    assert 0 < few.pictures < whole.pictures and few.left_out == whole.pictures - few.pictures
    assert sum(map(len, pictures(few.file))) <= 700
    assert content(few.file)["pictures"]["left_out"] == few.left_out
    none = write_map(mapped, tmp_path / "map.html", picture_bytes=0)
    assert none.pictures == 0 and none.left_out == whole.pictures


def test_a_damaged_picture_costs_itself_only(filled: MultimodalIndex, tmp_path: Path) -> None:
    stored = sorted(path for path in filled.assets.rglob("*") if path.suffix in (".png", ".jpeg", ".webp"))
    stored[0].unlink()
    stored[1].write_bytes(b"no picture")
    report = write_map(filled, tmp_path / "map.html")
    assert report.unreadable == 2 and report.pictures == len(stored) - 2 and report.pages == len(filled.pages())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "tsne"}, "none of auto, umap, pca"),
        ({"limit": 0}, "limit=0"),
        ({"duplicates": 0.0}, "duplicates=0.0"),
        ({"duplicates": 1.5}, "duplicates=1.5"),
        ({"duplicates": float("nan")}, "duplicates=nan"),
        ({"picture_bytes": -1}, "picture_bytes=-1"),
        ({"most_pairs": -1}, "most_pairs=-1"),
        ({"tenant": " x"}, "tenant"),
    ],
)
def test_options_out_of_bounds(mapped: MultimodalIndex, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_map(mapped, tmp_path / "map.html", **options)
    assert not list(tmp_path.iterdir())


def test_nothing_but_a_map_is_replaced(mapped: MultimodalIndex, tmp_path: Path) -> None:
    other = tmp_path / "thesis.html"
    other.write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="is no map"):
        write_map(mapped, other)
    with pytest.raises(InputError, match="is no map"):
        write_map(mapped, tmp_path)
    with pytest.raises(InputError, match="no folder"):
        write_map(mapped, tmp_path / "missing" / "map.html")
    assert other.read_text(encoding="utf-8") == "years of work" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("sources", "shown"),
    [
        ([], []),
        (["/mine/docs/a.pdf"], ["a.pdf"]),
        (["/docs/a/x.pdf", "/docs/ab/x.pdf"], ["a/x.pdf", "ab/x.pdf"]),
        (["/docs/x.pdf", "/docs/z.zip!/in/y.pdf"], ["x.pdf", "z.zip!/in/y.pdf"]),
        (["/docs/z.zip", "/docs/z.zip/x"], ["z.zip", "z.zip/x"]),
        (["/a/x.pdf", "https://host/x.pdf"], ["/a/x.pdf", "https://host/x.pdf"]),
    ],
)
def test_names_without_the_folder_that_all_share(sources: list[str], shown: list[str]) -> None:
    assert shown_names(sources) == shown


def test_the_command(hostile_directory: Path, tmp_path: Path) -> None:
    index = shutil.copytree(hostile_directory, tmp_path / "index")  # the module has the other one open
    out = tmp_path / "map.html"
    done = vipylo("map", "--index", index, "--out", out, "--method", "pca", "--limit", 3, "--where", "page>=1")
    assert done.returncode == 0 and done.stderr == "", "bars are for terminals"
    assert "random sample of 3 of 5 pages" in done.stdout and "laid out by PCA" in done.stdout
    assert content(out)["held"] == 5
    refused = vipylo("map", "--index", index, "--out", out, "--where", "nothing=1")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr and refused.stderr.count("\n") == 1

"""Pages drawn from text: they show it, know where its words stand, and lose none of it."""

import html
import io
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from connectors.loaders.blocks import Block, Picture, Section, blocks_text
from connectors.loaders.html import HTMLLoader
from connectors.loaders.text import TextLoader, markdown_html
from connectors.loaders.typeset import typeset
from connectors.page import Page


def ink(page: Page, x0: float, y0: float, x1: float, y1: float) -> int:
    """Dark pixels in a box of fractions of the page's picture."""
    assert page.image is not None
    width, height = page.image.size
    box = page.image.crop((int(x0 * width), int(y0 * height), math.ceil(x1 * width), math.ceil(y1 * height))).convert(
        "L"
    )
    return sum(box.histogram()[:128])


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (80, 60), colour).save(file, "PNG")
    return file.getvalue()


def pages(path: Path) -> list[Page]:
    return [page for page in TextLoader().pages(path) if isinstance(page, Page)]


def test_words_stand_where_their_boxes_say(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Bộ luật Lao động\n\n劳动法 law", encoding="utf-8")
    (page,) = pages(path)
    assert [word.text for word in page.words] == ["Bộ", "luật", "Lao", "động", "劳", "动", "法", "law"]
    for word in page.words:
        assert 0 <= word.x0 < word.x1 <= 1 and 0 <= word.y0 < word.y1 <= 1
        assert ink(page, word.x0, word.y0, word.x1, word.y1) > 20
    last = page.words[-1]
    assert ink(page, last.x1 + 0.01, last.y0, 0.99, last.y1) == 0


def test_markdown_is_rendered_and_its_text_kept(tmp_path: Path) -> None:
    source = "# Tiêu đề\n\n| Điều | Nội dung |\n|---|---|\n| 1 | lao động |\n\n- một\n- hai\n\n```python\nx = 1\n```"
    (tmp_path / "a.md").write_text(source, encoding="utf-8")
    (tmp_path / "a.txt").write_text(source, encoding="utf-8")
    (rendered,), (plain,) = pages(tmp_path / "a.md"), pages(tmp_path / "a.txt")
    assert rendered.text == plain.text == source
    shown = [word.text for word in rendered.words]
    assert "#" not in shown and "|" not in shown and {"Tiêu", "Điều", "một", "x"} <= set(shown)
    assert "#" in [word.text for word in plain.words]


def test_nothing_that_markdown_names_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"x")
    for text in ('<img src="secret.png">', "![a picture](secret.png)", "<script>alert(1)</script>"):
        made = markdown_html(text)
        assert "<img" not in made and "<script" not in made
    assert "a picture" in markdown_html("![a picture](http://example.com/a.png)")


def test_code_that_is_cut_stays_code(tmp_path: Path) -> None:
    lines = "\n\n".join(f"value_{number} = {number} * 1" for number in range(200))
    (tmp_path / "a.md").write_text(f"start\n\n```python\n{lines}\n```\n\n# end *here*", encoding="utf-8")
    found = pages(tmp_path / "a.md")
    assert len(found) > 2
    inside = {word.text for page in found[:-1] for word in page.words}
    assert "*" in inside, "outside of a fence, * would have become a list or emphasis"
    last = [word.text for word in found[-1].words]
    assert "#" not in last and "end" in last and "```" not in last


@pytest.mark.parametrize("line", ["x\n", "W" * 300, "x", "- item\n", "đ\n\n", "中文。"])
def test_however_shaped_text_fits_its_pages(tmp_path: Path, line: str) -> None:
    text = line * (3000 // len(line))
    for name in ("a.txt", "a.md"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        found = pages(tmp_path / name)
        assert "".join("".join(page.text for page in found).split()) == "".join(text.split())
        for page in found:
            assert page.image is not None and page.image.width == 992 and page.image.height <= 1404
            assert page.words and max(word.x1 for word in page.words) < 0.999
            assert all(ink(page, *edge) == 0 for edge in ((0, 0, 0.03, 1), (0.985, 0, 1, 1), (0, 0.985, 1, 1)))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_drawn(text: str) -> None:
    drawn = typeset(f"<p>{html.escape(text)}</p>")
    assert drawn is None or drawn.image.size[0] == 992


def test_scripts_and_emoji_are_drawn() -> None:
    for text in ("שלום עולם", "مرحبا بالعالم", "😀 🤠", "ไทย", "한국어", "Ελληνικά", "e\u0301\u0323"):
        drawn = typeset(f"<p>{text}</p>")
        assert drawn is not None and drawn.words and min(drawn.image.convert("L").tobytes()) < 128


def rows(count: int, columns: int, cell: str = "ô") -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(f"{cell}{row}.{column}" for column in range(columns)) for row in range(count))


@pytest.mark.parametrize(
    "block",
    [
        Block("table", rows=rows(200, 3)),
        Block("table", rows=rows(5, 60)),
        Block("table", rows=(("x" * 9000,),)),
        Block("table", rows=rows(3, 9, "a long cell of many words indeed " * 8)),
        Block("code", "\n".join(f"line{number}" for number in range(300))),
        Block("paragraph", "một hai ba " * 2000),
        Block("item", "x\n" * 400),
        Block("heading", "tiêu đề " * 500, level=1),
    ],
    ids=lambda block: f"{block.kind}-{len(block.rows)}",
)
def test_no_block_loses_text(block: Block) -> None:
    found = list(HTMLLoader().flow([Section([block])], "s", 1))
    assert all(isinstance(page, Page) and page.image is not None for page in found)
    texts = "".join(page.text for page in found if isinstance(page, Page))

    def letters(text: str) -> str:
        return "".join(text.replace("|", "").replace("- ", "").split())

    assert letters(texts) == letters(blocks_text([block]))


def test_a_heading_goes_with_what_follows() -> None:
    blocks = [*(Block("paragraph", "từ " * 300) for _ in range(2)), Block("heading", "Chương", level=2)]
    parts = [*blocks, Block("paragraph", "sau " * 240)]
    found = [page for page in HTMLLoader().flow([Section(parts)], "s", 1) if isinstance(page, Page)]
    assert any(page.text.startswith("Chương\n\nsau") or "Chương\n\nsau" in page.text for page in found)


def test_pages_and_pictures_are_limited_and_it_is_said() -> None:
    png, other_png = picture("red"), picture("blue")
    parts = [Picture(png, "a.png", "one"), Picture(png, "b.png", "again"), Picture(other_png, "c.png", "two")]
    sections = [Section([Block("paragraph", "text"), *parts])]
    text, first, second = HTMLLoader().flow(sections, "s", 1)
    assert isinstance(first, Page) and isinstance(second, Page) and isinstance(text, Page)
    assert (text.text, first.text, second.text) == ("text", "one", "two")
    assert first.metadata == {"picture": "a.png"} and first.image is not None
    *_, failure = HTMLLoader(max_pictures=1).flow(sections, "s", 1)
    assert not isinstance(failure, Page) and "1 more pictures" in failure.reason
    *_, failure = HTMLLoader(max_pages=2).flow(sections, "s", 1)
    assert not isinstance(failure, Page) and failure.number == 3 and "left out" in failure.reason
    (only,) = HTMLLoader().flow(sections, "s", 3)
    assert only == second


def test_a_broken_picture_is_a_lost_page() -> None:
    text, lost = HTMLLoader().flow([Section([Block("paragraph", "x"), Picture(b"GIF89a", "p.gif")])], "s", 1)
    assert isinstance(text, Page) and not isinstance(lost, Page) and "the picture p.gif" in lost.reason

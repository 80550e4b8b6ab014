"""Word boxes as files: written once, read back whole, and anything else refused in one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import DocumentError
from connectors.loaders import words as module
from connectors.loaders.words import load_words, save_words
from connectors.page import WordBox

SHARES = st.floats(0, 1)


@st.composite
def boxes(draw: st.DrawFn) -> WordBox:
    (x0, x1), (y0, y1) = (sorted(draw(st.tuples(SHARES, SHARES))) for _ in range(2))
    return WordBox(draw(st.text(min_size=1)), x0, y0, x1, y1)


@given(st.lists(boxes(), max_size=20))
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, words: list[WordBox]) -> None:
    path = save_words(words, tmp_path_factory.getbasetemp() / "words")
    loaded = load_words(path)
    assert [word.text for word in loaded] == [word.text for word in words]
    for after, before in zip(loaded, words, strict=True):
        assert (after.x0, after.y0, after.x1, after.y1) == pytest.approx(
            (before.x0, before.y0, before.x1, before.y1), abs=6e-6
        )
    assert save_words(loaded, path.parent.parent) == path


def test_the_file_is_named_by_its_content_and_small(tmp_path: Path) -> None:
    path = save_words([WordBox("Nghị", 1 / 3, 0.5, 2 / 3, 1.0)], tmp_path)
    assert path.parent.name == path.name[:2] and path.name.endswith(".words.json")
    assert path.read_text(encoding="utf-8") == '[["Nghị",0.33333,0.5,0.66667,1.0]]'
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_what_is_no_box_is_left_out(tmp_path: Path) -> None:
    good = WordBox("good", 0, 0, 1, 1)
    bad = [WordBox("", 0, 0, 1, 1), WordBox("n", float("nan"), 0, 1, 1), WordBox("far", 0, 0, 1, 1.5)]
    bad += [WordBox("turned", 0.9, 0, 0.1, 1)]
    assert load_words(save_words([*bad, good], tmp_path)) == (good,)


def test_a_page_of_too_many_words_keeps_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 1000)
    loaded = load_words(save_words([WordBox(f"w{n}", 0, 0, 1, 1) for n in range(500)], tmp_path))
    assert 20 < len(loaded) < 65 and loaded[0].text == "w0"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"no json",
        b"\xff\xfe",
        b'"text"',
        b"[" * 100_000,
        b'[["w",0,0,1]]',
        b'[["w",0,0,1,1,1]]',
        b'[["",0,0,1,1]]',
        b"[[1,0,0,1,1]]",
        b'[["w",0,0,1,"1"]]',
        b'[["w",0,0,1,true]]',
        b'[["w",NaN,0,1,1]]',
        b'[["w",0,0,1,1e9]]',
        b'[["w",-0.1,0,1,1]]',
        b'[["w",0.6,0,0.5,1]]',
        b'[{"text":"w"}]',
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.words.json"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=r"bad\.words\.json: holds no word boxes [^\n]*ingest its document again"):
        load_words(path)


def test_a_file_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_words([WordBox("word", 0, 0, 1, 1)] * 99, tmp_path)
    monkeypatch.setattr(module, "_MOST", 1000)
    with pytest.raises(DocumentError, match="has more than"):
        load_words(path)
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        load_words(tmp_path / "missing")

"""Text files: encodings in the wild, binary refused, cuts that lose nothing."""

import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.errors import DocumentError
from connectors.loaders.base import clean_text
from connectors.loaders.encoding import decoded
from connectors.loaders.registry import loader_for
from connectors.loaders.split import split_text
from connectors.loaders.text import TextLoader
from connectors.page import Page

VIETNAMESE = (
    "Bộ luật Lao động quy định tiêu chuẩn lao động; quyền, nghĩa vụ, trách nhiệm của người lao động, người sử dụng lao "
    "động, tổ chức đại diện người lao động tại cơ sở, tổ chức đại diện người sử dụng lao động trong quan hệ lao động."
)
CHINESE = "中华人民共和国劳动法是为了保护劳动者的合法权益，调整劳动关系，建立和维护适应社会主义市场经济的劳动制度。"
FRENCH = "Déjà vu : l'été dernier, à Genève, le garçon naïf a mangé des crêpes brûlées près de la forêt. Où êtes-vous ?"


def pages(path: Path, **options: Any) -> list[Page]:
    return [page for page in TextLoader(**options).pages(path) if isinstance(page, Page)]


def cp1258(text: str) -> bytes:
    """As Windows writes Vietnamese: base letter with hat or horn composed, the tone a mark of its own."""
    letters = []
    for letter in unicodedata.normalize("NFC", text):
        decomposed = unicodedata.normalize("NFD", letter)
        tones = [mark for mark in decomposed if mark in "\u0300\u0309\u0303\u0301\u0323"]
        base = unicodedata.normalize("NFC", "".join(mark for mark in decomposed if mark not in tones))
        letters.append(base + "".join(tones))
    return "".join(letters).encode("cp1258")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
@pytest.mark.parametrize("text", [VIETNAMESE, "plain words\n", FRENCH])
def test_unicode_encodings(text: str, encoding: str) -> None:
    assert decoded(text.encode(encoding))[0] == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "gbk"])
def test_chinese(encoding: str) -> None:
    assert decoded(CHINESE.encode(encoding))[0] == CHINESE


@pytest.mark.parametrize("place", [-1, 7])
def test_a_broken_byte_does_not_turn_chinese_into_western_letters(place: int) -> None:
    data = CHINESE.encode("gb18030")
    damaged = data[:-3] if place < 0 else data[: 2 * place] + b"\xff" + data[2 * place :]
    text, encoding = decoded(damaged)
    assert encoding == "gb18030 (damaged)" and text[:7] == CHINESE[:7] and text.count("\ufffd") == 1


def test_mixed_chinese_and_english_in_gb18030() -> None:
    text = "The labour law 劳动法 of 1994 (第八届) protects workers 保护劳动者.\n" * 3
    assert decoded(text.encode("gb18030")) == (text, "gb18030")


def test_vietnamese_in_windows_1258() -> None:
    text, encoding = decoded(cp1258(VIETNAMESE))
    assert encoding == "cp1258" and clean_text(text) == VIETNAMESE


def test_french_in_windows_1252() -> None:
    assert decoded(FRENCH.encode("cp1252")) == (FRENCH, "cp1252")
    assert decoded("It\u2019s 5 \u20ac \u2014 “quoted”".encode("cp1252")) == ("It\u2019s 5 € — “quoted”", "cp1252")


def test_damaged_utf8_stays_utf8() -> None:
    data = VIETNAMESE.encode()
    text, encoding = decoded(data[:-4] + b"\xe1")
    assert encoding == "utf-8 (damaged)" and text.startswith("Bộ luật")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_any_utf8_text_is_read_as_it_is(text: str) -> None:
    data = text.encode()
    if not data.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        assert decoded(data) == (text, "utf-8")


@given(st.binary(max_size=300))
@example(b"\xff\xfe\x00")
@example(b"\x00\x00\xfe\xff\xff")
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    try:
        text, encoding = decoded(data)
    except ValueError as error:
        assert "no text" in str(error)
    else:
        assert isinstance(text, str) and encoding


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 4, "is no text"),
        (bytes(500), "is no text"),
        (b"", "is empty"),
        (b" \n\t\n  ", "is empty"),
        ("\ufeff\n".encode("utf-16"), "is empty"),
    ],
)
def test_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(DocumentError, match=rf"x\.txt: {reason}"):
        pages(tmp_path / "x.txt")


def test_size_cap_and_given_encoding(tmp_path: Path) -> None:
    path = tmp_path / "big.log"
    path.write_bytes("日本語のテキスト".encode("shift_jis") * 40)
    with pytest.raises(DocumentError, match=r"big\.log: has .* over the limit .*max_bytes"):
        pages(path, max_bytes=100)
    assert pages(path, encoding="shift_jis")[0].text.startswith("日本語")
    with pytest.raises(DocumentError, match=r"big\.log: is not in the encoding utf-8"):
        pages(path, encoding="utf-8")
    with pytest.raises(DocumentError, match="no encoding 'klingon'"):
        pages(path, encoding="klingon")


def test_pages_of_text(tmp_path: Path) -> None:
    path = tmp_path / "law.md"
    path.write_text("\n\n".join(f"## Điều {number}\n\n{VIETNAMESE}" for number in range(40)), encoding="utf-8")
    found = pages(path)
    assert len(found) > 3 and [page.number for page in found] == list(range(1, len(found) + 1))
    assert all(page.kind == "text" and page.image is not None and page.metadata == {} for page in found)
    assert all(1500 <= len(page.text) <= 2500 for page in found[:-1])
    assert all(page.text.startswith(("##", "Bộ luật")) for page in found)
    assert [page.number for page in TextLoader().pages(path, first=3)] == [page.number for page in found[2:]]
    assert pages(path)[0].content_sha256 == found[0].content_sha256


def test_data_files_are_read_as_they_are_written(tmp_path: Path) -> None:
    for name, content in (("a.json", '{"tên": "Ân"}'), ("a.xml", "<tên>Ân &amp; Bình</tên>"), ("a.yaml", "tên: Ân")):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        (page,) = loader_for(path).pages(path)
        assert isinstance(page, Page) and (page.kind, page.text) == ("text", content)


def test_chinese_pages_hold_half_as_many_letters() -> None:
    sizes = [len(piece) for piece in split_text(CHINESE * 200)]
    assert all(900 <= size <= 1250 for size in sizes[:-1])


def test_long_paragraphs_are_cut_after_sentences_and_words() -> None:
    sentences = "A sentence of some words. " * 300
    assert all(piece.endswith(".") for piece in split_text(sentences))
    words = "word " * 2000
    assert all(re.fullmatch(r"(word )*word", piece) for piece in split_text(words))


LETTERS = st.sampled_from(["a", "word", " ", "\n", "\n\n", ". ", "。", "中文", "ế", "e\u0301", "\u0301" * 3, "x" * 50])


@given(st.lists(LETTERS, max_size=200).map("".join), st.integers(10, 60))
def test_no_letter_is_lost_and_no_piece_too_large(text: str, most: int) -> None:
    pieces = list(split_text(text, full=most * 4 // 5, most=most))
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert all(piece == piece.strip() and 0 < len(piece) <= 2 * most + 1 for piece in pieces)


def test_a_letter_keeps_its_marks() -> None:
    pieces = list(split_text("e\u0301" * 100, full=9, most=9))
    assert not any(unicodedata.combining(piece[0]) for piece in pieces)

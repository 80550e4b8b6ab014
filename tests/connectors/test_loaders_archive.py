"""Archives give their documents within limits, name what they do not give, and write nowhere but where they may."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import DocumentError
from connectors.loaders.archive import Member, contains, members
from connectors.loaders.archive_names import decoded_name, safe_name
from tests.connectors.archive_files import FILES, PAPER, mail, tarred, walked, zipped


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_zip(tmp_path: Path, method: int) -> None:
    files = {**FILES, "large.bin": os.urandom(1_000_000) + bytes(2_000_000)}
    found, failed = walked(zipped(files, method), tmp_path)
    assert found == files and list(found) == list(files) and not failed


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path: Path, mode: str) -> None:
    data = tarred(FILES, mode)
    found, failed = walked(data, tmp_path, "whatever")
    assert found == FILES and list(found) == list(FILES) and not failed
    assert contains(tmp_path / "whatever") == "members"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_single_packed_file_is_called_as_its_archive(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert walked(pack(PAPER), tmp_path, "scan.pdf.gz") == ({"scan.pdf": PAPER}, {})
    (tmp_path / "b").mkdir()
    inside = zipped({"x/scan.pdf.xz": pack(PAPER)})
    assert walked(inside, tmp_path / "b")[0] == {"x/scan.pdf.xz!/scan.pdf": PAPER}


def test_nested_archives_are_walked_in_place(tmp_path: Path) -> None:
    inner = tarred({"c.pdf": PAPER, "d/e.zip": zipped({"f.txt": b"f"})}, "w:gz")
    found, failed = walked(zipped({"a.pdf": b"a", "b.tar": inner, "z.pdf": b"z"}), tmp_path)
    assert list(found) == ["a.pdf", "b.tar!/c.pdf", "b.tar!/d/e.zip!/f.txt", "z.pdf"] and not failed
    (tmp_path / "w").mkdir()
    suffixes = [one.path.suffix for one in members(tmp_path / "a.zip", tmp_path / "w") if isinstance(one, Member)]
    assert suffixes == [".pdf", ".pdf", ".txt", ".pdf"]


def office(name: str) -> bytes:
    return zipped({"[Content_Types].xml": b"<Types/>", f"{name}/document.xml": b"<x/>"})


@pytest.mark.parametrize(
    "data",
    [
        office("word"),
        office("word")[:-30],
        zipped({"mimetype": b"application/epub+zip", "META-INF/container.xml": b""}),
        b"%PDF-1.4\n" + zipped(FILES),
        b"BZh is how this text begins",
        bytes(2048),
        b"",
        b"From: a\nnothing else of a mail",
    ],
    ids=["docx", "cut docx", "epub", "pdf with a zip behind", "text", "zeros", "empty", "text with a colon"],
)
def test_documents_are_no_archives(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert contains(tmp_path / "x") == "nothing"
    with pytest.raises(DocumentError, match=r"x: is no archive"):
        list(members(tmp_path / "x", tmp_path / "work"))


def test_what_is_not_there(tmp_path: Path) -> None:
    assert contains(tmp_path / "none.zip") == "nothing" == contains(tmp_path)
    with pytest.raises(DocumentError, match=r"none\.zip: cannot be read: No such file"):
        list(members(tmp_path / "none.zip", tmp_path / "work"))


def test_junk_and_folders_are_passed_over(tmp_path: Path) -> None:
    junk = {
        "__MACOSX/._b.pdf": b"1",
        ".DS_Store": b"2",
        "x/Thumbs.db": b"3",
        "x/.git/config": b"4",
        "empty folder/": b"",
    }
    assert walked(zipped({**junk, **FILES}), tmp_path) == (FILES, {})
    (tmp_path / "t").mkdir()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        archive.addfile(tarfile.TarInfo("./._b.pdf"))
        archive.addfile(tarfile.TarInfo("./b.pdf"))
    assert walked(tar.getvalue(), tmp_path / "t") == ({"b.pdf": b""}, {})


EVIL = [
    "../up.txt", "../../../../etc/passwd", "/etc/cron.d/job", "C:\\Windows\\win.ini", "\\\\host\\share\\x", "a/../../b",
    "nul\x00.txt", "line\nbreak.txt", "rtl\u202etxt.exe", "CON", "COM1.txt", "dot.", "a:b", "\udce9.txt", "x" * 300,
]  # fmt: skip


def test_evil_names_are_only_told(tmp_path: Path) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in EVIL:
            archive.addfile(tarfile.TarInfo(name))
    (tmp_path / "tar").mkdir()
    (tmp_path / "zip").mkdir()
    for data, folder in ((tar.getvalue(), "tar"), (zipped([(n, b"") for n in EVIL if "\udce9" not in n]), "zip")):
        found, failed = walked(data, tmp_path / folder)
        assert not failed and {"up.txt", "etc/passwd", "Windows/win.ini", "a/b"} <= set(found)
        for name in found:
            name.encode()
            assert not name.startswith("/") and ".." not in name.split("/") and "\\" not in name and name.isprintable()


def test_links_devices_and_pipes_are_named_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"evil{int(kind)}")
            info.type, info.linkname = kind, str(secret)
            archive.addfile(info)
        info = tarfile.TarInfo("evil2/x.txt")  # through the link
        archive.addfile(info)
    (tmp_path / "t").mkdir()
    found, failed = walked(tar.getvalue(), tmp_path / "t")
    assert (
        found == {"evil2/x.txt": b""} and len(failed) == 5 and "link" in failed["evil2"] and "pipe" in failed["evil6"]
    )
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, str(secret))
    (tmp_path / "z").mkdir()
    assert list(walked(buffer.getvalue(), tmp_path / "z")[1]) == ["link"]


def test_names_that_collide_stay_apart(tmp_path: Path) -> None:
    twice = [
        ("a.pdf", b"1"),
        ("a.pdf", b"2"),
        ("A.pdf", b"3"),
        ("./a.pdf", b"4"),
        ("e\u0301.txt", b"5"),
        ("\u00e9.txt", b"6"),
    ]
    found, _ = walked(zipped(twice), tmp_path)
    assert found == {
        "a.pdf": b"1", "a (2).pdf": b"2", "A.pdf": b"3", "a (3).pdf": b"4", "\u00e9.txt": b"5", "\u00e9 (2).txt": b"6",
    }  # fmt: skip


def zip_with_raw_names(names: list[bytes]) -> bytes:
    """A zip whose names are these bytes, without the mark of UTF-8: what Windows and old tools write."""
    data = zipped({f"{place:0{len(name)}d}": b"x" for place, name in enumerate(names)}, zipfile.ZIP_STORED)
    for place, name in enumerate(names):
        data = data.replace(f"{place:0{len(name)}d}".encode(), name)
    return data


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Hợp đồng mua bán nhà số 12.pdf", "cp1258"),
        ("采购合同（第二版）.pdf", "gbk"),
        ("Résumé für Müller.pdf", "cp437"),
        ("Résumé für Müller.pdf", "cp1252"),
        ("Báo cáo tài chính.pdf", "utf-8"),
        ("plain.pdf", "ascii"),
    ],
)
def test_names_in_old_encodings(tmp_path: Path, name: str, encoding: str) -> None:
    raw = vietnamese_1258(name) if encoding == "cp1258" else name.encode(encoding)
    (found,) = walked(zip_with_raw_names([raw]), tmp_path)[0]
    assert found == name


def vietnamese_1258(text: str) -> bytes:
    """Windows-1258: the tone is a mark after the letter that keeps its circumflex, breve or horn."""
    tones = "\u0300\u0301\u0303\u0309\u0323"
    out = ""
    for letter in text:
        parts = unicodedata.normalize("NFD", letter)
        marks = [mark for mark in parts[1:] if mark in tones]
        rest = "".join(mark for mark in parts if mark not in tones)
        out += unicodedata.normalize("NFC", rest) + "".join(marks)
    return out.encode("cp1258")


def test_the_utf8_name_beside_an_old_one_wins(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("H?p.txt")
    name = "Hợp.txt".encode()
    info.extra = struct.pack("<HHBL", 0x7075, 5 + len(name), 1, zlib.crc32(b"H?p.txt")) + name
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"x")
    assert list(walked(buffer.getvalue(), tmp_path)[0]) == ["Hợp.txt"]


# --- anything ---------------------------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from([name for name in EVIL if "\udce9" not in name]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
    st.from_regex(r"[a-c]{1,2}(/[a-c.]{1,2}){0,2}\.(pdf|zip)", fullmatch=True),
)
CONTENTS = st.one_of(st.binary(max_size=40), st.integers(1, 60_000).map(bytes))


def packed(kind: str, files: list[tuple[str, bytes]]) -> bytes:
    if kind == "zip":
        return zipped([(name, data) for name, data in files if name.split("\x00")[0]])
    return tarred(dict(files), {"tar": "w", "tgz": "w:gz", "txz": "w:xz"}[kind])


ARCHIVES = st.recursive(
    CONTENTS,
    lambda inner: st.builds(
        packed, st.sampled_from(["zip", "tar", "tgz", "txz"]), st.lists(st.tuples(NAMES, inner), max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(NAMES, ARCHIVES), max_size=5),
    st.sampled_from(["zip", "tar", "tgz", "txz"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3),
    st.integers(0, 100),
)
def test_whatever_the_archive_nothing_lands_outside_and_limits_hold(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[str, bytes]],
    kind: str,
    damage: list[tuple[int, int]],
    cut: int,
) -> None:
    data = bytearray(packed(kind, files))
    for place, value in damage:
        data[place % len(data)] = value
    if cut < 20:
        del data[len(data) * (80 + cut) // 100 :]
    folder = tmp_path_factory.mktemp("any")
    limits = {
        "members": 12,
        "member_bytes": 30_000,
        "total_bytes": 80_000,
        "free_bytes": 20_000,
        "ratio": 20,
        "depth": 3,
    }
    try:
        found, failed = walked(bytes(data), folder, **limits)
    except DocumentError as error:
        assert "\n" not in str(error)
        return
    assert len(found) <= 12 and sum(map(len, found.values())) <= 80_000
    assert all(len(content) <= 30_000 for content in found.values())
    for name in [*found, *failed]:
        assert name.count("!/") <= 3 + sum(part.count("!/") for part, _ in files) and ".." not in name.split("/")
        name.encode()


@given(st.text(max_size=40))
def test_safe_names_are_relative_and_stay_so(name: str) -> None:
    safe = safe_name(name)
    safe.encode()
    assert safe == "" or (not safe.startswith("/") and not {"", ".", ".."} & set(safe.split("/")))


@given(st.binary(max_size=40))
def test_any_bytes_are_some_name(raw: bytes) -> None:
    decoded_name(raw).encode()


MAIL = mail(
    ("Hợp đồng.pdf", "application/pdf", PAPER), ("a.zip", "application/zip", zipped({"in.txt": b"in"}))
).as_bytes()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(MAIL) - 1), st.binary(min_size=1, max_size=6)), max_size=6))
def test_broken_mails_break_nothing(tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]) -> None:
    data = bytearray(MAIL)
    for place, value in damage:
        data[place : place + len(value)] = value
    try:
        walked(bytes(data), tmp_path_factory.mktemp("mail"), "m.eml")
    except DocumentError as error:
        assert "\n" not in str(error)

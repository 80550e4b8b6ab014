"""Archives give their documents within limits, name what they do not give, and write nowhere but where they may."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import time
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import DocumentError
from connectors.loaders.archive import ArchiveLimits, Member, contains, members
from connectors.loaders.archive_names import decoded_name, safe_name
from connectors.loaders.mail import MailLoader
from connectors.loaders.registry import loader_for

PAPER = b"%PDF-1.7 " + bytes(range(256)) * 8


def zipped(files: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in files.items() if isinstance(files, dict) else files:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def walked(data: bytes, folder: Path, name: str = "a.zip", **options: Any) -> tuple[dict[str, bytes], dict[str, str]]:
    """What came out, by name, and the failures. Each file is deleted as a caller would; nothing may stay behind."""
    path, work = folder / name, folder / "work"
    path.write_bytes(data)
    found: dict[str, bytes] = {}
    failed: dict[str, str] = {}
    password = options.pop("password", None)
    for one in members(path, work, ArchiveLimits(**options), password=password):
        if isinstance(one, Member):
            assert one.path.parent == work and not one.path.is_symlink()
            assert one.name not in found
            found[one.name] = one.path.read_bytes()
            one.path.unlink()
        else:
            failed[one.name] = one.reason
    assert list(work.iterdir()) == []
    assert sorted(folder.iterdir()) == sorted([path, work])
    return found, failed


FILES = {"b.pdf": PAPER, "folder/a.png": b"\x89PNG" * 9, "empty.txt": b""}


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


# --- limits -----------------------------------------------------------------------------------------------------------


def test_too_many_members(tmp_path: Path) -> None:
    inner = zipped({f"{place}.txt": b"x" for place in range(4)})
    found, failed = walked(zipped({"a.zip": inner, "b.zip": inner}), tmp_path, members=4)
    assert len(found) == 3 and list(failed) == ["*"] and "more than 4 members" in failed["*"]
    (tmp_path / "many").mkdir()
    with pytest.raises(DocumentError, match="more than 30 members"):
        walked(zipped({f"{place}.txt": b"x" for place in range(40)}), tmp_path / "many", members=10)


def test_a_large_member_costs_itself_alone(tmp_path: Path) -> None:
    for maker, name in ((zipped, "a.zip"), (tarred, "a.tar")):
        (tmp_path / name).mkdir()
        found, failed = walked(
            maker({"a.txt": b"a", "b.bin": os.urandom(5000), "c.txt": b"c"}), tmp_path / name, name, member_bytes=4000
        )
        assert list(found) == ["a.txt", "c.txt"] and "larger than" in failed["b.bin"]


def test_a_bomb_among_members_costs_itself_alone(tmp_path: Path) -> None:
    files = {"a.txt": b"a", "bomb.bin": bytes(3_000_000), "c.txt": os.urandom(20_000)}
    found, failed = walked(zipped(files), tmp_path, free_bytes=100_000, ratio=100)
    assert list(found) == ["a.txt", "c.txt"] and "bomb" in failed["bomb.bin"]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_packed_tar_bomb_ends_its_walk(tmp_path: Path, mode: str) -> None:
    data = tarred({"a.txt": b"a", "bomb.bin": bytes(30_000_000), "c.txt": b"c"}, mode)
    found, failed = walked(data, tmp_path, free_bytes=100_000, ratio=10)
    assert list(found) == ["a.txt"] and "bomb" in failed["*"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_single_packed_bomb(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    found, failed = walked(pack(bytes(30_000_000)), tmp_path, "x.bin.gz", free_bytes=100_000, ratio=10)
    assert not found and "bomb" in failed["x.bin"]


def test_a_passed_over_member_is_no_way_around_the_limit(tmp_path: Path) -> None:
    data = tarred({"a.txt": b"a", ".hidden": bytes(40_000_000), "c.txt": b"c"}, "w:gz")
    found, failed = walked(data, tmp_path, free_bytes=100_000, ratio=10)
    assert list(found) == ["a.txt"] and "bomb" in failed["*"]


def test_total_bytes(tmp_path: Path) -> None:
    files = {f"{place}.bin": os.urandom(1000) for place in range(10)}
    found, failed = walked(zipped(files), tmp_path, total_bytes=5500)
    assert list(found) == list(files)[:5] and "over the limit" in failed["*"]


def test_nested_bombs_end_at_the_outer_budget(tmp_path: Path) -> None:
    """As 42.zip: each level holds many of the level below, the lowest a file of zeros."""
    data = zipped({"0.dll": bytes(1_000_000)})
    for level in range(4):
        data = zipped({f"{level}-{place}.zip": data for place in range(8)})
    assert len(data) < 100_000
    found, failed = walked(zipped({"first.txt": b"first", "nested.zip": data}), tmp_path, free_bytes=5_000_000, ratio=2)
    assert "first.txt" in found and sum(map(len, found.values())) <= 5_000_001
    assert any("bomb" in reason for reason in failed.values())


def test_depth(tmp_path: Path) -> None:
    data = PAPER
    for level in range(6):
        data = zipped({f"{level}.zip" if level else "deep.pdf": data})
    found, failed = walked(data, tmp_path, depth=5)
    assert not found and [reason for reason in failed.values()] == ["is nested over 5 archives deep; not read"]
    (tmp_path / "deeper").mkdir()
    assert list(walked(data, tmp_path / "deeper", depth=6)[0]) == ["5.zip!/4.zip!/3.zip!/2.zip!/1.zip!/deep.pdf"]


def test_long_names(tmp_path: Path) -> None:
    found, failed = walked(zipped({"a/" * 600 + "x.txt": b"x", "b.txt": b"b"}), tmp_path)
    assert list(found) == ["b.txt"] and "over 1,000 letters" in next(iter(failed.values()))


def test_overlapping_members_are_a_bomb(tmp_path: Path) -> None:
    """Many directory entries that point at one member: 100 bytes each for as many copies."""
    once = zipped({"a.bin": bytes(200_000)})
    directory = once.index(b"PK\x01\x02")
    end = once.index(b"PK\x05\x06")
    entry = once[directory:end]
    fake = (
        once[:directory]
        + entry * 500
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, 500 * len(entry), directory, 0)
    )
    with pytest.raises(DocumentError, match="overlap: a zip bomb"):
        walked(fake, tmp_path)


def test_a_zip_that_contains_itself_ends(tmp_path: Path) -> None:
    """The effect of a quine zip, without one: whatever is unpacked is an archive again."""
    data = zipped({"x": b"x"})
    for _ in range(30):
        data = zipped({"r.zip": data})
    found, failed = walked(data, tmp_path)
    assert not found and len(failed) == 1


def sparse_tar(size: int) -> bytes:
    """A GNU sparse file of `size` bytes, none of which are stored, in a tar of a few blocks."""
    info = tarfile.TarInfo("holes.bin")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = b"S"
    header[386:410] = b"%011o\x00%011o\x00" % (0, 0)
    header[483:495] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b"        "
    header[148:156] = b"%06o\x00 " % sum(header)
    return bytes(header) + tarred({"after.txt": b"after"})


def test_a_sparse_tar_is_refused_by_what_it_would_be(tmp_path: Path) -> None:
    found, failed = walked(sparse_tar(8 << 40), tmp_path, "s.tar")
    assert found == {"after.txt": b"after"} and "larger than 2,000 MB" in failed["holes.bin"]


def test_an_endless_tar_header_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 900_000_000
    data = tarred({"a.txt": b"a"})[:1024] + info.tobuf(tarfile.USTAR_FORMAT) + bytes(40_000_000)
    found, failed = walked(gzip.compress(data, 1), tmp_path, "x.tgz")
    assert list(found) == ["a.txt"] and "endless header" in failed["*"]


# --- damage and encryption --------------------------------------------------------------------------------------------


def random_files(count: int) -> dict[str, bytes]:
    return {f"{place}.bin": os.urandom(20_000) for place in range(count)}


def test_members_before_the_damage_come(tmp_path: Path) -> None:
    files = random_files(5)
    more = {**files, "5.bin": os.urandom(2_000_000)}
    for name, data in (
        ("cut.zip", zipped(files)), ("cut.tar", tarred(files)), ("cut.tar.gz", tarred(files, "w:gz")),
        ("cut.tar.xz", tarred(files, "w:xz")), ("cut.tar.bz2", tarred(more, "w:bz2")),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        found, failed = walked(data[: len(data) * 7 // 10], tmp_path / name, name)
        if name == "cut.tar.bz2":  # its blocks hold up to 900 KB
            assert list(found) == list(files) and "5.bin" in failed
        else:
            assert list(found) == ["0.bin", "1.bin", "2.bin"] and "3.bin" in failed, name
        assert all(found[key] == files[key] for key in found)
        assert "*" in failed and "damaged or cut off" in failed["*"]


def test_a_cut_zip_that_was_written_as_a_stream(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    files = {"0.bin": os.urandom(9000), "__MACOSX/x": b"junk", "1.bin": bytes(300_000), "2.bin": os.urandom(9000)}
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name, data in files.items():
            archive.writestr(name, data)
    found, failed = walked(pipe.data[: pipe.data.index(b"PK\x01\x02") - 5000], tmp_path)
    assert found == {"0.bin": files["0.bin"], "1.bin": files["1.bin"]}
    assert set(failed) == {"2.bin", "*"}


def test_a_damaged_member_costs_itself_alone(tmp_path: Path) -> None:
    files = random_files(3)
    data = bytearray(zipped(files, zipfile.ZIP_STORED))
    place = data.index(files["1.bin"][:100])
    data[place + 500] ^= 0xFF
    found, failed = walked(bytes(data), tmp_path)
    assert list(found) == ["0.bin", "2.bin"] and "checksum" in failed["1.bin"]


def test_a_broken_tar_header_does_not_end_the_walk_silently(tmp_path: Path) -> None:
    data = bytearray(tarred(random_files(3)))
    second = 512 + 20_480
    data[second : second + 40] = b"\xff" * 40
    found, failed = walked(bytes(data), tmp_path, "b.tar")
    assert list(found) == ["0.bin"] and "damaged" in failed["*"]


def test_a_broken_nested_archive_costs_itself_alone(tmp_path: Path) -> None:
    broken = b"PK\x03\x04" + bytes(60)
    found, failed = walked(zipped({"a.txt": b"a", "broken.zip": broken, "c.txt": b"c"}), tmp_path)
    assert list(found) == ["a.txt", "c.txt"] and next(iter(failed)).startswith("broken.zip")


def encrypted_zip(password: bytes, text: bytes) -> bytes:
    """A zip with the old encryption, written by hand: Python's zipfile only reads it."""
    keys = [0x12345678, 0x23456789, 0x34567890]

    def update(byte: int) -> None:
        keys[0] = zlib.crc32(bytes([byte]), keys[0] ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = zlib.crc32(bytes([keys[1] >> 24]), keys[2] ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    for byte in password:
        update(byte)
    crc = zlib.crc32(text)
    secret = bytearray()
    for byte in bytes(11) + bytes([crc >> 24]) + text:
        low = (keys[2] | 2) & 0xFFFF
        secret.append(byte ^ (((low * (low ^ 1)) >> 8) & 0xFF))
        update(byte)
    name = b"a.txt"
    fields = struct.pack("<4HLLLHH", 1, 0, 0, 0, crc, len(secret), len(text), len(name), 0)
    local = b"PK\x03\x04\x14\x00" + fields + name + bytes(secret)
    directory = b"PK\x01\x02\x14\x00\x14\x00" + fields + struct.pack("<3H2L", 0, 0, 0, 0, 0) + name
    return local + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), len(local), 0)


def test_encrypted_members(tmp_path: Path) -> None:
    data = encrypted_zip(b"secret", b"hello")
    assert walked(data, tmp_path, password="secret") == ({"a.txt": b"hello"}, {})
    assert "give the password" in walked(data, tmp_path)[1]["a.txt"]
    assert "password" in walked(data, tmp_path, password="wrong")[1]["a.txt"]
    # One wrong password in 256 seems to fit, until the checksum says otherwise.
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        fitting = next(word for word in map(str, range(10_000)) if fits(archive, word))
    for passwords in (["wrong", fitting, "secret"], ["secret", fitting], ["secret"]):
        assert walked(data, tmp_path, password=passwords) == ({"a.txt": b"hello"}, {})
    assert "is damaged" in walked(data, tmp_path, password=["wrong", fitting])[1]["a.txt"]


def fits(archive: zipfile.ZipFile, password: str) -> bool:
    try:
        archive.open("a.txt", pwd=password.encode()).close()
    except RuntimeError:
        return False
    return True


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    data = zipped({"a.txt": b"hello" * 50, "b.txt": b"b" * 99}, zipfile.ZIP_STORED)
    data = data.replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00", 1)
    found, failed = walked(data, tmp_path)
    assert list(found) == ["b.txt"] and "AES" in failed["a.txt"]


def test_a_walk_that_is_dropped_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"inner.zip": zipped({"a.txt": b"a", "b.txt": b"b"}), "c.txt": b"c"}))
    walk = members(tmp_path / "a.zip", tmp_path / "work")
    first = next(walk)
    assert isinstance(first, Member) and first.name == "inner.zip!/a.txt"
    walk.close()  # type: ignore[attr-defined]
    assert list((tmp_path / "work").iterdir()) == [first.path]


def test_a_work_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(FILES))
    (tmp_path / "file").write_text("")
    with pytest.raises(DocumentError):
        list(members(tmp_path / "a.zip", tmp_path / "file"))


# --- mails ------------------------------------------------------------------------------------------------------------


def mail(*attachments: tuple[str | None, str, bytes]) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", "Hợp đồng"
    made.set_content("Kính gửi anh,")
    made.add_alternative("<p>Kính gửi anh,</p>", subtype="html")
    for name, kind, data in attachments:
        main, sub = kind.split("/")
        made.add_attachment(data, maintype=main, subtype=sub, **({"filename": name} if name else {}))
    return made


def test_a_mail_gives_its_attachments(tmp_path: Path) -> None:
    made = mail(
        ("Hợp đồng.pdf", "application/pdf", PAPER),
        ("../../evil/x.png", "image/png", b"png"),
        (None, "image/jpeg", b"jpeg"),
        ("note.txt", "text/plain", b"a note"),
        ("all.zip", "application/zip", zipped({"in.txt": b"in"})),
    )
    made.add_attachment(mail(("inner.pdf", "application/pdf", b"inner")))
    found, failed = walked(made.as_bytes(), tmp_path, "m.eml")
    assert not failed
    forwarded = found.pop("attachment 6.eml")
    assert found == {
        "Hợp đồng.pdf": PAPER, "x.png": b"png", "attachment 3.jpg": b"jpeg", "note.txt": b"a note",
        "all.zip!/in.txt": b"in", "attachment 6.eml!/inner.pdf": b"inner",
    }  # fmt: skip
    assert b"inner.pdf" in forwarded
    assert contains(tmp_path / "m.eml") == "pages and members"


def test_a_mail_without_attachments_is_pages_alone(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(mail().as_bytes())
    assert contains(tmp_path / "m.eml") == "nothing"
    (tmp_path / "z").mkdir()
    data = mail().as_bytes()
    assert walked(zipped({"m.eml": data}), tmp_path / "z") == ({"m.eml": data}, {})


def test_a_mail_without_suffix_is_one_for_its_text_and_its_attachments(tmp_path: Path) -> None:
    head = b"Delivered-To: b@example.org\nX-Received:\n by 192.0.2.1\nX-Spam: no\n"
    (tmp_path / "m").write_bytes(head + mail(("x.pdf", "application/pdf", PAPER)).as_bytes())
    assert contains(tmp_path / "m") == "pages and members" and isinstance(loader_for(tmp_path / "m"), MailLoader)


def test_a_mail_with_endless_header_fields_takes_no_time(tmp_path: Path) -> None:
    """The standard library takes a minute and more for a field of this length, a tenth of a second for a cut one."""
    head = b"\nFrom: a@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
    part = b"Content-Disposition: attachment; filename=a.txt\nContent-Type: text/plain; " + b"(a) " * 100_000
    begun = time.monotonic()
    found, failed = walked(head + part + b"\n\nwords\n--b--\n", tmp_path, "m.eml")
    assert (found, failed) == ({"a.txt": b"words"}, {})
    assert time.monotonic() - begun < 20


def test_a_mail_of_parts_in_parts_in_parts(tmp_path: Path) -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(600))
    data = b"From: a@example.org\nMIME-Version: 1.0\n" + nested + b"Content-Type: image/png\n\npicture\n"
    found, failed = walked(data, tmp_path, "m.eml")
    assert (list(found.values()), failed) == ([b"picture"], {})


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

"""Bombs, damage and passwords: what an archive may cost, and what still comes out of one that is broken."""

import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors.errors import DocumentError
from connectors.loaders.archive import Member, members
from tests.connectors.archive_files import FILES, PAPER, tarred, walked, zipped

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

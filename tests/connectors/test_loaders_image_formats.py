"""Pictures of the rarer kinds: colour profiles, BigTIFF, JPEGs of several pictures, odd transparency, lying headers."""

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure
from connectors.loaders.image import ImageLoader
from connectors.page import Page
from tests.connectors.test_loaders_image import only, pixel, read

# CIE XYZ of sRGB's primaries and white under D50, as profiles hold them.
PRIMARIES = {"r": (0.4361, 0.2225, 0.0139), "g": (0.3851, 0.7169, 0.0971), "b": (0.1431, 0.0606, 0.7141)}
WHITE = (0.9642, 1.0, 0.8249)


def profile(space: bytes = b"RGB ", name: str = "linear") -> bytes:
    """An ICC profile of sRGB's colours with linear light: 128 of 255 in it is 188 in sRGB."""

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv" + bytes(4) + struct.pack(">I", 0)
    text = name.encode() + b"\x00"
    described = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": described, b"wtpt": xyz(WHITE), b"cprt": b"text" + bytes(4) + b"none\x00"}
    if space == b"RGB ":
        tags |= {f"{key}XYZ".encode(): xyz(values) for key, values in PRIMARIES.items()}
        tags |= {f"{key}TRC".encode(): curve for key in PRIMARIES}
    else:
        tags[b"kTRC"] = curve
    table, body, place = b"", b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", tag, place + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", place + len(body), bytes(4), 0x02400000, b"mntr", space, b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(value * 65536) for value in WHITE))
    return head.ljust(128, b"\x00") + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_colour_profile_is_brought_to_srgb(tmp_path: Path, mode: str, suffix: str) -> None:
    if (mode, suffix) in (("RGBA", "jpg"), ("L", "webp")):
        pytest.skip(f"{suffix} has no mode {mode}")
    space = b"GRAY" if mode == "L" else b"RGB "
    image = Image.new("L", (32, 32), 128).convert(mode)
    if mode == "RGBA":
        image.paste((0, 0, 0, 0), (0, 0, 16, 32))
    path = tmp_path / f"p.{suffix}"
    options: dict[str, Any] = {"quality": 95} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    image.save(path, icc_profile=profile(space), **options)
    shown = only(path)
    assert pixel(shown, 24, 16) == pytest.approx((188, 188, 188), abs=2)
    if mode == "RGBA":
        assert pixel(shown, 4, 4) == (255, 255, 255)


def test_palettes_have_profiles_too(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 8), (128, 128, 128)).quantize(4)
    image.save(tmp_path / "p.png", icc_profile=profile())
    assert pixel(only(tmp_path / "p.png"), 4, 4) == pytest.approx((188, 188, 188), abs=2)


@pytest.mark.parametrize(
    "icc",
    [b"", b"no profile", profile()[:150], profile(b"GRAY"), profile(name="sRGB IEC61966-2.1"), bytes(9_000_000)],
    ids=["empty", "garbage", "cut", "of another space", "called sRGB", "huge"],
)
def test_a_profile_that_does_not_fit_is_left_aside(tmp_path: Path, icc: bytes) -> None:
    Image.new("RGB", (8, 8), (128, 128, 128)).save(tmp_path / "p.tif", icc_profile=icc)
    assert pixel(only(tmp_path / "p.tif"), 4, 4) == (128, 128, 128)


def test_big_tiff(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "b.tif", big_tiff=True, save_all=True, append_images=frames[1:])
    assert (tmp_path / "b.tif").read_bytes()[:4] == b"II+\x00" and ImageLoader.sniff(b"II+\x00")
    pages = [page for page in read(tmp_path / "b.tif") if isinstance(page, Page) and page.image]
    assert [page.image and pixel(page.image, 0, 0) for page in pages] == [(255, 0, 0), (0, 0, 255)]


def test_a_jpeg_with_several_pictures_is_its_first(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "m.jpg", "MPO", save_all=True, append_images=[second])
    (page,) = read(tmp_path / "m.jpg")
    assert isinstance(page, Page) and page.image and page.metadata["format"] == "MPO"
    assert pixel(page.image, 8, 8) == pytest.approx((255, 0, 0), abs=3)


def test_a_cmyk_tiff(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "c.tif")
    assert pixel(only(tmp_path / "c.tif"), 4, 4) == (255, 0, 0)


def test_one_bit_deep(tmp_path: Path) -> None:
    image = Image.new("1", (16, 8), 1)
    image.paste(0, (0, 0, 8, 8))
    for suffix in ("png", "tif", "bmp", "pbm"):
        image.save(tmp_path / f"b.{suffix}")
        shown = only(tmp_path / f"b.{suffix}")
        assert pixel(shown, 2, 2) == (0, 0, 0) and pixel(shown, 12, 2) == (255, 255, 255), suffix


def test_transparency_by_the_entry_of_a_palette(tmp_path: Path) -> None:
    image = Image.new("P", (9, 3))
    image.putpalette([255, 0, 0, 0, 0, 255, 0, 0, 0])
    image.putdata([0, 0, 0, 1, 1, 1, 2, 2, 2] * 3)
    image.save(tmp_path / "p.png", transparency=bytes([255, 128, 0]))
    shown = only(tmp_path / "p.png")
    assert pixel(shown, 0, 0) == (255, 0, 0) and pixel(shown, 8, 0) == (255, 255, 255)
    assert pixel(shown, 4, 1) == pytest.approx((127, 127, 255), abs=1)


def test_premultiplied_alpha_is_not_darkened(tmp_path: Path) -> None:
    """A TIFF with "associated" alpha holds colours multiplied by it; half of red on white is pink, not brown."""
    Image.new("RGBA", (4, 4), (128, 0, 0, 128)).save(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    marked = 0
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, entry)[0] == 338:  # extra samples: 1 is premultiplied alpha, 2 is plain
            struct.pack_into("<H", data, entry + 8, 1)
            marked += 1
    (tmp_path / "a.tif").write_bytes(data)
    assert marked == 1
    assert pixel(only(tmp_path / "a.tif"), 1, 1) == pytest.approx((255, 127, 127), abs=2)


@pytest.mark.parametrize("suffix", ["jpg", "gif", "bmp", "tif"])
def test_a_header_that_lies_about_the_size_is_refused_undecoded(tmp_path: Path, suffix: str) -> None:
    buffer = io.BytesIO()
    Image.new("L", (64, 64), 90).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    data = bytearray(buffer.getvalue())
    if suffix == "jpg":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 60_000, 60_000)
    elif suffix == "gif":
        struct.pack_into("<HH", data, 6, 60_000, 60_000)
    elif suffix == "bmp":
        struct.pack_into("<ii", data, 18, 60_000, 60_000)
    else:
        (directory,) = struct.unpack_from("<I", data, 4)
        for entry in range(directory + 2, directory + 2 + 24, 12):
            struct.pack_into("<HHII", data, entry, struct.unpack_from("<H", data, entry)[0], 4, 1, 60_000)
    (tmp_path / f"l.{suffix}").write_bytes(data)
    with pytest.raises(DocumentError, match=rf"l\.{suffix}: decompression bomb\?"):
        read(tmp_path / f"l.{suffix}")


def test_a_huge_frame_behind_a_small_one_costs_itself_alone(tmp_path: Path) -> None:
    frames = [Image.new("1", size) for size in ((50, 50), (4000, 4000), (60, 60))]
    frames[0].save(tmp_path / "h.tif", save_all=True, append_images=frames[1:], compression="group4")
    first, huge, last = read(tmp_path / "h.tif", max_image_pixels=1_000_000)
    assert isinstance(first, Page) and isinstance(last, Page)
    assert isinstance(huge, PageFailure) and "bomb" in huge.reason

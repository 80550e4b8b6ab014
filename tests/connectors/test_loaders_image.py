"""Pictures come upright, in RGB, in full tone, within their budget, or with a reason."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure
from connectors.loaders.image import ImageLoader
from connectors.loaders.picture import MAX_RATIO, page_picture
from connectors.page import Page


def read(path: Path, **options: Any) -> list[Page | PageFailure]:
    return list(ImageLoader(**options).pages(path))


def only(path: Path, **options: Any) -> Image.Image:
    (page,) = read(path, **options)
    assert isinstance(page, Page) and page.image is not None
    assert page.image.mode == "RGB" and page.kind == "image" and page.text == "" and page.number == 1
    return page.image


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


def quarters() -> Image.Image:
    """40x20: red, green over blue, white."""
    image = Image.new("RGB", (40, 20), "white")
    for colour, box in (("red", (0, 0, 20, 10)), ("lime", (20, 0, 40, 10)), ("blue", (0, 10, 20, 20))):
        image.paste(colour, box)
    return image


UNDO = {  # how a camera would store the upright picture under each EXIF orientation
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    stored = quarters()
    for step in UNDO[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"o.{suffix}"
    stored.save(path, exif=exif, **({"quality": 95, "subsampling": 0} if suffix == "jpg" else {}))
    shown = only(path)
    assert shown.size == (40, 20)
    difference = np.abs(np.asarray(shown, int) - np.asarray(quarters(), int))
    assert np.median(difference) < 8 and difference.mean() < 8


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "e.jpg"
    quarters().save(path, exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x12\x01\x99" * 5)
    assert only(path).size == (40, 20)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / f"r.{suffix}")
    shown = np.asarray(only(tmp_path / f"r.{suffix}"))[..., 0]
    assert np.abs(shown.astype(int) - np.rint(ramp / 65535 * 255)).max() <= 1


def test_12_bits_in_16_use_the_whole_range(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)).save(tmp_path / "r.tif")
    shown = np.asarray(only(tmp_path / "r.tif"))
    assert shown.min() == 0 and shown.max() == 255


def test_16_bit_tiff_whose_zero_is_white(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "w.tif", tiffinfo={})
    data = bytearray((tmp_path / "w.tif").read_bytes())
    (directory,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", data, entry)[0] == 262:
            struct.pack_into("<H", data, entry + 8, 0)
    (tmp_path / "w.tif").write_bytes(data)
    shown = np.asarray(only(tmp_path / "w.tif"))
    assert shown[0, 0, 0] == 255 and shown[-1, -1, 0] == 0


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.0, 1.0, 128), (0.0, 255.0, 128), (-5.0, 5.0, 128), (0.0, 3000.0, 128)]
)
def test_float_tiff(tmp_path: Path, low: float, high: float, expected: int) -> None:
    values = np.linspace(low, high, 101, dtype=np.float32).reshape(1, 101)
    Image.fromarray(np.repeat(values, 4, axis=0)).save(tmp_path / "f.tif")
    shown = np.asarray(only(tmp_path / "f.tif"))[0, :, 0]
    assert shown[0] == 0 and shown[-1] == 255 and shown[50] == pytest.approx(expected, abs=1)


def test_32_bit_integers_with_negatives() -> None:
    values = np.linspace(-100_000, 900_000, 100).astype(np.int32).reshape(10, 10)
    shown = np.asarray(page_picture(Image.fromarray(values)))
    assert shown[0, 0, 0] == 0 and shown[-1, -1, 0] == 255


def test_not_a_number_is_black() -> None:
    values = np.array([[0.0, 1.0, np.nan, np.inf]], np.float32)
    assert np.asarray(page_picture(Image.fromarray(values)))[0, :, 0].tolist() == [0, 255, 0, 255]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    quarters().convert("CMYK").save(tmp_path / "c.jpg", quality=95, subsampling=0)
    shown = only(tmp_path / "c.jpg")
    assert pixel(shown, 5, 4) == pytest.approx((255, 0, 0), abs=12)
    assert pixel(shown, 35, 15) == pytest.approx((255, 255, 255), abs=12)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_shown_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 10, 20))
    if mode == "P":
        image = image.convert("RGB").quantize(4)
        image.putdata([1] * 200 + [0] * 200)
        image.putpalette([0, 0, 0, 10, 10, 10])
        image.save(tmp_path / "t.png", transparency=0)
        assert pixel(only(tmp_path / "t.png"), 5, 15) == (255, 255, 255)
        return
    image.convert(mode).save(tmp_path / "t.png")
    shown = only(tmp_path / "t.png")
    assert pixel(shown, 2, 2) == (0, 0, 0) and pixel(shown, 15, 2) == (255, 255, 255)


def test_half_transparent_mixes_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(tmp_path / "h.png")
    assert pixel(only(tmp_path / "h.png"), 1, 1) == pytest.approx((127, 127, 127), abs=1)


def test_fax(tmp_path: Path) -> None:
    image = Image.new("1", (64, 64), 1)
    image.paste(0, (0, 0, 32, 64))
    image.save(tmp_path / "g4.tif", compression="group4")
    shown = only(tmp_path / "g4.tif")
    assert pixel(shown, 3, 3) == (0, 0, 0) and pixel(shown, 60, 3) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F"])
@pytest.mark.parametrize("size", [(40, 30), (2100, 1200)])
def test_every_mode_shrinks_to_the_budget(mode: str, size: tuple[int, int]) -> None:
    image = Image.new("L", size, 255).convert(mode) if mode != "LAB" else Image.new("LAB", size, (255, 128, 128))
    shown = page_picture(image, 200_000)
    assert shown.mode == "RGB" and shown.width * shown.height <= 200_000
    assert shown.width / shown.height == pytest.approx(size[0] / size[1], rel=0.01)
    assert np.asarray(shown).min() >= 250


def test_bands_leave_no_seams() -> None:
    ramp = np.tile(np.linspace(0, 255, 5000).astype(np.uint8)[:, None], (1, 2500))
    shown = np.asarray(page_picture(Image.fromarray(ramp), 100_000))[..., 0].astype(int)
    assert np.abs(np.diff(shown.mean(axis=1))).max() < 2 and (shown.std(axis=1) < 1).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(2000, 100_000))
def test_any_size_fits(width: int, height: int, budget: int) -> None:
    shown = page_picture(Image.new("L", (width, height)), budget)
    assert shown.width * shown.height <= budget + max(shown.size)
    assert max(shown.size) <= MAX_RATIO * min(shown.size)


def test_each_tiff_frame_is_a_page(tmp_path: Path) -> None:
    colours = ["red", "lime", "blue"]
    first, *rest = (Image.new("RGB", (10, 10 + place), colour) for place, colour in enumerate(colours))
    first.save(tmp_path / "m.tiff", save_all=True, append_images=rest)
    pages = read(tmp_path / "m.tiff")
    assert [page.number for page in pages] == [1, 2, 3]
    shown = [page.image for page in pages if isinstance(page, Page) and page.image]
    assert [image.height for image in shown] == [10, 11, 12]
    assert [pixel(image, 0, 0) for image in shown] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    *limited, left_out = read(tmp_path / "m.tiff", max_frames=2)
    assert len(limited) == 2 and isinstance(limited[0], Page)
    assert isinstance(left_out, PageFailure) and left_out.number == 3 and "behind number 2" in left_out.reason
    assert limited[0].metadata["frames"] == 3 and limited[0].metadata["frames_read"] == 2
    later = list(ImageLoader().pages(tmp_path / "m.tiff", first=3))
    assert [page.number for page in later] == [3]


def test_a_bad_frame_does_not_cost_the_others(tmp_path: Path) -> None:
    noise = [Image.fromarray(np.random.default_rng(k).integers(0, 255, (64, 64), np.uint8)) for k in range(3)]
    noise[0].save(tmp_path / "b.tif", save_all=True, append_images=noise[1:], compression="tiff_lzw")
    data = bytearray((tmp_path / "b.tif").read_bytes())
    with Image.open(tmp_path / "b.tif") as image:
        image.seek(1)
        (start,), (length,) = image.tag_v2[273], image.tag_v2[279]  # type: ignore[attr-defined]
    data[start : start + length] = b"\xff" * length
    (tmp_path / "b.tif").write_bytes(data)
    first, bad, last = read(tmp_path / "b.tif")
    assert isinstance(first, Page) and isinstance(last, Page)
    assert isinstance(bad, PageFailure) and bad.number == 2 and "broken" in bad.reason


def test_an_animation_is_one_page(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    (page,) = read(tmp_path / "a.gif")
    assert isinstance(page, Page) and page.metadata == {"format": "GIF", "animated": True}


def png_bomb(side: int) -> bytes:
    """A 1-bit PNG of side x side white pixels, some tens of kilobytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\x00" + b"\xff" * (side // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row * 100) for _ in range(side // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The pictures that were decoded, by format."""
    loads: list[str] = []
    for name in ("PngImagePlugin.PngImageFile", "TiffImagePlugin.TiffImageFile"):
        module, kind = name.split(".")
        plugin = getattr(__import__(f"PIL.{module}", fromlist=[kind]), kind)
        original = plugin.load

        def load(self: Image.Image, *args: Any, original: Any = original) -> Any:
            loads.append(str(self.format))
            return original(self, *args)

        monkeypatch.setattr(plugin, "load", load)
    yield loads


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_bomb_is_refused_before_decoding(tmp_path: Path, side: int, decoded: list[str]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(side))
    assert path.stat().st_size < 200_000
    limit = Image.MAX_IMAGE_PIXELS
    with (
        warnings.catch_warnings(),
        pytest.raises(DocumentError, match=rf"bomb\.png: decompression bomb\? .*{side**2 // 10**6} MP.*refused"),
    ):
        warnings.simplefilter("error")
        read(path)
    assert decoded == [] and limit == Image.MAX_IMAGE_PIXELS


def test_the_cap_is_the_callers(tmp_path: Path, decoded: list[str]) -> None:
    (tmp_path / "b.png").write_bytes(png_bomb(4000))
    with pytest.raises(DocumentError, match=r"4000x4000 pixels = 16 MP.*max_image_pixels"):
        read(tmp_path / "b.png", max_image_pixels=10_000_000)
    assert decoded == []
    shown = only(tmp_path / "b.png")
    assert shown.width * shown.height <= 2_200_000 and pixel(shown, 9, 9) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif"])
def test_a_cut_off_picture_is_an_error_not_half_a_picture(tmp_path: Path, suffix: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    with pytest.raises(DocumentError, match=rf"cut\.{suffix}: ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC"),
        (b"<html><body>404</body></html>", "markup"),
        (b"garbage " * 50, "no picture of a known format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "broken"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a known format"),
    ],
)
def test_what_is_no_picture_says_so(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DocumentError, match=rf"x\.png: .*{reason}"):
        read(path)


def test_extreme_shapes_are_padded(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 3), "black").save(tmp_path / "line.png")
    shown = only(tmp_path / "line.png")
    assert shown.size == (5000, 50)
    assert pixel(shown, 0, 0) == (255, 255, 255) and pixel(shown, 0, 24) == (0, 0, 0)


def test_equal_pictures_have_equal_hashes_and_no_exif_stays(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Nguyễn Văn A"
    quarters().save(tmp_path / "one.png", exif=exif)
    quarters().save(tmp_path / "two.bmp")
    (one,), (two,) = read(tmp_path / "one.png"), read(tmp_path / "two.bmp")
    assert isinstance(one, Page) and isinstance(two, Page)
    assert one.content_sha256 == two.content_sha256
    assert one.metadata == {"format": "PNG"}

"""Brings any picture to what a page shows: mode RGB on white, at most so many pixels, no extreme shape.

Everything works band by band, so that a picture of 100 megapixels in any mode needs little more than its own memory.
"""

import io
import math
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

# An A4 page at 150 dpi is 1240x1754 = 2.17 MP: 15-pixel letters survive, and no embedder here reads more.
MAX_PAGE_PIXELS = 2_200_000

# Qwen2-VL's resize refuses shapes beyond 1:200; half of that leaves room for its rounding to patches.
MAX_RATIO = 100

_BAND_PIXELS = 4_000_000
_NUMERIC_MODES = ("I", "F")
_BIT_DEPTHS = (8, 10, 12, 14, 16)
_MOST_PROFILE_BYTES = 8_000_000
# The colour spaces of profiles, with the mode in which their values are, and the modes that can be brought to it.
_PROFILED = {
    "RGB": ("RGB", ("RGB", "RGBA", "RGBX", "P", "PA")),
    "GRAY": ("L", ("1", "L", "LA")),
    "CMYK": ("CMYK", ("CMYK",)),
    "LAB": ("LAB", ("LAB",)),
}


def fitted_size(width: float, height: float, max_pixels: int, zoom: float = 1.0) -> tuple[int, int]:
    """The size in pixels of a `width` x `height` original at `zoom`, scaled down where it would exceed `max_pixels`.

    The pixels counted include the white margin that `pad_to_ratio` will add to an extreme shape.
    """
    padded_area = max(width, height / MAX_RATIO) * max(height, width / MAX_RATIO)
    scale = min(zoom, math.sqrt(max_pixels / padded_area))
    return max(1, math.floor(width * scale)), max(1, math.floor(height * scale))


def pad_to_ratio(image: Image.Image) -> Image.Image:
    """`image` (RGB), centred on white if one side is more than `MAX_RATIO` times the other."""
    width, height = image.size
    padded = max(width, math.ceil(height / MAX_RATIO)), max(height, math.ceil(width / MAX_RATIO))
    if padded == image.size:
        return image
    canvas = Image.new("RGB", padded, "white")
    canvas.paste(image, ((padded[0] - width) // 2, (padded[1] - height) // 2))
    return canvas


def page_picture(image: Image.Image, max_pixels: int = MAX_PAGE_PIXELS, *, inverted: bool = False) -> Image.Image:
    """A loaded picture of any Pillow mode as mode RGB: shrunk to `max_pixels`, transparency on white, shape padded.

    16-bit, 32-bit and float pictures are scaled to their range (10, 12, 14 or 16 bits, 0..1, or lowest..highest value),
    never clipped; `inverted` says that their lowest value is white.

    Raises:
        ValueError: the mode cannot be converted to RGB.
    """
    target = fitted_size(*image.size, max_pixels)
    # Averaging whole blocks first costs a third of a full-size Lanczos; a factor of 2 is left for Lanczos to do well.
    factor = max(1, min(image.width // (2 * target[0]), image.height // (2 * target[1])))
    convert = _converter(image, inverted)
    reduced = Image.new("RGB", (math.ceil(image.width / factor), math.ceil(image.height / factor)))
    for top, band in _bands(image, factor):
        reduced.paste(convert(band).reduce(factor), (0, top // factor))
    if reduced.size != target:
        reduced = reduced.resize(target, Image.Resampling.LANCZOS)
    return pad_to_ratio(reduced)


def _bands(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """(top, band) from top to bottom; band heights are multiples of `factor`, save the last."""
    rows = max(1, _BAND_PIXELS // image.width // factor) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converter(image: Image.Image, inverted: bool) -> Callable[[Image.Image], Image.Image]:
    """How to turn a band of `image` into RGB."""
    if image.mode.split(";")[0] in _NUMERIC_MODES:
        black, white = _levels(image)[:: -1 if inverted else 1]
        return lambda band: _toned(band, black, white)
    if in_srgb := _profile_converter(image):
        return in_srgb
    if image.has_transparency_data:
        return _on_white
    if image.mode == "LAB":
        return _from_lab
    return lambda band: band.convert("RGB")


def _on_white(band: Image.Image) -> Image.Image:
    colours = band.convert("RGBA")
    return _pasted(colours, colours.getchannel("A"))


def _pasted(colours: Image.Image, alpha: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", colours.size, "white")
    canvas.paste(colours, mask=alpha)
    return canvas


def _profile_converter(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """How to bring a band to sRGB by the picture's own ICC profile; None where there is none that fits, or no need."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= _MOST_PROFILE_BYTES:
        return None
    from PIL import ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode, modes = _PROFILED.get(own.profile.xcolor_space.strip(), ("", ()))
        if image.mode not in modes or (mode == "RGB" and "srgb" in ImageCms.getProfileDescription(own).lower()):
            return None
        transform = ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile, or one for output only
        return None

    def converted(band: Image.Image) -> Image.Image:
        shown = ImageCms.applyTransform(band.convert(mode), transform)
        if shown is None:
            raise ValueError("the colours cannot be converted by the picture's profile")
        return _pasted(shown, band.convert("RGBA").getchannel("A")) if band.has_transparency_data else shown

    return converted


def _from_lab(band: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(band, lab, srgb, outputMode="RGB")
    if converted is None:
        raise ValueError("the LAB colours cannot be converted to RGB")
    return converted


def _toned(band: Image.Image, black: float, white: float) -> Image.Image:
    values = np.nan_to_num(np.asarray(band, dtype=np.float32), nan=black, posinf=white, neginf=black)
    shares = (values - black) / (white - black if white != black else 1.0)
    return Image.fromarray(np.rint(np.clip(shares, 0.0, 1.0) * 255).astype(np.uint8)).convert("RGB")


def _levels(image: Image.Image) -> tuple[float, float]:
    """The values that are black and white: the range the file uses, taken from its highest value."""
    low, high = math.inf, -math.inf
    for _, band in _bands(image, 1):
        values = np.asarray(band)
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        return 0.0, 1.0
    if low < 0:
        return low, high
    if image.mode == "F":
        return next(((0.0, top) for top in (1.0, 255.0) if high <= top), (low, high))
    return next(((0.0, 2.0**bits - 1) for bits in _BIT_DEPTHS if high < 2**bits), (low, high))

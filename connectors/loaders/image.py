"""Reads picture files: photos, scans, multi-page TIFFs. Sizes are checked before a pixel is decoded."""

import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from PIL import Image, UnidentifiedImageError

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, Loader, PageFailure, described
from connectors.loaders.ocr import OCREngine, engine_of, scanned
from connectors.loaders.picture import MAX_PAGE_PIXELS, fitted_size, page_picture
from connectors.page import Page, WordBox
from embedder.exif import TURNS, orientation

# Only these decoders are tried: others (EPS, WMF, FLI ...) start programs or are seldom fuzzed. HEIF is there if the
# user registers pillow-heif.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "PPM", "AVIF", "ICO", "HEIF")
_MAGIC = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+",
    b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_PHOTOMETRIC_TAG = 262


class ImageLoader(Loader):
    """Picture files as pages: upright, sRGB on white, at most `max_pixels`; without text unless an `ocr` reads it.

    Each frame of a TIFF is a page; of an animation (GIF, WebP, PNG) only the first frame is read. EXIF data (places,
    owners) are not kept.

    Args:
        max_pixels: larger pictures are shrunk to this many pixels.
        max_image_pixels: pictures that would decode to more are refused unread. Pillow's own limit
            (2 x `PIL.Image.MAX_IMAGE_PIXELS`, 179 MP) holds in any case.
        max_frames: frames of one TIFF that are read; where there are more, a `PageFailure` and the metadata say so.
        ocr: reads the words off each picture: an engine, or its name ("tesseract", "rapidocr", "auto"); None: does not.

    Raises:
        PluginError: `ocr` names what is not installed.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff", ".jp2", ".j2k",
        ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".ico", ".apng", ".heic", ".heif",
    )  # fmt: skip
    kind: ClassVar[str] = "image"

    def __init__(
        self,
        *,
        max_pixels: int = MAX_PAGE_PIXELS,
        max_image_pixels: int = 100_000_000,
        max_frames: int = 1000,
        ocr: str | OCREngine | None = None,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(image_dir=image_dir, image_format=image_format)
        self.max_pixels = max_pixels
        self.max_image_pixels = max_image_pixels
        self.max_frames = max_frames
        self.ocr = engine_of(ocr)

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` starts as one of the picture formats read here."""
        if head.startswith(_MAGIC):
            return True
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return True
        if head[4:12] in (b"ftypavif", b"ftypavis"):
            return True
        # "BM" alone begins many a text: a bitmap also has four reserved zeros and one of seven header sizes.
        return (
            head[:2] == b"BM"
            and head[6:10] == bytes(4)
            and len(head) > 18
            and struct.unpack_from("<I", head, 14)[0] in (12, 16, 40, 52, 56, 64, 108, 124)
        )

    def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
        """Yield one page for each frame; a bad frame among others, or frames over the limit, are a `PageFailure`."""
        with path.open("rb") as file:
            image = self._open(file, source)
            total = _frame_count(image)
            for index in range(first - 1, min(total, self.max_frames)):
                try:
                    yield self._frame(image, index, total, source)
                except DocumentError as error:
                    if total == 1:
                        raise
                    yield PageFailure(source, index + 1, str(error).removeprefix(f"{source}: "))
            if total > self.max_frames and first <= self.max_frames + 1:
                reason = f"frames behind number {self.max_frames} are left out (max_frames of the image loader)"
                yield PageFailure(source, self.max_frames + 1, reason)

    def picture(self, file: BinaryIO, source: str) -> Image.Image:
        """The first frame of an open picture file as a page shows it.

        Raises:
            DocumentError: it cannot be read, or is over the limit; the text begins with `source`.
        """
        return self._shown(self._open(file, source), 0, 1, source)

    def _open(self, file: BinaryIO, source: str) -> Image.Image:
        """The picture with its header read and its size checked, nothing decoded."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of large sizes and odd tags; our cap decides
                Image.init()  # registers the decoders; a Pillow built without one (AVIF) lacks its name
                image = Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
        except Image.DecompressionBombError as error:
            size = re.search(r"\((\d+) pixels\)", str(error))
            raise self._bomb(source, f"{int(size[1]) / 1e6:,.0f} MP" if size else "too large") from error
        except UnidentifiedImageError as error:
            file.seek(0)
            raise DocumentError(f"{source}: {_unidentified(file.read(1024))}") from error
        except Exception as error:
            raise DocumentError(f"{source}: is a broken picture: {described(error)}") from error
        return image

    def _frame(self, image: Image.Image, index: int, total: int, source: str) -> Page:
        shown = self._shown(image, index, total, source)
        metadata = self._metadata(image, total)
        text, words = "", tuple[WordBox, ...]()
        if self.ocr is not None:
            text, words, read_by = scanned(self.ocr, shown)
            metadata |= read_by
        return self.make_page(source, index + 1, text, shown, metadata, words)

    def _shown(self, image: Image.Image, index: int, total: int, source: str) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if total > 1:
                    image.seek(index)
                self._check_size(image, source)
                return self._decoded(image)
        except DocumentError:
            raise
        except Image.DecompressionBombError as error:
            raise self._bomb(source, "too large") from error
        except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, struct.error, IndexError ...
            raise DocumentError(f"{source}: the picture is broken or cut off: {described(error)}") from error

    def _check_size(self, image: Image.Image, source: str) -> None:
        width, height = image.size
        if width < 1 or height < 1:
            raise DocumentError(f"{source}: the picture has no pixels ({width}x{height})")
        if width * height > self.max_image_pixels:
            raise self._bomb(source, f"{width}x{height} pixels = {width * height / 1e6:,.0f} MP")

    def _bomb(self, source: str, size: str) -> DocumentError:
        return DocumentError(
            f"{source}: decompression bomb? {size}, over the limit of {self.max_image_pixels / 1e6:,.0f} MP; refused "
            "(shrink the picture, or raise max_image_pixels of the image loader)"
        )

    def _decoded(self, image: Image.Image) -> Image.Image:
        width, height = fitted_size(*image.size, self.max_pixels)
        if image.format in ("JPEG", "MPO"):
            image.draft(image.mode, (2 * width, 2 * height))  # decodes at 1/2, 1/4 or 1/8: less time and memory
        image.load()
        # Read after load(): Pillow turns TIFFs upright itself and then removes the tag.
        turn = TURNS.get(orientation(image))
        shown = page_picture(image, self.max_pixels, inverted=_is_white_zero(image))
        return shown if turn is None else shown.transpose(turn)

    def _metadata(self, image: Image.Image, total: int) -> dict[str, Any]:
        metadata: dict[str, Any] = {"format": image.format}
        if total > 1:
            metadata["frames"] = total
        if total > self.max_frames:
            metadata["frames_read"] = self.max_frames
        if image.format != "TIFF" and getattr(image, "is_animated", False):
            metadata["animated"] = True
        return metadata


def _frame_count(image: Image.Image) -> int:
    """The pages of a TIFF; 1 for all else, whose frames are an animation or previews."""
    if image.format != "TIFF":
        return 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return max(1, int(getattr(image, "n_frames", 1)))
        except Exception:  # a broken directory further on: at least the first frame may be readable
            image.seek(0)
            return 1


def _is_white_zero(image: Image.Image) -> bool:
    """Whether a TIFF's 0 is white. Pillow sees to it for all but its 16- and 32-bit modes."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(_PHOTOMETRIC_TAG) == 0


def _unidentified(head: bytes) -> str:
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "HEIC/HEIF pictures are not read; convert it to JPEG (or register pillow-heif's opener)"
    if head.lstrip()[:1] == b"<":
        return "is no picture but markup (HTML, SVG or XML); convert it to PNG"
    return "is no picture of a known format, or its header is broken"

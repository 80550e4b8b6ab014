"""Makes the pictures that the demo asks with: crops and photos of sample pages, never the pages themselves."""

from pathlib import Path

import pymupdf
from PIL import Image

from .effects import photographed, render
from .medical import windowed

Crop = tuple[float, float, float, float]


def write_query_pictures(documents: Path, folder: Path) -> None:
    """Writes every picture that `queries.QUERIES` names into `folder`, from the documents already built."""
    _crop(_first_frame(documents / "hoa-don-in-an.jpg"), (0.03, 0.02, 0.97, 0.97), 800, folder / "invoice-copy.jpg")
    with Image.open(documents / "ho-so-thu-vien.tif") as letters:
        letters.seek(2)
        _crop(letters.convert("RGB"), (0.02, 0.02, 0.98, 0.80), 760, folder / "roof-letter.jpg")
    _photo(_first_frame(documents / "safety-poster-zh.png"), 2, (0.12, 0.06, 0.90, 0.93), folder / "poster-on-wall.jpg")
    windowed("CT_small.dcm", center=60, width=900, size=224).save(folder / "ct-other-window.png")
    _crop(_page(documents / "bang-gia-gom.pdf", 1), (0.08, 0.165, 0.92, 0.412), 640, folder / "pots-2024.jpg")
    _crop(_page(documents / "cargo-ebike-manual.pdf", 2), (0.09, 0.105, 0.91, 0.495), 640, folder / "ebike-drawing.jpg")
    _crop(_page(documents / "tea-plan-2026-zh.pdf", 4), (0.0, 0.0, 1.0, 1.0), 720, folder / "tea-products.jpg")


def _first_frame(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _page(path: Path, number: int) -> Image.Image:
    with pymupdf.open(path) as document:
        return render(document[number - 1], 110)


def _crop(image: Image.Image, share: Crop, width: int, path: Path) -> None:
    """Saves a part of the page, reduced and compressed hard, as if sent by a messenger."""
    box = tuple(round(part * side) for part, side in zip(share, image.size * 2, strict=True))
    part = image.crop(box)  # type: ignore[arg-type]
    part.resize((width, round(width * part.height / part.width)), Image.Resampling.LANCZOS).save(path, quality=55)


def _photo(image: Image.Image, seed: int, place: Crop, path: Path) -> None:
    """Saves a telephone photo of the page; `place` is where it lies in the photo."""
    left, top, right, bottom = place
    corners = ((left + 0.03, top), (right - 0.02, top + 0.02), (right + 0.03, bottom), (left - 0.03, bottom - 0.01))
    size = (720, round(720 * image.height / image.width))
    photographed(image, seed=seed, size=size, corners=corners, desk=(150, 146, 140)).save(path, quality=62)

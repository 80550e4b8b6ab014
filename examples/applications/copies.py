"""A folder of pages and copies of them: compressed, smaller, marked with a pen, scanned."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymupdf
from PIL import Image, ImageDraw

from examples.applications.notices import notices
from examples.sample_documents.effects import render, scanned
from examples.vietnamese_forms import KINDS, people

COPIES: Final = ("compressed", "smaller", "marked", "scanned")


@dataclass(frozen=True)
class Copy:
    """A file: `page` tells what it is a copy of, `how` what was done to it ("" for the page itself), `layout` which
    other pages look like it: those of the same form."""

    page: int
    how: str
    layout: str
    path: Path


def write_folder(folder: Path, persons: int = 3, seed: int = 23) -> list[Copy]:
    """Pages and their copies: four forms for each person, and three times as many printed notices."""
    folder.mkdir(parents=True, exist_ok=True)
    pages: list[tuple[str, Image.Image]] = []
    for person in people(persons, seed):
        for kind in KINDS:
            with pymupdf.open() as document:
                kind.draw(document, person)
                pages.append((kind.name, render(document[0], 75)))
    pages += [(f"notice {number}", one.picture) for number, one in enumerate(notices(1, seed)[: 3 * persons])]
    written = []
    for number, (layout, page) in enumerate(pages):
        for how in ("", *COPIES):
            path = folder / f"{number:02d}{'-' + how if how else ''}.png"
            _copied(page, how, seed * 1000 + number).save(path)
            written.append(Copy(number, how, layout, path))
    return written


def _copied(page: Image.Image, how: str, seed: int) -> Image.Image:
    match how:
        case "compressed":
            buffer = io.BytesIO()
            page.save(buffer, format="JPEG", quality=35)
            return Image.open(buffer).convert("RGB")
        case "smaller":
            return page.resize((page.width * 3 // 4, page.height * 3 // 4), Image.Resampling.LANCZOS)
        case "marked":
            marked = page.copy()
            draw, x, y = ImageDraw.Draw(marked), page.width * 0.7, page.height * 0.6
            draw.ellipse((x, y, x + 70, y + 40), outline=(30, 60, 170), width=3)
            draw.line((x - 60, y + 50, x + 70, y + 46), fill=(30, 60, 170), width=2)
            return marked
        case "scanned":
            return scanned(page, seed=seed, skew=1.0 if seed % 2 else -1.0, noise=7)
        case _:
            return page

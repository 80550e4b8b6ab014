"""Writes the forms: as PDFs with a text layer, and as scans without one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pymupdf

from examples.sample_documents.canvas import save
from examples.sample_documents.effects import render, scanned

from .identity import draw_identity, draw_licence
from .money import draw_claim, draw_invoice
from .people import Person, people

SCAN_DPI: Final = 150


@dataclass(frozen=True)
class FormKind:
    """A kind of form: how its files are named, its title, and what draws its page."""

    name: str
    title: str
    draw: Callable[[pymupdf.Document, Person], None]


KINDS: Final = (
    FormKind("to-khai-can-cuoc", "Tờ khai căn cước (mẫu)", draw_identity),
    FormKind("giay-phep-lai-xe", "Giấy phép lái xe (mẫu)", draw_licence),
    FormKind("hoa-don-gtgt", "Hoá đơn giá trị gia tăng (mẫu)", draw_invoice),
    FormKind("yeu-cau-boi-thuong", "Giấy yêu cầu bồi thường bảo hiểm (mẫu)", draw_claim),
)


@dataclass(frozen=True)
class Forms:
    """What was written. `pdfs` and `scans` are folders; files are `KIND-NN.pdf` and `KIND-NN.jpg`, NN from 01."""

    pdfs: Path
    scans: Path
    people: tuple[Person, ...]


def build(folder: Path, count: int = 4, seed: int = 26, scans_of: int | None = None) -> Forms:
    """Write four forms of each of `count` people to `folder`/pdf, and scans of them to `folder`/scan.

    Args:
        scans_of: so many people's forms are scanned; None: all.

    Raises:
        ValueError: more people than there are names for.
    """
    forms = Forms(folder / "pdf", folder / "scan", people(count, seed))
    for target in (forms.pdfs, forms.scans):
        target.mkdir(parents=True, exist_ok=True)
    for number, person in enumerate(forms.people, start=1):
        for place, kind in enumerate(KINDS):
            document = pymupdf.open()
            kind.draw(document, person)
            if scans_of is None or number <= scans_of:
                _scan(document, forms.scans / f"{kind.name}-{number:02d}.jpg", seed=seed * 1000 + number * 10 + place)
            save(document, forms.pdfs / f"{kind.name}-{number:02d}.pdf", f"{kind.title}: {person.name}")
    return forms


def _scan(document: pymupdf.Document, path: Path, seed: int) -> None:
    """A degree askew, to one side or the other, grainy and compressed."""
    turned = 1.0 if seed % 2 else -1.0
    picture = scanned(render(document[0], SCAN_DPI), seed=seed, skew=turned, noise=9)
    picture.save(path, quality=62, dpi=(SCAN_DPI, SCAN_DPI))

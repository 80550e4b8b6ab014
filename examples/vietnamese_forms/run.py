"""Builds the forms, ingests them in three ways, asks, and says what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from rich import box
from rich.console import Console
from rich.table import Table

from connectors.loaders.ocr import tesseract_languages
from embedder import Embedder
from examples.made_folder import made_anew
from examples.sample_documents.effects import scanned
from vipylo_rag import MultimodalIndex

from .asked import Asked, Score, ask
from .build import KINDS, Forms, build
from .questions import FieldQuestion, questions
from .shown import write_page

# One index, three owners: the same page as PDF, as scan and as a scan that was read must not compete.
PDF: Final = "pdf"
SCAN: Final = "scan"
READ_SCAN: Final = "read-scan"


@dataclass(frozen=True)
class Result:
    """What was measured.

    Attributes:
        asked: by tenant.
        twins: a scan was given as a picture, without words: ranks of its own PDF.
        copies: a worse copy of a scan was given: ranks of the scan.
    """

    forms: Forms
    asked: dict[str, list[Asked]]
    twins: list[int]
    copies: list[int]
    page: Path


def run(
    folder: Path,
    console: Console,
    *,
    count: int = 4,
    scans_of: int = 2,
    seed: int = 26,
    embedder: Embedder | str = "starter",
) -> Result:
    """Build, ingest, ask; writes `answers.html` into `folder`.

    Args:
        count: people; each has four forms.
        scans_of: so many of them have scans too.
    """
    forms = build(made_anew(folder) / "documents", count, seed, scans_of)
    of_all, of_scanned = questions(forms.people), questions(forms.people[:scans_of])
    page = folder / "answers.html"
    with MultimodalIndex.open(folder / "index", embedder=embedder) as index:
        asked = {PDF: _asked(index, forms.pdfs, PDF, of_all, console)}
        if scans_of:
            asked[SCAN] = _asked(index, forms.scans, SCAN, of_scanned, console)
        if scans_of and "vie" in tesseract_languages():
            options = {"image": {"ocr": "tesseract"}}
            asked[READ_SCAN] = _asked(index, forms.scans, READ_SCAN, of_scanned, console, options)
        elif scans_of:
            console.print(
                "[yellow]scans were not read: Tesseract with Vietnamese is not installed (`vipylo doctor`)[/]"
            )
        scans = sorted(forms.scans.glob("*.jpg"))
        twins = [_rank(index, Image.open(scan), scan.stem, PDF) for scan in scans]
        copies = [_rank(index, _worse_copy(scan, number), scan.stem, SCAN) for number, scan in enumerate(scans)]
        shown = [*asked[PDF], *asked.get(READ_SCAN, [])]
        write_page(page, f"{len(forms.people)} người không có thật, embedder “{index.embedder.name}”.", shown)
    result = Result(forms, asked, twins, copies, page)
    _print(console, result)
    console.print(f"answers on the forms: {page}", soft_wrap=True)
    return result


def _asked(
    index: MultimodalIndex,
    folder: Path,
    tenant: str,
    of_forms: list[FieldQuestion],
    console: Console,
    options: dict[str, dict[str, str]] | None = None,
) -> list[Asked]:
    report = index.ingest(folder, tenant=tenant, loader_options=options)
    console.print(f"{tenant}: {report.indexed} forms in {report.seconds:.0f} s")
    return ask(index, of_forms, tenant)


def _worse_copy(scan: Path, seed: int) -> Image.Image:
    """The scan once more through a bad machine: smaller, turned the other way, grainier."""
    with Image.open(scan) as picture:
        small = picture.convert("RGB").resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    return scanned(small, seed=seed, skew=1.6 if seed % 2 else -1.6, noise=12)


def _rank(index: MultimodalIndex, picture: Image.Image, form: str, tenant: str) -> int:
    """Where a form stands when its picture is the query: what an embedder alone can do with scans."""
    hits = index.search(images=picture, top_k=100, mode="dense", tenant=tenant)
    return next(rank for rank, hit in enumerate(hits, start=1) if Path(hit.name).stem == form)


def _print(console: Console, result: Result) -> None:
    table = Table(box=box.SIMPLE, title="fields asked of the PDFs")
    table.add_column("question", no_wrap=True, overflow="ellipsis", max_width=42)
    table.add_column("value", no_wrap=True, overflow="ellipsis", max_width=18)
    for head in ("form at", "quoted"):
        table.add_column(head, no_wrap=True, justify="right")
    for one in result.asked[PDF]:
        quoted = "first" if one.in_first else "yes" if one.in_quote else "–"
        table.add_row(one.question.text, one.question.value, str(one.rank or "–"), quoted)
    console.print(table)
    names = {PDF: "PDF, text layer", SCAN: "scan, as it is", READ_SCAN: "scan, Tesseract"}
    table = Table(box=box.SIMPLE, title="rank of the form; where the value asked for is quoted")
    for head in ("forms", "asked", "1st", "1-3", "passage", "citation", "boxes", "of page"):
        table.add_column(head, no_wrap=True, justify="left" if head == "forms" else "right")
    for tenant, answered in result.asked.items():
        s = Score.of(answered)
        numbers = (s.questions, s.first, s.in_three, s.in_first, s.in_quote, s.in_boxes)
        table.add_row(names[tenant], *map(str, numbers), f"{s.quoted_share:.0%}")
    console.print(table)
    if scanned_forms := len(result.copies):
        least = f"{1 / scanned_forms:.0%} and {min(3, scanned_forms) / scanned_forms:.0%}"
        console.print(f"chance has the right scan first, and in the first three, for {least} of the questions")
    for ranks, what, among in (
        (result.twins, "a scan as the query finds its PDF", len(result.forms.people) * len(KINDS)),
        (result.copies, "a worse copy as the query finds its scan", len(result.copies)),
    ):
        if ranks:
            first, mean = sum(rank == 1 for rank in ranks), sum(ranks) / len(ranks)
            console.print(
                f"{what}, by its picture alone: first for {first} of {len(ranks)} among {among}, mean rank {mean:.1f} "
                f"(chance {(among + 1) / 2:.1f})"
            )

"""The list of sample documents: name, language, kind, pages, and the function that writes each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import brochure, contracts, household, manuals, medical, notes, pottery, reports, scans, slides


@dataclass(frozen=True)
class SampleDocument:
    """One document of the demo folder.

    Args:
        name: File name.
        language: `vi`, `en` or `zh`; empty for an image without words.
        kind: What it is, in a few words.
        pages: Number of pages.
        write: Writes it to a path.
    """

    name: str
    language: str
    kind: str
    pages: int
    write: Callable[[Path], None]


def _dicom(name: str) -> Callable[[Path], None]:
    return partial(medical.copy_bundled, name)


def _note(source: str) -> Callable[[Path], None]:
    return partial(notes.write_note, source)


DOCUMENTS: tuple[SampleDocument, ...] = (
    SampleDocument("hop-dong-thue-can-ho.pdf", "vi", "lease with numbered articles", 6, contracts.write_lease),
    SampleDocument("hoa-don-in-an.jpg", "vi", "scanned invoice", 1, scans.write_invoice),
    SampleDocument("thuc-don-sen-ho.pdf", "vi", "menu with pictures", 4, brochure.write_menu),
    SampleDocument("bang-gia-gom.pdf", "vi", "price lists of three years", 3, pottery.write_price_lists),
    SampleDocument("ho-so-thu-vien.tif", "vi", "scanned letters, two colours", 4, scans.write_letters_tiff),
    SampleDocument("anh-chup-thong-bao.jpg", "vi", "photo of a notice", 1, scans.write_notice_photo),
    SampleDocument("bien-ban-hop-to-dan-pho.md", "vi", "minutes", 1, _note("bien_ban_hop_to_dan_pho.md")),
    SampleDocument("solar-park-report-2025.pdf", "en", "report with charts", 6, reports.write_solar_report),
    SampleDocument("cargo-ebike-manual.pdf", "en", "manual with drawings", 8, manuals.write_ebike_manual),
    SampleDocument("rice-moisture-paper.pdf", "en", "two-column paper", 4, reports.write_rice_paper),
    SampleDocument("pet-clinic-form.png", "en", "form filled in by hand", 1, scans.write_clinic_form),
    SampleDocument("incident-review.txt", "en", "notes", 1, _note("incident_review.txt")),
    SampleDocument("tea-plan-2026-zh.pdf", "zh", "slide deck", 8, slides.write_tea_slides),
    SampleDocument("water-purifier-manual-zh.pdf", "zh", "manual with drawings", 6, household.write_purifier_manual),
    SampleDocument("safety-poster-zh.png", "zh", "poster", 1, scans.write_safety_poster),
    SampleDocument("huiyi-jiyao.md", "zh", "minutes", 1, _note("huiyi_jiyao.md")),
    SampleDocument("ct-small.dcm", "", "DICOM, CT slice", 1, _dicom("CT_small.dcm")),
    SampleDocument("mr-small.dcm", "", "DICOM, MR slice, 64 x 64", 1, _dicom("MR_small.dcm")),
    SampleDocument("bone-scan.dcm", "", "DICOM, bone scan, JPEG 2000", 1, _dicom("JPEG2000.dcm")),
    SampleDocument("mr-abdomen.dcm", "", "DICOM, MR slice of the abdomen", 1, _dicom("examples_overlay.dcm")),
)

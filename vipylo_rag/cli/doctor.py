"""`vipylo doctor`: what is installed, what works, what is missing and how to get it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import typer

from embedder.errors import ViPyloError
from vipylo_rag.cli.options import JsonOption

PACKAGES = ("vipylo-rag", "torch", "transformers", "llama-index-core", "qdrant-edge-py", "qdrant-client", "pymupdf",
            "pypdfium2", "pydicom", "pillow")  # fmt: skip
# Optional packages that something here uses today.
EXTRAS = {
    "flash-attn": ("gpu", "faster attention on a GPU (attn_implementation='flash_attention_2')"),
    "sentence-transformers": ("bench", "the parity test of checkpoints"),
    "ray": ("ray", "ingest on several machines (vipylo ingest --ray)"),
    "langchain-core": ("langchain", "the LangChain adapters"),
    "fastapi": ("server", "the web page and the HTTP API (vipylo serve)"),
    "llama-index-llms-openai-like": ("llm", "answers by a language model on a server (vipylo ask --llm URL)"),
    "umap-learn": ("map", "maps on which alike pages stand together (vipylo map)"),
}


@dataclass(frozen=True)
class Check:
    """One line of the report. "missing" is an optional part; "broken" makes the command fail."""

    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str


def doctor(as_json: JsonOption = False) -> None:
    """Check the installation: versions, model, store, loaders, GPU, and what is missing with the way to get it."""
    checks = [*_packages(), *(_tried(name, check) for name, check in _WORKING.items()), *_extras()]
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(check) for check in checks], ensure_ascii=False, indent=2))
    else:
        _print(checks)
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(1)


def _packages() -> list[Check]:
    checks = [Check("python", "ok", sys.version.split()[0])]
    for name in PACKAGES:
        try:
            checks.append(Check(name, "ok", version(name)))
        except PackageNotFoundError:
            checks.append(Check(name, "broken", f"not installed: pip install {name}"))
    return checks


def _extras() -> list[Check]:
    checks = []
    for name, (extra, purpose) in EXTRAS.items():
        try:
            checks.append(Check(name, "ok", f"{version(name)} ({purpose})"))
        except PackageNotFoundError:
            checks.append(Check(name, "missing", f"{purpose}: pip install 'vipylo-rag[{extra}]'"))
    return checks


def _tried(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # whatever is broken, the other lines are still wanted
        return Check(name, "broken", " ".join(str(error).split()) or type(error).__name__)


def _model() -> Check:
    from embedder.model import ColPaLiQwenEmbedder

    embedder = ColPaLiQwenEmbedder.from_pretrained("starter", device="cpu")
    vector = embedder.encode("xin chào")
    parameters = sum(parameter.numel() for parameter in embedder.parameters())
    return Check("starter model", "ok", f"{parameters / 1e6:.1f}M parameters, {vector.shape[1]}-d, encodes text")


def _store() -> Check:
    import tempfile
    from pathlib import Path

    import numpy as np

    from connectors.stores.open import open_store
    from connectors.stores.protocol import Point

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "store", 4)
        store.upsert([Point("5f0c1c1e-0000-4000-8000-000000000001", np.eye(4, dtype=np.float32)[0], "xin chào", {})])
        found = store.search(np.eye(4, dtype=np.float32)[0], "chào")
        store.close()
    return Check("embedded store", "ok" if len(found) == 1 else "broken", "Qdrant Edge writes and finds")


def _loaders() -> Check:
    from connectors.loaders.registry import LoaderRegistry

    registry = LoaderRegistry()
    if registry.broken:
        return Check("loaders", "broken", "; ".join(registry.broken.values()))
    known = registry.suffixes
    return Check("loaders", "ok", "; ".join(f"{name}: {' '.join(suffixes)}" for name, suffixes in known.items()))


def _office() -> Check:
    """Which way Office documents take. LibreOffice is started, since one that is there may still be broken."""
    import tempfile
    from pathlib import Path

    from connectors.loaders.libreoffice import confines, converted, find_soffice
    from connectors.loaders.libreoffice_fonts import fonts_without_vietnamese

    soffice = find_soffice()
    if soffice is None:
        return Check(
            "LibreOffice", "missing",
            "docx, pptx, xlsx, odt, odp, ods are read as text (typeset, pictures apart); doc, ppt, xls, rtf are not. "
            "To have pages as printed, install LibreOffice (Debian: apt install libreoffice-nogui), or name soffice in "
            "VIPYLO_SOFFICE",
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "note.rtf"
        note.write_text("{\\rtf1 xin chao}")
        with converted(note, "rtf", "a test document", "pdf", seconds=60, soffice=soffice):
            detail = f"{soffice} prints Office documents"
    if not confines(soffice):
        detail += (
            "; conversions are not confined (that takes Linux 5.13 or later with Landlock, and soffice.bin itself): a "
            "document may pull local files into its page. Of documents that you do not trust, read the text alone "
            "(convert='text' of the office loader)"
        )
    if rejected := fonts_without_vietnamese():
        detail += f"; for Vietnamese without {', '.join(rejected)}, which lack letters of it"
    return Check("LibreOffice", "ok", detail)


def _ocr() -> Check:
    from connectors.loaders.ocr import load_ocr

    ready, reasons = [], []
    for name in ("tesseract", "rapidocr"):
        try:
            load_ocr(name)
            ready.append(name)
        except ViPyloError as error:
            reasons.append(" ".join(str(error).split()))
    state: Literal["ok", "missing"] = "ok" if ready else "missing"
    return Check(
        "OCR", state, "; ".join(([f"{', '.join(ready)} ready (off unless asked for)"] if ready else []) + reasons)
    )


def _gpu() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("GPU", "missing", "none that torch can use; the model runs on the CPU")
    names = {torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())}
    return Check("GPU", "ok", f"{torch.cuda.device_count()}x {', '.join(sorted(names))}")


_WORKING: dict[str, Callable[[], Check]] = {
    "starter model": _model,
    "embedded store": _store,
    "loaders": _loaders,
    "LibreOffice": _office,
    "OCR": _ocr,
    "GPU": _gpu,
}


def _print(checks: list[Check]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": "[green]ok[/]", "missing": "[yellow]missing[/]", "broken": "[red]broken[/]"}
    table = Table(box=box.SIMPLE, show_header=False)
    for check in checks:
        table.add_row(check.name, marks[check.state], Text(check.detail))
    Console().print(table)

"""Fixtures for the application's tests: a folder of small real documents and an index of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw

from embedder import ColPaLiQwenEmbedder
from vipylo_rag import MultimodalIndex

SUBJECTS = ["hợp đồng thuê nhà", "labour contract", "发票 合同", "biên bản bàn giao"]


def write_pdf(path: Path, pages: list[str]) -> Path:
    """A real PDF with one text a page."""
    document = pymupdf.open()
    for text in pages:
        document.new_page(width=300, height=400).insert_htmlbox(pymupdf.Rect(20, 20, 280, 380), f"<h2>{text}</h2>")
    document.save(path)
    document.close()
    return path


def write_picture(path: Path, colour: str) -> Path:
    """A picture with a disc."""
    image = Image.new("RGB", (240, 180), "white")
    ImageDraw.Draw(image).ellipse((40, 20, 180, 160), fill=colour)
    image.save(path)
    return path


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """Three PDFs of three pages, a picture, a note, and two files that cannot be indexed."""
    return write_documents(tmp_path / "documents")


def write_documents(folder: Path) -> Path:
    """The documents that most tests use."""
    (folder / "sub").mkdir(parents=True)
    for number, subject in enumerate(SUBJECTS[:3]):
        write_pdf(folder / f"doc{number}.pdf", [f"{subject} số {number}{page}" for page in range(3)])
    write_picture(folder / "sub" / "red.png", "red")
    (folder / "note.md").write_text("# Ghi chú\n\nbiên bản họp ngày 5 tháng 3", encoding="utf-8")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "thing.xyz").write_bytes(b"\x00\x01\x02")
    return folder


@pytest.fixture(scope="session")
def tiny_embedder(tiny_checkpoint: Path) -> ColPaLiQwenEmbedder:
    return ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint, device="cpu")


@pytest.fixture
def index(tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    with MultimodalIndex.open(tmp_path / "index", embedder=tiny_embedder) as opened:
        yield opened


@pytest.fixture(scope="session")
def filled_directory(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    """An index of the documents, made once; `filled` gives each test a copy."""
    folder = tmp_path_factory.mktemp("filled")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_documents(folder / "documents"))
    return folder / "index"


@pytest.fixture
def filled(filled_directory: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    """A filled index of the test's own."""
    copy = shutil.copytree(filled_directory, tmp_path / "filled")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as opened:
        yield opened


def snapshot(index: MultimodalIndex) -> dict[str, tuple[dict[str, Any], Any]]:
    """Every point with payload and vector."""
    return {p.id: (dict(p.payload), p.vector) for p in index.store.scroll(with_vectors=True)}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for key, (payload, vector) in first.items():
        assert payload == second[key][0]
        assert np.abs(vector - second[key][1]).max() < 1e-5

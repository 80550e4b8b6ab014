"""Fixtures for the graph's tests: an index of a few small documents with its page graph."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from embedder import ColPaLiQwenEmbedder
from tests.vipylo_rag.conftest import write_pdf, write_picture
from vipylo_rag import MultimodalIndex


def write_linked_documents(folder: Path) -> Path:
    """Two contracts and an invoice that name the same company, code and amount, a report apart, and a picture."""
    folder.mkdir(parents=True)
    write_pdf(
        folder / "contract.pdf",
        [
            "Hợp đồng thuê nhà. Bên A: Công ty TNHH Sao Mai. Mã hợp đồng: HD-2024-0193. Giá thuê: 12.500.000 đồng.",
            "Phụ lục hợp đồng HD-2024-0193. Ngày ký: 05/03/2024. Đại diện: Ông Nguyễn Văn Bình.",
        ],
    )
    write_pdf(folder / "invoice.pdf", ["Hóa đơn. Người bán: Công ty TNHH Sao Mai. Số tiền: 12.500.000 đồng."])
    write_pdf(folder / "report.pdf", ["Quarterly report on rice exports.", "The harvest of 2023 was the largest."])
    write_picture(folder / "red.png", "red")
    return folder


def write_scan(path: Path) -> Path:
    """A picture that is not the one of `write_picture`."""
    image = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(image).rectangle((30, 30, 170, 170), fill="blue")
    image.save(path)
    return path


@pytest.fixture(scope="session")
def graph_directory(tmp_path_factory: pytest.TempPathFactory, tiny_embedder: ColPaLiQwenEmbedder) -> Path:
    """An index of the linked documents with its graph, made once; `graph_index` gives each test a copy."""
    folder = tmp_path_factory.mktemp("graph")
    with MultimodalIndex.open(folder / "index", embedder=tiny_embedder) as index:
        index.ingest(write_linked_documents(folder / "documents"))
        report = index.build_graph()
        assert not report.failures, report.failures
    return folder / "index"


@pytest.fixture
def graph_index(graph_directory: Path, tmp_path: Path, tiny_embedder: ColPaLiQwenEmbedder) -> Iterator[MultimodalIndex]:
    """An index with a graph, of the test's own. Its documents are in the folder `graph_documents`."""
    copy = shutil.copytree(graph_directory, tmp_path / "with-graph")
    with MultimodalIndex.open(copy, embedder=tiny_embedder) as opened:
        yield opened


@pytest.fixture
def graph_documents(graph_directory: Path) -> Path:
    """The folder that `graph_index` was made of; do not change it."""
    return graph_directory.parent / "documents"

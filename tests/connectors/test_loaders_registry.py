"""Which loader reads a file, which files a folder holds, and LlamaIndex on both sides."""

import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pymupdf
import pytest
from llama_index.core import SimpleDirectoryReader
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import Document, MediaResource, MetadataMode, Node, NodeRelationship
from PIL import Image
from pydicom.data import get_testdata_file

from connectors.errors import DocumentError
from connectors.loaders import registry as registry_module
from connectors.loaders.base import Loader, PageFailure, save_image
from connectors.loaders.dicom import DICOMLoader
from connectors.loaders.image import ImageLoader
from connectors.loaders.pdf import PDFLoader
from connectors.loaders.registry import LoaderRegistry, discover, loader_for, unreadable
from connectors.loaders.text import TextLoader
from connectors.page import Page, page_id
from embedder.errors import InputError, PluginError


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """One file of each kind."""
    folder = tmp_path / "docs"
    folder.mkdir()
    with pymupdf.open() as document:
        for text in ("first words", "second words"):
            document.new_page().insert_text((72, 72), text)
        document.save(folder / "a.pdf")
    Image.new("RGB", (60, 40), "red").save(folder / "b.png")
    scan = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(scan, str)
    (folder / "c.dcm").write_bytes(Path(scan).read_bytes())
    (folder / "d.md").write_text("# Tiêu đề\n\nNội dung", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("name", "loader"), [("a.pdf", PDFLoader), ("b.png", ImageLoader), ("c.dcm", DICOMLoader), ("d.md", TextLoader)]
)
def test_by_suffix_and_by_content(samples: Path, name: str, loader: type[Loader]) -> None:
    path = samples / name
    assert type(loader_for(path)) is loader
    assert type(loader_for(path.rename(path.with_suffix(path.suffix.upper())))) is loader
    if loader is not TextLoader:
        for other in ("none", "lying.txt", "lying.pdf", "lying.jpg"):
            (samples / other).write_bytes(next(samples.glob(f"{path.stem}.*")).read_bytes())
            assert type(loader_for(samples / other)) is loader


def test_a_text_that_begins_with_bm_is_no_bitmap(tmp_path: Path) -> None:
    (tmp_path / "car.txt").write_text("BMW makes cars and motorcycles, among them the R 1200.")
    assert isinstance(loader_for(tmp_path / "car.txt"), TextLoader)


def test_unknown_kinds_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"\x01\x02")
    (tmp_path / "Makefile").write_text("all:")
    with pytest.raises(DocumentError, match=r"a\.xyz: no loader for '\.xyz' files; installed loaders: .*image, .*pdf"):
        loader_for(tmp_path / "a.xyz")
    with pytest.raises(DocumentError, match="Makefile: no loader for a file without suffix"):
        loader_for(tmp_path / "Makefile")
    with pytest.raises(DocumentError, match="gone: does not exist"):
        loader_for(tmp_path / "gone")
    with pytest.raises(DocumentError, match="is a folder"):
        loader_for(tmp_path)


def test_options_reach_the_loader_and_typos_are_named() -> None:
    registry = LoaderRegistry({"image": {"max_frames": 3}})
    assert registry.suffixes["pdf"] == (".pdf",) and ".png" in registry.suffixes["image"]
    with pytest.raises(InputError, match=r"unknown loaders: pfd .installed: .*pdf"):
        LoaderRegistry({"pfd": {}})
    with pytest.raises(InputError, match=r"options of the loader 'pdf'.*pasword"):
        _ = LoaderRegistry({"pdf": {"pasword": "x"}}).suffixes


def test_discover_sorts_skips_hidden_and_ends_loops(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a.txt", ".hidden/x.txt", "b/.secret", "c/deep/er.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    (tmp_path / "a-link").symlink_to(tmp_path / "c")
    (tmp_path / "z-broken").symlink_to(tmp_path / "nowhere")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "o.txt").write_text("x")
    (tmp_path / "linked").symlink_to(outside)
    names = [str(path.relative_to(tmp_path)) for path in discover([tmp_path])]
    assert names == ["a.txt", "b/1.txt", "b/2.txt", "c/deep/er.txt", "z-broken", "linked/o.txt"]
    assert len(list(discover([tmp_path, tmp_path / "a.txt", str(tmp_path / "b")]))) == len(names)
    assert [path.name for path in discover([tmp_path / "b" / ".secret"])] == [".secret"]
    with pytest.raises(DocumentError, match="nowhere: does not exist"):
        list(discover([tmp_path / "nowhere"]))


def test_what_no_loader_reads_is_listed(samples: Path) -> None:
    (samples / "e.dwg").write_bytes(b"AC1027\x00")
    (samples / "f").symlink_to(samples / "gone")
    found = {path.name: str(error) for path, error in unreadable([samples])}
    assert set(found) == {"e.dwg", "f"}
    assert "no loader for '.dwg'" in found["e.dwg"] and "broken link" in found["f"]
    kinds = [getattr(loader, "kind", None) for _, loader in LoaderRegistry().sort_out([samples])]
    assert kinds == ["pdf", "image", "dicom", "text", None, None]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may list any folder")
def test_a_forbidden_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    ((_, error),) = unreadable([tmp_path])
    assert "cannot be listed" in str(error)


def test_importing_the_registry_is_quick() -> None:
    code = "import sys, connectors.loaders.registry; print([m for m in ('llama_index', 'pymupdf', 'torch', 'pydicom') "
    code += "if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


class OfficeReader(BaseReader):
    """What a third party would write for plain LlamaIndex."""

    suffixes: ClassVar[list[str]] = [".OFFICE"]

    def load_data(self, file: Path, extra_info: dict[str, Any] | None = None) -> list[Document]:  # type: ignore[override]
        picture = file.parent / "b.png"
        data = picture.read_bytes()
        return [
            Document(text="một", metadata={"sheet": "S1", "object": object()}),
            Node(text_resource=MediaResource(text="hai"), image_resource=MediaResource(path=picture)),
            Node(image_resource=MediaResource(data=data, mimetype="image/png")),
            Node(image_resource=MediaResource(path=Path("gone.png"))),
            Node(image_resource=MediaResource.model_construct(data=b"cut off", path=None)),
            Document(text="sáu"),
        ]  # type: ignore[list-item]


class LazyReader(BaseReader):
    suffixes: ClassVar[tuple[str, ...]] = (".lazy",)

    @staticmethod
    def sniff(head: bytes) -> bool:
        return head.startswith(b"LAZY")

    def lazy_load_data(self, file: Path) -> Iterator[Document]:  # type: ignore[override]
        yield Document(text="lazy")
        raise RuntimeError("broke\nin the middle")


class Fake:
    """An entry point."""

    def __init__(self, value: str) -> None:
        self.value = value


@pytest.fixture
def third_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: dict[str, Any] = {"office": OfficeReader, "lazy": LazyReader, "pdf": PDFLoader, "image": ImageLoader}

    def load(group: str, name: str) -> Any:
        if name == "sick":
            raise PluginError("the loader 'sick' (sick:Loader) cannot be imported: no module named 'sick'")
        return parts[name]

    points = {name: Fake(f"{part.__module__}:{part.__name__}") for name, part in parts.items()}
    monkeypatch.setattr(registry_module, "registered", lambda group: {**points, "sick": Fake("sick:Loader")})
    monkeypatch.setattr(registry_module, "load_plugin", load)


@pytest.mark.usefixtures("third_parties")
def test_a_plain_llama_index_reader_is_a_loader(samples: Path) -> None:
    (samples / "x.office").write_text("office")
    loader = LoaderRegistry().loader_for(samples / "x.office")
    first, second, third, fourth, fifth, sixth = loader.pages(samples / "x.office", source="kept")
    assert isinstance(first, Page) and isinstance(second, Page) and isinstance(third, Page)
    assert (first.text, first.image, first.kind, first.metadata) == ("một", None, "office", {"sheet": "S1"})
    assert second.text == "hai" and second.image is not None and second.image.size == (60, 40)
    assert third.image is not None and third.image.getpixel((1, 1)) == (255, 0, 0) and third.source == "kept"
    assert isinstance(fourth, PageFailure) and "gone.png" in fourth.reason
    assert isinstance(fifth, PageFailure) and "no base64" in fifth.reason
    assert isinstance(sixth, Page) and (sixth.number, sixth.text) == (6, "sáu")


@pytest.mark.usefixtures("third_parties")
def test_a_reader_that_fails_is_one_line(samples: Path) -> None:
    (samples / "strange.name").write_text("LAZY content")
    pages = LoaderRegistry().loader_for(samples / "strange.name").pages(samples / "strange.name")
    assert next(pages).number == 1
    with pytest.raises(
        DocumentError, match=r"strange\.name: cannot be read as lazy: RuntimeError: broke in the middle"
    ):
        next(pages)


@pytest.mark.usefixtures("third_parties")
def test_a_sick_package_does_not_stop_the_others(samples: Path) -> None:
    registry = LoaderRegistry()
    assert isinstance(registry.loader_for(samples / "a.pdf"), PDFLoader)
    with pytest.raises(DocumentError, match=r"no loader for '.md'.*no module named 'sick'"):
        registry.loader_for(samples / "d.md")


def readers(folder: Path) -> dict[str, BaseReader]:
    return {
        ".pdf": PDFLoader(image_dir=folder),
        ".png": ImageLoader(image_dir=folder),
        ".dcm": DICOMLoader(image_dir=folder),
        ".md": TextLoader(image_dir=folder),
    }


@pytest.mark.parametrize("workers", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_simple_directory_reader(samples: Path, tmp_path: Path, workers: int | None) -> None:
    reader = SimpleDirectoryReader(samples, file_extractor=readers(tmp_path / "images"), raise_on_error=True)
    nodes = reader.load_data(num_workers=workers)
    assert [type(node) for node in nodes] == [Node] * 5
    by_page = {(Path(node.metadata["source"]).name, node.metadata["page"]): node for node in nodes}
    assert set(by_page) == {("a.pdf", 1), ("a.pdf", 2), ("b.png", 1), ("c.dcm", 1), ("d.md", 1)}
    pdf, text = by_page["a.pdf", 2], by_page["d.md", 1]
    assert pdf.text_resource is not None and pdf.text_resource.text == "second words"
    assert pdf.image_resource is not None and pdf.image_resource.path is not None
    with Image.open(pdf.image_resource.path) as image:
        assert image.size == (pdf.metadata["width"], pdf.metadata["height"])
    assert text.image_resource is not None and text.get_content(MetadataMode.EMBED) == "# Tiêu đề\n\nNội dung"
    assert pdf.metadata["file_name"] == "a.pdf"
    assert pdf.id_ == page_id(str(samples / "a.pdf"), 2)
    assert NodeRelationship.SOURCE in pdf.relationships
    assert len({node.id_ for node in nodes}) == len(nodes)


def test_nodes_are_the_same_each_time(samples: Path, tmp_path: Path) -> None:
    loader = PDFLoader(image_dir=tmp_path / "images", image_format="webp")
    first, second = ([node.to_dict() for node in loader.lazy_load_data(samples / "a.pdf")] for _ in range(2))
    assert first == second and json.dumps(first)
    assert len(list((tmp_path / "images").rglob("*.webp"))) == 2
    assert not list((tmp_path / "images").rglob("*.part"))


def test_equal_pictures_share_a_file(tmp_path: Path) -> None:
    paths = {save_image(Image.new("RGB", (5, 5), "red"), tmp_path) for _ in range(3)}
    assert len(paths) == 1 and len(list(tmp_path.rglob("*.png"))) == 1
    assert save_image(Image.new("RGB", (5, 5), "blue"), tmp_path) not in paths


def test_an_image_folder_that_cannot_be_written(samples: Path) -> None:
    loader = ImageLoader(image_dir=samples / "d.md" / "sub")
    with pytest.raises(DocumentError, match=r"cannot hold page images .*give another image_dir"):
        loader.load_data(samples / "b.png")


def test_failed_pages_are_logged_and_a_document_of_failures_raises(
    samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Half(Loader):
        def read(self, path: Path, source: str, first: int) -> Iterator[Page | PageFailure]:
            yield PageFailure(source, 1, "torn")
            if path.suffix == ".md":
                yield self.make_page(source, 2, "whole")

    loader = Half(image_dir=tmp_path)
    with caplog.at_level(logging.WARNING):
        (node,) = loader.load_data(samples / "d.md")
    assert node.metadata["page"] == 2 and "d.md, page 1: torn" in caplog.text
    with pytest.raises(DocumentError, match=r"b\.png: no page can be read; page 1: torn"):
        loader.load_data(samples / "b.png")


def test_a_remote_file_system(samples: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a.pdf", (samples / "a.pdf").read_bytes())
    nodes = PDFLoader(image_dir=tmp_path).load_data("/bucket/a.pdf", fs=memory)
    assert [node.metadata["source"] for node in nodes] == ["/bucket/a.pdf"] * 2


@pytest.mark.parametrize("loader", [PDFLoader(), ImageLoader(), DICOMLoader(), TextLoader()])
def test_loaders_travel_to_worker_processes(loader: Loader) -> None:
    assert type(pickle.loads(pickle.dumps(loader))) is type(loader)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "is a folder"), (tmp_path / "gone.txt", "does not exist")):
        with pytest.raises(DocumentError, match=reason):
            list(TextLoader().pages(path))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.txt")
        with pytest.raises(DocumentError, match="no regular file"):
            list(TextLoader().pages(tmp_path / "pipe.txt"))
    bad = tmp_path / "t\udcff.txt"
    bad.write_text("x")
    with pytest.raises(DocumentError, match=r"t\\udcff\.txt: the file name is no valid Unicode"):
        list(TextLoader().pages(bad))

"""Reads e-books (EPUB 2 and 3): the chapters in reading order and the pictures in them."""

import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from connectors.errors import DocumentError
from connectors.loaders import packed
from connectors.loaders.base import one_line
from connectors.loaders.blocks import Block, BlockLoader, Picture, Section
from connectors.loaders.html import data_picture, html_blocks, html_text

_MIMETYPE = b"application/epub+zip"
# Scrambled fonts are no protection of the text.
_FONT_SCRAMBLING = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_MOST_CHAPTER_BYTES = 20_000_000


class EPUBLoader(BlockLoader):
    """EPUB files as typeset pages, chapter by chapter; cover and pictures are pages of their own. For options see
    `BlockLoader`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".epub",)
    kind: ClassVar[str] = "epub"

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` is that of a zip file whose first member says that it is an EPUB."""
        return head.startswith(b"PK\x03\x04") and _MIMETYPE in head[30:120]

    def sections(self, path: Path, source: str) -> Iterator[Section]:
        """Cover and chapters."""
        with packed.opened(path, source, "e-book (EPUB)") as package:
            try:
                book = _Book(package)
            except (ValueError, KeyError) as error:
                raise DocumentError(f"{source}: is no readable e-book (EPUB): {one_line(error)}") from error
            if book.protected:
                raise DocumentError(f"{source}: is copy-protected (DRM); only the shop's own reader opens it")
            if not book.chapters:
                raise DocumentError(f"{source}: the e-book names no chapters")
            if book.cover is not None:
                yield Section([Picture(book.picture(book.cover), book.cover, book.title)], book.metadata())
            for name in book.chapters:
                yield book.section(name)


class _Book:
    """The package document (OPF) of an open e-book.

    Raises:
        ValueError, KeyError: a part that every e-book has is missing or broken.
    """

    def __init__(self, package: zipfile.ZipFile) -> None:
        self._package = package
        container = packed.xml_root(packed.content(package, "META-INF/container.xml"))
        address = next(
            (item.get("full-path") for item in container.iter() if packed.local(item.tag) == "rootfile"), None
        )
        opf = packed.member(package, "", address or "")
        if opf is None:
            raise ValueError("its container names no package document")
        root = packed.xml_root(packed.content(package, opf))
        items = [item for item in root.iter() if packed.local(item.tag) == "item"]
        manifest = {item.get("id"): packed.member(package, opf, item.get("href") or "") for item in items}
        order = [item.get("idref") for item in root.iter() if packed.local(item.tag) == "itemref"]
        self.chapters = [name for name in map(manifest.get, order) if name is not None]
        self.title = one_line(next((e.text for e in root.iter() if packed.local(e.tag) == "title" and e.text), ""))
        self.cover = _cover(root, items, manifest)
        self.protected = self._encrypted() & set(self.chapters) != set()

    def metadata(self) -> dict[str, Any]:
        return {"title": self.title} if self.title else {}

    def section(self, name: str) -> Section:
        """A chapter; one that cannot be read says so in its place."""
        info = self._package.getinfo(name)
        try:
            if info.file_size > _MOST_CHAPTER_BYTES:
                raise ValueError(f"has {info.file_size / 1e6:,.0f} MB, over the limit")
            # Each picture is read once: an ornament may stand a thousand times in a chapter.
            pictures = functools.cache(functools.partial(self._picture, name))
            chapter, parts = html_blocks(html_text(packed.content(self._package, name)), pictures)
        except ValueError as error:
            chapter, parts = "", [Block("paragraph", f"[The chapter {name} cannot be read: {one_line(error)}]")]
        return Section(parts, {**self.metadata(), **({"chapter": chapter} if chapter not in ("", self.title) else {})})

    def _picture(self, chapter: str, address: str) -> tuple[str, bytes] | None:
        if address.lower().startswith("data:"):
            return data_picture(address)
        name = packed.member(self._package, chapter, address)
        if name is None or name.lower().endswith((".svg", ".svgz")):
            return None
        return name, self.picture(name)

    def picture(self, name: str) -> bytes:
        """The bytes of a picture; none where it is damaged, and its page will say so."""
        try:
            return packed.content(self._package, name)
        except ValueError:
            return b""

    def _encrypted(self) -> set[str]:
        """The members that are encrypted, fonts aside."""
        if "META-INF/encryption.xml" not in self._package.NameToInfo:
            return set()
        names = set()
        for item in packed.xml_root(packed.content(self._package, "META-INF/encryption.xml")).iter():
            if packed.local(item.tag) != "EncryptedData":
                continue
            method = next((e.get("Algorithm") for e in item.iter() if packed.local(e.tag) == "EncryptionMethod"), "")
            address = next((e.get("URI") for e in item.iter() if packed.local(e.tag) == "CipherReference"), "")
            if method not in _FONT_SCRAMBLING and (name := packed.member(self._package, "", address or "")):
                names.add(name)
        return names


def _cover(root: Any, items: list[Any], manifest: dict[Any, str | None]) -> str | None:
    """The cover picture, as EPUB 3 marks it or as EPUB 2 did."""
    marked = next((i.get("id") for i in items if "cover-image" in (i.get("properties") or "").split()), None)
    older = next(
        (e.get("content") for e in root.iter() if packed.local(e.tag) == "meta" and e.get("name") == "cover"), None
    )
    kinds = {item.get("id"): item.get("media-type") or "" for item in items}
    for identity in (marked, older):
        if kinds.get(identity, "").startswith("image/") and "svg" not in kinds[identity]:
            return manifest.get(identity)
    return None

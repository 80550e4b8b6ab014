"""Tells Office documents apart by their content: what a file is decides, not how it is called."""

import mmap
from pathlib import Path
from typing import Literal

from connectors.errors import DocumentError
from connectors.loaders import packed

Format = Literal["docx", "pptx", "xlsx", "odt", "odp", "ods", "doc", "ppt", "xls", "rtf", "csv", "tsv"]

SUFFIXES: dict[str, Format] = {
    ".docx": "docx", ".docm": "docx", ".dotx": "docx", ".pptx": "pptx", ".pptm": "pptx", ".ppsx": "pptx",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".odt": "odt", ".ott": "odt", ".odp": "odp", ".ods": "ods",
    ".doc": "doc", ".ppt": "ppt", ".pps": "ppt", ".xls": "xls", ".rtf": "rtf",
    ".csv": "csv", ".tsv": "tsv",
}  # fmt: skip
NAMES: dict[Format, str] = {
    "docx": "Word document", "pptx": "PowerPoint presentation", "xlsx": "Excel workbook",
    "odt": "OpenDocument text", "odp": "OpenDocument presentation", "ods": "OpenDocument spreadsheet",
    "doc": "Word document", "ppt": "PowerPoint presentation", "xls": "Excel workbook", "rtf": "RTF document",
    "csv": "table (CSV)", "tsv": "table (TSV)",
}  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ZIP = b"PK\x03\x04"
_OPEN_DOCUMENT: dict[bytes, Format] = {
    b"application/vnd.oasis.opendocument.text": "odt",
    b"application/vnd.oasis.opendocument.presentation": "odp",
    b"application/vnd.oasis.opendocument.spreadsheet": "ods",
}
_MAIN_PARTS: tuple[tuple[str, Format], ...] = (
    ("word/document", "docx"), ("ppt/presentation", "pptx"), ("xl/workbook", "xlsx"),
)  # fmt: skip
# The streams of the old formats, by their names in the file's directory.
_STREAMS: tuple[tuple[str, Format], ...] = (
    ("WordDocument", "doc"), ("PowerPoint Document", "ppt"), ("Workbook", "xls"), ("Book", "xls"),
)  # fmt: skip


def looks_like_office(head: bytes) -> bool:
    """Whether a file that begins with `head` is an Office document. The old binary formats are told by suffix only."""
    if head.lstrip().startswith(b"{\\rtf"):
        return True
    if not head.startswith(_ZIP):
        return False
    if b"mimetype" in head[30:40]:
        return any(kind in head[38:120] for kind in _OPEN_DOCUMENT)
    return any(name in head for name in (b"[Content_Types].xml", b"_rels/.rels", b"word/", b"ppt/", b"xl/"))


def format_of(path: Path, source: str) -> Format:
    """What kind of Office document the file is; zip packages are checked on the way.

    Raises:
        DocumentError: it is none, is password-protected, or would unpack to too much.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(_OLE):
        return _old_format(path, source)
    if head.lstrip().startswith(b"{\\rtf"):
        return "rtf"
    called = SUFFIXES.get(path.suffix.lower(), "docx")
    if not head.startswith(b"PK"):
        if called in ("csv", "tsv"):
            return called
        raise DocumentError(f"{source}: is no readable {NAMES[called]} (broken, or another format)")
    with packed.opened(path, source, NAMES[called]) as package:
        if "mimetype" in package.NameToInfo:
            kind = package.read("mimetype")[:100].strip()
            found = next((known for name, known in _OPEN_DOCUMENT.items() if kind.startswith(name)), None)
            if found and b"encryption-data" in package.read("META-INF/manifest.xml"):
                raise _protected(source)
        else:
            names = package.namelist()
            found = next((known for part, known in _MAIN_PARTS if any(name.startswith(part) for name in names)), None)
    if found is None:
        raise DocumentError(f"{source}: is a zip file, but no Office document")
    return found


def _old_format(path: Path, source: str) -> Format:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content.find("EncryptedPackage".encode("utf-16-le")) >= 0:
            raise _protected(source)
        for stream, found in _STREAMS:
            if content.find(stream.encode("utf-16-le")) >= 0:
                return found
    raise DocumentError(f"{source}: is an old Office container, but neither a document, presentation nor workbook")


def _protected(source: str) -> DocumentError:
    return DocumentError(f"{source}: is password-protected; save it without a password")

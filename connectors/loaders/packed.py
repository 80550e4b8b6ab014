"""Opens the zip files that Office documents and e-books are, with limits on what they may unpack to."""

import lzma
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from connectors.errors import DocumentError

_MOST_BYTES = 1_000_000_000
# XML is parsed whole, at several times its size in memory.
_MOST_XML_BYTES = 200_000_000
_MOST_MEMBERS = 50_000
# Sheets of one repeated value pack 100 to 1; a bomb packs 1000 to 1. Small files may do as they like.
_MOST_RATIO = 250
_SMALL = 20_000_000


@contextmanager
def opened(path: Path, source: str, what: str) -> Iterator[zipfile.ZipFile]:
    """The package, checked. `what` names the format in errors, as "Word document".

    Of what is deflated zipfile reads no more than the header declares, so that checking the declared sizes is enough.
    Its other decoders know no limit, and the standards of these packages do not allow them.

    Raises:
        DocumentError: it is no zip file, is encrypted, or would unpack to too much.
    """
    try:
        package = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DocumentError(f"{source}: is no readable {what} (broken or cut off): {error}") from error
    with package:
        _check(package.infolist(), source)
        yield package


def _check(members: list[zipfile.ZipInfo], source: str) -> None:
    unpacked = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    xml = sum(member.file_size for member in members if member.filename.lower().endswith((".xml", ".rels", ".xhtml")))
    if len(members) > _MOST_MEMBERS:
        raise DocumentError(f"{source}: holds {len(members):,} files, over the limit of {_MOST_MEMBERS:,}")
    if unpacked > _MOST_BYTES or (unpacked > _SMALL and unpacked > _MOST_RATIO * max(1, packed)):
        raise DocumentError(
            f"{source}: would unpack from {packed / 1e6:,.1f} MB to {unpacked / 1e6:,.0f} MB, as only a zip bomb does; "
            "it is not opened"
        )
    if xml > _MOST_XML_BYTES:
        raise DocumentError(
            f"{source}: holds {xml / 1e6:,.0f} MB of XML, over the limit of {_MOST_XML_BYTES / 1e6:,.0f} MB"
        )
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise DocumentError(f"{source}: is packed in a way that its format does not allow; save it again")
    if any(member.flag_bits & 1 for member in members):
        raise DocumentError(f"{source}: is encrypted; save it without a password")


def content(package: zipfile.ZipFile, name: str) -> bytes:
    """A member's content.

    Raises:
        ValueError: it is damaged, or packed in a way that is not known here.
    """
    try:
        return package.read(name)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"{name} in it is damaged ({error or type(error).__name__})") from error


def member(package: zipfile.ZipFile, base: str, address: str) -> str | None:
    """The name of the member that `address` means in the member `base`, if there is one: nothing outside is reached."""
    plain = unquote(address.partition("#")[0])
    if not plain or ":" in plain:
        return None
    name = posixpath.normpath(posixpath.join(posixpath.dirname(base), plain)).lstrip("/")
    return name if name in package.NameToInfo else None


def xml_root(data: bytes) -> Any:
    """The root of an XML document, entities unresolved and nothing fetched.

    Raises:
        ValueError: it is no XML, or has a text of over 10 MB or elements nested over 256 deep.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(str(error)) from error
    if root is None:
        raise ValueError("it is no XML")
    # At its limits the parser stops, and recovering means that the rest is missing without a word.
    if any("XML_PARSE_HUGE" in entry.message for entry in parser.error_log):
        raise ValueError("XML in it has a text of over 10 MB or is nested over 256 deep, and is not read")
    return root


def local(tag: object) -> str:
    """An XML tag without its namespace; "" for comments and the like."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""

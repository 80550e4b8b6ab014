"""Reads mails (.eml): who wrote what to whom and when. Attachments are named here; they are documents of their own."""

import re
from collections.abc import Iterator
from email.errors import MessageError
from email.message import EmailMessage
from pathlib import Path
from typing import Any, ClassVar

from connectors.errors import DocumentError
from connectors.loaders.base import ImageFormat, one_line
from connectors.loaders.blocks import Block, BlockLoader, Picture, Section
from connectors.loaders.encoding import decoded_as
from connectors.loaders.html import data_picture, html_blocks, html_text
from connectors.loaders.mail_message import begins_mail, leaves, parsed

_SHOWN = ("From", "To", "Cc", "Date", "Subject")
# Mails forwarded as parts of parts of parts are not nested deeper than this.
_DEEPEST = 50
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


class MailLoader(BlockLoader):
    """Mails as typeset pages: the header fields that people read, the text, the names of attachments.

    The plain part is preferred, an HTML part is stripped to its text. Attached files, pasted pictures and forwarded
    mails are named only: `connectors.loaders.archive` gives them as documents. Outlook's .msg files are refused with
    the way out.

    Args:
        max_bytes: larger files are refused.
        max_pictures: see `BlockLoader`.
        max_pages: see `BlockLoader`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".eml", ".msg")
    kind: ClassVar[str] = "mail"

    def __init__(
        self,
        *,
        max_bytes: int = 100_000_000,
        max_pictures: int = 200,
        max_pages: int = 20_000,
        image_dir: Path | str | None = None,
        image_format: ImageFormat = "png",
    ) -> None:
        super().__init__(max_pictures=max_pictures, max_pages=max_pages, image_dir=image_dir, image_format=image_format)
        self.max_bytes = max_bytes

    @classmethod
    def sniff(cls, head: bytes) -> bool:
        """Whether `head` begins with header fields, one of which only mail programs write."""
        return begins_mail(head)

    def sections(self, path: Path, source: str) -> Iterator[Section]:
        """The mail, as one section."""
        size = path.stat().st_size
        if size > self.max_bytes:
            raise DocumentError(
                f"{source}: has {size / 1e6:,.0f} MB, over the limit of {self.max_bytes / 1e6:,.0f} MB for a mail; "
                "raise max_bytes of the mail loader"
            )
        data = path.read_bytes()
        if data.startswith(_OLE):
            raise DocumentError(f"{source}: is an Outlook message (.msg), which is not read; save it as .eml")
        message = parsed(data)
        if not any(message.get_all(name) for name in (*_SHOWN, "Content-Type", "Received", "Message-ID")):
            raise DocumentError(f"{source}: is no mail: it has none of a mail's header fields")
        yield _section(message)


def _section(message: EmailMessage) -> Section:
    fields = {name: value for name in _SHOWN if (value := _field(message, name))}
    parts: list[Block | Picture] = []
    if subject := fields.get("Subject"):
        parts.append(Block("heading", subject, level=2))
    if lines := [f"{name}: {value}" for name, value in fields.items() if name != "Subject"]:
        parts.append(Block("paragraph", "\n".join(lines)))
    if reason := _sealed(message):
        return Section([*parts, Block("paragraph", reason)], {"title": subject} if subject else {})
    for part in _bodies(message):
        parts += _content(part)
    attachments = [_name(part) for part in leaves(message) if not _is_body(part)]
    if attachments:
        parts.append(Block("paragraph", "\n".join(f"[{name}]" for name in attachments)))
    metadata: dict[str, Any] = {"title": subject} if subject else {}
    return Section(parts, metadata | ({"attachments": attachments} if attachments else {}))


def _content(part: EmailMessage) -> list[Block | Picture]:
    data, charset = _bytes(part), part.get_content_charset()
    try:
        if part.get_content_type() == "text/html":
            return html_blocks(html_text(data, charset), data_picture)[1]
        # "us-ascii" is what a mail is said to be in that says nothing.
        text = decoded_as(data, (charset if charset != "us-ascii" else None,))
    except ValueError as error:
        text = f"[This part of the mail cannot be read: it {one_line(error)}]"
    return [Block("paragraph", piece) for piece in re.split(r"\n\s*\n", text.replace("\r\n", "\n"))]


def _is_body(part: EmailMessage) -> bool:
    # "multipart" without parts is a mail that lost its boundary.
    if part.get_content_type() not in ("text/plain", "text/html") and part.get_content_maintype() != "multipart":
        return False
    return part.get_content_disposition() != "attachment" and not part.get_filename()


def _bodies(part: EmailMessage, depth: int = 0) -> list[EmailMessage]:
    """The parts that are read as the mail's text. Of alternatives it is the plain one, unless that is empty."""
    if depth == _DEEPEST or not part.is_multipart() or part.get_content_type() == "message/rfc822":
        return [leaf for leaf in leaves(part) if _is_body(leaf)]
    inner = [_bodies(child, depth + 1) for child in part.get_payload() if isinstance(child, EmailMessage)]
    if part.get_content_type() != "multipart/alternative":
        return [body for found in inner for body in found]
    plain = (found for found in inner if all(body.get_content_type() == "text/plain" for body in found))
    said = (found for found in plain if any(_bytes(body).strip() for body in found))
    return next(said, next((found for found in reversed(inner) if found), []))


def _sealed(message: EmailMessage) -> str:
    """Why the mail's text cannot be read, where it is encrypted."""
    kind = message.get_content_type()
    if kind == "multipart/encrypted":
        return "[The text of this mail is encrypted (PGP); it can be read with the receiver's key only.]"
    if kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        if str(message.get_param("smime-type") or "").lower() == "signed-data":
            return "[The text of this mail is packed in a signature (S/MIME); it is not read.]"
        return "[The text of this mail is encrypted (S/MIME); it can be read with the receiver's key only.]"
    return ""


def _field(message: EmailMessage, name: str) -> str:
    """A header field's decoded text on one line; what is broken in it is replaced, never raised."""
    raw = next((str(value) for key, value in message.raw_items() if key.lower() == name.lower()), "")
    try:
        text = str(message[name] or "")
    except (MessageError, ValueError, LookupError, AttributeError, TypeError):
        text = raw  # the standard library's parser gives up on some; as it stands it is better than nothing
    return one_line(text.encode("utf-8", "replace").decode(), 1000)


def _name(part: EmailMessage) -> str:
    try:
        name = part.get_filename()
    except (MessageError, ValueError, LookupError, AttributeError, TypeError):
        name = None
    return one_line(name or part.get_content_type(), 200)


def _bytes(part: EmailMessage) -> bytes:
    try:
        data = part.get_payload(decode=True)
    except (MessageError, ValueError, LookupError):
        data = None
    return data if isinstance(data, bytes) else b""

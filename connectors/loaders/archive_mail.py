"""Entries of a mail: its attachments, pasted-in pictures and forwarded mails. The mail's own text is a loader's."""

import mimetypes
import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path

from connectors.loaders.archive_entry import CHUNK, ArchiveEntry, DamagedArchiveError
from connectors.loaders.mail_message import leaves, parsed

# The whole mail is held in memory, its attachments as base64.
_MOST_BYTES = 256 << 20
_SIGNATURES = {
    "application/pgp-signature", "application/pgp-keys", "application/pkcs7-signature", "application/x-pkcs7-signature",
}  # fmt: skip
_SUFFIXES = {"message/rfc822": ".eml", "image/jpeg": ".jpg", "text/plain": ".txt"}


def read_mail(path: Path) -> EmailMessage:
    """The mail in `path`, all of it in memory.

    Raises:
        DamagedArchiveError: it cannot be read, or is too large for that.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise DamagedArchiveError(f"is a mail of over {_MOST_BYTES >> 20} MiB; its attachments are not taken out")
    try:
        return parsed(path.read_bytes())
    except OSError:
        raise
    except Exception as error:  # the parser is lenient, its header classes are not always
        raise DamagedArchiveError(f"is a damaged mail ({error or type(error).__name__})") from error


def has_attachments(mail: EmailMessage) -> bool:
    """Whether the mail holds more than its own text."""
    return any(True for _ in _attached(mail))


def mail_entries(mail: EmailMessage) -> Iterator[ArchiveEntry]:
    """The attachments in the order in which the mail holds them."""
    for number, part in enumerate(_attached(mail), 1):
        yield ArchiveEntry(_name(part, number), _content(part))


def _attached(mail: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that are files. A forwarded mail is one file, whatever it holds."""
    for part in leaves(mail):
        # "multipart" without parts is a mail that lost its boundary: text too.
        shown = part.get_content_maintype() in ("text", "multipart")
        is_text = shown and part.get_content_disposition() != "attachment"
        if part.get_content_type() not in _SIGNATURES and not (is_text and not _filename(part)):
            yield part


def _filename(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except Exception:  # broken parameters of a header
        return ""


def _name(part: EmailMessage, number: int) -> str:
    kind = part.get_content_type()
    # Only the last part: a sender's folders say nothing here. A separator would also end the name early.
    if name := re.split(r"[/\\]", _filename(part))[-1].strip():
        return name
    suffix = _SUFFIXES.get(kind) or mimetypes.guess_extension(kind) or ""
    return f"attachment {number}{suffix}"


def _content(part: EmailMessage) -> Iterator[bytes]:
    if part.get_content_type() == "message/rfc822":
        inner = part.get_payload()
        mail = inner[0] if isinstance(inner, list) and inner else None
        data = mail.as_bytes(policy=policy.compat32) if isinstance(mail, EmailMessage) else b""
    else:
        decoded = part.get_payload(decode=True)
        data = decoded if isinstance(decoded, bytes) else b""
    for start in range(0, len(data), CHUNK):
        yield data[start : start + CHUNK]

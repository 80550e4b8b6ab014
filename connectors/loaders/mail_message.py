"""Knows and parses mails, for what reads their text and for what takes out their attachments."""

import email
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import EmailPolicy

# The standard library takes minutes for fields of some 100 KB: thousands of receivers, comments, parameters.
_MOST_FIELD = 10_000
_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]*):(?:[ \t]|$)")
# Text files begin with "From: ..." too; only what mail programs write makes a file a mail.
_MACHINE_FIELDS = frozenset(
    (b"received", b"message-id", b"mime-version", b"return-path", b"delivered-to", b"dkim-signature", b"x-mailer")
)
# Each level costs a look at every line below it. A mail that was forwarded thirty times has less than this.
_MOST_DEPTH = 100
# What is looked at of a file.
_HEAD_BYTES = 1024


def begins_mail(head: bytes) -> bool:
    """Whether a file that begins with `head` is a mail: header fields, one of which only mail programs write."""
    names: set[bytes] = set()
    lines = head[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").splitlines()
    for line in lines[:-1] if len(head) >= _HEAD_BYTES else lines:  # the last line of a longer file is cut off
        if not line:
            break
        if line[:1] in b" \t" and names:
            continue
        field = _FIELD.match(line)
        if field is None:
            return False
        names.add(field[1].lower())
    return len(names) > 1 and not names.isdisjoint(_MACHINE_FIELDS)


def begins_field(data: bytes) -> bool:
    """Whether `data` begins with a header field."""
    return _FIELD.match(data.partition(b"\n")[0].rstrip(b"\r")) is not None


class _Part(EmailMessage):
    """A mail or part of one that knows how deep it lies."""

    depth = 0

    def attach(self, payload: "_Part") -> None:  # type: ignore[override]  # called by the parser, for each part it begins
        payload.depth = self.depth + 1
        if payload.depth > _MOST_DEPTH:
            raise ValueError(f"its parts are nested over {_MOST_DEPTH} deep")
        super().attach(payload)


class _ShortFields(EmailPolicy):
    """The usual policy, but header fields are cut: a mail of some hundred KB must not hold up a run for an hour."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MOST_FIELD]


def parsed(data: bytes) -> EmailMessage:
    """The mail in `data`, blank lines before it left out; header fields are cut after 10,000 letters.

    Raises:
        ValueError: its parts are nested over 100 deep.
        Exception: of any kind; the parser is lenient, but its classes for header fields are not always.
    """
    return email.message_from_bytes(data.lstrip(), policy=_ShortFields(message_factory=_Part))  # type: ignore[arg-type]  # generic in stubs alone


def leaves(message: EmailMessage) -> Iterator[EmailMessage]:
    """The parts that hold something, in order; a mail inside the mail is one of them, whatever it holds.

    Without recursion: mails may be nested as deep as their parser goes.
    """
    stack = [message]
    while stack:
        part = stack.pop()
        if part.is_multipart() and part.get_content_type() != "message/rfc822":
            stack += [inner for inner in part.get_payload() if isinstance(inner, EmailMessage)][::-1]
        else:
            yield part

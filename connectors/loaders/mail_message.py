"""Parses mails for what reads their text and for what takes out their attachments."""

import email
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import EmailPolicy

# The standard library takes minutes for fields of some 100 KB: thousands of receivers, comments, parameters.
_MOST_FIELD = 10_000


class _ShortFields(EmailPolicy):
    """The usual policy, but header fields are cut: a mail of some hundred KB must not hold up a run for an hour."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, value[:_MOST_FIELD]


def parsed(data: bytes) -> EmailMessage:
    """The mail in `data`, blank lines before it left out; header fields are cut after 10,000 letters.

    Raises:
        Exception: of any kind; the parser is lenient, but its classes for header fields are not always.
    """
    return email.message_from_bytes(data.lstrip(), policy=_ShortFields())  # type: ignore[arg-type]  # generic in stubs alone


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

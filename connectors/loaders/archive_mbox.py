"""Entries of a mailbox file (mbox): each mail is a file of its own. The mailbox may be larger than memory."""

import re
from collections.abc import Iterator
from pathlib import Path

from connectors.loaders.archive_entry import CHUNK, ArchiveEntry
from connectors.loaders.mail_message import begins_field

# "From sender date": a line of a mail's text may begin with "From " too, but has hardly a time of day in it.
_BEGIN = re.compile(rb"From [^\r\n]{0,300}\d\d:\d\d[^\r\n]{0,100}\r?\n")
# Programs that write mailboxes put ">" before such lines of a text.
_QUOTED = re.compile(rb">+From ")


def is_mbox(head: bytes) -> bool:
    """Whether a file that begins with `head` is a mailbox: the line that divides mails, then a mail's header field."""
    begin = _BEGIN.match(head)
    return begin is not None and begins_field(head[begin.end() :])


def mbox_entries(path: Path) -> Iterator[ArchiveEntry]:
    """The mails in the order of the mailbox, named by their place in it: "mail 1.eml"."""
    for number, (start, end) in enumerate(_spans(path), 1):
        yield ArchiveEntry(f"mail {number}.eml", _content(path, start, end), size=end - start)


def _spans(path: Path) -> Iterator[tuple[int, int]]:
    """Where each mail stands in the file, its dividing line left out."""
    with path.open("rb") as file:
        start, blank, place = None, True, 0
        # In bounded pieces: a line may be as long as the file.
        while line := file.readline(CHUNK):
            if blank and _BEGIN.fullmatch(line):
                if start is not None:
                    yield start, place
                start = place + len(line)
            blank = line in (b"\n", b"\r\n")
            place += len(line)
        if start is not None:
            yield start, place


def _content(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        chunk = bytearray()
        while left > 0 and (line := file.readline(min(CHUNK, left))):
            left -= len(line)
            if len(chunk) + len(line) > CHUNK:
                yield bytes(chunk)
                chunk.clear()
            chunk += line[1:] if _QUOTED.match(line) else line
        yield bytes(chunk)

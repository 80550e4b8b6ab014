"""Takes documents out of zip and tar files, mailboxes and mails, within limits, and never to anywhere but one folder.

Nothing in an archive decides where a file is written: contents go to files with generated names in the folder that
the caller gives, and what the archive calls them is only told.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from connectors.errors import DocumentError
from connectors.loaders.archive_entry import ArchiveEntry, DamagedArchiveError
from connectors.loaders.archive_mail import has_attachments, mail_entries, read_mail
from connectors.loaders.archive_mbox import is_mbox, mbox_entries
from connectors.loaders.archive_names import is_junk, numbered, safe_name, safe_suffix
from connectors.loaders.archive_tar import is_packed, is_tar, tar_entries
from connectors.loaders.archive_zip import zip_entries, zip_names
from connectors.loaders.mail_message import begins_mail

Contents = Literal["nothing", "members", "pages and members"]

_HEAD_BYTES = 8192
_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08PK\x03\x04", b"PK00PK\x03\x04")
# Zip files that are one document, or a program: OOXML and XPS, OpenDocument and EPUB, iWork, Java.
_DOCUMENT_NAMES = {"[Content_Types].xml", "mimetype", "Index/Document.iwa", "Index.zip", "META-INF/MANIFEST.MF"}
_SEPARATOR = "!/"
# The name of a failure that stands for all that would have followed.
REST = "*"


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may cost. All counts are over everything that is nested in it.

    Attributes:
        members: entries that are looked at, folders and junk included.
        member_bytes: of one file taken out.
        total_bytes: of all files taken out, nested archives included; they need not lie on the disk at the same time.
        ratio: how many times its own size an archive, or a member its packed size, may unpack to.
        free_bytes: what may be unpacked whatever the ratio: a blank scan packs 1000 : 1 and is no bomb.
        depth: archives within archives; 1 walks only the outermost.
        name_length: letters of a member's whole name, with its folders.
    """

    members: int = 100_000
    member_bytes: int = 2_000_000_000
    total_bytes: int = 50_000_000_000
    ratio: int = 200
    free_bytes: int = 100_000_000
    depth: int = 5
    name_length: int = 1000


@dataclass(frozen=True)
class Member:
    """A document taken out of an archive: the file `path`, and what the archive calls it ("b.tar!/folder/c.pdf")."""

    path: Path
    name: str


@dataclass(frozen=True)
class MemberFailure:
    """What did not come out of an archive, and why, in one line.

    `name` is a member's, or ends with "*" for all that would have followed ("*", "b.tar!/*").
    """

    name: str
    reason: str


def contains(path: Path) -> Contents:
    """What a file holds, by content: "members" for zip, tar, gz, bz2, xz and mbox; "pages and members" for a mail with
    attachments; "nothing" for all else, also for documents that are zip files inside (docx, odt, epub), and for what
    cannot be read at all.
    """
    try:
        return _contains(Path(path))
    except (OSError, DamagedArchiveError):
        return "nothing"


def members(
    path: Path, work: Path, limits: ArchiveLimits = ArchiveLimits(), *, password: str | Sequence[str] | None = None
) -> Iterator[Member | MemberFailure]:
    """Take the documents out of an archive one after the other, those of nested archives too.

    Folders, hidden files and what file managers leave behind are passed over. The order is the archive's. Of a damaged
    archive come the members before the damage, then one failure for the rest; a member over a limit is a failure of
    its own, a limit on the whole ends the walk with one.

    Args:
        path: a file that `contains` members.
        work: a folder to write to; made if it is missing. Files there have generated names with the member's suffix.
            The caller deletes each when done with it; what the walk itself needed is gone when it ends or is closed.
        password: for encrypted members of zip files; of several, the first that opens a member is used.

    Raises:
        DocumentError: the archive cannot be opened at all, or `work` cannot be written.
    """
    path = Path(path)
    walk = _Walk(Path(work), limits, (password,) if isinstance(password, str) else tuple(password or ()))
    try:
        walk.work.mkdir(parents=True, exist_ok=True)
        size = path.stat().st_size
        kind = _contains(path)
        if kind == "nothing":
            raise DocumentError(f"{path}: is no archive that can be walked")
        entries = mail_entries(read_mail(path)) if kind == "pages and members" else walk.entries(path, path.name, size)
        yield from walk.archive(entries, str(path), "", 1, _Budget(limits, size, limits.total_bytes))
    except DamagedArchiveError as error:
        raise DocumentError(f"{path}: {error}") from error
    except OSError as error:
        raise DocumentError(f"{path}: cannot be read: {error.strerror or error}") from error


class _SpentError(Exception):
    """A budget is used up; `budget` says whose."""

    def __init__(self, budget: "_Budget", reason: str) -> None:
        super().__init__(reason)
        self.budget = budget


class _RefusedError(Exception):
    """One member is not taken out; the text is the reason."""


class _Budget:
    """How many bytes may still come out of one archive; what its nested archives use is its use too."""

    def __init__(self, limits: ArchiveLimits, packed: int, most: int, outer: "_Budget | None" = None) -> None:
        self.left = min(most, max(limits.free_bytes, limits.ratio * packed))
        self.outer = outer
        self._packed = packed

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _SpentError(self, f"unpacks to far more than its {self._packed:,} bytes, or over the limit: a bomb?")
        if self.outer:
            self.outer.spend(count)


class _Walk:
    """One walk through an archive and all that is nested in it: the counts and names that hold over all of it."""

    def __init__(self, work: Path, limits: ArchiveLimits, passwords: Sequence[str]) -> None:
        self.work, self._limits, self._passwords = work, limits, passwords
        self._names: set[str] = set()
        self._count = 0

    def entries(self, path: Path, name: str, size: int) -> Iterator[ArchiveEntry]:
        """The entries of the zip, tar, packed or mbox file in `path`, which is called `name`."""
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head.startswith(_ZIP_MARKS):
            return zip_entries(path, self._limits.members, self._passwords)
        if is_mbox(head):
            return mbox_entries(path)
        most = min(self._limits.total_bytes, max(self._limits.free_bytes, self._limits.ratio * size))
        return tar_entries(path, name, most)

    def archive(
        self, entries: Iterator[ArchiveEntry], shown: str, prefix: str, depth: int, budget: _Budget
    ) -> Iterator[Member | MemberFailure]:
        """The documents among `entries`, whose names get `prefix`.

        Raises:
            DamagedArchiveError: not even a first entry can be read.
        """
        first = True
        while True:
            try:
                entry = _next(entries)
                if entry is None:
                    return
                first = False
                self._count += 1
                if self._count > self._limits.members:
                    raise _SpentError(_outermost(budget), f"has more than {self._limits.members:,} members")
                yield from self._entry(entry, prefix, depth, budget)
            except DamagedArchiveError as error:
                if first:
                    raise
                yield MemberFailure(prefix + REST, f"the archive {_line(error)}; what follows is not read")
                return
            except _SpentError as error:
                if error.budget is not budget:
                    raise
                yield MemberFailure(prefix + REST, f"the archive {_line(error)}; what follows is not read")
                return

    def _entry(self, entry: ArchiveEntry, prefix: str, depth: int, budget: _Budget) -> Iterator[Member | MemberFailure]:
        inner = safe_name(entry.name)
        if not inner or is_junk(inner):
            return
        if len(prefix) + len(inner) > self._limits.name_length:
            shown = self._own_name(prefix + inner[:40] + "…")
            yield MemberFailure(shown, f"its name has over {self._limits.name_length:,} letters; not read")
            return
        name = self._own_name(prefix + inner)
        if entry.problem:
            yield MemberFailure(name, entry.problem)
            return
        try:
            file = self._taken_out(entry, inner, budget)
        except _RefusedError as error:
            yield MemberFailure(name, str(error))
            return
        yield from self._walked(file, name, depth, budget)

    def _walked(self, file: Path, name: str, depth: int, budget: _Budget) -> Iterator[Member | MemberFailure]:
        """What a file taken out gives: itself, or what is nested in it (then it is deleted), or both."""
        kept = False
        try:
            kind = contains(file)
            if kind == "nothing":
                kept = True
                yield Member(file, name)
                return
            size = file.stat().st_size
            if kind == "members":
                if depth >= self._limits.depth:
                    yield MemberFailure(name, f"is nested over {self._limits.depth} archives deep; not read")
                    return
                entries = self.entries(file, name, size)
            else:
                entries = mail_entries(read_mail(file))  # in memory: the caller deletes the file before they are asked
                kept = True
                yield Member(file, name)
                if depth >= self._limits.depth:
                    yield MemberFailure(
                        name + _SEPARATOR + REST, f"is nested over {self._limits.depth} archives deep; not read"
                    )
                    return
            inner = _Budget(self._limits, size, budget.left, budget)
            yield from self.archive(entries, name, name + _SEPARATOR, depth + 1, inner)
        except DamagedArchiveError as error:
            yield MemberFailure(name, _line(error))
        finally:
            if not kept:
                file.unlink(missing_ok=True)

    def _taken_out(self, entry: ArchiveEntry, name: str, budget: _Budget) -> Path:
        """The entry's content in a new file in the work folder; nothing is left there when that fails."""
        most = self._limits.member_bytes
        packed_most = None
        if entry.packed is not None:
            packed_most = max(self._limits.free_bytes, self._limits.ratio * entry.packed)
        self._check_size(entry.size or 0, most, packed_most)
        handle, place = tempfile.mkstemp(prefix="member-", suffix=safe_suffix(name), dir=self.work)
        done = False
        try:
            with os.fdopen(handle, "wb") as file:
                written = 0
                for chunk in self._chunks(entry):
                    written += len(chunk)
                    self._check_size(written, most, packed_most)
                    budget.spend(len(chunk))
                    try:
                        file.write(chunk)
                    except OSError as error:
                        raise DocumentError(f"{self.work}: cannot hold what is unpacked: {error.strerror}") from error
            done = True
        finally:
            if not done:
                with suppress(OSError):
                    Path(place).unlink()
        return Path(place)

    def _chunks(self, entry: ArchiveEntry) -> Iterator[bytes]:
        try:
            yield from entry.chunks
        except DamagedArchiveError as error:
            raise _RefusedError(_line(error)) from error
        except Exception as error:  # zlib.error, LZMAError, EOFError, BadZipFile, TarError, OSError, ValueError ...
            raise _RefusedError(f"is damaged ({_line(error) or type(error).__name__})") from error

    @staticmethod
    def _check_size(size: int, most: int, packed_most: int | None) -> None:
        if size > most:
            raise _RefusedError(f"is larger than {most / 1e6:,.0f} MB; not read")
        if packed_most is not None and size > packed_most:
            raise _RefusedError("unpacks to far more than it takes in the archive: a bomb? not read")

    def _own_name(self, name: str) -> str:
        """`name`, with a number where another member has it already."""
        own, number = name, 1
        while own in self._names:
            number += 1
            own = numbered(name, number)
        self._names.add(own)
        return own


def _next(entries: Iterator[ArchiveEntry]) -> ArchiveEntry | None:
    try:
        return next(entries, None)
    except DamagedArchiveError:
        raise
    except Exception as error:  # the parsers of a broken archive raise whatever it leads them to
        raise DamagedArchiveError(f"is damaged ({_line(error) or type(error).__name__})") from error


def _outermost(budget: _Budget) -> _Budget:
    while budget.outer:
        budget = budget.outer
    return budget


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def _contains(path: Path) -> Contents:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_ZIP_MARKS):
        return "nothing" if _DOCUMENT_NAMES.intersection(zip_names(path)) else "members"
    # A single mail may begin as a mailbox does.
    if is_packed(head) or is_tar(head[:512]) or (is_mbox(head) and path.suffix.lower() != ".eml"):
        return "members"
    if (begins_mail(head) or (head and path.suffix.lower() == ".eml")) and has_attachments(read_mail(path)):
        return "pages and members"
    return "nothing"

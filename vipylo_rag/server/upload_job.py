"""An upload in the writer's line, and how far each file of it is: what the ledger says, and what it said before."""

from dataclasses import dataclass, field
from typing import Literal

from connectors.page import source_id
from vipylo_rag.server.catalogue import Catalogue, Entry
from vipylo_rag.server.errors import without_folders
from vipylo_rag.server.schemas import Upload, UploadedFile
from vipylo_rag.server.shown import shown_name
from vipylo_rag.server.upload_files import ReceivedFile, TakenUpload, UploadFiles

DELETED = "it was deleted"


@dataclass(eq=False)
class Job:
    """An upload in the line. The writer's thread changes it; others look.

    Attributes:
        reason: why it waits, or why it was given up.
        before: what the ledger said of the files when reading began, by their numbers.
        dropped: files that were deleted before they were read to their end.
        seconds: how long it was read so far; `passes`: how often that was begun.
        failing_since, postponed, retry_at: what keeps all uploads from being read: since when, how often it was met,
            and when to try again, on the monotonic clock.
        ended: what became of the files, once `state` is "done"; `ended_at` on the monotonic clock.
    """

    upload: TakenUpload
    state: Literal["waiting", "reading", "done"] = "waiting"
    reason: str | None = None
    before: dict[int, Entry | None] = field(default_factory=dict)
    dropped: list[ReceivedFile] = field(default_factory=list)
    seconds: float = 0.0
    passes: int = 0
    failing_since: float | None = None
    postponed: int = 0
    retry_at: float = 0.0
    ended: tuple[UploadedFile, ...] = ()
    ended_at: float = 0.0

    def drop(self, file: ReceivedFile) -> None:
        """One of its files is not wanted any more."""
        self.upload = self.upload.without(file.number)
        self.dropped.append(file)

    def shown(self, catalogue: Catalogue, files: UploadFiles) -> Upload:
        """The upload as the server shows it."""
        state, ended = self.state, self.ended
        return Upload(
            id=self.upload.id,
            state=state,
            files=list(ended) if state == "done" else self.shown_files(catalogue, files, running=True),
        )

    def shown_files(self, catalogue: Catalogue, files: UploadFiles, *, running: bool) -> list[UploadedFile]:
        """Its files and how far they are, each archive with those of its documents that failed behind it."""
        shown = []
        for file in sorted((*self.upload.files, *self.dropped), key=lambda file: file.number):
            if file in self.dropped:
                shown.append(_row(file, "failed", DELETED))
            elif self.state == "waiting" and running:
                shown.append(_row(file, "waiting", self.reason))
            else:
                shown += self._read(file, catalogue, files.source(file.name, self.upload.tenant), running)
        return shown

    def _read(self, file: ReceivedFile, catalogue: Catalogue, source: str, running: bool) -> list[UploadedFile]:
        tenant = self.upload.tenant
        entry = catalogue.entry(source, tenant)
        touched = entry is not None and entry != self.before.get(file.number)
        if entry is None or (running and not touched):
            state: Literal["waiting", "failed"] = "waiting" if running else "failed"
            reason = None if running else self.reason or "it could not be read"
            return [_row(file, state, reason)]
        first = UploadedFile(
            name=file.name,
            state=self._state(entry, touched, running),
            pages=catalogue.pages(source, tenant),
            reason=self._reason(entry, running),
            document=source_id(source, tenant),
            failed_pages=catalogue.failed_pages(source, tenant),
            sent_as=file.sent_as,
        )
        if entry.container == "nothing":
            return [first]
        return self._archive(first, catalogue, source)

    def _state(
        self, entry: Entry, touched: bool, running: bool
    ) -> Literal["waiting", "reading", "done", "unchanged", "failed"]:
        if entry.in_work:
            return "reading" if running else "failed"
        if entry.state == "failed":
            return "failed"
        return "done" if touched else "unchanged"

    def _reason(self, entry: Entry, running: bool) -> str | None:
        reason = entry.reason
        if not running and entry.in_work:
            reason = reason or self.reason or "it was not read to its end"
        return without_folders(reason) if reason else None

    def _archive(self, first: UploadedFile, catalogue: Catalogue, source: str) -> list[UploadedFile]:
        tenant = self.upload.tenant
        members = catalogue.members(source, tenant)
        reason = first.reason
        if members.failed:
            said = f"{members.failed:,} of the {members.documents:,} documents in it cannot be read"
            reason = f"{reason}; {said}" if reason else said
        whole = first.model_copy(update={"pages": first.pages + members.pages, "reason": reason})
        return [
            whole,
            *(
                UploadedFile(
                    name=shown_name(member.source),
                    state="failed",
                    pages=catalogue.pages(member.source, tenant),
                    reason=without_folders(member.reason or ""),
                    document=source_id(member.source, tenant),
                )
                for member in catalogue.failed_members(source, tenant)
            ),
        ]


def _row(file: ReceivedFile, state: Literal["waiting", "failed"], reason: str | None) -> UploadedFile:
    return UploadedFile(name=file.name, state=state, pages=0, reason=reason, sent_as=file.sent_as)

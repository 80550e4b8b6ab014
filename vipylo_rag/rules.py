"""What is to be done with a file: new, changed, moved, known, failed before. Reads the ledger and changes nothing."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from vipylo_rag.ledger import Ledger, SourceRow
from vipylo_rag.sources import FileFacts, is_gone

Action = Literal["new", "changed", "unfinished", "again", "moved", "copied", "unchanged", "failed before"]


@dataclass(frozen=True)
class Decision:
    """What is to be done with a file.

    Attributes:
        action: "new", "changed", "unfinished" (a run was killed) and "again" (asked for, or read in another way than
            when it failed) are read; "moved" and "copied" take over the pages of `other`; the rest needs nothing.
        row: what the ledger says of the source.
        other: the source that has the same content.
    """

    source: str
    facts: FileFacts
    action: Action
    row: SourceRow | None = None
    other: SourceRow | None = None

    @property
    def reads(self) -> bool:
        """Whether the file has to be read."""
        return self.action in ("new", "changed", "unfinished", "again")

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do."""
        return self.action in ("unchanged", "failed before")


class Rules:
    """What counts as unchanged. Reads the ledger, changes nothing."""

    def __init__(self, ledger: Ledger, tenant: str, how: str, *, reread: bool = False, retry: bool = False) -> None:
        self._ledger = ledger
        self._tenant = tenant
        self._how = how
        self._reread = reread
        self._retry = retry

    def decide(self, source: str, facts: FileFacts) -> Decision:
        """What is to be done with a file of this content."""
        row = self._ledger.source(source, self._tenant)
        if row and facts.sha256 and row.sha256 == facts.sha256:
            if row.state == "pending" or (row.container != "nothing" and row.state == "done" and not row.walked):
                action: Action = "unfinished"
            elif self._reread or self._to_try_again(row):
                action = "again"
            else:
                action = "failed before" if row.state == "failed" else "unchanged"
            if action in ("unchanged", "failed before"):
                return Decision(source, facts, action, row)
        else:
            action = "changed" if row else "new"
        if not self._reread and (other := self._twin(source, facts)):
            gone = is_gone(other.archive or other.source)
            return Decision(source, facts, "moved" if gone else "copied", row, other)
        return Decision(source, facts, action, row)

    def _to_try_again(self, row: SourceRow) -> bool:
        """Whether something of it failed, and may not fail now."""
        if not self._retry and row.how == self._how and row.container == "nothing":
            return False
        again = self._retry or row.how != self._how
        if again and (row.state == "failed" or self._ledger.page_counts(row.source, self._tenant).failed):
            return True
        if row.container == "nothing":
            return False
        return any(
            member.state == "pending" or self._to_try_again(member)
            for member in self._ledger.members(row.source, self._tenant)
        )

    def _twin(self, source: str, facts: FileFacts) -> SourceRow | None:
        """Another source with this content whose pages can be taken over; rather one whose file is gone."""
        if not facts.sha256:
            return None
        suffix = PurePosixPath(source).suffix.lower()
        name = PurePosixPath(source).name
        twins = [
            row
            for row in self._ledger.same_content(facts.sha256, self._tenant)
            if row.source != source
            and row.state == "done"
            and row.container != "members"
            and PurePosixPath(row.source).suffix.lower() == suffix
            and not (row.how != self._how and self._ledger.page_counts(row.source, self._tenant).failed)
        ]
        twins.sort(key=lambda row: (not is_gone(row.archive or row.source), PurePosixPath(row.source).name != name))
        return twins[0] if twins else None

"""A progress bar on standard error for commands that count one kind of thing."""

from collections.abc import Mapping
from typing import Self


class Bar:
    """Shows how many are done, of how many, and how long it will take; nothing where there is no terminal."""

    def __init__(self, action: str, things: str, quiet: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.progress import TimeRemainingColumn as Eta

        console = Console(stderr=True)
        columns = (TextColumn(action), BarColumn(), MofNCompleteColumn(), TextColumn(f"{things} · ETA"), Eta())
        self._progress = Progress(
            *columns, TimeElapsedColumn(), console=console, disable=quiet or not console.is_terminal, transient=True
        )
        self._task = self._progress.add_task(action, total=None)

    def show(self, done: int, total: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Bars:
    """A progress bar for one stage after the other; `things` says what each counts, and other stages have none."""

    def __init__(self, things: Mapping[str, str], quiet: bool = False) -> None:
        self._things, self._quiet = things, quiet
        self._stage, self._bar = "", Bar("", "", quiet=True)

    def show(self, stage: str, done: int, total: int) -> None:
        """What is being done, and how far it is; a total of 0 is not known."""
        if stage != self._stage:
            self._bar.__exit__()
            self._stage = stage
            self._bar = Bar(stage, self._things.get(stage, ""), self._quiet or stage not in self._things).__enter__()
        if total:
            self._bar.show(done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

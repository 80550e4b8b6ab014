"""A progress bar on standard error for commands that count one kind of thing."""

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

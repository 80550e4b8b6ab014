"""`vipylo` for tests: in this process, which has imported torch already, or as a process of its own.

Most tests ask what a command prints, writes and answers with: `vipylo` gives them that without the seconds that a new
process spends on imports. What only a process can show (signals, pipes, imports, a clean end) needs `vipylo_process`.
"""

import logging
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

PROGRAM = Path(sys.executable).with_name("vipylo")
_WIDE = {"COLUMNS": "200"}  # or tables fold their words


def vipylo_process(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed program, as a shell starts it."""
    return subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **_WIDE, **environment},
    )


def vipylo(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same from the program's entry point on, here: what it prints on either stream, and its exit code."""
    from vipylo_rag import cli

    command = ["vipylo", *map(str, arguments)]
    done = subprocess.CompletedProcess(command, 1, "", "")
    with (
        patch.object(sys, "argv", command),
        patch.dict(os.environ, {**_WIDE, **environment}),
        patch.object(cli, "_share_one_heap"),  # would change how the whole test process gets its memory
        _kept(done, "stdout", 1),
        _kept(done, "stderr", 2),
        _as_if_not_under_test(),
    ):
        done.returncode = _exit_code(cli.main)
    return done


def _exit_code(main: Callable[[], None]) -> int:
    """What the interpreter would end with."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _kept(done: subprocess.CompletedProcess[str], name: str, number: int) -> Iterator[None]:
    """Keep what goes to the stream, and to its file descriptor: child processes and C libraries write there."""
    before = os.dup(number)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), number)
        try:
            with open(number, "w", encoding="utf-8", closefd=False) as stream, patch.object(sys, name, stream):
                yield
        finally:
            os.dup2(before, number)
            os.close(before)
            file.seek(0)
            setattr(done, name, file.read().decode())


def _show_warning(message: Warning | str, category: type[Warning], filename: str, line: int, *_: object) -> None:
    print(warnings.formatwarning(message, category, filename, line), end="", file=sys.stderr)


@contextmanager
def _as_if_not_under_test() -> Iterator[None]:
    """Log records and warnings go where a fresh process sends them: pytest has taken both for itself."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    root.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", hidden)
            warnings.showwarning = _show_warning
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

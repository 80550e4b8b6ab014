"""One reader child process seen from its parent: asked line by line, killed when silent, started again when dead."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from connectors.errors import DocumentError

# The exit code by which a child says that it ran out of memory; it ends because its heap is full of the last page.
OUT_OF_MEMORY = 77
# From starting a child to its first word: Python's imports, on a machine that may be busy.
_START_SECONDS = 120.0
_LAST = ("end", "error", "died")
# Readers are single-threaded: as many as wanted run side by side, and the model needs the other cores. Threads also
# reserve address space, which is limited.
_SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_THREAD_LIMIT": "1", "MALLOC_ARENA_MAX": "2"}


class AbandonedError(Exception):
    """The caller wants no more answers."""


class ReaderProcess:
    """One child process; started when first asked, and again after it died.

    Args:
        loader_options: constructor arguments by loader name.
        memory_bytes: the address space it may take (Linux and BSD; elsewhere no limit holds); None: all there is.
    """

    def __init__(self, loader_options: Mapping[str, Any], memory_bytes: int | None) -> None:
        self._settings = json.dumps({"loaders": loader_options, "memory_bytes": memory_bytes})
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[str] | None = None
        self._pages = 0
        self._abandoned = False

    def ask(self, request: Mapping[str, Any], silence: float) -> Iterator[dict[str, Any]]:
        """The answers to a request, ending with "end", "error", or "died".

        "died" has `reason`, `seconds` (waited for this answer), `hung` (silent for too long, so it was killed) and
        `fresh` (it had read nothing before, so what it was reading is to blame).
        """
        process = self._started()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            pass  # it ended; the read below says so
        patience = silence
        while True:
            answer = self._answer(process, patience)
            patience = silence
            if answer["event"] == "busy":  # the next answer may take as long as it says
                patience = max(silence, answer["seconds"])
                continue
            self._pages += answer["event"] == "page"
            yield answer
            if answer["event"] in _LAST:
                return

    def stop(self) -> None:
        """End the child and what it started, if there is one."""
        if self._process is not None:
            _kill(self._process)
            self._process.communicate()
            self._process = None

    def abandon(self) -> None:
        """From another thread: end the child, and start no other."""
        self._abandoned = True
        if (process := self._process) is not None:
            _kill(process)

    def _answer(self, process: "subprocess.Popen[str]", silence: float) -> dict[str, Any]:
        assert process.stdout is not None
        # The timer kills the child, which ends the readline: no second thread has to guard the pipe.
        timer = threading.Timer(silence, _kill, (process,))
        timer.start()
        begun = time.monotonic()
        line = process.stdout.readline()
        timer.cancel()
        if line.endswith("\n"):
            answer: dict[str, Any] = json.loads(line)
            return answer
        seconds, fresh = time.monotonic() - begun, not self._pages
        self.stop()
        if self._abandoned:
            raise AbandonedError
        hung = seconds >= silence
        reason = f"took longer than {silence:g} s" if hung else self._cause(process.returncode)
        return {"event": "died", "reason": reason, "seconds": seconds, "hung": hung, "fresh": fresh}

    def _cause(self, code: int) -> str:
        if code == OUT_OF_MEMORY:
            return f"needs more than the {(self._memory_bytes or 0) / 2**30:.3g} GB of memory that a reader may take"
        if code == -signal.SIGKILL:
            return "the reader process was killed from outside (often for lack of memory)"
        try:
            return f"the reader process crashed ({signal.Signals(-code).name})"
        except ValueError:
            return "the reader process crashed"

    def _started(self) -> "subprocess.Popen[str]":
        if self._process is None:
            # -P: a json.py that lies in the current folder (of somebody's documents) must not be imported.
            # A group of its own, so that what it starts (LibreOffice, Tesseract) ends with it.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "connectors.loaders.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env={**_SINGLE_THREAD, **os.environ},
                process_group=0 if os.name == "posix" else None,
            )
            self._pages = 0
            if self._abandoned:
                self.stop()
                raise AbandonedError
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(self._settings + "\n")
                self._process.stdin.flush()
            except OSError:
                pass  # it ended; the read below says so
            process = self._process
            if self._answer(process, _START_SECONDS)["event"] != "ready":
                raise DocumentError("the process that reads documents does not start; see `vipylo doctor`")
        return self._process


def _kill(process: "subprocess.Popen[str]") -> None:
    """Kill a child and its group. Not after it was waited for: its number may be another's by then."""
    if process.returncode is not None:
        return
    if os.name != "posix":
        process.kill()
        return
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone, or (macOS) a zombie
        process.kill()

"""Processes of their own that need not import torch first: forks of one process for all tests, which did.

They are killed, end and exit as any other process does. A fork server of the standard library's makes them: forking
pytest itself, with its threads and models, would not be safe.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest.mock import patch

_IMPORTED = ["torch", "transformers", "accelerate", "peft", "trainer.run", "vipylo_rag.index", "vipylo_rag.server.app"]
# Read when torch is imported. Forks of a process that has threads would hang.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def start(work: Callable[..., object], *arguments: Any, output: Path, **environment: str) -> BaseProcess:
    """Start `work(*arguments)`, a function of a module, in a process of its own; what it prints goes to a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with patch.dict(os.environ, _ENVIRONMENT):
        forkserver.ensure_running()
    # The server's own is that of the test that came first.
    whole = {**os.environ, **_ENVIRONMENT, **environment}
    process = context.Process(target=_work, args=(work, arguments, output, whole))
    process.start()
    return process


def start_module(module: str, *arguments: object, output: Path, **environment: str) -> BaseProcess:
    """The same for what `python -m MODULE ARGUMENTS` runs."""
    return start(_run_module, module, [str(argument) for argument in arguments], output=output, **environment)


def _work(work: Callable[..., object], arguments: tuple[Any, ...], output: Path, environment: dict[str, str]) -> None:
    with output.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", buffering=1) for number in (1, 2))
    os.environ.clear()
    os.environ |= environment
    work(*arguments)


def _run_module(module: str, arguments: list[str]) -> None:
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)

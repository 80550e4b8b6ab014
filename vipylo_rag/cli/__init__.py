"""The `vipylo` command. One file per command; nothing heavy is imported before a command runs."""

import logging
import os
import sqlite3
import sys
from collections.abc import Callable

import typer

from embedder.errors import ViPyloError
from vipylo_rag.cli.ask import ask
from vipylo_rag.cli.backup import backup
from vipylo_rag.cli.delete import delete
from vipylo_rag.cli.doctor import doctor
from vipylo_rag.cli.evaluate import evaluate
from vipylo_rag.cli.gc import gc
from vipylo_rag.cli.graph import graph
from vipylo_rag.cli.info import info
from vipylo_rag.cli.ingest import ingest
from vipylo_rag.cli.map import map_
from vipylo_rag.cli.reindex import reindex
from vipylo_rag.cli.retry import retry
from vipylo_rag.cli.search import search
from vipylo_rag.cli.serve import serve
from vipylo_rag.cli.status import status
from vipylo_rag.cli.train import train
from vipylo_rag.cli.transfer import export, import_

_M_ARENA_MAX = -8  # malloc.h

app = typer.Typer(
    name="vipylo",
    help="Index documents as pages and search them by text, by image, or by both.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    ingest,
    search,
    ask,
    serve,
    status,
    retry,
    info,
    delete,
    doctor,
    evaluate,
    reindex,
    export,
    backup,
    gc,
)
for command in COMMANDS:
    app.command()(command)
app.command("import")(import_)
app.command("map")(map_)
app.add_typer(train)
app.add_typer(graph)


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"vipylo {version('vipylo-rag')}")
        raise typer.Exit


@app.callback()
def options(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is done, in detail."),
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Index documents as pages and search them by text, by image, or by both."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    if not verbose:  # what the driver logs it raises too, and our error says it
        logging.getLogger("neo4j").setLevel(logging.CRITICAL)


def _share_one_heap() -> None:
    """Let all threads share one of glibc's heaps, before there are threads.

    Tensors are made in one thread and freed in another; with a heap for each, an ingest of 2,900 pages rose to 3 GB.
    """
    if sys.platform == "linux":
        import ctypes

        set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if set_option is not None:
            set_option(_M_ARENA_MAX, 1)


def main() -> None:
    """Run the command line: errors of ours are one line and exit code 2; a closed pipe or Ctrl-C is no traceback."""
    _share_one_heap()
    try:
        app()
    except ViPyloError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # such as `vipylo search ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (OSError, sqlite3.Error) as error:  # a full disk, a folder without permission: the system names it
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

"""The child process that reads documents: one JSON request a line in, one JSON event a line out, nothing else.

It runs as `python -m connectors.loaders.worker`, so that a crash or a hang in a parser costs a page, not the program,
and so that a user's script needs no `if __name__ == "__main__"` (multiprocessing would import it again in each child)
and nothing is pickled. `connectors.loaders.pool` is the parent's side and says what the events mean.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure, described, save_image
from connectors.loaders.reader_process import OUT_OF_MEMORY
from connectors.loaders.registry import LoaderRegistry
from connectors.loaders.words import save_words
from connectors.page import Page
from embedder.errors import ViPyloError

Event = dict[str, Any]


def events(registry: LoaderRegistry, request: dict[str, Any]) -> Iterator[Event]:
    """What reading one document gives: "page" and "failure" events, then one "end" or one "error".

    A loader with `silent_seconds` (one that converts a document before it has a page) makes "busy" the first event.

    Raises:
        MemoryError: the memory allowed is used up. The child ends then, and the parent goes on behind this page.
    """
    path, source = Path(request["path"]), request["source"]
    try:
        loader = registry.loader_for(path)
        if (seconds := getattr(loader, "silent_seconds", 0.0)) > 0:
            yield {"event": "busy", "seconds": seconds}
        last = request.get("last")
        for page in loader.pages(path, source=source, first=request["first"]):
            if last is not None and page.number > last:
                reason = f"is not read: only the first {last:,} pages of a document are"
                yield {"event": "failure", "number": page.number, "reason": reason}
                break
            if isinstance(page, PageFailure):
                yield {"event": "failure", "number": page.number, "reason": page.reason}
            else:
                yield _page_event(page, Path(request["assets"]))
        yield {"event": "end"}
    except DocumentError as error:
        if isinstance(error.__cause__, MemoryError):
            raise error.__cause__ from error
        yield {"event": "error", "reason": str(error).removeprefix(f"{source}: ").removeprefix(f"{path}: ")}
    except ViPyloError as error:
        yield {"event": "error", "reason": str(error)}
    except MemoryError:
        raise
    except Exception as error:  # a third party's loader may raise anything, and the run goes on
        yield {"event": "error", "reason": f"unexpected {described(error)}"}


def _page_event(page: Page, assets: Path) -> Event:
    json.dumps(page.metadata)  # what of a third party's is no JSON is told here, and not taken for a crash
    event: Event = {
        "event": "page",
        "number": page.number,
        "kind": page.kind,
        "text": page.text,
        "content_sha256": page.content_sha256,
        "metadata": page.metadata,
        "asset": None,
    }
    if page.image is not None:
        # Medical pictures lose nothing; a page photographed or drawn loses nothing that anyone could read.
        path = save_image(page.image, assets, "png" if page.kind == "dicom" else "jpeg", page.image_sha256)
        event["asset"] = path.relative_to(assets).as_posix()
        event["size"] = page.image.size
    if page.words:
        event["words"] = save_words(page.words, assets).relative_to(assets).as_posix()
    return event


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the parent closes the pipe. The first line has the loaders' options and the memory allowed.

    Before the first request the child says "ready" once: its imports are not a page's time.
    """
    settings = json.loads(requests.readline() or "{}")
    _limit_memory(settings.get("memory_bytes"))
    registry = LoaderRegistry(settings.get("loaders"))
    with suppress(Exception):  # what is wrong with a loader is told with the first document that asks for it
        _ = registry.suffixes  # makes the loaders
    answers.write(json.dumps({"event": "ready"}) + "\n")
    answers.flush()
    for line in requests:
        for event in events(registry, json.loads(line)):
            answers.write(json.dumps(event) + "\n")
            answers.flush()


def _limit_memory(memory_bytes: int | None) -> None:
    """Limit the address space where the system can, and write no core files of pages that crash.

    Only the soft limit: what a loader starts (LibreOffice) may raise it for itself.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if memory_bytes is not None and sys.platform != "darwin":  # there the limit is refused
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        soft = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _spare_unused_imports() -> None:
    """Keep PyMuPDF 2.0 from loading its layout models (90 MB, 0.35 s), which no loader of ours uses.

    Only while it is imported: a third party's loader that wants them imports them afterwards.
    """
    unused = ("pymupdf.layout", "pymupdf4llm")
    if importlib.util.find_spec("pymupdf") is None:
        return
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]  # None: "not to be found"
    try:
        import pymupdf  # noqa: F401
    except ImportError:
        pass  # the renderer says so
    finally:
        for name in unused:
            sys.modules.pop(name, None)


def _die_with_parent() -> None:
    """A child that hangs in a parser never sees its pipe close: where the kernel can, it ends the child instead."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Speak over the original standard output; whatever a library prints goes to standard error instead."""
    _die_with_parent()
    _spare_unused_imports()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        serve(sys.stdin, answers)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # the parent went away: there is nobody to tell
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


if __name__ == "__main__":
    main()

"""The child process that reads documents: one JSON request a line in, one JSON event a line out, nothing else.

It runs as `python -m connectors.loaders.worker`, so that a crash or a hang in a parser costs a page, not the program,
and so that a user's script needs no `if __name__ == "__main__"` (multiprocessing would import it again in each child)
and nothing is pickled. `connectors.loaders.pool` is the parent's side and says what the events mean.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from connectors.errors import DocumentError
from connectors.loaders.base import PageFailure, described, save_image
from connectors.loaders.registry import LoaderRegistry
from connectors.page import Page
from embedder.errors import ViPyloError

Event = dict[str, Any]


def events(registry: LoaderRegistry, request: dict[str, Any]) -> Iterator[Event]:
    """What reading one document gives: "page" and "failure" events, then one "end" or one "error".

    Before the first request the child says "ready" once: its imports are not a page's time.
    """
    path, source = Path(request["path"]), request["source"]
    try:
        for page in registry.loader_for(path).pages(path, source=source, first=request["first"]):
            if isinstance(page, PageFailure):
                yield {"event": "failure", "number": page.number, "reason": page.reason}
            else:
                yield _page_event(page, Path(request["assets"]))
        yield {"event": "end"}
    except DocumentError as error:
        yield {"event": "error", "reason": str(error).removeprefix(f"{source}: ").removeprefix(f"{path}: ")}
    except ViPyloError as error:
        yield {"event": "error", "reason": str(error)}
    except Exception as error:  # a third party's loader may raise anything, and the run goes on
        yield {"event": "error", "reason": f"unexpected {described(error)}"}


def _page_event(page: Page, assets: Path) -> Event:
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
        path = save_image(page.image, assets, "png" if page.kind == "dicom" else "jpeg")
        event["asset"] = path.relative_to(assets).as_posix()
        event["size"] = page.image.size
    return event


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answer requests until the parent closes the pipe. The first line configures the loaders."""
    registry = LoaderRegistry(json.loads(requests.readline() or "{}"))
    answers.write(json.dumps({"event": "ready"}) + "\n")
    answers.flush()
    for line in requests:
        for event in events(registry, json.loads(line)):
            answers.write(json.dumps(event) + "\n")
            answers.flush()


def _die_with_parent() -> None:
    """A child that hangs in a parser never sees its pipe close: where the kernel can, it ends the child instead."""
    if sys.platform == "linux":
        import ctypes
        import signal

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Speak over the original standard output; whatever a library prints goes to standard error instead."""
    _die_with_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        serve(sys.stdin, answers)
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # the parent went away: there is nobody to tell


if __name__ == "__main__":
    main()

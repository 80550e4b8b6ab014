"""Task prefixes: one token at the start of a text that tells model and trainer the kind of sample."""

import re
from typing import get_args

from embedder.errors import InputError
from embedder.protocol import Task

TASKS: tuple[Task, ...] = get_args(Task)
PREFIX_TOKENS: tuple[str, ...] = tuple(f"<{task}>" for task in TASKS)
IMAGE_MARKER = "<image>"

# As written to a checkpoint's `prompts`. The space keeps "<ocr> text" one spelling for caller, `task=` and prompt.
PROMPTS: dict[str, str] = {task: f"<{task}> " for task in TASKS}

_MARKUP = re.compile(r"<(?=/?(?:image|" + "|".join(TASKS) + r")>)|<(?=\|[a-z_]+\|>)")


def with_prefix(text: str, task: str | None) -> str:
    """`text` with the prefix of `task` in front ("ocr" -> "<ocr> ..."); unchanged without a task.

    Raises:
        InputError: unknown task, or the text already starts with another task's prefix.
    """
    if task is None:
        return text
    if task not in PROMPTS:
        raise InputError(f"unknown task {task!r} (known: {', '.join(TASKS)})")
    for prefix in PREFIX_TOKENS:
        if text.startswith(prefix):
            if prefix == f"<{task}>":
                return text
            raise InputError(f"task={task!r}, but the text already starts with {prefix}")
    return PROMPTS[task] + text


def without_prefix(text: str) -> str:
    """`text` without the task prefix it may start with."""
    for prefix in PREFIX_TOKENS:
        if text.startswith(prefix):
            return text[len(prefix) :].lstrip(" ")
    return text


def literal(text: str) -> str:
    """`text` made safe to embed as data: markers, prefixes and control tokens stay readable but inert.

    Documents are data: a page that says "<image>" or "<|image_pad|>" must neither move its picture nor break its row.
    """
    return _MARKUP.sub("< ", text)

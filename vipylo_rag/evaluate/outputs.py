"""The files that an evaluation is written to: checked before hours of embedding, and never in the place of others."""

import json
from pathlib import Path
from typing import Final

from embedder.errors import InputError

FORMAT: Final = "vipylo-evaluation/1"
HTML_MARK: Final = "<!doctype html><!-- ViPylo evaluation -->"
JSON_MARK: Final = f'{{\n  "format": {json.dumps(FORMAT)}'


def check_outputs(json_: Path | None, html: Path | None, run_out: Path | None) -> None:
    """Whether the results can be written where they are to be.

    Raises:
        InputError: a file's folder is not there, the file is there and was not written by an evaluation, two are the
            same, or `run_out` is a file.
    """
    for file, mark in ((json_, JSON_MARK), (html, HTML_MARK)):
        if file is not None:
            _check(file, mark)
    if json_ is not None and html is not None and json_.absolute() == html.absolute():
        raise InputError(f"{html}: is where the JSON goes, too: choose another file")
    if run_out is not None and run_out.exists() and not run_out.is_dir():
        raise InputError(f"{run_out}: is a file, and the rankings go to a folder")


def written(file: Path, content: bytes) -> int:
    """Write a file, whole or not at all; returns its size.

    Raises:
        InputError: it cannot be written.
    """
    draft = file.with_name(f".{file.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return len(content)


def _check(file: Path, mark: str) -> None:
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file}: there is no folder {file.parent}")
    if not file.exists() and not file.is_symlink():
        return
    if not file.is_file() or not _begins(file, mark.encode()):
        raise InputError(f"{file} is there and is no such result of `vipylo evaluate`: choose another file")


def _begins(file: Path, mark: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(mark)) == mark

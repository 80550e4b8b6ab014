"""A training file written anew with more negatives: same lines, order and unknown fields, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from trainer.data import JsonlSamples, Side

_BOM = b"\xef\xbb\xbf"


def rewrite(
    samples: JsonlSamples,
    out: Path,
    negatives: Callable[[int], Sequence[Side]],
    *,
    replace: bool = False,
    show_progress: bool = True,
) -> None:
    """Write all lines of a file to `out` (which may be the same file), with negatives added to some.

    A line that needs no change keeps its bytes, also one that is no sample. Relative image paths are made relative to
    the folder of `out`.

    Args:
        negatives: of the n-th sample (blank lines do not count), the sides to add.
        replace: drop the negatives that a line has, if there are others to put in their place.
    """
    folders = _Folders(samples.path.absolute().parent, out.absolute().parent)
    row = 0
    with samples.path.open("rb") as source, _whole_file(out, like=samples.path) as target:
        for raw in tqdm(source, "write", unit="line", disable=not show_progress, delay=1.0):
            line = raw.removeprefix(_BOM)
            if line.strip():
                line = _changed(line, negatives(row), folders, replace)
                row += 1
            target.write(line)


def _changed(raw: bytes, negatives: Sequence[Side], folders: "_Folders", replace: bool) -> bytes:
    if not negatives and folders.same:
        return raw
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    if not isinstance(fields, dict):
        return raw
    folders.move(fields)
    if negatives:
        kept = [] if replace or not isinstance(fields.get("negatives"), list) else fields["negatives"]
        fields["negatives"] = [*kept, *(folders.entry(side) for side in negatives)]
    end = raw[len(raw.rstrip(b"\r\n")) :]
    try:
        return json.dumps(fields, ensure_ascii=False).encode() + end
    except UnicodeEncodeError:  # half a surrogate pair in a field that is not ours
        return json.dumps(fields).encode() + end


class _Folders:
    """Where relative paths started, and where they start now."""

    def __init__(self, before: Path, now: Path) -> None:
        self.before = before
        self.now = os.path.realpath(now)
        self.same = os.path.realpath(before) == self.now
        self._real = lru_cache(maxsize=4096)(os.path.realpath)

    def entry(self, side: Side) -> dict[str, Any]:
        """A side as it stands in a file."""
        images = [self.path(os.path.relpath(path, self.before)) for path in side.images]
        return ({"text": side.text} if side.text else {}) | ({"images": images} if images else {})

    def move(self, fields: dict[str, Any]) -> None:
        """Change the paths of a line in place."""
        if self.same:
            return
        places = [fields.get("query"), fields.get("positive")]
        for name in ("negatives", "turns"):
            places += fields[name] if isinstance(fields.get(name), list) else []
        for place in places:
            if isinstance(place, dict) and isinstance(place.get("images"), list):
                place["images"] = [self.path(name) if isinstance(name, str) else name for name in place["images"]]

    def path(self, name: str) -> str:
        """A relative path as it must be written now; others stay."""
        if self.same or not name or Path(name).is_absolute() or "://" in name:
            return name
        # Folders are resolved first: ".." behind a symbolic link leads elsewhere than its spelling says.
        folder, file = os.path.split(self.before / name)
        try:
            return Path(os.path.relpath(os.path.join(self._real(folder), file), self.now)).as_posix()  # noqa: PTH118
        except ValueError:  # another drive
            return str(self.before / name)


@contextmanager
def _whole_file(path: Path, like: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name once it is complete and on the disk, with the access rights of another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(like, draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)

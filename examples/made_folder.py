"""Folders that examples write and make anew: what somebody else has put there is never deleted."""

import shutil
from pathlib import Path

MARK = ".made-by-an-example"


def made_anew(folder: Path) -> Path:
    """An empty folder to write into. One that an example made before is emptied.

    Raises:
        SystemExit: there is something in it that no example has made; nothing is deleted.
    """
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            raise SystemExit(f"{folder} holds files that no example has made: name another folder, or empty this one")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder

"""Vietnamese in what LibreOffice prints: where the usual fonts lack its letters, words are torn apart.

Liberation, which stands in for Times and Arial on Linux, has no letters such as "ộ". LibreOffice takes each of them
from another font and writes them behind the rest of the line: "B lu t ộ ậ". Then fonts that have them all are better.
"""

import functools
import re
import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

_SPECIAL = "ăđơưĂĐƠƯ\u1ea0-\u1ef9"
_WORD = re.compile(rf"\S*[{_SPECIAL}]\S*")
_LONE = re.compile(rf"[{_SPECIAL}]+")
_SECONDS = 20


def is_torn(text: str) -> bool:
    """Whether the Vietnamese in `text` is torn: many of its letters stand alone, as hardly any words do."""
    words = _WORD.findall(text)
    lone = sum(_LONE.fullmatch(word) is not None for word in words)
    return lone >= 5 and lone > 0.25 * len(words)


@functools.cache
def fonts_without_vietnamese() -> tuple[str, ...]:
    """The installed families for Latin text that lack Vietnamese letters; () if there is nothing to take instead.

    What also has Chinese stays: nothing better may be there for that.
    """
    program = shutil.which("fc-list")
    if program is None:
        return ()
    latin, vietnamese, chinese = (
        _families(program, f":{wanted}") for wanted in ("lang=fr", "charset=1ed9", "charset=4e00")
    )
    return tuple(sorted(latin - vietnamese - chinese)) if vietnamese & latin else ()


def _families(program: str, pattern: str) -> set[str]:
    try:
        listed = subprocess.run([program, pattern, "family"], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return set()
    lines = listed.stdout.decode("utf-8", "replace").splitlines()
    return {line.partition(",")[0].replace("\\", "").strip() for line in lines} - {""}


def write_font_config(target: Path, rejected: tuple[str, ...]) -> None:
    """A fontconfig file: the system's fonts without those `rejected`."""
    patterns = "".join(
        f'<pattern><patelt name="family"><string>{escape(family)}</string></patelt></pattern>' for family in rejected
    )
    target.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
        f"<selectfont><rejectfont>{patterns}</rejectfont></selectfont></fontconfig>",
        encoding="utf-8",
    )

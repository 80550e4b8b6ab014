"""Names of archive members: decoded from whatever encoding, made harmless, and sorted from what no one asked for."""

import re
import unicodedata

_DRIVE = re.compile(r"^[A-Za-z]:")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,16}$")
# What file managers leave beside people's files.
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
_BAD_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
_HANZI_SHARE = 0.5


def name_encoding(raw: bytes) -> str:
    """The encoding that names without one are read in: UTF-8, GBK, Windows-1258 or -1252, or zip's own code page 437.

    Args:
        raw: all such names of an archive in a row: more letters tell more than one name's.
    """
    try:
        raw.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        pass
    if _is_gbk(raw):
        return "gb18030"
    for encoding in ("cp1258", "cp1252"):
        try:
            text = unicodedata.normalize("NFC", raw.decode(encoding))
        except UnicodeDecodeError:
            continue
        # Code page 437 has its accented letters where these have punctuation, and box lines where they have letters.
        if all(letter < "\x80" or _is_latin_letter(letter) for letter in text):
            return encoding
    return "cp437"


def decoded_name(raw: bytes, encoding: str | None = None) -> str:
    """A member's name in NFC; what cannot be decoded becomes U+FFFD."""
    return unicodedata.normalize("NFC", raw.decode(encoding or name_encoding(raw), "replace"))


def safe_name(name: str) -> str:
    """`name` as a relative path that names nothing above itself: parts joined by "/"; "" where nothing is left.

    Backslashes count as "/" (Windows writes them); drive letters, "." and ".." go; control characters, invisible ones
    and halves of surrogate pairs become "_". Windows' reserved names stay: nothing is ever written under this name.
    """
    shown = "".join("_" if unicodedata.category(letter) in _BAD_CATEGORIES else letter for letter in name)
    parts = unicodedata.normalize("NFC", _DRIVE.sub("", shown.replace("\\", "/"))).split("/")
    return "/".join(part for part in (part.strip() for part in parts) if part not in ("", ".", ".."))


def is_junk(name: str) -> bool:
    """Whether a safe name is a hidden file or lies in a hidden folder, or is what a file manager leaves behind."""
    return any(part.startswith(".") or part.lower() in _JUNK for part in name.split("/"))


def safe_suffix(name: str) -> str:
    """The last suffix of `name`, in lower case, if it is a plain one: loaders go by it where content does not tell."""
    found = _SUFFIX.search(name)
    return found[0].lower() if found else ""


def numbered(name: str, number: int) -> str:
    """`name` with a number before its suffix: "a (2).pdf"."""
    folder, slash, last = name.rpartition("/")
    found = _SUFFIX.search(last)
    at = found.start() if found and found.start() else len(last)
    return f"{folder}{slash}{last[:at]} ({number}){last[at:]}"


def _is_gbk(raw: bytes) -> bool:
    try:
        text = raw.decode("gb18030")
    except UnicodeDecodeError:
        return False
    wide = [letter for letter in text if letter > "\x7f"]
    # The common characters are in the older GB 2312; a chance pair of bytes of another encoding seldom is.
    common = sum("\u4e00" <= letter <= "\u9fff" and _encodes(letter, "gb2312") for letter in wide)
    return bool(wide) and common >= _HANZI_SHARE * len(wide)


def _encodes(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_latin_letter(letter: str) -> bool:
    return letter.isalpha() and ("\u00c0" <= letter <= "\u017f" or letter in "ƠơƯư" or "\u1ea0" <= letter <= "\u1ef9")

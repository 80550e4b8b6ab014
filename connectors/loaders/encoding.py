"""Finds the encoding of text files: by mark, by where zero bytes stand, by what decodes and reads as language."""

import codecs
import re
from collections.abc import Iterable
from contextlib import suppress

# UTF-32's mark begins with UTF-16's: longest first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE_BYTES = 65_536
_BINARY = "is no text (binary data); the text loader cannot read it"
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")
# What is called by these names is by the HTML standard the larger code page that contains them, and so it is in mails.
_WIDER = {"iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "ascii": "cp1252", "us-ascii": "cp1252",
          "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "tis-620": "cp874",
          "ks_c_5601-1987": "cp949", "euc-kr": "cp949"}  # fmt: skip
# So many sound letters beyond ASCII for each broken one: some damage, and not another encoding.
_SOUND = 20
# Windows-1258 writes Vietnamese tones as marks of their own after the vowel: grave, hook, tilde, acute, dot below.
_TONED_VOWEL = re.compile("[aăâeêioôơuưyAĂÂEÊIOÔƠUƯY][\u0300\u0309\u0303\u0301\u0323]")


def decoded(data: bytes, encoding: str | None = None) -> tuple[str, str]:
    """The text of `data` and the encoding it was read in; a given `encoding` is used as it is.

    Raises:
        ValueError: the data are no text, or not in the given encoding.
    """
    if encoding is not None:
        try:
            return data.decode(encoding), encoding
        except LookupError as error:
            raise ValueError(f"there is no encoding {encoding!r}") from error
        except UnicodeDecodeError as error:
            raise ValueError(f"is not in the encoding {encoding}: {error.reason} at byte {error.start}") from error
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _marked(data, mark, name)
    wide = _wide_encoding(data[:_SAMPLE_BYTES])
    if wide:
        return data.decode(wide, "replace"), wide
    if _is_binary(data[:_SAMPLE_BYTES]):
        raise ValueError(_BINARY)
    return _narrow(data)


def decoded_as(data: bytes, names: Iterable[str | None]) -> str:
    """The text of `data` in the first of the encodings `names` that it can be in; else in the one that is found.

    A page or mail that says "gb2312" or "iso-8859-1" is read in the code page that programs mean by it; a few broken
    bytes do not make it another encoding.

    Raises:
        ValueError: the data are no text.
    """
    stated = [_WIDER.get(name.lower(), name) for name in names if name]
    for name in stated:
        with suppress(UnicodeError, LookupError):  # it is not what it says
            return data.decode(name)
    text, found = decoded(data)
    for name in () if found.startswith("utf-") else stated:
        with suppress(UnicodeError, LookupError):
            damaged = data.decode(name, "replace")
            if _is_sound(damaged):
                return damaged
    return text


def _is_sound(text: str) -> bool:
    sound = sum(letter > "\x7f" and letter != "\ufffd" for letter in text)
    return sound > _SOUND * text.count("\ufffd")


def _marked(data: bytes, mark: bytes, name: str) -> tuple[str, str]:
    text = (data[len(mark) :] if name == "utf-8" else data).decode(name, "replace")
    if text.count("\ufffd") > max(1, len(text) // 20):
        raise ValueError(_BINARY)
    return text, name


def _wide_encoding(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, recognised by where the zero bytes of its ASCII part stand."""
    if b"\x00" not in sample or len(sample) < 4:
        return None
    zeros = [sample[place::4].count(0) / len(sample[place::4]) for place in range(4)]
    if min(zeros[2:]) > 0.9 and _reads(sample, "utf-32-le"):
        return "utf-32-le"
    if min(zeros[:2]) > 0.9 and _reads(sample, "utf-32-be"):
        return "utf-32-be"
    even, odd = (zeros[0] + zeros[2]) / 2, (zeros[1] + zeros[3]) / 2
    if odd > 0.1 and even < odd / 10 and _reads(sample, "utf-16-le"):
        return "utf-16-le"
    if even > 0.1 and odd < even / 10 and _reads(sample, "utf-16-be"):
        return "utf-16-be"
    return None


def _reads(sample: bytes, encoding: str) -> bool:
    """Whether the sample, cut to whole units, decodes to printable text."""
    text = sample[: len(sample) // 4 * 4].decode(encoding, "replace")
    bad = sum(not (letter.isprintable() or letter in "\t\n\r\f\ufeff") or letter == "\ufffd" for letter in text)
    return bad <= max(1, len(text) // 100)


def _is_binary(sample: bytes) -> bool:
    return b"\x00" in sample or len(_CONTROLS.findall(sample)) > len(sample) // 100


def _narrow(data: bytes) -> tuple[str, str]:
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    lenient = data.decode("utf-8", "replace")
    # UTF-8 with some damage (cut inside a letter, a stray byte) is still UTF-8: others rarely form its sequences.
    sound = sum(letter > "\x7f" and letter != "\ufffd" for letter in lenient)
    if sound > 5 * lenient.count("\ufffd"):
        return lenient, "utf-8 (damaged)"
    return _legacy(data)


def _legacy(data: bytes) -> tuple[str, str]:
    sample = data[:_SAMPLE_BYTES]
    runs = _HIGH_RUNS.findall(sample)
    high = sum(map(len, runs))
    paired = sum(len(run) for run in runs if len(run) > 1)
    # Chinese bytes come in pairs; the accented letters of Latin text stand alone.
    chinese = data.decode("gb18030", "replace") if paired >= 0.8 * high else "\ufffd"
    if "\ufffd" not in chinese:
        return chinese, "gb18030"
    vietnamese = data.decode("cp1258", "replace")
    if len(_TONED_VOWEL.findall(vietnamese[:_SAMPLE_BYTES])) >= 0.15 * high:
        return vietnamese, "cp1258"
    if _is_sound(chinese):
        return chinese, "gb18030 (damaged)"
    western = data.decode("cp1252", "replace")
    if western.count("\ufffd") > max(1, len(western) // 100):
        raise ValueError(_BINARY)
    return western, "cp1252"

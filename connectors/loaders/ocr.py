"""Reads the words off a picture, with what is installed: the `tesseract` command, or RapidOCR (extra `ocr`).

Pages are read as they lie: nothing is turned or straightened, so that boxes fit the picture that people see.
"""

import io
import os
import shutil
import subprocess
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Protocol

from PIL import Image

from connectors.errors import DocumentError
from connectors.loaders.base import described
from connectors.page import WordBox
from embedder.errors import PluginError

LANGUAGES = ("vie", "eng", "chi_sim")
# Pages come at about 150 dpi; Tesseract was trained near 300 and misses marks of Vietnamese below.
_TESSERACT_PIXELS = 8_700_000
# Less than a reader process waits for a page (`pool.PAGE_SECONDS`): a page that cannot be read keeps its picture.
_SECONDS = 24.0
_LEAST_OVERLAP = 0.3
_INSTALL_TESSERACT = (
    "install Tesseract with its Vietnamese data (Debian: apt-get install tesseract-ocr tesseract-ocr-vie)"
)
_INSTALL_RAPIDOCR = "pip install 'vipylo-rag[ocr]' (Chinese and English; no Vietnamese diacritics)"


class OCREngine(Protocol):
    """What reads words off pictures. `name` is told in the metadata of each page it read."""

    name: str

    def words(self, image: Image.Image) -> tuple[WordBox, ...]:
        """The words on a picture of mode "RGB", in reading order; () where there are none.

        Raises:
            DocumentError: the engine failed on this picture, or took too long.
        """
        ...


def load_ocr(name: str) -> OCREngine:
    """The engine of that name.

    Args:
        name: "tesseract", "rapidocr", or "auto": Tesseract if it can read Vietnamese, else RapidOCR if installed.

    Raises:
        PluginError: there is no such engine, or it is not installed; the text says how to get it.
    """
    if name == "auto":
        if "vie" in tesseract_languages():
            return Tesseract()
        if not _rapidocr_problem():
            return RapidOCR()
        raise PluginError(f"no OCR engine is installed: {_INSTALL_TESSERACT}, or {_INSTALL_RAPIDOCR}")
    if name not in _ENGINES:
        raise PluginError(f"no OCR engine named {name!r} (known: {', '.join(_ENGINES)}, auto)")
    return _ENGINES[name]()


def available() -> dict[str, str]:
    """The engines that work here, by name, each with what it reads."""
    found = {}
    if known := [language for language in LANGUAGES if language in tesseract_languages()]:
        found["tesseract"] = f"reads {', '.join(known)}"
    if not _rapidocr_problem():
        found["rapidocr"] = "reads Chinese and English; no Vietnamese diacritics"
    return found


def engine_of(ocr: str | OCREngine | None) -> OCREngine | None:
    """A loader's option `ocr` as an engine: one is passed through, a name is looked up.

    Raises:
        PluginError: see `load_ocr`.
    """
    return load_ocr(ocr) if isinstance(ocr, str) else ocr


def scanned(engine: OCREngine, image: Image.Image) -> tuple[str, tuple[WordBox, ...], dict[str, str]]:
    """Text and words on a page's picture, and for its metadata who read them ("ocr"), or why nobody could
    ("ocr_error"): the picture alone is still a page.
    """
    try:
        words = engine.words(image)
    except Exception as error:  # an engine may raise anything
        return "", (), {"ocr_error": described(error)}
    return text_of(words), words, {"ocr": engine.name}


def text_of(words: Iterable[WordBox]) -> str:
    """The words as text: a space between words, none between Chinese ones, a new line where a line begins."""
    text, last = "", None
    for word in words:
        if last is not None:
            same_line = _same_line(last, word)
            text += "\n" if not same_line else "" if _is_wide(last.text[-1:]) and _is_wide(word.text[:1]) else " "
        text, last = text + word.text, word
    return text


class Tesseract:
    """The `tesseract` command, with those of `languages` that are installed.

    Args:
        languages: by Tesseract's names, the most likely first.
        seconds: time limit for one picture.

    Raises:
        PluginError: the command, or all of the languages, are not installed.
    """

    name = "tesseract"

    def __init__(self, languages: tuple[str, ...] = LANGUAGES, seconds: float = _SECONDS) -> None:
        installed = tesseract_languages()
        self.languages = tuple(language for language in languages if language in installed)
        self.seconds = seconds
        if not self.languages:
            what = "is not installed" if not installed else f"has none of the languages {', '.join(languages)}"
            raise PluginError(f"the OCR engine 'tesseract' {what}; {_INSTALL_TESSERACT}")

    def words(self, image: Image.Image) -> tuple[WordBox, ...]:
        """See `OCREngine.words`."""
        scale = min(2.0, (_TESSERACT_PIXELS / (image.width * image.height)) ** 0.5)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        enlarged = image.convert("L").resize(size, Image.Resampling.BICUBIC) if scale > 1 else image.convert("L")
        buffer = io.BytesIO()
        enlarged.save(buffer, "ppm")
        command = [
            _tesseract() or "tesseract",
            "stdin",
            "stdout",
            "-l",
            "+".join(self.languages),
            "--dpi",
            "300",
            "tsv",
        ]
        # Its threads slow each other down on one page; pages run side by side instead.
        environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
        try:
            done = subprocess.run(
                command,
                input=buffer.getvalue(),
                capture_output=True,
                timeout=self.seconds,
                env=environment,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DocumentError(f"OCR took more than {self.seconds:g} s") from error
        except OSError as error:
            raise DocumentError(f"OCR failed: {error.strerror}") from error
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise DocumentError(f"OCR failed: {last or f'tesseract ended with {done.returncode}'}")
        return tuple(_tsv_words(done.stdout.decode("utf-8", "replace"), *enlarged.size))


class RapidOCR:
    """PaddleOCR's models through `rapidocr_onnxruntime`, which has them in its wheel.

    It reads Chinese and English; of Vietnamese letters it drops the marks.

    Raises:
        PluginError: the package is not installed or does not load.
    """

    name = "rapidocr"

    def __init__(self) -> None:
        if problem := _rapidocr_problem():
            raise PluginError(f"the OCR engine 'rapidocr' {problem}")
        self._reader: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}  # sessions of ONNX Runtime stay in their process

    def words(self, image: Image.Image) -> tuple[WordBox, ...]:
        """See `OCREngine.words`."""
        import numpy as np

        try:
            if self._reader is None:
                from rapidocr_onnxruntime import RapidOCR as Reader

                self._reader = Reader(intra_op_num_threads=1, inter_op_num_threads=1)
            lines, _ = self._reader(np.asarray(image.convert("RGB"))[..., ::-1])  # it wants BGR
        except Exception as error:
            raise DocumentError(f"OCR failed: {' '.join(str(error).split()) or type(error).__name__}") from error
        return tuple(word for corners, text, _ in lines or () for word in _line_words(corners, text, *image.size))


_ENGINES: dict[str, Callable[[], OCREngine]] = {"tesseract": Tesseract, "rapidocr": RapidOCR}


def _tesseract() -> str | None:
    return shutil.which("tesseract")


def tesseract_languages() -> frozenset[str]:
    """The languages that the installed Tesseract reads; none where it is not installed."""
    command = _tesseract()
    return _listed_languages(command) if command else frozenset()


@cache
def _listed_languages(command: str) -> frozenset[str]:
    try:
        done = subprocess.run([command, "--list-langs"], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    return frozenset(done.stdout.decode("utf-8", "replace").split("\n")[1:]) - {"", "osd"}


@cache
def _rapidocr_problem() -> str:
    """Why RapidOCR cannot be used here; "" where it can."""
    try:
        import rapidocr_onnxruntime  # noqa: F401
    except ModuleNotFoundError:
        return f"is not installed; {_INSTALL_RAPIDOCR}"
    except ImportError as error:  # OpenCV's usual wheel wants a display's libraries, which servers lack
        return (
            f"does not load ({' '.join(str(error).split())}); if libGL is missing: apt-get install libgl1, or "
            "pip install --force-reinstall --no-deps opencv-python-headless"
        )
    return ""


def _tsv_words(table: str, width: int, height: int) -> Iterator[WordBox]:
    """The words of Tesseract's TSV; boxes as fractions of a picture of `width` x `height` pixels."""
    for row in table.split("\n"):
        fields = row.split("\t")
        if len(fields) < 12 or fields[0] != "5" or not (text := fields[11].strip()):
            continue
        left, top, across, down = (int(field) for field in fields[6:10])
        yield _box(text, left / width, top / height, (left + across) / width, (top + down) / height)


def _line_words(corners: Any, text: str, width: int, height: int) -> Iterator[WordBox]:
    """The words of a line, cut out of its box by how wide letters are, wide ones twice the others.

    Args:
        corners: four (x, y) in pixels, clockwise from the line's upper left; the line may be skewed.
    """
    ends, place, total = [], 0, sum(map(_letter_width, text)) or 1
    for word in text.split():
        start = text.index(word, place)
        place = start + len(word)
        ends.append((word, sum(map(_letter_width, text[:start])), sum(map(_letter_width, text[:place]))))
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = ((float(x) / width, float(y) / height) for x, y in corners)
    for word, first, last in ends:
        shares = first / total, last / total
        across = [ax + (bx - ax) * share for share in shares] + [dx + (cx - dx) * share for share in shares]
        down = [ay + (by - ay) * share for share in shares] + [dy + (cy - dy) * share for share in shares]
        yield _box(word, min(across), min(down), max(across), max(down))


def _box(text: str, *sides: float) -> WordBox:
    return WordBox(unicodedata.normalize("NFC", text), *(round(min(1.0, max(0.0, side)), 5) for side in sides))


def _same_line(last: WordBox, word: WordBox) -> bool:
    """Whether `word` goes on in the line of `last`: to its right, at about the same height (lines may be skewed)."""
    shared = min(last.y1, word.y1) - max(last.y0, word.y0)
    return word.x0 >= last.x0 and shared >= _LEAST_OVERLAP * min(last.y1 - last.y0, word.y1 - word.y0)


def _letter_width(letter: str) -> int:
    return 2 if _is_wide(letter) else 1


def _is_wide(letter: str) -> bool:
    return bool(letter) and unicodedata.east_asian_width(letter) in "WF"

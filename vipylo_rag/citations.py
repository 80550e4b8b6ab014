"""What a language model writes, as it may be shown: its marks are checked while they stream in, and what only the
program is to read (the word for "not found", thoughts) is kept back."""

import re
from dataclasses import dataclass

SENTINEL = "[[NOT_FOUND]]"
# A model that never ends would fill the memory; 20,000 characters are some eight pages.
MOST_CHARACTERS = 20_000

_OPEN, _CLOSE = r"[\[［【]", r"[\]］】]"
_BETWEEN = r"\s*[,，、;；]\s*|\s*[-–—]\s*"
# Blanks before a mark go with it; no more of them, or a model that writes nothing else would never be heard the end of.
_BLANKS = r"[ \t]{0,40}"
_MARK = re.compile(rf"{_BLANKS}{_OPEN}\s*\^?\s*(\d+(?:(?:{_BETWEEN})\d+)*)\s*{_CLOSE}")
# The end of what has come so far, as long as it may yet become a mark or the sentinel.
_UNFINISHED = re.compile(
    rf"{_BLANKS}(?:{_OPEN}[\s\d,，、;；^–—-]{{0,40}}|\[?\[[\[A-Za-z_ ]{{0,12}}\]?)$|[ \t]{{1,40}}$"
)
_SENTINEL = re.compile(rf"{_BLANKS}[*_`\"'“”]*\[+\s*NOT[_ ]FOUND\s*\]+[*_`\"'“”]*", re.IGNORECASE)
# At the start the model may leave the brackets out, as small ones do. What else begins so in capitals?
_BARE = re.compile(r"[\s*_`\"'“”]*(?:\[[\[\s]*(?i:NOT[_ ]FOUND)\s*\]|NOT[_ ]FOUND\b)")
_BARE_WORD = "NOT_FOUND"
# No escape sequence of a terminal's, no mark that turns the direction of the text round, nothing invisible in a number.
_CONTROL = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """A citation in an answer's text: text[start:end] is "[number]"."""

    number: int
    start: int
    end: int


_CLEAN_MARK = re.compile(r"\[(\d+)\]")


def marks(text: str) -> list[Mark]:
    """The citations in an answer's text."""
    return [Mark(int(match[1]), match.start(), match.end()) for match in _CLEAN_MARK.finditer(text)]


class AnswerReader:
    """Reads a model's answer piece by piece and gives what may be shown of it.

    Marks come out as [1] or [1][2] whatever their brackets and however the pieces split them. A number that no page has
    is no citation: it goes (short ones), or loses its brackets ("[2024]"). Nothing that was given out is taken back.
    """

    def __init__(self, pages: int) -> None:
        """`pages` is how many pages were given: 1 to that are the numbers that can be cited."""
        self._pages = pages
        self._waiting = ""
        self._begun = False
        self._broken_off = False
        self._shown: list[str] = []
        self._length = 0
        self.not_found = False
        self.cut = False

    @property
    def text(self) -> str:
        """All that was given out."""
        return "".join(self._shown)

    @property
    def done(self) -> bool:
        """Nothing more is wanted: the model said that it found nothing, or wrote too much."""
        return self.cut or self.not_found

    def feed(self, piece: str) -> str:
        """What can be shown now that `piece` has come; "" while it must wait for more."""
        if self.done:
            return ""
        self._waiting += _CONTROL.sub("", piece)
        if not self._begun and not self._begin(last=False):
            return ""
        unfinished = _UNFINISHED.search(self._waiting)
        whole = unfinished.start() if unfinished else len(self._waiting)
        ready, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return self._show(ready)

    def break_off(self) -> None:
        """The model was stopped in the middle: it wrote as much as it may."""
        self._broken_off = True

    def end(self) -> str:
        """What is left to show, when the model is done."""
        if self.done or (not self._begun and not self._begin(last=True)):
            return ""
        ready = (_UNFINISHED.sub("", self._waiting) if self._broken_off else self._waiting).rstrip()
        self._waiting = ""
        shown = self._show(ready)
        self.cut = self.cut or self._broken_off
        return shown

    def add(self, text: str) -> str:
        """A remark of the program's own, after all that the model said."""
        self._shown.append(text)
        return text

    def _begin(self, *, last: bool) -> bool:
        """Whether the answer's first words are known to be no thought and no "not found"; else wait."""
        self._waiting = _THOUGHT.sub("", self._waiting, count=1).lstrip()
        start = self._waiting
        if start.startswith("<think>"):
            if last or len(start) > 10 * MOST_CHARACTERS:  # it never stopped thinking: there is no answer
                self._waiting, self.cut = "", True
            return False
        bare = start.lstrip("*_`\"'“”[ ")
        if _BARE.match(start) and (last or len(bare) > len(_BARE_WORD)):
            self.not_found = True
            return False
        begin = bare[: len(_BARE_WORD)].replace(" ", "_").upper()
        might_be = (len(bare) <= len(_BARE_WORD) and _BARE_WORD.startswith(begin)) or "<think>".startswith(start)
        if not last and might_be:
            return False
        self._begun = bool(start)
        return self._begun

    def _show(self, ready: str) -> str:
        shown = _MARK.sub(self._checked, self._without_sentinel(ready))
        if self._length + len(shown) > MOST_CHARACTERS:
            shown, self.cut = shown[: MOST_CHARACTERS - self._length], True
        self._length += len(shown)
        if shown:
            self._shown.append(shown)
        return shown

    def _without_sentinel(self, ready: str) -> str:
        found = _SENTINEL.search(ready)
        if found is None:
            return ready
        self.not_found = True  # whatever comes after it is not wanted
        return ready[: found.start()]

    def _checked(self, match: re.Match[str]) -> str:
        numbers = _numbers(match[1])
        known = [number for number in numbers if 1 <= number <= self._pages]
        if known:
            blank = " " if match[0][0] in " \t" else ""
            return blank + "".join(f"[{number}]" for number in dict.fromkeys(known))
        return "" if all(number < 100 for number in numbers) else f" ({match[1]})"


def _numbers(said: str) -> list[int]:
    """The numbers of a mark: "1, 3-5" are 1, 3, 4, 5."""
    numbers: list[int] = []
    for part in re.split(r"\s*[,，、;；]\s*", said):
        ends = [int(end[:9]) for end in re.split(r"\s*[-–—]\s*", part)]
        first, last = ends[0], ends[-1]
        numbers += range(first, last + 1) if first <= last < first + 100 else ends
    return numbers

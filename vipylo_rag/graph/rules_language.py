"""Which parts of a text are in a language that the rules do not read: German capitalises all nouns, and what English
rules take for names there is junk."""

import re
from bisect import bisect_right
from typing import Final

from vipylo_rag.graph import rules_words as words

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*|\n[-_=*]{3,}\n")
_SMALL = re.compile(r"(?<![\w.@/'’-])[^\W\d_A-Z]+(?![\w@/])")
_SENTENCE = re.compile(r"[^\W\d_]{2}[.!?](?=\s|$)")
# Letters that neither English nor Vietnamese writes.
_ODD = re.compile(r"[äöüßñçœæøåłąęśżźćńőűřěšžčďťňůğşıțșţëïûîÿāēīūģķļņ]|[\u0370-\u052f\u0590-\u06ff\u0900-\u0dff]")
_ONLY_VIETNAMESE = re.compile(r"[đơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]")
# In shorter paragraphs words are too few to tell; the page tells then.
_LEAST: Final = 10
_KANA = re.compile(r"[\u3041-\u30ff]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


class Languages:
    """Where a text is in Vietnamese, English or Chinese, and where in another language.

    Told by function words, of which every sentence has some, and by letters: paragraph by paragraph, and for short
    ones by the page.
    """

    def __init__(self, text: str) -> None:
        self._ends: list[int] = []
        told: list[bool | None] = []
        start = 0
        for stop in [*_PARAGRAPH.finditer(text), None]:
            end = stop.end() if stop else len(text)
            told.append(_is_foreign(text[start:end]))
            self._ends.append(end)
            start = end
        page = _is_foreign(text) if None in told else None
        self._foreign = [bool(page) if one is None else one for one in told]
        # Japanese has Chinese characters too, but not Chinese names and words.
        kana = len(_KANA.findall(text))
        self.japanese = kana > 0 and kana * 4 > len(_HAN.findall(text))

    def foreign(self, at: int) -> bool:
        """Whether the paragraph that a place is in is in another language."""
        return self._foreign[min(bisect_right(self._ends, at), len(self._foreign) - 1)]


def _is_foreign(text: str) -> bool | None:
    """Whether a text in Latin or other letters is in none of the languages; None where too few words tell."""
    small = _SMALL.findall(text)
    if len(small) < _LEAST:
        return None
    english = vietnamese = foreign = 0
    for word in small:
        if word in words.ENGLISH_IDLE or word in words.ENGLISH_PLAIN:
            english += 1
        elif word in words.FOREIGN_IDLE or _ODD.search(word):
            foreign += 1
        elif _ONLY_VIETNAMESE.search(word) or word in words.VIETNAMESE_BARE:
            vietnamese += 1
    if vietnamese * 8 >= len(small):
        return False
    if foreign >= 3 and foreign > english and foreign * 8 >= len(small):
        return True
    return len(small) >= 20 and english * 20 < len(small) and len(_SENTENCE.findall(text)) >= 2

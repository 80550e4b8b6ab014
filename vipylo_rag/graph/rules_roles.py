"""People's roles: "Director", "thành viên". They are said before a name and are no part of it, or one person is two."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.rules_lines import Word
from vipylo_rag.graph.rules_text import has_vietnamese

# Roles by their first words, the longest first: looked up at every word of every page.
_ROLES: Final = {
    first: sorted(
        (tuple(role.split()) for role in {*words.ROLES, *words.WEAK_ROLES} if role.split()[0] == first),
        key=lambda role: (-len(role), role),
    )
    for first in {role.split()[0] for role in (*words.ROLES, *words.WEAK_ROLES)}
}
_STRONG: Final = frozenset(words.ROLES)
_SYLLABLE = re.compile(
    r"(?:ngh|ch|gh|gi|kh|ng|nh|ph|qu|th|tr|[bcdđghklmnpqrstvx])?"
    r"(?:oai|oay|oeo|uay|uyu|uya|uye|uoi|uou|ieu|yeu|ai|ao|au|ay|eo|eu|ia|ie|iu|oa|oe|oi|oo|ua|ue|ui|uo|uu|uy|ye|[aeiouy])"
    r"(?:ch|ng|nh|[cmnpt])?"
)
_MOST_WORDS: Final = 4


def is_syllable(word: str) -> bool:
    """Whether a word is one syllable of Vietnamese, or could be one without its marks."""
    return ("-" not in word and has_vietnamese(word)) or bool(_SYLLABLE.fullmatch(word.casefold()))


def role_length(line: Sequence[Word], n: int, small: Counter[str]) -> int:
    """How many words from here are a person's role; 0 where there is none, or where it is part of another name, as in
    "Member States"."""
    length = _said(line, n)
    if not length or has_vietnamese(" ".join(word.text for word in line[n : n + length])):
        return length
    if not all(word.capital for word in line[n : n + length]):
        return 0
    after = n + length
    if after >= len(line) or not line[after].joined or not line[after].capital or line[after].opens:
        return length
    if line[after].folded in words.PERSON_TITLES or _said(line, after):
        return length
    return length if person_after(line, n, after, small, False) else 0


def strong_role_length(line: Sequence[Word], n: int) -> int:
    """How many words from here are a role that is said of people only."""
    length = _said(line, n)
    return length if " ".join(word.folded for word in line[n : n + length]) in _STRONG else 0


def person_after(line: Sequence[Word], role: int, at: int, small: Counter[str], spoken: bool) -> int:
    """Where the name ends that begins behind a role's words; 0 where no person is named there."""
    if at >= len(line) or not _goes_on(line, at) or line[at].folded in words.PERSON_TITLES or _said(line, at):
        return 0
    end = at + 1
    while end < len(line) and end - at < _MOST_WORDS and _goes_on(line, end) and not _said(line, end):
        end += 1
    named = line[at:end]
    strong = " ".join(word.folded for word in line[role:at]) in _STRONG
    if len(named) == 1 and (
        not strong
        or len(named[0].text) < 3
        or small[named[0].folded]
        or named[0].folded in words.ENGLISH_COMMON
        or (end < len(line) and (named[0].folded, line[end].folded) in words.VIETNAMESE_COMPOUNDS)
    ):
        return 0
    if spoken:
        family = named[0].text.capitalize() in words.VIETNAMESE_FAMILIES
        if is_syllable(named[0].text) and not family and (len(named) > 1 or not strong):
            return 0  # "Giám đốc Sở Tài chính", "khách hàng Thân Thiết"
    if any(
        word.folded in words.ENGLISH_PLAIN
        or word.folded in words.COMPANY_SUFFIXES
        or word.folded in words.COMPANY_NOUNS
        for word in named
    ):
        return 0
    if named[0].folded in words.ENGLISH_COMMON or (
        not strong and any(word.folded in words.ENGLISH_COMMON for word in named)
    ):
        return 0
    return end


def _said(line: Sequence[Word], n: int) -> int:
    """How many words from here are a role's words, whatever follows."""
    for role in _ROLES.get(line[n].folded, ()):
        if len(line) >= n + len(role) and all(
            line[n + k].folded == part and line[n + k].joined and line[n + k].gap.isspace()
            for k, part in enumerate(role)
            if k
        ):
            return len(role)
    return 0


def _goes_on(line: Sequence[Word], at: int) -> bool:
    """Whether a word can be the next one of a person's name."""
    word = line[at]
    if not word.capital or not word.joined:
        return False
    if "\n" in word.gap and (word.folded in words.VIETNAMESE_IDLE or word.folded in words.ENGLISH_IDLE):
        return False
    return word.gap.isspace() or (word.gap.strip() == "." and len(line[at - 1].text) == 1)

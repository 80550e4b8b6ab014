"""Names of people, organisations and places: in Vietnamese and English by their capitals and the words around them."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.elements import NAME
from vipylo_rag.graph.rules_chinese import chinese_names
from vipylo_rag.graph.rules_text import HAN, Found, PageText, has_vietnamese

_LETTER = rf"(?!\d|_|[{HAN}\u3040-\u30ff\uac00-\ud7af\ue000])\w"
_WORD = re.compile(
    rf"(?<![^\W{HAN}])(?:{_LETTER})++(?!\d)(?:['’-](?:{_LETTER})++|\.(?=(?:{_LETTER})++\.)|(?<=\.)(?:{_LETTER})++)*"
)
# What may stand between two words of one name.
_JOINT = re.compile(r"[ \t]{1,2}|[ \t]?&[ \t]?|\.[ \t]?|[ \t]?[-–][ \t]?(?=\w)|\n")
_INNER: Final = frozenset(
    {"of", "and", "de", "van", "von", "der", "den", "la", "del", "di", "da", "và", "for", "the", "bin", "al", "du"}
)
# First words of organisations by the first of these: looked up at every word of every page.
_HEADS: Final = {
    first: tuple(tuple(head.split()) for head in words.ORGANISATION_HEADS if head.split()[0] == first)
    for first in {head.split()[0] for head in words.ORGANISATION_HEADS}
}
_LONGEST: Final = 12
_MOST_LETTERS: Final = 40


@dataclass(frozen=True)
class _Word:
    """A word in Latin letters, and what tells whether its capital means anything."""

    text: str
    start: int
    end: int
    opens: bool  # a sentence, a line, a cell or a quotation begins here
    joined: bool  # only a joint stands between it and the word before
    gap: str

    @property
    def folded(self) -> str:
        return self.text.casefold()

    @property
    def capital(self) -> bool:
        return self.text[0].isupper()

    @property
    def capitals(self) -> bool:
        return len(self.text) > 1 and self.text.isupper()


def names(page: PageText) -> list[Found]:
    """The names on a page, in order of their places."""
    text = page.open
    found = [*_latin(text, page), *chinese_names(text)]
    found.sort(key=lambda one: (one.start, -one.end))
    return found


def _latin(text: str, page: PageText) -> list[Found]:
    lines = _lines(text)
    small = Counter(word.folded for line in lines for word in line if not word.capital)
    # Vietnamese words that stand small next to each other: "Máy bơm" at a sentence's begin is no name then.
    spoken = page.vietnamese
    seen: dict[str, list[_Candidate]] = {}
    for line in lines:
        titled = not _ends_sentence(text, line[-1].end) and _is_titled(line)
        for candidate in _candidates(line, titled, small, spoken):
            seen.setdefault(candidate.name.casefold(), []).append(candidate)
    found = []
    for same in seen.values():
        if any(one.sure for one in same):
            best = _best_written([one.name for one in same])
            found += [Found(NAME, best, one.start, one.end) for one in same]
    return found


@dataclass(frozen=True)
class _Candidate:
    """A run of capitalised words, and whether it is a name for sure; one that is not can be the same as one that is."""

    name: str
    start: int
    end: int
    sure: bool


def _lines(text: str) -> list[list[_Word]]:
    """The words of a text, in lines; a line that goes on below, as a paragraph's does, is one with the next."""
    lines: list[list[_Word]] = []
    last_end, width, line_start = -1, 0, 0
    for match in _WORD.finditer(text):
        if match.end() - match.start() > _MOST_LETTERS:
            continue
        gap = text[max(last_end, match.start() - 40, 0) : match.start()] if last_end >= 0 else "\n\n"
        broken = "\n" in gap
        if broken:
            width = last_end - line_start
            line_start = match.start()
        flows = gap.strip(" \t") == "\n" and width >= 45
        opens = not lines or (broken and not flows) or bool(_OPENS.search(gap))
        if re.fullmatch(r"\.\s+", gap) and not _is_abbreviation(text[max(0, last_end - 8) : last_end]):
            opens = True
        word = _Word(
            match[0], match.start(), match.end(), opens, bool(_JOINT.fullmatch(gap)) and (not broken or flows), gap
        )
        if (broken and not flows) or not lines:
            lines.append([])
        lines[-1].append(word)
        last_end = match.end()
    return lines


# Whatever is no blank, comma or joint begins something: a cell, a list's item, a quotation.
_OPENS = re.compile(r"[^\s,&'’.-]|\t|   |\s-\s|\.\.")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-ZĐ]|Mr|Mrs|Ms|Dr|Prof|St|Co|Ltd|Inc|Corp|TP|BS|TS|ThS|GS|PGS|Tx|Q|P|H|No|Jr|Sr)$"
)


def _is_abbreviation(before: str) -> bool:
    return bool(_ABBREVIATION.search(before))


_SENTENCE_ENDS: Final = frozenset(".!?…")


def _ends_sentence(text: str, end: int) -> bool:
    """Whether the line that text[:end] is in ends as a sentence does."""
    rest = text[end : end + 80].split("\n", 1)[0].rstrip()
    return rest[-1:] in _SENTENCE_ENDS and rest != ""


def _is_titled(line: list[_Word]) -> bool:
    """Whether most words of a line have capitals, as in headings and column heads: there they mean nothing."""
    told = [word for word in line if word.folded not in words.ENGLISH_IDLE and len(word.text) > 1]
    return len(line) <= 14 and len(told) >= 1 and sum(word.capital for word in told) >= 0.75 * len(told)


def _candidates(line: list[_Word], titled: bool, small: Counter[str], spoken: bool) -> Iterator[_Candidate]:
    n = 0
    while n < len(line):
        head = _head_length(line, n)
        if head and (organisation := _organisation(line, n, head)):
            yield organisation[0]
            n = organisation[1]
            continue
        if not line[n].capital:
            n += 1
            continue
        end = _run_end(line, n)
        yield from _of_run(line, n, end, titled, small, spoken)
        n = end


def _run_end(line: list[_Word], n: int) -> int:
    """Where a run of capitalised words ends; particles are inside only."""
    end = n + 1
    at = end
    while (
        at < len(line) and at - n < _LONGEST and line[at].joined and (not line[at].opens or line[at].gap.strip() == ".")
    ):
        if line[at].gap == ". " and not _is_abbreviation(" " + line[at - 1].text):
            break
        if line[at].capital:
            # "CÔNG TY Minh" and "THE Pump": a heading in capitals and what follows it are two things
            if line[at].capitals != line[n].capitals and "\n" in line[at].gap:
                break
            end = at + 1
        elif line[at].folded not in _INNER:
            break
        at += 1
    return end


def _head_length(line: list[_Word], n: int) -> int:
    """How many words from here are the first words of a Vietnamese organisation's name."""
    for parts in _HEADS.get(line[n].folded, ()):
        if len(line) > n + len(parts) and all(
            line[n + k].folded == part and line[n + k].joined for k, part in enumerate(parts) if k
        ):
            return len(parts)
    return 0


def _organisation(line: list[_Word], n: int, head: int) -> tuple[_Candidate, int] | None:
    """ "Công ty TNHH Cơ khí Minh Long": from its first word to the last capitalised one."""
    at, end, own = n + head, 0, 0
    capitals = all(word.capitals for word in line[n : n + head])
    while (
        at < len(line)
        and at - n < 16
        and line[at].joined
        and (not line[at].opens or line[at].gap.strip() in {"-", "–", "&"})
    ):
        word = line[at]
        inner = word.folded in words.ORGANISATION_INNER
        if word.capital and (word.capitals or not capitals or word.folded in ("tnhh", "mtv", "cp")):
            # A new head inside: "Công ty A và Ngân hàng B"
            if at > n + head and _head_length(line, at) and line[at - 1].folded in ("và", "với"):
                break
            end = at + 1
            own += word.folded not in ("tnhh", "mtv", "cp")
            # "Bộ Y tế", "Sở Xây dựng": only a compound's first syllable has a capital
            if at + 1 < len(line) and line[at + 1].joined and not line[at + 1].capital and inner is not None:
                after = line[at + 1]
                if (
                    after.folded in words.ORGANISATION_INNER
                    and after.folded not in ("và", "một", "hai")
                    and word.folded not in ("tnhh", "mtv", "cp")
                ):
                    end = at + 2
        elif not inner:
            break
        at += 1
    if not end or not own:
        return None
    while end > n + head and line[end - 1].folded in ("và", "&"):
        end -= 1
    short = head == 1 and line[n].folded in ("bộ", "sở", "cục", "viện", "trường")
    if short and not line[n].capital:
        return None  # "một bộ Phụ kiện"
    return _Candidate(_written(line, n, end), line[n].start, line[end - 1].end, sure=own > 0), end


def _of_run(
    line: list[_Word], n: int, end: int, titled: bool, small: Counter[str], spoken: bool
) -> Iterator[_Candidate]:
    """The names in a run of capitalised words."""
    if (joint := _parting(line, n, end)) is not None:
        yield from _of_run(line, n, joint, titled, small, spoken)
        yield from _of_run(line, joint + 1, end, titled, small, spoken)
        return
    before = " ".join(word.folded for word in line[max(0, n - 3) : n])
    title, first = _title_length(line, n, end)
    if title or line[n].text in words.FIRST_NAMES:  # a person: "Dr. Emily Stone of Riverside Hospital"
        of = next((at for at in range(first + 1, end) if line[at].folded in ("of", "for", "at")), None)
        if of is not None:
            yield from _made(line, first, of, sure=True)
            while of < end and not line[of].capital:
                of += 1
            yield from _of_run(line, of, end, titled, small, spoken)
            return
    if title:
        yield from _made(line, first, end, sure=first < end and title)
        return
    # A title or an administrative word before the run: "ông Trần Minh", "quận Hải Châu".
    if n and line[n].gap.isspace() and line[n].joined and _ends_with(before, words.PERSON_TITLES | words.PLACE_TITLES):
        yield from _made(line, n, end, sure=True)
        return
    if n and line[n].gap.isspace() and line[n].joined and line[n - 1].folded in words.STREET_TITLES and spoken:
        yield from _made(line, n - 1, end, sure=True)
        return
    # Words that begin sentences are no part of the name that follows them.
    while first < end and _is_plain(line[first], line[first].opens, small, spoken):
        first += 1
    while end > first and (
        line[end - 1].folded in _INNER or (line[end - 1].folded in words.ENGLISH_PLAIN and end - first == 1)
    ):
        end -= 1
    if first >= end:
        return
    # Particles part two names where each is long enough: "Siemens and Bosch"
    if (family := _family(line, first, end)) is not None:
        yield from _made(line, family, min(end, family + 5), sure=True)
        return
    yield from _made(line, first, end, sure=_is_sure(line, first, end, titled, small, spoken))


def _parting(line: list[_Word], n: int, end: int) -> int | None:
    """Where "and" stands between two names: "Siemens and Bosch", but "University of Science and Technology"."""
    for at in range(n + 1, end - 1):
        if line[at].folded == "và" or (
            line[at].folded == "and" and not any(w.folded in ("of", "for") for w in line[n:at])
        ):
            return at
    return None


def _title_length(line: list[_Word], n: int, end: int) -> tuple[bool, int]:
    """Whether a run begins with titles, and where what they belong to begins."""
    first, titled = n, False
    while first < end:
        for length in (3, 2, 1):
            said = " ".join(word.folded for word in line[first : first + length])
            if (
                first + length <= len(line)
                and said in words.PERSON_TITLES | words.PLACE_TITLES
                and (length == 1 or all(w.joined for w in line[first + 1 : first + length]))
            ):
                first, titled = first + length, True
                break
        else:
            break
    return titled and first < len(line) and first < end, first


def _ends_with(before: str, titles: frozenset[str]) -> bool:
    said = before.split()
    return any(" ".join(said[-length:]) in titles for length in (1, 2, 3) if len(said) >= length)


def _is_plain(word: _Word, opens: bool, small: Counter[str], spoken: bool) -> bool:
    """Whether a capitalised word is only so because something begins with it, or is no name anywhere."""
    folded = word.folded
    if (
        folded in words.VIETNAMESE_PLACES_IN_TEXTS
        or folded in words.ENGLISH_IDLE
        or (opens and spoken and folded in words.VIETNAMESE_IDLE and not word.capitals)
    ):
        return True
    if folded in words.ENGLISH_PLAIN or len(word.text) == 1:
        return opens or len(word.text) > 1
    return opens and small[folded] > 0


def _family(line: list[_Word], first: int, end: int) -> int | None:
    """Where in a run a Vietnamese person's name begins: a family name, then one to four words."""
    for at in range(first, end - 1):
        word = line[at]
        family = word.text.capitalize() if word.capitals else word.text
        if family in words.VIETNAMESE_FAMILIES and not line[at + 1].gap.strip():
            rest = [w.text.capitalize() if w.capitals else w.text for w in line[at:end]]
            pair = " ".join(rest[:2])
            vietnamese = any(has_vietnamese(w) for w in rest)
            if pair not in words.VIETNAMESE_PLACES_LIKE_PEOPLE and vietnamese and at == first and end - at <= 5:
                # A heading in capitals can begin like a name: "LÝ LỊCH TƯ PHÁP"
                return at if not word.capitals or (len(rest) in (3, 4) and family in _FREQUENT) else None
    return None


_FREQUENT: Final = words.FREQUENT_FAMILIES


def _is_sure(line: list[_Word], first: int, end: int, titled: bool, small: Counter[str], spoken: bool) -> bool:
    run = line[first:end]
    told = [word for word in run if word.folded not in _INNER]
    if len(told) > 7:
        return False
    if any(word.folded in words.COMPANY_SUFFIXES for word in run) and len(told) > 1:
        return any(word.folded not in words.COMPANY_SUFFIXES | words.ENGLISH_PLAIN for word in told)
    if run[0].text in words.FIRST_NAMES and 2 <= len(run) <= 4 and not any(word.capitals for word in run):
        return True
    if all(word.capitals for word in run) and (titled or len(run) > 3):
        return False
    field = " ".join(word.folded for word in line[max(0, first - 3) : first])
    if run[0].gap.strip().startswith(":") and _ends_with(field, words.NAME_FIELDS) and len(told) <= 6:
        return True
    if all(word.folded in words.ENGLISH_PLAIN for word in told):
        return False
    if titled:
        return False
    if len(told) == 1:
        word = told[0]
        # One word is a name in the middle of a sentence only, and never one that stands small elsewhere.
        return (
            not word.opens
            and word.folded not in words.ACRONYMS
            and len(word.text) >= 3
            and not small[word.folded]
            and not _is_plain(word, False, small, spoken)
        )
    rare = sum(not small[word.folded] and word.folded not in words.ENGLISH_PLAIN for word in told)
    return rare * 2 > len(told) - (not run[0].opens)


def _made(line: list[_Word], first: int, end: int, *, sure: bool) -> Iterator[_Candidate]:
    if first < end:
        name = _written(line, first, end)
        if len(name) >= 2 and (sure or len(name) >= 3):
            yield _Candidate(name, line[first].start, line[end - 1].end, sure)


def _written(line: list[_Word], first: int, end: int) -> str:
    parts = [line[first].text]
    for word in line[first + 1 : end]:
        gap = " ".join(word.gap.split())
        parts.append(
            f" {gap} " if gap in ("&", "-", "–") and word.gap[:1].isspace() else f"{gap} " if gap == "." else gap or " "
        )
        parts.append(word.text)
    return "".join(parts)


def _best_written(written: list[str]) -> str:
    """Of the ways to write one name, the most frequent; rather one not all in capitals."""
    counts = Counter(written)
    mixed = [name for name in counts if not name.isupper()] or list(counts)
    best = max(mixed, key=lambda name: (counts[name], name))
    folded = best.casefold().split()
    person = best.isupper() and folded and folded[0].capitalize() in words.VIETNAMESE_FAMILIES
    return " ".join(word.capitalize() for word in folded) if person else best

"""Names of people, organisations and places: in Vietnamese and English by their capitals and the words around them."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from vipylo_rag.graph import rules_words as words
from vipylo_rag.graph.elements import NAME
from vipylo_rag.graph.rules_chinese import chinese_names
from vipylo_rag.graph.rules_lines import Candidate, Word, head_length, is_abbreviation, lines_of, made
from vipylo_rag.graph.rules_organisations import foreign_names, organisation_at
from vipylo_rag.graph.rules_roles import is_syllable, person_after, role_length
from vipylo_rag.graph.rules_text import Found, PageText, has_vietnamese

_INNER: Final = frozenset(
    {"of", "and", "de", "van", "von", "der", "den", "la", "del", "di", "da", "và", "for", "the", "bin", "al", "du"}
)
_BEFORE_COLONS: Final = words.NAME_FIELDS | {*words.ROLES, *words.WEAK_ROLES}
_LONGEST: Final = 12


def names(page: PageText) -> list[Found]:
    """The names on a page, in order of their places."""
    text = page.open
    found = [*_latin(text, page), *(() if page.languages.japanese else chinese_names(text))]
    found.sort(key=lambda one: (one.start, -one.end))
    return found


def _latin(text: str, page: PageText) -> list[Found]:
    lines = lines_of(text)
    small = Counter(word.folded for line in lines for word in line if not word.capital)
    # Vietnamese words that stand small next to each other: "Máy bơm" at a sentence's begin is no name then.
    spoken = page.vietnamese
    seen: dict[str, list[Candidate]] = {}
    for line in lines:
        titled = not _ends_sentence(text, line[-1].end) and _is_titled(line)
        foreign = page.languages.foreign(line[0].start)
        for candidate in foreign_names(line) if foreign else _candidates(line, titled, small, spoken):
            seen.setdefault(candidate.name.casefold(), []).append(candidate)
    found = []
    for same in seen.values():
        if any(one.sure for one in same):
            best = _best_written([one.name for one in same])
            found += [Found(NAME, best, one.start, one.end) for one in same]
    return found


_SENTENCE_ENDS: Final = frozenset(".!?…")


def _ends_sentence(text: str, end: int) -> bool:
    """Whether the line that text[:end] is in ends as a sentence does."""
    rest = text[end : end + 80].split("\n", 1)[0].rstrip()
    return rest[-1:] in _SENTENCE_ENDS and rest != ""


def _is_titled(line: list[Word]) -> bool:
    """Whether most words of a line have capitals, as in headings and column heads: there they mean nothing."""
    told = [word for word in line if word.folded not in words.ENGLISH_IDLE and len(word.text) > 1]
    return len(line) <= 14 and len(told) >= 1 and sum(word.capital for word in told) >= 0.75 * len(told)


def _candidates(line: list[Word], titled: bool, small: Counter[str], spoken: bool) -> Iterator[Candidate]:
    n = 0
    while n < len(line):
        head = head_length(line, n)
        if head and (organisation := organisation_at(line, n, head)):
            yield organisation[0]
            n = organisation[1]
            continue
        if role := role_length(line, n, small):
            n += role
            if end := person_after(line, n - role, n, small, spoken):
                yield from made(line, n, end, sure=True)
                n = end
            continue
        if not line[n].capital:
            n += 1
            continue
        end = _run_end(line, n, small)
        yield from _of_run(line, n, end, titled, small, spoken)
        n = end


def _run_end(line: list[Word], n: int, small: Counter[str]) -> int:
    """Where a run of capitalised words ends, before a person's role at the latest; particles are inside only."""
    end = n + 1
    at = end
    while (
        at < len(line) and at - n < _LONGEST and line[at].joined and (not line[at].opens or line[at].gap.strip() == ".")
    ):
        if line[at].gap == ". " and not is_abbreviation(" " + line[at - 1].text):
            break
        if line[at].capital:
            if line[at - 1].folded not in ("of", "for", "and") and role_length(line, at, small):
                break
            if _is_another_person(line, at):
                break
            # "CÔNG TY Minh" and "THE Pump": a heading in capitals and what follows it are two things
            if line[at].capitals != line[n].capitals and "\n" in line[at].gap:
                break
            end = at + 1
        elif line[at].folded not in _INNER:
            break
        at += 1
    return end


def _is_another_person(line: list[Word], at: int) -> bool:
    """ "New Zealand's Adam Hall", "Nguyễn Minh Thuyết & Nguyễn Văn Hiệp"."""
    if line[at].text in words.FIRST_NAMES:
        return line[at - 1].text.endswith(("'s", "’s"))
    return line[at].gap.strip() == "&" and line[at].text in words.VIETNAMESE_FAMILIES


def _of_run(line: list[Word], n: int, end: int, titled: bool, small: Counter[str], spoken: bool) -> Iterator[Candidate]:
    """The names in a run of capitalised words."""
    if (joint := _parting(line, n, end)) is not None:
        yield from _of_run(line, n, joint, titled, small, spoken)
        yield from _of_run(line, joint + 1, end, titled, small, spoken)
        return
    before = " ".join(word.folded for word in line[max(0, n - 3) : n])
    legal = next((at + 1 for at in range(n + 1, end - 1) if line[at].folded in words.LEGAL_FORMS), None)
    if legal is not None and line[legal].folded not in words.COMPANY_SUFFIXES:  # "QualityHosting AG Uferweg"
        yield from _of_run(line, n, legal, titled, small, spoken)
        yield from _of_run(line, legal, end, titled, small, spoken)
        return
    title, first = _title_length(line, n, end)
    if title or line[n].text in words.FIRST_NAMES:  # a person: "Dr. Emily Stone of Riverside Hospital"
        of = next((at for at in range(first + 1, end) if line[at].folded in ("of", "for", "at")), None)
        if of is not None:
            yield from made(line, first, of, sure=True)
            while of < end and not line[of].capital:
                of += 1
            yield from _of_run(line, of, end, titled, small, spoken)
            return
    if title:
        yield from made(line, first, end, sure=first < end and title)
        return
    # A title or an administrative word before the run: "ông Trần Minh", "quận Hải Châu".
    if (
        n
        and line[n].gap.isspace()
        and line[n].joined
        and _ends_with(before, words.PERSON_TITLES | words.PLACE_TITLES)
        and not (end == n + 1 and _begins_compound(line, n))  # "chủ tịch Quốc hội"
    ):
        yield from made(line, n, end, sure=True)
        return
    if spoken and _is_street(line, n, end):
        yield from made(line, n - 1, end, sure=True)
        return
    # Words that begin sentences are no part of the name that follows them.
    while (
        first < end and not _is_new_place(line, first, end) and _is_plain(line[first], line[first].opens, small, spoken)
    ):
        first += 1
    if spoken and end - first > 1:
        end -= _begins_compound(line, end - 1)
    while end > first and (
        line[end - 1].folded in _INNER
        or (line[end - 1].folded in words.ENGLISH_QUESTIONS and end - first > 1)
        or (line[end - 1].folded in words.ENGLISH_PLAIN and end - first == 1)
    ):
        end -= 1
    if first >= end:
        return
    # Particles part two names where each is long enough: "Siemens and Bosch"
    if (family := _family(line, first, end)) is not None:
        yield from made(line, family, min(end, family + 5), sure=True)
        return
    yield from made(line, first, end, sure=_is_sure(line, first, end, titled, small, spoken))


def _is_street(line: list[Word], n: int, end: int) -> bool:
    """Whether "đường", "cầu" or the like stands before a run, and not as the end of another word: "yêu cầu Tòa án"."""
    return (
        n > 0
        and line[n].joined
        and line[n].gap.isspace()
        and line[n - 1].folded in words.STREET_TITLES
        and not (n > 1 and line[n - 1].joined and line[n - 2].folded in words.VIETNAMESE_NO_STREET)
        and not (end == n + 1 and line[n].capitals)
    )


def _parting(line: list[Word], n: int, end: int) -> int | None:
    """Where "and" stands between two names: "Siemens and Bosch", but "University of Science and Technology"."""
    for at in range(n + 1, end - 1):
        if line[at].folded == "và" or (
            line[at].folded == "and" and not any(w.folded in ("of", "for") for w in line[n:at])
        ):
            return at
    return None


def _title_length(line: list[Word], n: int, end: int) -> tuple[bool, int]:
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


def _is_plain(word: Word, opens: bool, small: Counter[str], spoken: bool) -> bool:
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


def _begins_compound(line: list[Word], n: int) -> bool:
    """Whether a word with a capital is only the first syllable of one: "Quốc hội"."""
    return (
        n + 1 < len(line) and line[n + 1].joined and (line[n].folded, line[n + 1].folded) in words.VIETNAMESE_COMPOUNDS
    )


def _is_new_place(line: list[Word], first: int, end: int) -> bool:
    """ "New Zealand", and not "New filters" at a sentence's begin."""
    return (
        line[first].folded == "new"
        and first + 1 < end
        and (not line[first].opens or line[first + 1].folded in words.NEW_PLACES)
    )


def _family(line: list[Word], first: int, end: int) -> int | None:
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


def _is_sure(line: list[Word], first: int, end: int, titled: bool, small: Counter[str], spoken: bool) -> bool:
    run = line[first:end]
    told = [word for word in run if word.folded not in _INNER]
    if len(told) > 7 or all(len(word.text) == 1 for word in told):
        return False
    if any(word.folded in words.COMPANY_SUFFIXES for word in run) and len(told) > 1:
        return any(word.folded not in words.COMPANY_SUFFIXES | words.ENGLISH_PLAIN for word in told)
    if run[0].text in words.FIRST_NAMES and 2 <= len(run) <= 4 and not any(word.capitals for word in run):
        return True
    if all(word.capitals for word in run) and (titled or len(run) > 3):
        return False
    field = " ".join(word.folded for word in line[max(0, first - 3) : first])
    if run[0].gap.strip().startswith(":") and _ends_with(field, _BEFORE_COLONS) and len(told) <= 6:
        return True
    if end < len(line) and line[end].gap.strip() == "," and 2 <= len(told) <= 4 and role_length(line, end, small):
        return not any(word.folded in words.ENGLISH_PLAIN or word.folded in words.ENGLISH_COMMON for word in told)
    if all(word.folded in words.ENGLISH_PLAIN or word.folded in words.ENGLISH_COMMON for word in told):
        return False
    if titled:
        return False
    if len(told) == 1:
        word = told[0]
        # A syllable of Vietnamese with a capital is rather a part of something: "Viện kiểm sát", "Quốc hội".
        if spoken and is_syllable(word.text) and word.folded not in words.VIETNAMESE_SHORT_PLACES:
            before = line[first - 1].folded if first and word.joined else ""
            return before in words.VIETNAMESE_BEFORE_PLACES and not _begins_compound(line, first)
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


def _best_written(written: list[str]) -> str:
    """Of the ways to write one name, the most frequent; rather one not all in capitals."""
    counts = Counter(written)
    mixed = [name for name in counts if not name.isupper()] or list(counts)
    best = max(mixed, key=lambda name: (counts[name], name))
    folded = best.casefold().split()
    person = best.isupper() and folded and folded[0].capitalize() in words.VIETNAMESE_FAMILIES
    return " ".join(word.capitalize() for word in folded) if person else best

"""Dates, in any of three languages, as one name: "2024-03-05", "2024-03", "2024-Q1"."""

import datetime
import re
from collections.abc import Iterator
from typing import Final

from vipylo_rag.graph.elements import DATE
from vipylo_rag.graph.rules_numbers import chinese_number
from vipylo_rag.graph.rules_text import Found, PageText

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_YEAR = r"(?P<year>1[89]\d\d|20\d\d)"
_VI_MONTHS: Final = {
    name: n
    for n, names in enumerate(
        (
            "một giêng",
            "hai",
            "ba",
            "tư bốn",
            "năm",
            "sáu",
            "bảy bẩy",
            "tám",
            "chín",
            "mười",
            "mười_một",
            "mười_hai chạp",
        ),
        1,
    )
    for name in names.split()
}
_ZH_DIGIT = "〇零一二三四五六七八九十"
_SPACE = r"[ \t]{0,3}\n?[ \t]{0,3}"

# Each has groups year, month, day; without a day it is a month, with a quarter a quarter.
_FORMS: Final = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d)(?P<year>\d{{4}}){_SPACE}年{_SPACE}(?P<month>\d{{1,2}}){_SPACE}月(?:{_SPACE}(?P<day>\d{{1,2}}){_SPACE}["
        rf"日号])?",
        rf"(?P<year>[{_ZH_DIGIT}]{{4}})年(?P<month>[{_ZH_DIGIT}]{{1,2}})月(?:(?P<day>[{_ZH_DIGIT}]{{1,3}})[日号])?",
        rf"(?<!\d)(?P<year>\d{{4}}){_SPACE}年{_SPACE}第?(?P<quarter>[一二三四1-4])季度?",
        rf"(?:\bngày{_SPACE})?(?<![\d/.-])(?:(?P<day>\d{{1,2}}){_SPACE})?\btháng{_SPACE}(?P<month>\d{{1,2}}|mười"
        rf" (?:một|hai)|\w{{2,5}})"
        rf"(?:{_SPACE}(?:,{_SPACE})?năm{_SPACE}|{_SPACE}[,/-]{_SPACE}|{_SPACE}){_YEAR}(?!\d)",
        rf"\bquý{_SPACE}(?P<quarter>[1-4]|iv|i{{1,3}})\b(?:{_SPACE}năm{_SPACE}|{_SPACE}[,/-]?{_SPACE}){_YEAR}(?!\d)",
        rf"\bq(?P<quarter>[1-4])\b(?:{_SPACE}(?:of )?|[/-]){_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}[ -]?q(?P<quarter>[1-4])\b",
        rf"\b{_MONTH}{_SPACE}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:{_SPACE},{_SPACE}|{_SPACE}){_YEAR}(?!\d)",
        rf"(?<![\d.])(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ -]{{0,2}}(?:of )?{_MONTH}[ ,-]{{0,2}}{_SPACE}{_YEAR}(?!\d)",
        rf"\b{_MONTH}(?:{_SPACE},{_SPACE}|{_SPACE}|-){_YEAR}(?![\d])",
        r"(?<![\d./-])(?P<year>(?:1[89]|20)\d\d)(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
        r"(?![\d/-]|\.\d)",
    )
]
_NUMERIC = re.compile(
    r"(?<![\d./-])(?P<first>\d{1,2})(?P<mark> ?[/.-] ?)(?P<second>\d{1,2})(?P=mark)(?P<year>(?:1[89]"
    r"|20)\d\d|\d\d)(?![\d/-]|\.\d)"
)
_NUMERIC_MONTH = re.compile(
    rf"(?:(?P<cue>\btháng{_SPACE})|(?<![\d./,-]))(?P<month>0?[1-9]|1[0-2])(?P<mark>[/-]){_YEAR}(?![\d/-]|\.\d)",
    re.IGNORECASE,
)


def dates(page: PageText) -> list[Found]:
    """The dates of a page that have a year, where they do not overlap, in order.

    05/03/2024 is the 5th of March, as most of the world writes it, unless other dates of the page show that their
    months come first.
    """
    text = page.open
    found = [one for form in _FORMS for match in form.finditer(text) if (one := _found(match)) is not None]
    found += _numeric(text)
    found.sort(key=lambda one: (one.start, -one.end))
    kept: list[Found] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _found(match: re.Match[str]) -> Found | None:
    parts = match.groupdict()
    year = _small(parts["year"])
    if year is None or not 1800 <= year <= 2199:
        return None
    if parts.get("quarter"):
        quarter = {"i": 1, "ii": 2, "iii": 3, "iv": 4}.get(parts["quarter"].casefold()) or _small(parts["quarter"])
        name = f"{year}-Q{quarter}"
    else:
        month = _small(parts["month"])
        day = _small(parts["day"]) if parts.get("day") else None
        if month is None or (day is None and parts.get("day")) or not _is_date(year, month, day or 1):
            return None
        name = f"{year}-{month:02}" if day is None else f"{year}-{month:02}-{day:02}"
    return Found(DATE, name, match.start(), match.end())


def _numeric(text: str) -> Iterator[Found]:
    matches = list(_NUMERIC.finditer(text))
    pairs = [(int(match["first"]), int(match["second"])) for match in matches]
    month_first = any(b > 12 >= a for a, b in pairs) and not any(a > 12 >= b for a, b in pairs)
    for match, (first, second) in zip(matches, pairs, strict=True):
        year = int(match["year"])
        if year < 100:
            if len(match["first"]) < 2 or len(match["second"]) < 2:  # 1/2/24 can be anything
                continue
            year += 2000 if year < 70 else 1900
        day, month = (second, first) if month_first else (first, second)
        if _is_date(year, month, day):
            yield Found(DATE, f"{year}-{month:02}-{day:02}", match.start(), match.end())
    for match in _NUMERIC_MONTH.finditer(text):
        yield Found(DATE, f"{match['year']}-{int(match['month']):02}", match.start(), match.end())


def _small(written: str) -> int | None:
    """A year, month or day in digits, in Chinese characters, or as Vietnamese names months or English does."""
    said = " ".join(written.split()).casefold()
    if said.isascii() and said.isdigit():
        return int(said)
    if said[:3] in _MONTHS:
        return _MONTHS.index(said[:3]) + 1
    return _VI_MONTHS.get(said.replace(" ", "_")) or chinese_number(said)


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return False
    return True

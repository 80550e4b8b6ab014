"""Cells of workbooks as Excel shows them, where the number format is a plain one: percent, thousands, money, dates."""

import datetime
import functools
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_DIGITS = re.compile(r"[#0?][#0?,.]*")
# What stands around the digits: text in quotes or behind a backslash, a currency with its country, gaps, colours.
_TOKEN = re.compile(
    r'"(?P<quoted>[^"]*)"|\\(?P<escaped>.)|\[\$(?P<currency>[^\]-]*)(?:-[^\]]*)?\]|(?P<gap>_.)|(?P<silent>\*.|\[[^\]]*\])'
    r"|(?P<plain>[^#0?])"
)
_DATE_TOKEN = re.compile(r"y+|m+|d+|h+|s+|[-/. :,]|\\[-/. ,]", re.IGNORECASE)
_NUMERIC = frozenset(("yyyy", "yy", "mm", "m", "dd", "d", "hh", "h", "ss"))
# What this format means depends on where Excel runs: the date of the country.
_ANYWHERE = "mm-dd-yy"


@dataclass(frozen=True)
class _NumberFormat:
    before: str
    after: str
    whole: int  # digits that are always written, as in 0042
    decimals: int
    optional: int  # of the decimals, those that are left out where they are zeros at the end
    thousands: bool
    percent: bool


def shown(value: object, number_format: str | None = None) -> str:
    """A cell's value as a person sees it; by itself where the format is none of the plain ones."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.date):
        return _date(value, number_format or "")
    if isinstance(value, int | float):
        return _number(value, number_format or "General")
    return str(value)


def _number(value: float, code: str) -> str:
    plain = format(value, ".12g") if isinstance(value, float) else str(value)
    parts = _sections(code)
    negative = value < 0 and len(parts) > 1 and bool(parts[1].strip())
    layout = _layout(parts[1] if negative else parts[0])
    if layout is None or not abs(value) < 1e15:
        return plain
    number = Decimal(plain.removeprefix("-") if negative else plain) * (100 if layout.percent else 1)
    # 2.5 is shown as 3: Python alone would round it to the even 2.
    number = number.quantize(Decimal(1).scaleb(-min(layout.decimals, 10)), ROUND_HALF_UP)
    digits = format(number, ",f" if layout.thousands else "f")
    sign, digits = ("-" if digits.startswith("-") else ""), digits.removeprefix("-")
    for _ in range(layout.optional):
        digits = digits.removesuffix("0")
    head, point, decimals = digits.partition(".")
    digits = head.zfill(layout.whole) + (point + decimals if decimals else "")
    return f"{sign}{layout.before}{digits}{layout.after}".strip()


@functools.lru_cache(maxsize=512)
def _sections(code: str) -> tuple[str, ...]:
    """The parts of a format for positive numbers, negative ones, zero; a semicolon in quotes is none between them."""
    return tuple(re.findall(r'(?:"[^"]*"|\\.|[^;"\\])+|(?<=;)(?=;)', code)) or (code,)


@functools.lru_cache(maxsize=512)
def _layout(section: str) -> _NumberFormat | None:
    """What a part of a format says; None where it is not a plain one (General, fractions, exponents, dates)."""
    before, after, digits = "", "", ""
    place = 0
    while place < len(section):
        found = _DIGITS.match(section, place)
        if found and digits:
            return None
        if found:
            digits = found[0]
        elif token := _TOKEN.match(section, place):
            found = token
            text = token["quoted"] or token["escaped"] or token["currency"] or (" " if token["gap"] else "")
            if letter := token["plain"]:
                if letter.isascii() and letter.isalpha():
                    return None
                text = letter
            before, after = (before, after + text) if digits else (before + text, after)
        else:
            return None
        place = found.end()
    whole, _, decimals = digits.partition(".")
    # A comma behind the digits divides by a thousand: not a plain format.
    if not digits or digits.endswith(",") or "." in decimals or "/" in after:
        return None
    always = 0 if "," in whole else whole.count("0")
    optional = len(decimals) - len(decimals.rstrip("#?"))
    return _NumberFormat(before, after, always, len(decimals), optional, "," in whole, "%" in before + after)


def _date(value: datetime.date, code: str) -> str:
    """A date in its cell's order of day, month and year, where those are numbers; else as ISO 8601."""
    text = re.sub(r"\[\$?-[^\]]*\]|;@$|_.", "", code)
    tokens = [token.lower() for token in _DATE_TOKEN.findall(text)]
    units = [token for token in tokens if token[0].isalpha()]
    if (
        code == _ANYWHERE
        or len("".join(tokens)) != len(text)
        or "y" not in text.lower()
        or not _NUMERIC.issuperset(units)
    ):
        if not isinstance(value, datetime.datetime):
            return value.isoformat()
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    moment = value if isinstance(value, datetime.datetime) else datetime.datetime.combine(value, datetime.time())
    written, last = [], ""
    for token in tokens:
        unit = token[0]
        if unit == "y":
            written.append(f"{moment.year:04}"[-len(token) :])
        elif unit in "mdhs":
            # The same letter means months and, after hours, minutes.
            numbers = {"m": moment.minute if last == "h" else moment.month, "d": moment.day, "h": moment.hour}
            written.append(f"{numbers.get(unit, moment.second):0{len(token)}}")
        else:
            written.append(token[-1])
        last = unit if unit.isalpha() else last
    return "".join(written).strip()

"""Numbers as Vietnamese, English and Chinese pages write them."""

import re
from decimal import Decimal
from typing import Final

_DIGITS: Final = {
    char: n
    for n, chars in enumerate(("零〇", "一壹", "二贰两", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖"))
    for char in chars
}
_TENS: Final = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_MYRIADS: Final = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
CHINESE_DIGITS: Final = "".join([*_DIGITS, *_TENS, *_MYRIADS])

# Thousands parted by a stop, a comma, a space or an apostrophe, or plain digits; then decimals.
NUMBER: Final = r"(?:\d{1,3}(?:[.,' ’]\d{3}){1,6}(?!\d)(?:[.,]\d{1,4})?|\d{1,15}(?:[.,]\d{1,4})?)"


def number(written: str, *, comma_is_decimal: bool, whole: bool = False) -> Decimal | None:
    """The value of a written number, or None if it is none.

    Args:
        comma_is_decimal: how "1,250" is meant where the number itself does not tell, as in Vietnamese.
        whole: three digits after the only mark are thousands in any case, as in amounts of a money without cents.
    """
    text = re.sub(r"[ '’]", "", written)
    marks = re.findall(r"[.,]", text)
    if len(set(marks)) == 2:
        decimal = marks[-1]
        if marks.count(decimal) > 1:
            return None
        text = text.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    elif len(marks) > 1:
        text = re.sub(r"[.,]", "", text)
    elif marks:
        three = len(text) - text.index(marks[0]) == 4 and not text.startswith("0")
        grouped = three and (whole or (marks[0] == ".") == comma_is_decimal)
        text = text.replace(marks[0], "" if grouped else ".")
    return Decimal(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def chinese_number(written: str) -> int | None:
    """The value of a number in Chinese characters: 三百二十, 伍万, 二〇二四; None if it is none."""
    if not any(char in _TENS or char in _MYRIADS for char in written):
        return (
            int("".join(str(_DIGITS[char]) for char in written)) if written and set(written) <= set(_DIGITS) else None
        )
    total, section, digit = 0, 0, 0
    for char in written:
        if char in _DIGITS:
            digit = _DIGITS[char]
        elif char in _TENS:
            section, digit = section + (digit or 1) * _TENS[char], 0
        elif char in _MYRIADS:
            total, section, digit = (
                (total + section + digit) * _MYRIADS[char]
                if char in "亿億"
                else total + (section + digit) * _MYRIADS[char],
                0,
                0,
            )
        else:
            return None
    return total + section + digit


def plain(value: Decimal) -> str:
    """A number in one form: "1,250,000", "3.5"."""
    text = f"{value.normalize():,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

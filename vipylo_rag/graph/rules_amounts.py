"""Amounts of money and quantities with units, as one name however they are written: "1,250,000 VND", "3.5 kWh"."""

import re
from decimal import Decimal
from typing import Final

from vipylo_rag.graph.elements import AMOUNT
from vipylo_rag.graph.rules_numbers import CHINESE_DIGITS, NUMBER, chinese_number, number, plain
from vipylo_rag.graph.rules_text import HAN, Found, PageText

_TIMES: Final = {
    word: Decimal(factor)
    for factor, words in (
        (10**3, "nghìn ngàn thousand k 千"),
        (10**6, "triệu tr million mio mn mil m 百万"),
        (10**7, "千万"),
        (10**9, "tỷ tỉ billion bn"),
        (10**12, "trillion"),
        (10**4, "万 萬"),
        (10**8, "亿 億"),
    )
    for word in words.split()
}
_MONEY: Final = {
    sign: code
    for code, signs in {
        "VND": "đ ₫ vnđ vnd đồng 越南盾",
        "USD": "$ us$ usd dollars dollar đô_la_mỹ đô_la đô 美元 美金",
        "EUR": "€ eur euro euros 欧元",
        "GBP": "£ gbp pounds 英镑",
        "CNY": "cny rmb 人民币 元 块钱 圆 nhân_dân_tệ yuan 人民币元",
        "JPY": "jpy 日元 yen yên 円",
        "HKD": "hk$ hkd 港元 港币",
        "SGD": "s$ sgd",
        "AUD": "a$ aud",
        "CAD": "c$ cad",
        "TWD": "nt$ twd 新台币",
        "KRW": "₩ krw won 韩元",
        "INR": "₹ inr rs rs.",
        "CHF": "chf",
        "THB": "฿ thb baht",
        "PLN": "zł pln",
    }.items()
    for sign in signs.split()
}
_WITHOUT_CENTS: Final = frozenset({"VND", "JPY", "KRW"})
_UNITS: Final = {
    word: unit
    for unit, words in {
        "kg": "kg kilograms kilogram kilôgam 公斤 千克",
        "g": "g gam grams 克",
        "mg": "mg 毫克",
        "t": "tấn tonnes tonne tons 吨",
        "km": "km kilometres kilometers 公里 千米",
        "m": "m mét metres meters 米",
        "cm": "cm 厘米",
        "mm": "mm 毫米",
        "km²": "km2 km² 平方公里",
        "m²": "m2 m² sqm 平方米 mét_vuông",
        "m³": "m3 m³ 立方米 mét_khối",
        "ha": "ha hectares hecta héc-ta 公顷",
        "l": "l lít litres liters 升",
        "ml": "ml 毫升",
        "kWh": "kwh 千瓦时 度电",
        "MWh": "mwh 兆瓦时",
        "GWh": "gwh",
        "kW": "kw 千瓦",
        "MW": "mw 兆瓦",
        "kWp": "kwp",
        "MWp": "mwp",
        "W": "w watts 瓦",
        "V": "v volts 伏",
        "Hz": "hz",
        "kHz": "khz",
        "MHz": "mhz",
        "GHz": "ghz",
        "bar": "bar",
        "kPa": "kpa",
        "MPa": "mpa",
        "°C": "°c ℃ độ_c",
        "GB": "gb",
        "TB": "tb",
        "MB": "mb",
    }.items()
    for word in words.split()
}


def _any(words: dict[str, str] | dict[str, Decimal]) -> str:
    """A pattern for any of some words, the longest first; one of letters ends where its letters end."""
    return "|".join(
        re.escape(word).replace("_", r"[ ]")
        + (rf"(?![^\W\d_{HAN}]|[²³])" if word[-1].isalnum() and not _is_han(word[-1]) else "")
        for word in sorted(words, key=lambda word: (-len(word), word))
    )


def _is_han(char: str) -> bool:
    return "\u3400" <= char <= "\u9fff"


_GAP = r"(?:[ \t]{0,2}|[ \t]?\n(?=đồng|triệu|tỷ|tỉ|nghìn|million|billion|dollars|euros))"
_PART = rf"{NUMBER}{_GAP}(?:{_any(_TIMES)})"
_VALUE = rf"(?P<value>{_PART}(?:{_GAP}{_PART}){{0,2}}|{NUMBER})"
_SIGN = rf"(?P<sign>{_any(_MONEY)}|¥)"
_EDGE = r"(?<![\w.,/-])(?<!\d )"
_FORMS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![^\W\d_{HAN}])(?:人民币|{_SIGN}){_GAP}{_VALUE}(?![\d%])(?:{_GAP}(?P<more>{_any(_MONEY)})(?!素|件|旦|宝|宇))?",
        rf"(?<![\d.,])(?<!\d )(?<![^\W\d_{HAN}]){_VALUE}{_GAP}{_SIGN}(?!素|件|旦|宝|宇)",
    )
)
_IN_CHARACTERS = re.compile(
    rf"(?P<value>[{CHINESE_DIGITS}]{{2,20}})(?P<sign>美元|港元|日元|欧元|元|圆)(?!素|件|旦|宝)[整正]?"
)
_QUANTITY = re.compile(rf"{_EDGE}(?P<value>{NUMBER}){_GAP}(?P<unit>{_any(_UNITS)})(?![/\w]|-\w)", re.IGNORECASE)
_HAN_UNITS = "|".join(sorted((word for word in _UNITS if _is_han(word[-1])), key=lambda word: (-len(word), word)))
_QUANTITY_ZH = re.compile(rf"(?<![a-zA-Z0-9_.,/-])(?<!\d )(?P<value>{NUMBER}){_GAP}(?P<unit>{_HAN_UNITS})")
_CASED: Final = frozenset({"m", "g", "t", "l", "w", "v", "k"})


def amounts(page: PageText) -> list[Found]:
    """The amounts of a page, in order: money of any size, and quantities of at least two digits.

    Where a number does not tell itself, a comma is the decimal mark on Vietnamese pages, a stop on others.
    """
    text = page.open
    found = [one for form in _FORMS for match in form.finditer(text) if (one := _money(match, page)) is not None]
    for match in _IN_CHARACTERS.finditer(text):
        value = chinese_number(match["value"])
        if value:
            found.append(Found(AMOUNT, f"{plain(Decimal(value))} {_MONEY[match['sign']]}", match.start(), match.end()))
    found += [one for match in _QUANTITY.finditer(text) if (one := _quantity(match, page)) is not None]
    found += [one for match in _QUANTITY_ZH.finditer(text) if (one := _quantity(match, page)) is not None]
    found.sort(key=lambda one: (one.start, -one.end))
    kept: list[Found] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def _money(match: re.Match[str], page: PageText) -> Found | None:
    sign = (match["sign"] or "人民币").casefold()
    more = (match.groupdict().get("more") or "").casefold()
    # "$ 5 million USD" and "人民币 500 元" say it twice; "5 USD 300" is two amounts.
    end = match.end()
    code = _currency(sign, page)
    if more and _currency(more, page) != code:
        end = match.end("value")
    value = _value(match["value"], code in _WITHOUT_CENTS, page)
    if value is None or value == 0 or value >= 10**18:
        return None
    return Found(AMOUNT, f"{plain(value)} {code}", match.start(), end)


def _currency(sign: str, page: PageText) -> str:
    if sign == "¥":
        return "JPY" if re.search(r"[\u3041-\u30ff]", page.text) else "CNY"
    return _MONEY["_".join(sign.split())]


def _value(written: str, whole: bool, page: PageText) -> Decimal | None:
    """ "2 tỷ 500 triệu", "3.5 million", "1.250.000"."""
    total = Decimal(0)
    for part in re.finditer(rf"({NUMBER}){_GAP}({_any(_TIMES)})?", written, re.IGNORECASE):
        times = _TIMES[part[2].casefold()] if part[2] else Decimal(1)
        value = number(part[1], comma_is_decimal=page.vietnamese, whole=whole and times == 1)
        if value is None:
            return None
        total += value * times
    return total


def _quantity(match: re.Match[str], page: PageText) -> Found | None:
    written = match["unit"]
    value = number(match["value"], comma_is_decimal=page.vietnamese)
    if value is None or sum(char.isdigit() for char in match["value"]) < 2 or value == 0:
        return None
    unit = _UNITS["_".join(written.casefold().split())]
    if len(written) == 1 and written.casefold() in _CASED and written != unit:
        return None  # "12 M", "30 L" are sizes and names
    return Found(AMOUNT, f"{plain(value)} {unit}", match.start(), match.end())

"""Amounts of money as Vietnamese papers write them: in figures and in words."""

_DIGITS = ("không", "một", "hai", "ba", "bốn", "năm", "sáu", "bảy", "tám", "chín")
_GROUPS = ("", " nghìn", " triệu", " tỷ")


def shown(amount: int) -> str:
    """12345678 as 12.345.678."""
    return f"{amount:,}".replace(",", ".")


def in_words(amount: int) -> str:
    """12345678 as "mười hai triệu ba trăm bốn mươi lăm nghìn sáu trăm bảy mươi tám đồng".

    Raises:
        ValueError: below 0, or a thousand billion and more.
    """
    if not 0 <= amount < 1000 ** len(_GROUPS):
        raise ValueError(f"amount={amount}: 0 to {1000 ** len(_GROUPS) - 1}")
    groups = [amount // 1000**power % 1000 for power in range(len(_GROUPS))]
    highest = max((power for power, group in enumerate(groups) if group), default=0)
    parts = [
        _below_thousand(groups[power], whole=power != highest) + _GROUPS[power]
        for power in range(highest, -1, -1)
        if groups[power]
    ]
    return " ".join(parts or [_DIGITS[0]]) + " đồng"


def _below_thousand(number: int, whole: bool) -> str:
    """Three figures; `whole` says the leading zeros too, as inside a larger number."""
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    words = [_DIGITS[hundreds], "trăm"] if hundreds or whole else []
    if tens == 0:
        return " ".join(words + ([*(["linh"] if words else []), _DIGITS[ones]] if ones else []))
    words += ["mười"] if tens == 1 else [_DIGITS[tens], "mươi"]
    if ones == 1 and tens > 1:
        words.append("mốt")
    elif ones == 5:
        words.append("lăm")
    elif ones:
        words.append(_DIGITS[ones])
    return " ".join(words)

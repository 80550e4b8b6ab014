"""Codes: e-mail and web addresses, phone numbers, standards, contract, part, tax and identity numbers, plates."""

import re
from typing import Final

from vipylo_rag.graph.elements import CODE
from vipylo_rag.graph.rules_text import HAN, Found, PageText

_EDGE = r"(?<![^\W_])"
_MAIL = re.compile(
    r"(?<![a-zA-Z0-9_.+-])[A-Za-z0-9][\w.+-]{0,63}@[A-Za-z0-9][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){1,5}", re.ASCII
)
_WEB = re.compile(
    r"(?:https?://(?:www\.)?|(?<![a-zA-Z0-9_.@/-])www\.)(?P<place>[A-Za-z0-9][A-Za-z0-9.-]{2,80}(?::\d+)?"
    r"(?:/[\w./~%+-]{0,120})?)(?:\?[\w=&%.+-]{0,200})?",
    re.ASCII,
)
_STANDARD = re.compile(
    r"(?<![a-zA-Z0-9_])(?P<body>(?:ISO|IEC|EN|DIN|BS|TCVN|TCXDVN|TCXD|QCVN|GB|JIS|ASTM|ANSI|IEEE|RFC|NFPA"
    r"|UL|CISPR|ETSI)(?:[ /-](?:IEC|IEEE|ISO|EN|T|TS|TR))*)"
    r"[ :-]{0,2}(?P<number>[A-Z]{0,2}\d{1,6}(?:[-.]\d{1,4}){0,3}(?: ?: ?(?:19|20)\d\d|-(?:19|20)\d\d)?"
    r"(?:/[A-ZĐ]{2,8})?)(?![a-zA-Z0-9_])"
)
_PHONE_CUE = (
    r"(?:\b(?:tel|phone|telephone|mobile|cell|fax|hotline|zalo|điện thoại|đt|đtdđ|sđt|call|whatsapp)\b"
    r"|电话|手机|传真|热线)[.:：\s()/]{0,4}(?:no\.?|số)?[:：\s]{0,2}"
)
_GROUPED = r"\+?\(?\d{1,4}\)?(?:[ .-]{1,2}\(?\d{1,5}\)?){1,5}"
_PHONES: Final = (
    re.compile(rf"{_PHONE_CUE}(?P<code>{_GROUPED}|\+?\d{{7,15}})(?![\d/])", re.IGNORECASE),
    re.compile(r"(?<![a-zA-Z0-9_+./-])(?P<code>\+\d{1,3}[ .-]?\(?\d{1,4}\)?(?:[ .-]?\d{2,5}){1,4})(?![\d/])"),
    re.compile(
        r"(?<![a-zA-Z0-9_+./-])(?P<code>0[35789]\d(?:\d{7}|[ .-]\d{3}[ .-]\d{4}|\d[ .-]\d{3}[ .-]\d{3}|[ .-]\d{3}["
        r" .-]\d{2}[ .-]\d{2}))(?![a-zA-Z0-9_/-])"
    ),
    re.compile(
        r"(?<![a-zA-Z0-9_+./-])(?P<code>\(0\d{2,3}\)[ .-]?\d{3,4}[ .-]?\d{3,4}|0\d{2,3}-\d{7,8}|1[89]00[ .-]?\d{4}"
        r"|1[89]00[ .-]\d{2}[ .-]\d{2}|400-\d{3,4}-\d{3,4})(?![a-zA-Z0-9_/-])"
    ),
    re.compile(
        r"(?<![a-zA-Z0-9_+./-])(?P<code>1[3-9]\d(?:[ -]?\d{4}){2}|\(\d{3}\) ?\d{3}-\d{4}"
        r"|\d{3}-\d{3}-\d{4})(?![a-zA-Z0-9_/-])"
    ),
)
_NUMBER_CUE = re.compile(
    r"(?:\b(?:số (?:hợp đồng|hóa đơn|hoá đơn|seri|sê-ri|tài khoản|báo danh|định danh|cccd|cmnd"
    r"|gplx|hồ sơ|chứng từ|đơn hàng|thẻ|hộ chiếu|máy|khung|hiệu|phiếu)|mã (?:số thuế|số|đơn hàng"
    r"|hàng|khách hàng|sản phẩm|lỗi|hồ sơ|bệnh nhân|vạch|qr)"
    r"|mst|stk|cccd|cmnd|gplx|mã|số|s/n|p/n|serial(?: number| no\.?)?|part(?: number| no\.?)|model"
    r"|order(?: number| no\.?| id)|invoice(?: number| no\.?)|contract(?: number| no\.?)"
    r"|account(?: number| no\.?)|policy(?: number| no\.?)|claim(?: number| no\.?)|customer(?: "
    r"number| no\.?| id)|patient id|reference|ref\.?|vat(?: id| no\.?| number)?|tax (?:id|code"
    r"|number)|passport(?: no\.?| number)?|licen[cs]e(?: no\.?| number)|id(?: no\.?| number)?|no\."
    r"|nr\.|isbn|issn|doi|error(?: code)?|lỗi|code|sku|lot)"
    r"|(?:合同|订单|发票|货|型|编|批|序列|税|证件?|身份证|账|帐|护照|保单|案)号码?|编码|纳税人识别号|统一社会信用代码|故障代码|错误代码|零件号)"
    r"[ \t]{0,3}(?:(?:no\.?|số|#)[ \t]{0,2})?[:：#.]{0,2}[ \t]{0,3}\n?[ \t]{0,3}(?P<code>[A-Z0-9Đ][A-Za-z0-9Đđ]{0"
    r",24}(?:[-/._][A-Za-z0-9Đđ]{1,24}){0,6}(?:[ ]\d{3,6}){0,4})(?![^\W_])",
    re.IGNORECASE,
)
_PLATES: Final = (
    re.compile(
        r"(?<![a-zA-Z0-9_/-])(?P<code>[1-9]\d ?-?[A-HK-VXYZ][A-Z1-9]?[ -]{1,2}\d{3}\.?\d{2})(?![a-zA-Z0-9_/.-])"
    ),
    re.compile(
        r"(?<![a-zA-Z0-9_/-])(?P<code>[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼]"
        r"[A-HJ-Z][·• ]?[A-HJ-NP-Z0-9]{5,6})(?![a-zA-Z0-9_/.-])"
    ),
)
_IBAN = re.compile(r"(?<![a-zA-Z0-9_-])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?![a-zA-Z0-9_-])")
_GROUPS = re.compile(r"(?<![a-zA-Z0-9_.,/+-])\d{2,7}(?:-\d{1,10}){1,5}(?![a-zA-Z0-9_/+-]|[.,]\d)")
_DIGITS = re.compile(rf"(?<![^\W_{HAN}])(?<![.,/+-])\d{{9,19}}(?![^\W{HAN}]|[/-]|[.,]\d)")
_TOKEN = re.compile(
    rf"(?<![^\W_{HAN}])(?<![./@#&-])[A-Z0-9ĐÀ-Ý][A-Za-z0-9ĐđÀ-Ý]{{0,24}}(?:[-/._:–][A-Za-z0-9ĐđÀ-Ý]{{1,24}}){{0,6}}("
    rf"?![^\W_{HAN}]|[@]|[-/][^\W_])"
)

# Letters and digits in one word that are a measure, a place in a text, a time or a version, not a code.
_NO_CODE = re.compile(
    r"""\d+(?:[.,x×:/-]\d+)*[a-zµΩ%°]{1,4}\d?(?:[/-][a-z]+\d?)?   # 220v, 10h30, 210x297mm
      |\d+(?:[.,]\d+)?(?:[kKMGT]?(?:W|Wh|Wp|V|VA|A|Ah|mAh|Hz|B|Pa|N|J|bit|F|C|K)|[kKMGT]|DPI|PPM|RPM|MP|D|P|AM|PM|CM|MM|KG|ML|KM)(?:/\w+)?
      |\d+(?:st|nd|rd|th|ST|ND|RD|TH)
      |\d{1,2}[hHgG:]\d{0,2}(?:[:-]\d.*)?|\d{4}-\d{2}-\d{2}T.*
      |[Vv](?:er)?\d+(?:\.\d+)*
      |(?:Fig|FIG|Figure|Table|Tab|Page|PAGE|Section|Sec|Step|Chapter|Hình|Bảng|Trang|Điều|Bước|Mục|Eq|App|Vol|No|NO|Q|H|CO|SO|Nm
        |Day|Type|Class|Level|Part|Step|Phase|Grade|Year|Top)[-. ]?\d{1,4}
      |(?:19|20)\d\d(?:[-/–](?:19|20)?\d\d)*[a-z]?
      |[A-Z]\d|\d[A-Z]
      |\d{1,3}(?:\.\d{1,3})+[a-zA-Z]?
      |A4/A[35]|A\d/A\d|[A-Z]?\d{1,2}/[A-Z]?\d{1,2}
      |(?:BC|AD|CE)\d+|\d+(?:BC|AD|CE)
      |24/7|\d+-[a-z].*|\d+[A-Z]-[a-z].*""",
    re.VERBOSE,
)


def codes(page: PageText) -> list[Found]:
    """The codes of a page, in order. A code has a digit, and beside it letters, marks, many digits, or a word before it
    that says what it is."""
    text = page.open
    found: list[Found] = []
    for match in _MAIL.finditer(text):
        found.append(
            Found(CODE, match[0].rstrip(".-").lower(), match.start(), match.start() + len(match[0].rstrip(".-")))
        )
    for match in _WEB.finditer(text):
        place = match["place"].rstrip("./-")
        if "." in place.split("/")[0] and len(place) <= 100:
            found.append(Found(CODE, _host_lower(place), match.start(), match.start("place") + len(place)))
    for match in _STANDARD.finditer(text):
        numbered = re.sub(r" ?: ?", ":", match["number"])
        found.append(Found(CODE, f"{match['body']} {numbered}", match.start(), match.end()))
    for n, form in enumerate(_PHONES):
        for match in form.finditer(text):
            if name := _phone(match["code"], page):
                found.append(Found(CODE, name, match.start("code"), match.end("code")))
        if n == 0:  # after "tel.", before what only looks like a telephone's number
            found += [
                _code(match["code"], match.start("code"))
                for match in _NUMBER_CUE.finditer(text)
                if _is_cued(match["code"]) and not _is_dialled(match)
            ]
    for form in _PLATES:
        found += [Found(CODE, _plate(match["code"]), match.start(), match.end()) for match in form.finditer(text)]
    for form in (_IBAN, _GROUPS, _DIGITS):
        for match in form.finditer(text):
            if form is not _GROUPS or _is_group(match[0]):
                found.append(Found(CODE, match[0].replace(" ", ""), match.start(), match.end()))
    found += [_code(match[0], match.start()) for match in _TOKEN.finditer(text) if _is_code(match[0])]
    return _apart(found)


def _apart(found: list[Found]) -> list[Found]:
    """What does not overlap: of two that do, the longer one; of equals, what was found first."""
    taken: list[Found] = []
    starts = sorted(range(len(found)), key=lambda n: (found[n].start, -(found[n].end - found[n].start), n))
    for n in starts:
        one = found[n]
        if taken and one.start < taken[-1].end:
            if one.end - one.start > taken[-1].end - taken[-1].start:
                taken[-1] = one
            continue
        taken.append(one)
    return taken


def _code(written: str, start: int) -> Found:
    trimmed = written.rstrip(" .:/-_–")
    return Found(CODE, " ".join(trimmed.replace("–", "-").split()), start, start + len(trimmed))


def _host_lower(place: str) -> str:
    host, slash, path = place.partition("/")
    return host.lower() + slash + path


def _phone(written: str, page: PageText) -> str:
    """One form of a number: "+84912345678", "+15551234567", or its own digits."""
    digits = re.sub(r"\D", "", written)
    if written.startswith("+"):
        # "+84 (0) 912 ..." has a zero that is not dialled
        digits = re.sub(r"^84(0)(?=\d{9})", "84", digits)
        return f"+{digits}" if 8 <= len(digits) <= 15 else ""
    if not 7 <= len(digits) <= 15:
        return ""
    if re.fullmatch(r"0[35789]\d{8}", digits) and not page.chinese:
        return f"+84{digits[1:]}"
    if re.fullmatch(r"02\d{8,9}", digits) and page.vietnamese:
        return f"+84{digits[1:]}"
    if re.fullmatch(r"1[3-9]\d{9}", digits):
        return f"+86{digits}"
    return digits


def _plate(written: str) -> str:
    bare = re.sub(r"[ .·•-]", "", written)
    vietnamese = re.fullmatch(r"(\d\d[A-Z][A-Z1-9]?)(\d{3})(\d\d)", bare)
    return f"{vietnamese[1]}-{vietnamese[2]}.{vietnamese[3]}" if vietnamese else bare


def _is_group(written: str) -> bool:
    """Whether digits with dashes are a number of something, not a range of years or pages."""
    groups = written.split("-")
    digits = sum(map(len, groups))
    years = all(re.fullmatch(r"(?:19|20)\d\d", group) for group in groups)
    return digits >= 8 and not years


def _is_cued(written: str) -> bool:
    digits = sum(char.isdigit() for char in written)
    if (
        not re.search(r"\d", written.split()[0])
        or len(written) < 3
        or re.fullmatch(r"(?:19|20)\d\d|\d{1,3}(?:[.,]\d+)*", written)
    ):
        return False
    return digits >= 2 and (digits >= 4 or bool(re.search(r"[A-Z]", written)))


def _is_dialled(match: re.Match[str]) -> bool:
    """ "số 0912 345 678" says no more than that it is a number."""
    cue = match[0][: match.start("code") - match.start()].casefold().strip(" :.#")
    return cue in ("số", "no", "mã") and bool(re.match(r"0[235789]\d", match["code"]))


def _is_code(written: str) -> bool:
    """Whether a word of letters and digits is a code."""
    word = written.rstrip(" .:/-_–")
    digits = sum(char.isdigit() for char in word)
    letters = sum(char.isalpha() for char in word)
    if not digits or not letters or len(word) < 3 or _NO_CODE.fullmatch(word):
        return False
    upper = sum(char.isupper() for char in word)
    if not upper or letters - upper > 12:
        return False
    if digits == 1:  # GPT-4 and FX-2; "Covid-1", "H2O" and "Web2" not
        return (
            bool(re.fullmatch(r"[A-ZĐ]{2,}[-/]\d|\d[-/][A-ZĐ]{2,}|[A-ZĐ0-9]+(?:[-/][A-ZĐ0-9]+)+", word))
            and len(word) >= 4
        )
    return upper * 2 >= letters - 1

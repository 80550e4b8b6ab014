"""What kind of thing a question wants (a figure, a date, a code, a person's name), and whether a text holds one.

It is a hint, no more: a heading with all of a question's words answers nothing, the line with the figure does.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vipylo_rag.prompt import Language

Kind = Literal["code", "date", "figure", "person"]
_Rows = tuple[tuple[Kind, re.Pattern[str]], ...]


def _rows(**patterns: str) -> _Rows:
    return tuple((kind, re.compile(pattern)) for kind, pattern in patterns.items())  # type: ignore[misc]


# How a question asks, by language, in lower case. What a row has taken is taken from the rows below it: "số mấy" asks
# for a code, and its "mấy" for no figure.
_ASKING: Mapping["Language", _Rows] = MappingProxyType(
    {
        "vi": _rows(
            code=r"\bsố (?:mấy|nào)\b"
            r"|\b(?:số (?:điện thoại|tài khoản)|mã(?: số)?|biển số)\b.{0,100}\b(?:bao nhiêu|mấy|gì|nào)\b",
            date=r"\b(?:khi nào|bao giờ|lúc nào|mấy giờ|(?:ngày|hôm|tháng|quý|năm|giờ) (?:nào|mấy|bao nhiêu))\b",
            figure=r"\b(?:bao nhiêu|bao lâu|bao xa|mấy)\b",
            person=r"\b(?:ai|(?:người|ông|bà|cô|thầy|bác sĩ|giám đốc|nhân viên) nào)\b",
        ),
        "en": _rows(
            code=r"\bwhat number\b",
            date=r"(?:^|[,;:?]|\band\b|\bsince\b|\buntil\b)\s*when\b|\b(?:what|which) (?:date|day|time|year|month)\b",
            figure=r"\bhow (?:much|many|long|far|old|often|fast|tall|high|thick|wide|deep|large|big|heavy)\b"
            r"|\bwhat (?:do|does|did|will|would)\b.{0,100}\bcost\b",
            person=r"\b(?:who|whom|whose)\b",
        ),
        "zh": _rows(
            code=r"(?:号码|编号|单号|账号|型号|车牌号?|电话)(?:是|为)?(?:多少|什么|几)",
            date=r"何时|什么时[候间]|哪一?[天年月日]|几[点号月日时]|日期(?:是|为)?(?:多少|什么|几)",
            figure=r"多少|多[久长高大重远宽深厚快]|几",
            person=r"谁|哪一?位|何人",
        ),
    }
)
# What names something of a kind, where no word above asks: "Tổng tiền?", "What is the total?", "总额". A number that
# follows is given, not asked for.
_NAMING: Mapping["Language", _Rows] = MappingProxyType(
    {
        "vi": _rows(
            figure=r"\b(?:số (?:tiền|lượng)|tổng|giá|(?:chi|lệ|học) phí|diện tích|tỷ lệ|thời hạn|mức)\b",
            date=r"\bngày\b(?! \d)",
            code=r"\b(?:mã|biển số|ký hiệu|số)\b(?! \S*\d)",
            person=r"\bhọ (?:và )?tên\b",
        ),
        "en": _rows(
            figure=r"\bthe number of\b(?! the\b)"
            r"|\b(?:amount|price|cost|fee|charge|total|value|weight|length|width|height|rate)s?\b",
            date=r"\bdate\b",
            code=r"\b(?:number|code|reference|licen[cs]e plate)\b(?! \S*\d)",
        ),
        "zh": _rows(
            figure=r"金额|总[额量价]|价格|单价|费用|数量|人数|面积|比例|重量",
            date=r"日期|时间",
            code=r"号码|编号|单号|账号|型号|车牌|电话",
            person=r"姓名",
        ),
    }
)

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)"
)
_DATE = (
    r"\d{1,4}(?P<between>[/.-])\d{1,2}(?P=between)\d{2,4}"
    rf"|\d{{1,2}} {_MONTH}\b(?:,? \d{{4}})?|{_MONTH} \d{{1,2}}\b(?:,? \d{{4}})?|{_MONTH} \d{{4}}"
    r"|(?:january|february|april|june|july|august|september|october|november|december)\b"
    r"|\d{1,2} tháng \d{1,2}(?: năm \d{4})?|tháng \d{1,2}(?:(?: năm |/)\d{4})?|ngày \d{1,2}/\d{1,2}(?:/\d{2,4})?"
    r"|\d{1,2} giờ(?: \d\d)?"
    r"|\d{4} ?年(?: ?\d{1,2} ?月)?(?: ?\d{1,2} ?[日号])?|\d{1,2} ?月(?: ?\d{1,2} ?[日号])?|\d{1,2} ?[点时]|\d{1,2}:\d\d"
)
# Figures in groups, as telephones and accounts have them; an amount in groups begins with one to three, and not with 0.
_GROUPS = r"\d{4}(?: \d{2,4})+|0\d{2}(?: \d{2,4})+"
_TOKEN = r"[A-ZĐ\d](?:[A-ZĐa-z\d]|[-/.,](?=[A-ZĐa-z\d]))*"
_IN_WORDS = (
    r"[一二两三四五六七八九十百千万]+(?=[\u3400-\u9fff])"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand)\b"
)
_THINGS = re.compile(
    rf"(?P<date>(?<![\d.,])(?i:{_DATE})(?!\d))|(?P<groups>(?<!\d){_GROUPS}(?!\d))|(?P<token>(?<![^\W_]){_TOKEN})"
    rf"|(?P<words>(?i:{_IN_WORDS}))"
)
_AMOUNT = re.compile(r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d+)?[^\W\d_]{0,3}|\d{1,4}(?:[.,/]\d+)?[^\W\d_]{0,3}")
_YEAR = re.compile(r"(?:19|20)\d\d")
# Numbers of chapters, articles and a list's lines.
_NUMBERING = re.compile(
    r"\W*(?:(?i:điều|mục|chương|article|section|chapter|step) \d{1,3}(?:\.\d{1,2})*[.):]?"
    r"|\d{1,2}(?:\.\d{1,2}){0,3}[.):]|\d{1,2}(?:\.\d{1,2}){1,3})\s+(?=(?P<next>\S))"
)
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
# A Chinese name stands alone, or behind what says who it is; it begins with one of these.
_CHINESE_NAME = re.compile(
    r"(?:(?<![\u3400-\u9fff])|(?<=[是由为：长师员机人]))"
    r"(?:欧阳|司马|上官|诸葛|东方|皇甫|尉迟|公孙|慕容|钟离|闻人|司徒|令狐|"
    r"[王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜"
    r"范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛"
    r"伍韦申尤毕聂焦向柳邢路岳齐梅莫庄辛管祝左涂谷祁时舒耿牟卜詹关苗凌费纪靳盛童欧甄项曲成游阳裴席卫查屈鲍位覃霍翁隋植甘景薄单包"
    r"司柏宁柯阮桂闵戚])"
    r"[\u3400-\u9fff]{1,2}(?![\u3400-\u9fff])"
)


@dataclass(frozen=True)
class Wanted:
    """What a question wants.

    Attributes:
        kinds: the kinds of things; empty where it does not tell, or wants something else.
        given: things that the question itself holds; they answer nothing.
    """

    kinds: frozenset[Kind]
    given: frozenset[str] = frozenset()

    @classmethod
    def by(cls, question: str, language: "Language") -> "Wanted":
        """What a question in a language wants."""
        asked = unicodedata.normalize("NFC", question)
        given = frozenset(thing for _, thing in _things(asked))
        folded = " ".join(asked.lower().split())
        return cls(_kinds(folded, _ASKING[language]) or _kinds(folded, _NAMING[language]), given)

    def is_in(self, text: str) -> bool:
        """Whether the text holds something that is wanted and was not given."""
        if not self.kinds:
            return False
        found = _things(unicodedata.normalize("NFC", text))
        return any(kind in self.kinds and thing not in self.given for kind, thing in found)


NOTHING = Wanted(frozenset())


def _kinds(question: str, rows: _Rows) -> frozenset[Kind]:
    kinds: set[Kind] = set()
    for kind, pattern in rows:
        question, found = pattern.subn(" ; ", question)
        if found:
            kinds.add(kind)
    return frozenset(kinds)


def _things(text: str) -> Iterator[tuple[Kind, str]]:
    """All things in a text with their kinds; some are of two."""
    numbering = _NUMBERING.match(text)
    # "2.1 Scope" is numbered, "2.1 mm" is measured.
    start = numbering.end() if numbering and not numbering["next"].islower() else 0
    for found in _THINGS.finditer(text, start):
        for kind in _kinds_of(found):
            # "7,8" is what "7.8" is, and "12.000" is "12,000".
            yield kind, re.sub(r"[\s.,]", "", found[0]).casefold()
    for name in _names(text):
        yield "person", name.casefold()


def _kinds_of(found: re.Match[str]) -> tuple[Kind, ...]:
    match found.lastgroup, found[0]:
        case "date", _:
            return ("date",)
        case "groups", _:
            return ("code",)
        case "words", _:
            return ("figure",)
        case _, token if not any(sign.isdigit() for sign in token):
            return ()
        case _, token if _YEAR.fullmatch(token):
            return ("date", "figure")
        case _, token if _AMOUNT.fullmatch(token):
            return ("figure",)
        case _, token if token.isdigit() and len(token) < 8:
            return ("code", "figure")
    return ("code",)


def _names(text: str) -> Iterator[str]:
    """What may be people's names: words with a capital beside each other, and Chinese surnames with what follows."""
    run: list[re.Match[str]] = []
    for word in _WORD.finditer(text):
        if not (len(word[0]) > 1 and word[0].istitle()):
            continue
        if run and text[run[-1].end() : word.start()] != " ":
            if len(run) > 1:
                yield text[run[0].start() : run[-1].end()]
            run = []
        run.append(word)
    if len(run) > 1:
        yield text[run[0].start() : run[-1].end()]
    for found in _CHINESE_NAME.finditer(text):
        yield found[0]

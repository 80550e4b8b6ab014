"""Headings: titles at a page's top, marked or numbered ones, and short lines in capitals."""

import re
from typing import Final

from vipylo_rag.graph.elements import HEADING
from vipylo_rag.graph.rules_text import HAN, Found, PageText

_MARKED = re.compile(r"#{1,6}[ \t]+(?P<title>\S.*?)[ \t]*#*")
_ARTICLE = re.compile(
    r"(?i:Điều|Chương|Mục|Phần|Phụ lục|Bài|Article|Section|Chapter|Part|Appendix|Annex|Clause|Unit|Lesson)[ \t]+"
    r"(?:\d{1,3}(?:\.\d{1,2})*|[IVXLC]{1,6}|[A-Z])(?:[ \t]*[.:–—-]|(?=[ \t]{1,4}[A-ZĐÀ-Ỹ]))[ \t]*(?P<title>.*)"
)
_ARTICLE_ZH = re.compile(r"第[一二三四五六七八九十百零〇\d]{1,5}[章节条部分篇][ \t、:：]*(?P<title>.*)")
_NUMBERED = re.compile(
    r"(?:\d{1,2}(?:\.\d{1,2}){0,3}(?:[.)]|(?=[ \t]))|[IVX]{1,5}[.)]|[A-H][.)]"
    r"|[（(]?[一二三四五六七八九十]{1,3}[）)、.])[ \t]*(?P<title>\S.*)"
)
_NUMBER = re.compile(r"(\d{1,2})[.)]?[ \t]")
_SENTENCE = re.compile(r"[.!?;,:。！？；，：…]$")
_LETTERS = re.compile(r"[^\W\d_]")
# Titles that every document has: they say nothing of what a page is about.
_GENERIC: Final = frozenset(
    " ".join(title.split())
    for title in [
        "\n    mục lục ",
        " lời nói đầu ",
        " lời mở đầu ",
        " mở đầu ",
        " giới thiệu ",
        " giới thiệu chung ",
        " kết luận ",
        " tài liệu tham khảo ",
        "\n    phụ lục ",
        " nội dung ",
        " tổng quan ",
        " ghi chú ",
        " chú ý ",
        " lưu ý ",
        " quy định chung ",
        " điều khoản chung ",
        " contents ",
        " table\n    of contents ",
        " introduction ",
        " overview ",
        " summary ",
        " conclusion ",
        " conclusions ",
        " references ",
        " bibliography ",
        "\n    appendix ",
        " abstract ",
        " acknowledgements ",
        " acknowledgments ",
        " index ",
        " preface ",
        " notes ",
        " note ",
        " general ",
        " background\n    ",
        " warning ",
        " caution ",
        " important ",
        " features ",
        " discussion ",
        " results ",
        " methods ",
        " related work ",
        " example ",
        " examples\n    ",
        " description ",
        " total ",
        " invoice total ",
        " quantity ",
        " amount ",
        " page ",
        " figure ",
        " table ",
        " date ",
        " name ",
        " item ",
        " items ",
        "\n    price ",
        " unit price ",
        " subtotal ",
        " 目录 ",
        " 前言 ",
        " 简介 ",
        " 概述 ",
        " 结论 ",
        " 总结 ",
        " 参考文献 ",
        " 附录 ",
        " 引言 ",
        " 摘要 ",
        " 说明 ",
        " 注意 ",
        " 备注 ",
        " 介绍 ",
        " 内容 ",
        " 总则\n    ",
        " 附则 ",
        " 一般规定 ",
        " cộng hòa xã hội chủ nghĩa việt nam ",
        " cộng hoà xã hội chủ nghĩa việt nam ",
        " độc lập - tự do - hạnh\n    phúc ",
        " độc lập – tự do – hạnh phúc\n    ",
    ]
)
_PAGE_NUMBER = re.compile(
    r"(?:trang|page|p\.|第)?[ \t]*\d{1,4}[ \t]*(?:页)?(?:[ \t]*(?:/|of|trên|共)[ \t]*\d{1,4}[ \t]*页?)?", re.IGNORECASE
)
_LONGEST = 110
_TOP_LINES = 3


def headings(page: PageText) -> list[Found]:
    """The headings of a page, in order, without their numbers: "Điều 5. Tiền đặt cọc" is "Tiền đặt cọc"."""
    lines = [line for line in re.finditer(r"[^\n]+", page.text) if line[0].strip()]
    found: list[Found] = []
    for n, line in enumerate(lines):
        if len(line[0]) > 4 * _LONGEST:
            continue
        before = lines[n - 1][0].strip() if n else ""
        after = lines[n + 1][0].strip() if n + 1 < len(lines) else ""
        written = line[0].strip()
        at = line.start() + len(line[0]) - len(line[0].lstrip())
        title = _title(written, before, after, n)
        if title is None or not _tells(title):
            continue
        start = at + written.rindex(title)
        found.append(Found(HEADING, " ".join(title.split()), start, start + len(title)))
    return found


def _title(line: str, before: str, after: str, place: int) -> str | None:
    """The title that a line is, or None."""
    if match := _MARKED.fullmatch(line):
        inner = _ARTICLE.fullmatch(match["title"]) or _NUMBERED.fullmatch(match["title"])
        return (inner["title"] if inner else match["title"]).strip("*_ ")
    if (match := _ARTICLE.fullmatch(line)) or (match := _ARTICLE_ZH.fullmatch(line)):
        title = match["title"].strip()
        return (
            title
            if len(title) <= _LONGEST and not _SENTENCE.search(title.rstrip(".")) and not _is_prose(title)
            else None
        )
    if len(line) > _LONGEST or _SENTENCE.search(line) or _LEADERS.search(line):
        return None
    if match := _NUMBERED.fullmatch(line):
        title = match["title"].strip()
        listed = _follows(line, after) or _follows(before, line) or _goes_on(line, after)
        return title if not listed and len(title) <= 80 and _is_titled(title) and not _is_prose(title) else None
    if _is_capitals(line):
        return line
    if place < _TOP_LINES and _is_titled(line) and not _is_prose(line) and len(line) <= 90 and not after[:1].islower():
        return line if place == 0 else None
    return None


_LEADERS = re.compile(r"\.{4,}|…{2,}|\. \. \.|_{4,}")


def _follows(line: str, after: str) -> bool:
    """Whether two lines are neighbours in a numbered list: a heading has text below it."""
    first, second = _NUMBER.match(line + " "), _NUMBER.match(after + " ")
    return bool(first and second and int(second[1]) == int(first[1]) + 1)


def _goes_on(line: str, after: str) -> bool:
    """Whether a line ends in the middle of a sentence that the next one ends."""
    return after[:1].islower() or (len(line) > 50 and (after[:1].isdigit() or "," in line or ";" in line))


def _is_titled(title: str) -> bool:
    return title[0].isupper() or bool(re.match(rf"[{HAN}]", title))


def _is_prose(title: str) -> bool:
    """Whether a line is rather a sentence, or cells of a table, than a title."""
    letters = len(_LETTERS.findall(title))
    words = title.split()
    return (
        letters * 2 < len(title.replace(" ", ""))
        or len(words) > 16
        or "  " in title.strip()
        or "\t" in title
        or bool(re.search(r"[.!?] [A-ZĐ]|[。！？，；]|: ", title))
    )


def _is_capitals(line: str) -> bool:
    words = [word for word in line.split() if _LETTERS.search(word)]
    letters = _LETTERS.findall(line)
    return (
        len(words) >= 2
        and len(letters) >= 8
        and line.isupper()
        and not re.search(rf"[{HAN}]", line)
        and len(letters) * 2 > len(line)
        and not any(char.isdigit() for char in line[:2])
    )


def _tells(title: str) -> bool:
    """Whether a title is about something."""
    said = " ".join(title.casefold().split()).strip(" *_:.")
    letters = len(_LETTERS.findall(title))
    han = len(re.findall(rf"[{HAN}]", title))
    if said in _GENERIC or _PAGE_NUMBER.fullmatch(said):
        return False
    return letters >= 5 or 2 <= han <= 40

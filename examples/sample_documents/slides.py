"""A slide deck in Chinese: a tea company's plan for 2026, eight landscape slides."""

import math
from collections.abc import Callable
from pathlib import Path

import pymupdf

from .canvas import GREY, INK, WHITE, WIDE, Color, Point, Sheet, face, save, tint
from .charts import bars, pie

_LEAF: Color = (0.16, 0.42, 0.30)
_MIST: Color = (0.95, 0.96, 0.92)
_AMBER: Color = (0.88, 0.58, 0.20)
_BRICK: Color = (0.72, 0.31, 0.23)
_SKY: Color = (0.36, 0.60, 0.68)
_PLUM: Color = (0.50, 0.34, 0.48)
_COLORS = (_LEAF, _AMBER, _SKY, _BRICK, _PLUM)


def write_tea_slides(path: Path) -> None:
    """Writes the deck (zh, 8 slides)."""
    slides: tuple[tuple[str, Callable[[Sheet], None]], ...] = (
        ("", _title),
        ("公司历程：从一间茶铺到四十二家门店", _history),
        ("2025 年季度销售额回顾", _sales),
        ("2026 年产品线与建议零售价", _products),
        ("我们的顾客是谁", _customers),
        ("2026 年渠道预算分配", _budget),
        ("2026 年上市路线图", _roadmap),
        ("风险与对策", _risks),
    )
    document = pymupdf.open()
    for number, (heading, draw) in enumerate(slides, start=1):
        sheet = Sheet(document.new_page(width=WIDE[0], height=WIDE[1]), face("zh"))
        if heading:
            sheet.rect(0, 0, *WIDE, fill=_MIST)
            sheet.rect(0, 0, 16, WIDE[1], fill=_LEAF)
            sheet.text(56, 74, heading, size=32, color=_LEAF, bold=True)
            sheet.line((56, 92), (904, 92), color=_AMBER, line=3)
            sheet.text(904, 520, f"雾岭茶社 · {number} / {len(slides)}", size=13, color=GREY, align="right")
        draw(sheet)
    save(document, path, "雾岭茶社 2026 年产品与渠道规划")


def _leaf(sheet: Sheet, x: float, y: float, size: float, color: Color) -> None:
    """A tea leaf lying along a rising diagonal."""
    tip = (x + size, y - size)
    sheet.curve(((x, y), (x, y - size * 0.9), (x + size * 0.4, y - size), tip), color=None, fill=color)
    sheet.curve(((x, y), (x + size * 0.9, y), (x + size, y - size * 0.4), tip), color=None, fill=tint(color, 0.8))
    sheet.line((x - size * 0.2, y + size * 0.2), tip, color=WHITE, line=max(1.0, size / 40))


def _title(sheet: Sheet) -> None:
    sheet.rect(0, 0, *WIDE, fill=_LEAF)
    for layer, share in enumerate((0.25, 0.45, 0.7)):
        base = 396 + layer * 46
        hills: list[Point] = [
            (x, base - 46 * math.sin(x / (120 + 30 * layer) + layer * 1.7) - 18 * math.sin(x / 47))
            for x in range(0, 961, 8)
        ]
        sheet.polygon([(0, 540), *hills, (960, 540)], fill=tint(_SKY, share))
    sheet.circle((800, 120), 54, fill=_AMBER)
    _leaf(sheet, 96, 150, 70, tint(_AMBER, 0.9))
    sheet.text(190, 150, "雾岭茶社", size=34, color=WHITE)
    sheet.text(96, 236, "2026 年产品与渠道规划", size=52, color=WHITE, bold=True)
    sheet.text(96, 290, "董事会汇报 · 2025 年 12 月 18 日 · 汇报人：闻人筱", size=22, color=_MIST)


def _history(sheet: Sheet) -> None:
    stops = (
        ("2017", "第一间茶铺", "雾岭镇老街，两张桌子"),
        ("2019", "自有茶园", "承包山地一百二十亩"),
        ("2021", "冷泡茶上市", "三个月卖出十万瓶"),
        ("2023", "进入省城", "门店增加到十九家"),
        ("2025", "四十二家门店", "线上会员二十八万"),
    )
    sheet.line((100, 280), (880, 280), color=_LEAF, line=6)
    for index, (year, event, detail) in enumerate(stops):
        x = 154 + index * 165
        up = index % 2 == 0
        sheet.circle((x, 280), 30, fill=_COLORS[index])
        sheet.text(x, 287, year, size=19, color=WHITE, bold=True, align="center")
        y = 176 if up else 346
        sheet.line((x, 250 if up else 310), (x, 226 if up else 338), color=GREY, line=1.5)
        sheet.rect(x - 98, y - 26, 196, 76, fill=WHITE, color=_COLORS[index], line=2, radius=0.15)
        sheet.text(x, y + 4, event, size=20, bold=True, align="center")
        sheet.text(x, y + 34, detail, size=15, color=GREY, align="center")
    sheet.text(56, 474, "每一步都先在一家店试半年，再推广到全部门店。", size=20)


def _sales(sheet: Sheet) -> None:
    quarters = ("第一季度", "第二季度", "第三季度", "第四季度")
    series = {"2024 年": (620, 810, 960, 740), "2025 年": (780, 1130, 1420, 970)}
    box = pymupdf.Rect(56, 112, 620, 496)
    bars(
        sheet,
        box,
        quarters,
        series,
        top=1600,
        step=400,
        unit="销售额，万元",
        colors=(tint(_LEAF, 0.4), _AMBER),
        size=15,
    )
    sheet.rect(650, 130, 254, 330, fill=WHITE, radius=0.06)
    for row, (value, note, color) in enumerate(
        (
            ("4300 万元", "全年销售额", _LEAF),
            ("+37%", "比 2024 年增长", _AMBER),
            ("第三季度", "冷泡茶旺季，占全年三成", _BRICK),
        )
    ):
        sheet.text(674, 184 + row * 104, value, size=32, color=color, bold=True)
        sheet.text(674, 216 + row * 104, note, size=17, color=GREY)


def _products(sheet: Sheet) -> None:
    cards = (
        ("云雾绿茶", "罐装 100 克", "68 元", _LEAF),
        ("桂花乌龙", "袋泡 20 包", "45 元", _AMBER),
        ("冷泡白茶", "瓶装 500 毫升", "9 元", _SKY),
        ("四季礼盒", "四种茶各 50 克", "198 元", _BRICK),
    )
    for index, (name, pack, price, color) in enumerate(cards):
        x = 56 + index * 217
        sheet.rect(x, 118, 197, 330, fill=WHITE, radius=0.06)
        sheet.rect(x, 118, 197, 170, fill=tint(color, 0.22), radius=0.06)
        _pack(sheet, index, (x + 98, 270), color)
        sheet.text(x + 98, 330, name, size=26, bold=True, align="center")
        sheet.text(x + 98, 362, pack, size=17, color=GREY, align="center")
        sheet.text(x + 98, 420, price, size=36, color=color, bold=True, align="center")
    sheet.text(56, 486, "冷泡白茶为 2026 年新品，四月一日起在全部门店销售。", size=20)


def _pack(sheet: Sheet, kind: int, base: Point, color: Color) -> None:
    """The package of a tea: tin, bag, bottle or gift box, standing on `base`."""
    x, y = base
    if kind == 0:
        sheet.rect(x - 38, y - 104, 76, 104, fill=color, radius=0.1)
        sheet.rect(x - 42, y - 122, 84, 24, fill=tint(color, 0.75), radius=0.2)
        _leaf(sheet, x - 16, y - 34, 34, WHITE)
    elif kind == 1:
        sheet.polygon([(x - 30, y), (x + 30, y), (x + 30, y - 60), (x, y - 82), (x - 30, y - 60)], fill=color)
        sheet.line((x, y - 82), (x + 28, y - 124), color=INK, line=1.5)
        sheet.rect(x + 18, y - 136, 30, 24, fill=WHITE, color=color, line=2)
        for dx, dy in ((-12, 26), (8, 40), (2, 18)):
            sheet.circle((x + dx, y - dy), 6, fill=(1, 0.86, 0.5))
    elif kind == 2:
        sheet.rect(x - 24, y - 100, 48, 100, fill=color, radius=0.25)
        sheet.rect(x - 11, y - 128, 22, 32, fill=tint(color, 0.7))
        sheet.rect(x - 13, y - 138, 26, 14, fill=INK, radius=0.2)
        sheet.rect(x - 24, y - 74, 48, 44, fill=WHITE)
        _leaf(sheet, x - 11, y - 40, 22, color)
    else:
        sheet.rect(x - 62, y - 86, 124, 86, fill=color)
        sheet.rect(x - 8, y - 86, 16, 86, fill=(0.97, 0.82, 0.45))
        sheet.rect(x - 62, y - 54, 124, 14, fill=(0.97, 0.82, 0.45))
        for side in (-1, 1):
            sheet.oval((x + side * 18, y - 98), 17, 11, color=(0.9, 0.7, 0.3), line=4)


def _customers(sheet: Sheet) -> None:
    shares = {"18 至 25 岁": 34.0, "26 至 35 岁": 41.0, "36 至 50 岁": 17.0, "50 岁以上": 8.0}
    pie(sheet, pymupdf.Rect(40, 120, 560, 470), shares, colors=_COLORS, size=18)
    sheet.rect(590, 130, 314, 330, fill=WHITE, radius=0.06)
    sheet.text(612, 172, "她是典型的顾客", size=24, color=_LEAF, bold=True)
    traits = (
        "二十九岁，在写字楼上班",
        "每周买三次，下午三点最多",
        "六成用手机提前下单",
        "最在意：少糖、自带杯优惠",
        "会把新口味拍照分享",
    )
    for row, trait in enumerate(traits):
        _leaf(sheet, 614, 222 + row * 50, 16, _AMBER)
        sheet.text(642, 222 + row * 50, trait, size=19)


def _budget(sheet: Sheet) -> None:
    shares = {"线下门店": 38.0, "短视频直播": 27.0, "外卖平台": 18.0, "校园活动": 10.0, "海外试点": 7.0}
    pie(sheet, pymupdf.Rect(40, 116, 640, 480), shares, hole=0.5, colors=_COLORS, size=19)
    sheet.text(232, 292, "860 万元", size=28, color=_LEAF, bold=True, align="center")
    sheet.text(232, 322, "渠道总预算", size=16, color=GREY, align="center")
    sheet.rect(640, 140, 264, 300, fill=WHITE, radius=0.06)
    comment = (
        "线下门店仍是最大一项，用于新开八家门店。短视频直播比去年增加一倍，"
        "每场直播的成交额目标为十二万元。海外试点只选一个城市。"
    )
    sheet.paragraph(662, 164, 222, comment, size=20, leading=1.7)


def _roadmap(sheet: Sheet) -> None:
    months = tuple(f"{month} 月" for month in range(1, 13))
    left, width = 210.0, 58.0
    for index, month in enumerate(months):
        x = left + index * width
        sheet.rect(x, 112, width - 3, 32, fill=_LEAF)
        sheet.text(x + width / 2 - 1, 134, month, size=15, color=WHITE, align="center")
        sheet.line((x, 148), (x, 470), color=tint(GREY, 0.3), line=0.7)
    tasks = (
        ("包装设计", 0, 2, "定稿"),
        ("试产与检测", 1, 3, "三批样品"),
        ("冷泡白茶上市", 3, 4, "四月一日全部门店"),
        ("校园活动", 4, 2, "十所大学"),
        ("中秋礼盒预售", 6, 3, "目标三万盒"),
        ("海外试点开店", 8, 4, "一家快闪店"),
    )
    for row, (task, start, length, note) in enumerate(tasks):
        y = 162 + row * 52
        sheet.text(196, y + 25, task, size=18, bold=True, align="right")
        color = _COLORS[row % len(_COLORS)]
        sheet.rect(left + start * width, y, length * width - 4, 38, fill=color, radius=0.3)
        middle = left + (start + length / 2) * width
        sheet.text(middle, y + 25, note, size=16, color=WHITE, align="center")


def _risks(sheet: Sheet) -> None:
    cards = (
        ("春茶减产", "三月倒春寒可能使绿茶减产两成", "与邻县两家茶园签订备用合同", _LEAF),
        ("食品安全", "瓶装茶保质期只有二十一天", "全程冷链，每批留样三十天", _BRICK),
        ("店员流失", "旺季离职率达到百分之十八", "设季度奖金，店长可以分红", _AMBER),
        ("同行降价", "外卖平台上同类产品降到六元", "不跟价，推出自带杯减两元", _SKY),
    )
    for index, (name, risk, answer, color) in enumerate(cards):
        x, y = 56 + (index % 2) * 432, 118 + (index // 2) * 182
        sheet.rect(x, y, 416, 164, fill=WHITE, radius=0.06)
        sheet.rect(x, y, 10, 164, fill=color)
        sheet.text(x + 32, y + 42, name, size=26, color=color, bold=True)
        sheet.text(x + 32, y + 86, f"风险：{risk}", size=18)
        sheet.text(x + 32, y + 126, f"对策：{answer}", size=18, color=_LEAF)

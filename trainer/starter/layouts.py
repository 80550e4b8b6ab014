"""Tables, receipts and charts, with words of the corpus in them: pages whose text does not run in paragraphs."""

import html
import random
import re
from collections.abc import Callable, Sequence

import pymupdf

Grey = tuple[float, float, float]
_CJK = re.compile(r"[\u3400-\u9fff]")
_BLACK: Grey = (0.0, 0.0, 0.0)
_TOTALS = {"vi": ("Tổng cộng", "Cảm ơn quý khách"), "en": ("Total", "Thank you"), "zh": ("合计", "谢谢惠顾")}
_CURRENCY = {"vi": "đ", "en": "$", "zh": "¥"}


def special_page(
    kind: str, paragraphs: Sequence[str], language: str, rng: random.Random, style: tuple[str, str],
    archive: pymupdf.Archive | None,
) -> pymupdf.Page:  # fmt: skip
    """A page of one kind of `KINDS`; `style` is (font-family, @font-face rule) as `render` chooses it."""
    draw = _Writer(style, archive, rng)
    return KINDS[kind](_phrases(paragraphs, rng), language, rng, draw)


class _Writer:
    """Writes HTML into boxes of a page in one font."""

    def __init__(self, style: tuple[str, str], archive: pymupdf.Archive | None, rng: random.Random) -> None:
        family, face = style
        self.archive = archive if face else None
        self.size = rng.choice((9, 10, 11, 12, 14))
        self.css = f"{face} * {{font-family:{family};font-size:{self.size}pt}} p{{margin:0}}"

    def __call__(
        self, page: pymupdf.Page, box: tuple[float, float, float, float], lines: Sequence[str], height: float = 1.3,
        align: str = "left", tag: str = "p",
    ) -> None:  # fmt: skip
        """Lines one below the other, each `height` ems high."""
        style = f"margin:0;line-height:{height:.3f};text-align:{align}"
        body = "".join(f'<{tag} style="{style}">{html.escape(line) or "&nbsp;"}</{tag}>' for line in lines)
        page.insert_htmlbox(pymupdf.Rect(box), body, css=self.css, archive=self.archive, scale_low=0.7)


def _table(phrases: list[str], language: str, rng: random.Random, write: _Writer) -> pymupdf.Page:
    """Rows and columns of short texts and numbers, with or without rules."""
    page = pymupdf.open().new_page(width=595, height=842)
    columns = rng.randint(2, 5)
    row_height = write.size * rng.uniform(1.5, 2.0)
    top, left, width = rng.uniform(40, 90), rng.uniform(30, 60), rng.uniform(420, 520)
    rows = min(int((800 - top) / row_height), max(3, len(phrases) // columns))
    shares = [rng.uniform(0.6, 1.6) for _ in range(columns)]
    edges = [left + width * sum(shares[:index]) / sum(shares) for index in range(columns + 1)]
    numeric = [index > 0 and rng.random() < 0.4 for index in range(columns)]
    given = iter(phrases * (1 + rows * columns // max(1, len(phrases))))
    for index in range(columns):
        room = int((edges[index + 1] - edges[index]) / (write.size * (1.0 if language == "zh" else 0.5))) - 1
        cells = [_number(rng) if numeric[index] and row else _cut(next(given), room) for row in range(rows)]
        box = (edges[index] + 3, top, edges[index + 1] - 2, top + rows * row_height + 4)
        write(page, box, cells, row_height / write.size, "right" if numeric[index] else "left")
    grey = rng.choice((0.0, 0.4, 0.7))
    ruled = rng.random()
    for row in range(rows + 1):
        if ruled < 0.8 or row in (0, 1, rows):
            y = top + row * row_height
            page.draw_line((left, y), (left + width, y), color=(grey, grey, grey), width=0.5)
    if ruled < 0.5:
        for x in edges:
            page.draw_line((x, top), (x, top + rows * row_height), color=(grey, grey, grey), width=0.5)
    return page


def _receipt(phrases: list[str], language: str, rng: random.Random, write: _Writer) -> pymupdf.Page:
    """A narrow slip: a name, items with amounts, a total."""
    items = [_cut(text, 12 if language == "zh" else 22) for text in phrases[1 : rng.randint(5, 22)]]
    amounts = [_number(rng) for _ in items]
    line = write.size * 1.35
    height = 110 + line * (len(items) + 4)
    page = pymupdf.open().new_page(width=270, height=height)
    write(page, (15, 15, 255, 60), [_cut(phrases[0], 30), _date(rng)], 1.3, "center")
    write(page, (15, 62, 185, height - 30), items, 1.35)
    write(page, (185, 62, 255, height - 30), amounts, 1.35, "right")
    total, thanks = _TOTALS[language]
    y = 66 + line * len(items)
    page.draw_line((15, y), (255, y), color=_BLACK, width=0.6, dashes="[2 2] 0")
    write(page, (15, y + 4, 150, y + 30), [total], 1.3)
    write(page, (130, y + 4, 255, y + 30), [_number(rng) + " " + _CURRENCY[language]], 1.3, "right")
    write(page, (15, y + 34, 255, height - 4), [thanks], 1.3, "center")
    return page


def _chart(phrases: list[str], language: str, rng: random.Random, write: _Writer) -> pymupdf.Page:
    """Bars with a title, names and values; upright or lying."""
    page = pymupdf.open().new_page(width=595, height=rng.choice((420, 595)))
    height = page.rect.height
    write(page, (40, 20, 555, 70), [_cut(phrases[0], 50)], 1.2, "center", rng.choice(("p", "h3")))
    count = rng.randint(3, 7)
    names = [_cut(text, 6 if language == "zh" else 14) for text in (phrases[1:] * count)[:count]]
    values = [rng.uniform(0.08, 1.0) for _ in names]
    colour = (rng.random() * 0.8, rng.random() * 0.8, rng.random() * 0.8)
    if rng.random() < 0.5:
        step = (height - 130) / count
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            y = 85 + index * step
            page.draw_rect((160, y, 160 + 340 * value, y + step * 0.6), color=colour, fill=colour)
            write(page, (30, y - 2, 156, y + step), [name], 1.2, "right")
            write(page, (165 + 340 * value, y - 2, 590, y + step), [f"{100 * value:.0f}%"], 1.2)
    else:
        step = 500 / count
        for index, (name, value) in enumerate(zip(names, values, strict=True)):
            x, base = 50 + index * step, height - 70
            top = base - (height - 190) * value
            page.draw_rect((x, top, x + step * 0.6, base), color=colour, fill=colour)
            write(page, (x - 10, top - 22, x + step * 0.8, top), [f"{100 * value:.0f}"], 1.2, "center")
            write(page, (x - step * 0.15, base + 6, x + step * 0.85, height - 10), [name], 1.2, "center")
    page.draw_line((40, height - 69), (560, height - 69), color=_BLACK, width=0.7)
    return page


KINDS: dict[str, Callable[[list[str], str, random.Random, _Writer], pymupdf.Page]] = {
    "table": _table,
    "receipt": _receipt,
    "chart": _chart,
}


def _phrases(paragraphs: Sequence[str], rng: random.Random) -> list[str]:
    """Short runs of words of the paragraphs, in order."""
    found: list[str] = []
    for text in paragraphs:
        if _CJK.search(text):
            found += [part for part in re.split(r"[，。；：、！？\s]+", text) if part]
            continue
        words = text.split()
        while words:
            count = rng.randint(1, 4)
            found.append(" ".join(words[:count]).strip(".,;:()"))
            words = words[count:]
    return [phrase for phrase in found if phrase][:150] or ["-"]


def _cut(text: str, room: int) -> str:
    """As much of a text as fits, whole words where it has some."""
    room = max(2, room)
    if len(text) <= room:
        return text
    kept = text[:room]
    return kept.rpartition(" ")[0] if " " in kept else kept


def _number(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return f"{rng.randint(1, 999)}.{rng.choice(('000', '500'))}"
    return f"{rng.uniform(0, 2000):,.2f}" if kind < 0.7 else str(rng.randint(0, 9999))


def _date(rng: random.Random) -> str:
    day = f"{rng.randint(1, 28):02d}/{rng.randint(1, 12):02d}/{rng.randint(2005, 2026)}"
    return f"{day} {rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"

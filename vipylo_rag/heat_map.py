"""Draws an explanation: the page under a heat map like a marker pen's, boxes around words, a line that says what it is.

The numbers are `vipylo_rag.explain`'s; here is only how they look.
"""

import html
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from connectors.errors import DocumentError
from connectors.loaders.text import text_html
from connectors.loaders.typeset import Typeset, silence, typeset
from connectors.page import WordBox
from embedder.explain import Floats
from vipylo_rag.explain import PageExplanation, WordShare, page_words, spread
from vipylo_rag.stored_page import page_sample

# Words that are framed: the strongest, as long as they have this part of the strongest one's share.
STRONG_WORDS = 12
STRONG_PART = 0.3

# From nothing to the strongest place of the page, as what remains of white paper: pale yellow, orange, red.
_COLOURS = np.array([(255, 255, 255), (255, 236, 150), (255, 186, 82), (247, 119, 62), (222, 62, 60)], dtype=np.float64)
_COOL = np.array((214, 226, 240), dtype=np.float64)  # what pulls away from the query, at most
_STRONG = (190, 30, 45)
_ASKED = (33, 92, 170)
_LEAST_SIDE = 640  # smaller pictures, such as of a scanner's slice, are drawn larger: words need room
_MOST_SIDE = 2400
# Where the heat has less than this part of the strongest place, nothing is coloured: a page is not to look spotted.
_FLOOR = 0.06
# The typeset page has no patches; its words are drawn on a grid of so many cells to the longer side.
_CELLS = 160

_CSS = """
* { font-family: "Droid Sans Fallback"; }
body { margin: 0; font-size: 10px; line-height: 1.3; color: #333; }
p { margin: 0 0 2px 0; }
.quiet { color: #777; }
.strong { color: #be1e2d; }
.asked { color: #215caa; }
"""
_MUPDF = threading.Lock()  # MuPDF is not made for several threads

Pixels = npt.NDArray[np.float64]


def draw(why: PageExplanation) -> Image.Image:
    """The page with its heat map, the boxes of its strongest and of the asked words, and a legend below."""
    picture, heat, words = _drawn(why)
    picture = _sized(picture)
    strong = strongest(words)
    coloured = _coloured(picture, _smooth(heat, picture.size))
    _frame(coloured, [word.box for word in strong if word.box], why.boxes)
    legend = _legend(why, strong, coloured.width)
    whole = Image.new("RGB", (coloured.width, coloured.height + legend.height), "white")
    whole.paste(coloured)
    whole.paste(legend, (0, coloured.height))
    return whole


def strongest(words: Iterable[WordShare], most: int = STRONG_WORDS) -> list[WordShare]:
    """The words that add most, strongest first, without those that add little beside the first."""
    best = sorted((word for word in words if word.share > 0), key=lambda word: -word.share)[:most]
    return [word for word in best if word.share >= STRONG_PART * best[0].share]


def _drawn(why: PageExplanation) -> tuple[Image.Image, Floats, Sequence[WordShare]]:
    """The page's picture, its heat and its words; a page of text alone is typeset, and its words are where they are
    then."""
    if why.page.image is not None and why.heat is not None:
        return why.page.image.convert("RGB"), why.heat, why.words
    made = _typeset(why)
    words = page_words(why.page_shares, page_sample(why.page.text, None), made.words)
    tall = made.image.height > made.image.width
    rows = _CELLS if tall else max(1, _CELLS * made.image.height // made.image.width)
    columns = max(1, _CELLS * made.image.width // made.image.height) if tall else _CELLS
    return made.image, spread(words, rows, columns), words


def _typeset(why: PageExplanation) -> Typeset:
    """The page's text on one sheet, or what of it fits."""
    text = why.page.text
    while text:
        with _MUPDF:
            made = typeset(text_html(text))
        if made is not None:
            return made
        text = text[: len(text) * 2 // 3]
    raise DocumentError(f"{why.page.name}, page {why.page.page}: has neither a picture nor a text that can be drawn")


def _sized(picture: Image.Image) -> Image.Image:
    longest = max(picture.size)
    factor = min(max(longest, _LEAST_SIDE), _MOST_SIDE) / longest
    if factor == 1:
        return picture
    return picture.resize((round(picture.width * factor), round(picture.height * factor)), Image.Resampling.LANCZOS)


def _smooth(heat: Floats, size: tuple[int, int]) -> Floats:
    """The heat for every pixel [height, width], without hard edges: above the page's median, -1 to 1 of its strongest.

    Scans that are compared with scans owe most of their score to their paper: what all places add alike is no colour.
    """
    rows, columns = heat.shape
    fine = Image.fromarray(heat.astype(np.float32), "F").resize(size, Image.Resampling.BICUBIC)
    cell = max(size[0] / columns, size[1] / rows)
    blurred = np.asarray(_blurred(fine, cell * 1.2), dtype=np.float64)
    base = max(0.0, float(np.median(blurred)))
    peak = max(float(blurred.max()) - base, base)  # small differences between strong places are to look small
    if peak <= 0:
        return np.zeros_like(blurred)
    scaled: Floats = np.clip((blurred - base) / peak, -1.0, 1.0)
    return scaled


def _blurred(fine: Image.Image, radius: float) -> Image.Image:
    """Pillow blurs no floating-point images: 16 bits of it in two halves would band, so it is done by resizing."""
    step = max(1, round(radius))
    small = fine.resize((max(1, fine.width // step), max(1, fine.height // step)), Image.Resampling.BOX)
    return small.resize(fine.size, Image.Resampling.BICUBIC)


def _coloured(picture: Image.Image, heat: Floats) -> Image.Image:
    """Colours laid over the page: ink stays dark on paper; on dark pictures, such as X-rays, colours glow instead."""
    page: Pixels = np.asarray(picture, dtype=np.float64)
    warm = np.clip((heat - _FLOOR) / (1 - _FLOOR), 0.0, 1.0) ** 0.75
    stops = np.linspace(0, 1, len(_COLOURS))
    pen = np.stack([np.interp(warm, stops, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
    cool = np.clip((-heat - _FLOOR) / (1 - _FLOOR), 0.0, 1.0)[..., None] ** 0.75
    pen = pen * (1 - cool) + _COOL * cool
    marked = page * pen / 255
    glowing = page + (pen - page) * 0.65 * np.maximum(warm, 0.25 * cool[..., 0])[..., None]
    # Brightness of the surroundings, not of the pixel: black letters on white paper are paper.
    grey = picture.convert("L").filter(ImageFilter.BoxBlur(max(picture.size) / 40))
    paper = np.clip((np.asarray(grey, dtype=np.float64) - 70) / 90, 0.0, 1.0)[..., None]
    return Image.fromarray((marked * paper + glowing * (1 - paper)).clip(0, 255).astype(np.uint8))


def _frame(picture: Image.Image, strong: Sequence[WordBox], asked: Sequence[WordBox]) -> None:
    """Rounded frames around the strongest words, a line below the asked ones."""
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    line = max(1, round(max(picture.size) / 600))
    gap = 1.5 * line
    for box in asked:
        y = min(height - line, box.y1 * height + line)
        pen.line((box.x0 * width, y, box.x1 * width, y), fill=_ASKED, width=line)
    for box in strong:
        corners = (box.x0 * width - gap, box.y0 * height - gap / 2, box.x1 * width + gap, box.y1 * height + gap / 2)
        pen.rounded_rectangle(corners, radius=3 * line, outline=_STRONG, width=line)


def _legend(why: PageExplanation, strong: Sequence[WordShare], width: int) -> Image.Image:
    """A strip below the page: what was asked, which page this is, its score and what adds most to it."""
    parts = f"picture {why.picture_share:+.3f}, text {why.text_share:+.3f}"
    named = " · ".join(f"{html.escape(_short(text, 24))} {share:+.3f}" for text, share in totals(strong)[:6])
    asked = f"“{html.escape(_short(why.text, 90))}”" if why.text else "an image"
    lines = [
        f"<b>{asked}</b> in {html.escape(_short(why.page.name, 60))}, page {why.page.page}",
        f'score {why.score:.4f} <span class="quiet">({parts})</span>',
    ]
    if named:
        lines.append(f'<span class="strong">strongest: {named}</span>')
    if why.boxes:
        lines.append('<span class="asked">underlined: the words that were asked for</span>')
    return _lettering("".join(f"<p>{line}</p>" for line in lines), width)


def totals(words: Iterable[WordShare]) -> list[tuple[str, float]]:
    """Words with what all their occurrences add together, strongest first."""
    sums: dict[str, float] = {}
    for word in words:
        name = word.text.strip(".,;:!?()[]{}\"'“”‘’。，、；：！？（）《》").casefold() or word.text
        sums[name] = sums.get(name, 0.0) + word.share
    return sorted(sums.items(), key=lambda entry: -entry[1])


def _short(text: str, length: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length * 2 // 3]}…{line[-(length // 3) :]}"


def _lettering(body: str, width: int) -> Image.Image:
    """HTML as a strip of this width in pixels, in MuPDF's own fonts, which have Vietnamese and Chinese letters."""
    import pymupdf

    with _MUPDF:
        silence(pymupdf)
        zoom = max(1.0, width / 560)
        wide, margin = width / zoom, 8.0
        story = pymupdf.Story(body, user_css=_CSS, em=10)
        _, filled = story.place(pymupdf.Rect(margin, margin, wide - margin, 400))
        with pymupdf.open() as document:
            page = document.new_page(width=wide, height=filled[3] + margin)
            page.insert_htmlbox(pymupdf.Rect(margin, margin, wide - margin, filled[3] + margin), body, css=_CSS)
            page.draw_line((0, 0), (wide, 0), color=(0.8, 0.8, 0.8), width=1)
            pixels = page.get_pixmap(matrix=pymupdf.Matrix(zoom, zoom), colorspace=pymupdf.csRGB, alpha=False)
            strip = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples)
    exact = Image.new("RGB", (width, strip.height), "white")
    exact.paste(strip)
    return exact

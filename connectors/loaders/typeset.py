"""Draws a piece of a document as a page: simple HTML to a picture and the boxes of its words, with MuPDF's own fonts.

The HTML is made here (from `connectors.loaders.blocks` or Markdown), never taken from a document as it is: no file and
no address is ever loaded, and there is no archive to load one from.
"""

import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from PIL import Image

from connectors.page import WordBox

# A4 in points. At 120 dpi the 12-point letters are 20 pixels high: sharp for a person, and a page has 1.4 MP.
WIDTH, HEIGHT = 595.0, 842.0
DPI = 120
MARGIN = 36.0
# Letters shrink to 60 % (12 pixels) at most; what does not fit then must be cut.
SCALES = (1.0, 0.8, 0.6)
# A page of few lines is cut below them, but keeps a shape that looks like paper.
_LEAST_HEIGHT = 210.0
# One font for Latin, Vietnamese and Chinese alike: others borrow every second Vietnamese vowel from a different face.
_CSS = """
body { font-family: "Droid Sans Fallback"; font-size: 12pt; line-height: 1.35; margin: 0; }
p { margin: 0 0 7pt 0; }
h1 { font-size: 20pt; font-weight: normal; margin: 2pt 0 9pt 0; }
h2 { font-size: 16.5pt; font-weight: normal; margin: 6pt 0 7pt 0; }
h3, h4, h5, h6 { font-size: 14pt; font-weight: normal; margin: 5pt 0 6pt 0; }
strong, b, th { font-weight: normal; }
pre, code { font-family: monospace; font-size: 10.5pt; }
pre { background-color: #f3f3f3; padding: 5pt; margin: 0 0 7pt 0; white-space: pre-wrap; }
p.lines { white-space: pre-wrap; }
blockquote { margin: 0 0 7pt 14pt; color: #444; }
table { border-collapse: collapse; margin: 0 0 8pt 0; }
td, th { border: 1px solid #999; padding: 2pt 5pt; text-align: left; vertical-align: top; }
th { background-color: #eee; }
ul, ol { margin: 0 0 7pt 0; }
"""
# MuPDF breaks no word: addresses and hashes get places where they may be broken, which are not part of their text.
_LONG_RUN = re.compile(r"[^\s<>&;]{40}(?![\u0300-\u036f])")
_BREAK = "\u200b"
_WIDE_LETTER = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")


@dataclass(frozen=True)
class Typeset:
    """A drawn page: its picture (RGB) and where its words stand, in reading order."""

    image: Image.Image
    words: tuple[WordBox, ...]


def typeset(html: str) -> Typeset | None:
    """`html` (made here, escaped) drawn on one page, shrunk to 60 % at most; None if it is too much for one page."""
    import pymupdf

    silence(pymupdf)
    html = _LONG_RUN.sub(rf"\g<0>{_BREAK}", html)
    for scale in SCALES:
        story = pymupdf.Story(html, user_css=_CSS, em=12, archive=None)
        width, height = WIDTH / scale, HEIGHT / scale
        margin = MARGIN / scale
        more, filled = story.place(pymupdf.Rect(margin, margin, width - margin, height - margin))
        # Columns that do not fit stand out at the right, where they would be cut off.
        if not more and filled[2] <= width - margin / 2:
            least = _LEAST_HEIGHT / scale
            return _drawn(pymupdf, story, scale, width, min(height, max(least, filled[3] + margin)))
    return None


def _drawn(pymupdf: Any, story: Any, scale: float, width: float, height: float) -> Typeset:
    """The placed story as a picture, through a display list: no PDF is made, no font embedded."""
    mupdf = pymupdf.mupdf
    shown = pymupdf.DisplayList(mupdf.FzDisplayList(mupdf.FzRect(0, 0, width, height)))
    device = mupdf.fz_new_list_device(shown.this)
    # Drawn in its own size: MuPDF clips a story that is scaled here to where it stood unscaled.
    mupdf.fz_draw_story(story.this, device, mupdf.FzMatrix())
    mupdf.fz_close_device(device)
    zoom = pymupdf.Matrix(scale * DPI / 72, scale * DPI / 72)
    pixels = shown.get_pixmap(matrix=zoom, colorspace=pymupdf.csRGB, alpha=False)
    image = Image.frombytes("RGB", (pixels.width, pixels.height), pixels.samples_mv)
    layer = pymupdf.TextPage(shown.get_textpage(flags=pymupdf.TEXT_PRESERVE_WHITESPACE))
    boxes = (box for word in layer.extractWORDS() for box in _boxes(word, width, height))
    return Typeset(image, tuple(boxes))


def _boxes(word: tuple[Any, ...], width: float, height: float) -> list[WordBox]:
    """A word's box; a Chinese run, which has no blanks, is a box for each letter: a citation may want a part of it."""
    left, top, right, bottom = map(float, word[:4])
    text = unicodedata.normalize("NFC", word[4].replace(_BREAK, ""))
    y0, y1 = _share(top, height), _share(bottom, height)
    if not _WIDE_LETTER.search(text):
        return [WordBox(text, _share(left, width), y0, _share(right, width), y1)] if text.strip() else []
    step = (right - left) / sum(_widths(text))
    boxes, start = [], left
    for part in re.findall(f"{_WIDE_LETTER.pattern}|[^{_WIDE_LETTER.pattern[1:-1]}]+", text):
        end = start + step * sum(_widths(part))
        boxes.append(WordBox(part, _share(start, width), y0, _share(end, width), y1))
        start = end
    return boxes


def _widths(text: str) -> list[float]:
    return [1.0 if _WIDE_LETTER.match(letter) else 0.5 for letter in text]


def _share(place: float, whole: float) -> float:
    return round(min(1.0, max(0.0, place / whole)), 5)


@functools.cache
def silence(pymupdf: Any) -> None:
    """MuPDF writes its complaints about fonts to standard error; here they tell nobody anything."""
    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)

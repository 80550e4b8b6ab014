"""What a scanner, a telephone camera and a pen do to a clean page."""

import io
import math
from functools import cache

import numpy as np
import pymupdf
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Rgb = tuple[int, int, int]


def render(page: pymupdf.Page, dpi: int) -> Image.Image:
    """The page as an RGB image."""
    pixmap = page.get_pixmap(dpi=dpi)
    return Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)


def scanned(
    image: Image.Image, *, seed: int, skew: float = 0.7, noise: float = 7.0, paper: Rgb = (250, 248, 242)
) -> Image.Image:
    """A flat-bed scan: slightly turned, off-white, grainy, with a dark edge and some dust."""
    random = np.random.default_rng(seed)
    turned = image.rotate(skew, resample=Image.Resampling.BICUBIC, fillcolor=(255, 255, 255))
    pixels = np.asarray(turned.filter(ImageFilter.GaussianBlur(0.55)), dtype=np.float32)
    height, width = pixels.shape[:2]
    toned = pixels * (np.array(paper, dtype=np.float32) / 255)
    across = np.linspace(0, 1, width, dtype=np.float32)
    edge = 1 - 0.32 * np.exp(-across * 60) - 0.10 * np.exp(-(1 - across) * 45)
    toned *= edge[None, :, None].astype(np.float32)
    grain = random.normal(0, noise, (height, width, 1)).astype(np.float32)
    result = Image.fromarray(np.clip(toned + grain, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(result)
    for _ in range(28):
        x, y = random.integers(0, width), random.integers(0, height)
        size = float(random.uniform(0.4, 1.2))
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(120, 116, 110))
    return result


def photographed(
    image: Image.Image, *, seed: int, size: tuple[int, int], corners: tuple[tuple[float, float], ...], desk: Rgb
) -> Image.Image:
    """A photo of a sheet on a desk: in perspective, unevenly lit, a little soft.

    Args:
        image: The flat page.
        seed: Seed of the grain.
        size: Size of the photo in pixels.
        corners: Where the page's corners lie in the photo, as shares of its size, clockwise from the upper left.
        desk: Colour of what lies under the page.
    """
    random = np.random.default_rng(seed)
    width, height = size
    target = [(x * width, y * height) for x, y in corners]
    source = [(0, 0), (image.width, 0), (image.width, image.height), (0, image.height)]
    coefficients = _perspective(target, source)
    page = image.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    mask = Image.new("L", image.size, 255).transform(size, Image.Transform.PERSPECTIVE, coefficients)
    shadow = Image.new("L", size, 0)
    ImageDraw.Draw(shadow).polygon([(x + 14, y + 16) for x, y in target], fill=150)
    backdrop = np.empty((height, width, 3), dtype=np.float32)
    grain = np.sin(np.arange(height) / 9 + 3 * np.sin(np.arange(height) / 71))[:, None] * 7
    backdrop[:] = np.array(desk, dtype=np.float32) + (grain + random.normal(0, 3, (height, width)))[..., None]
    board = Image.fromarray(np.clip(backdrop, 0, 255).astype(np.uint8))
    board.paste((35, 25, 18), mask=shadow.filter(ImageFilter.GaussianBlur(12)))
    board.paste(page, mask=mask.filter(ImageFilter.GaussianBlur(0.8)))
    pixels = np.asarray(board.filter(ImageFilter.GaussianBlur(0.5)), dtype=np.float32)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1.06 - 0.42 * ((xs / width - 0.25) ** 2 + (ys / height - 0.2) ** 2)
    pixels = pixels * light[..., None] * np.array([1.0, 0.975, 0.92], dtype=np.float32)
    pixels += random.normal(0, 3.5, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _perspective(target: list[tuple[float, float]], source: list[tuple[int, int]]) -> list[float]:
    """The eight coefficients that take points of the photo back to points of the page."""
    rows, values = [], []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(value) for value in np.linalg.solve(np.array(rows), np.array(values))]


class Pen:
    """Writes like a hand: every glyph leans, turns, grows and drifts a little on its own.

    Args:
        seed: Seed of the hand.
        ink: Colour of the ink.
    """

    def __init__(self, seed: int, ink: Rgb = (28, 52, 140)) -> None:
        self.random = np.random.default_rng(seed)
        self.ink = ink

    def write(self, image: Image.Image, at: tuple[float, float], text: str, size: float) -> None:
        """Writes `text` from `at`, the left end of its baseline, in pixels."""
        x, y = at
        drift = float(self.random.uniform(-0.012, 0.012))
        wave = float(self.random.uniform(0, 6))
        for letter in text:
            height = size * float(self.random.uniform(0.92, 1.1))
            font = _hand(round(height * 2))
            advance = font.getlength(letter) / 2
            if letter != " ":
                tile = self._tile(letter, font, height)
                top = y - height * 1.5 + size * 0.06 * math.sin(wave + x / size / 1.7)
                image.paste(self.ink, (round(x - height * 0.5), round(top)), tile)
            step = advance * (0.93 if letter != " " else 1.25) + float(self.random.normal(0, size * 0.02))
            x += step
            y += step * drift

    def _tile(self, letter: str, font: ImageFont.FreeTypeFont, height: float) -> Image.Image:
        """The letter as a mask: drawn double size, sheared, turned, then reduced; its baseline is at 1.5 heights."""
        side = round(height * 5)
        tile = Image.new("L", (side, side), 0)
        draw = ImageDraw.Draw(tile)
        draw.text((height, height * 3), letter, fill=255, font=font, anchor="ls", stroke_width=0.6)
        lean = 0.16 + float(self.random.normal(0, 0.04))
        tile = tile.transform(
            tile.size, Image.Transform.AFFINE, (1, lean, -lean * height * 3, 0, 1, 0), Image.Resampling.BICUBIC
        )
        angle = float(self.random.normal(0, 3.2))
        tile = tile.rotate(angle, resample=Image.Resampling.BICUBIC, center=(height, height * 3))
        tile = tile.resize((side // 2, side // 2), Image.Resampling.LANCZOS)
        pressure = float(self.random.uniform(0.78, 1.0))
        return tile.point(lambda value: round(value * pressure))


@cache
def _hand(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(io.BytesIO(pymupdf.Font("tiit").buffer), size)

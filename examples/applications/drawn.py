"""Pictures drawn from a seed, for trying an embedder on: things in colours, and bones that look like radiographs.

None shows a real patient or thing; the radiographs are cartoons and serve no medical purpose.
"""

import math
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE: Final = 224
COLORS: Final = {
    "red": (200, 40, 40),
    "green": (40, 150, 70),
    "blue": (45, 80, 190),
    "yellow": (235, 190, 40),
}
SHAPES: Final = ("cup", "house", "tree", "fish", "star")
BONES: Final = ("forearm", "lower leg", "hand", "rib cage")
FINDINGS: Final = ("normal", "fracture", "plate and screws")


def thing(shape: str, color: str, seed: int) -> Image.Image:
    """A coloured thing somewhere on a light ground, 224 x 224."""
    random = np.random.default_rng(seed)
    ground = tuple(int(v) for v in random.integers(215, 250, 3))
    image = Image.new("RGB", (SIDE * 2, SIDE * 2), ground)
    draw, paint = ImageDraw.Draw(image), COLORS[color]
    size = float(random.uniform(110, 165))
    x, y = (float(v) for v in random.uniform(175, 275, 2))
    match shape:
        case "cup":
            draw.ellipse((x + size * 0.4, y - size * 0.4, x + size * 1.0, y + size * 0.3), outline=paint, width=18)
            draw.rounded_rectangle((x - size * 0.6, y - size * 0.7, x + size * 0.6, y + size * 0.7), 30, fill=paint)
        case "house":
            draw.rectangle((x - size * 0.7, y - size * 0.1, x + size * 0.7, y + size * 0.9), fill=paint)
            draw.polygon(
                [(x - size * 0.9, y - size * 0.1), (x + size * 0.9, y - size * 0.1), (x, y - size)], fill=paint
            )
            draw.rectangle((x - size * 0.15, y + size * 0.3, x + size * 0.2, y + size * 0.9), fill=ground)
        case "tree":
            draw.rectangle((x - size * 0.1, y, x + size * 0.1, y + size), fill=(110, 75, 45))
            for dx, dy in ((-0.4, 0.0), (0.4, 0.0), (0.0, -0.45)):
                cx, cy, r = x + dx * size, y + dy * size, size * 0.48
                draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=paint)
        case "fish":
            draw.ellipse((x - size * 0.8, y - size * 0.4, x + size * 0.6, y + size * 0.4), fill=paint)
            tail = [(x + size * 0.5, y), (x + size, y - size * 0.4), (x + size, y + size * 0.4)]
            draw.polygon(tail, fill=paint)
            draw.ellipse((x - size * 0.55, y - size * 0.15, x - size * 0.42, y - size * 0.02), fill=(20, 20, 20))
        case _:
            points = [
                (x + size * r * math.sin(i * math.pi / 5), y - size * r * math.cos(i * math.pi / 5))
                for i, r in enumerate([1.0, 0.42] * 5)
            ]
            draw.polygon(points, fill=paint)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def radiograph(bone: str, finding: str, seed: int) -> Image.Image:
    """Bright bones on a dark ground, 224 x 224: whole, broken through, or broken and held by a plate."""
    random = np.random.default_rng(seed)
    image = Image.new("L", (SIDE * 2, SIDE * 2), 14)
    draw = ImageDraw.Draw(image)
    left, right = random.uniform(70, 110), random.uniform(330, 380)
    draw.rounded_rectangle((left, -20, right, SIDE * 2 + 20), 60, fill=int(random.integers(48, 66)))
    shafts = _shafts(bone, left, right, random)
    for (x0, y0), (x1, y1), width in shafts:
        draw.line((x0, y0, x1, y1), fill=185, width=round(width))
        draw.line((x0, y0, x1, y1), fill=150, width=round(width * 0.45))
        for x, y in ((x0, y0), (x1, y1)):
            draw.ellipse((x - width * 0.85, y - width * 0.7, x + width * 0.85, y + width * 0.7), fill=200)
    if finding != "normal":
        (x0, y0), (x1, y1), width = shafts[0]
        at = float(random.uniform(0.4, 0.6))
        x, y = x0 + (x1 - x0) * at, y0 + (y1 - y0) * at
        zigzag = [(x + width * (i / 3 - 1), y + (14 if i % 2 else -14)) for i in range(7)]
        draw.line(zigzag, fill=45, width=9)
        if finding != "fracture":
            for step in (-0.3, -0.15, 0.15, 0.3):
                sx, sy = x + (x1 - x0) * step, y + (y1 - y0) * step
                draw.line((sx - width, sy, sx + width * 0.6, sy), fill=255, width=7)
            ends = [(x + (x1 - x0) * s - width * 0.75, y + (y1 - y0) * s) for s in (-0.38, 0.38)]
            draw.line(ends, fill=255, width=13)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(2.2)).resize((SIDE, SIDE)), dtype=np.float32)
    noisy = np.clip(pixels + random.normal(0, 6, pixels.shape), 0, 255).astype(np.uint8)
    return Image.fromarray(noisy).convert("RGB")


Shaft = tuple[tuple[float, float], tuple[float, float], float]


def _shafts(bone: str, left: float, right: float, random: np.random.Generator) -> list[Shaft]:
    """The long bones of a part of the body as (start, end, width); the first is the one that may be broken."""
    middle, wide = (left + right) / 2, right - left
    lean = float(random.uniform(-16, 16))
    match bone:
        case "forearm":
            return [
                ((middle - wide * 0.2, 40), (middle - wide * 0.14 + lean, 410), 34),
                ((middle + wide * 0.2, 30), (middle + wide * 0.14 + lean, 415), 28),
            ]
        case "lower leg":
            return [
                ((middle - wide * 0.08, 30), (middle - wide * 0.08 + lean, 420), 58),
                ((middle + wide * 0.3, 70), (middle + wide * 0.24 + lean, 415), 20),
            ]
        case "hand":
            spread = [
                ((middle + lean, 420.0), (middle + (i - 2) * wide * 0.19, 60.0 + 30 * abs(i - 2)), 18.0)
                for i in range(5)
            ]
            return [spread[2], *spread[:2], *spread[3:]]
        case _:
            ribs = [
                ((middle, 80 + 52.0 * i), (middle + side * wide * 0.42, 80 + 52.0 * i + side * 20), 15.0)
                for side in (-1, 1)
                for i in range(6)
            ]
            return [ribs[9], *ribs[:9], *ribs[10:], ((middle, 20), (middle, 430), 30)]

"""Colours, wear and tear of page crops, and pictures without text. Numpy and Pillow only."""

import io
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]


def tint(grey: Pixels, rng: random.Random, plain: bool) -> Pixels:
    """Grey text -> RGB: black on white if `plain`, else often coloured, sometimes light on dark."""
    if plain or rng.random() < 0.5:
        return np.repeat(grey[..., None], 3, axis=2)
    dark = np.asarray([rng.randint(0, 110) for _ in range(3)], np.float32)
    light = np.asarray([rng.randint(190, 255) for _ in range(3)], np.float32)
    if rng.random() < 0.15:
        dark, light = light, dark
    share = grey[..., None].astype(np.float32) / 255
    return (dark + (light - dark) * share).astype(np.uint8)


def degrade(pixels: Pixels, rng: random.Random) -> Pixels:
    """One or two of: blur, noise, JPEG, brightness. What scanners and messengers do to a page."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8)))
    if rng.random() < 0.4:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(35, 85))
        image = Image.open(buffer)
    values = np.asarray(image)
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.getrandbits(32)).integers(-14, 15, values.shape[:2], np.int16)
        gain = rng.uniform(0.85, 1.0)
        values = np.clip(values * gain + noise[..., None], 0, 255).astype(np.uint8)
    return values


def draw_picture(rng: random.Random, size: tuple[int, int], second: tuple[int, int]) -> tuple[Pixels, Pixels]:
    """A picture of random shapes, bars or gradients, twice: as drawn, and cut, scaled to `second` and worn."""
    height, width = size
    image = Image.fromarray(_gradient(rng, height, width))
    pen = ImageDraw.Draw(image)
    kind = rng.random()
    if kind < 0.3:
        count = rng.randint(3, 9)
        for index in range(count):
            left, right = width * index // count + 3, width * (index + 1) // count - 3
            pen.rectangle((left, rng.randint(0, height - 10), right, height), fill=_colour(rng))
    elif kind < 0.45:
        start = 0.0
        for _ in range(rng.randint(2, 6)):
            stop = start + rng.uniform(30, 120)
            pen.pieslice((width // 8, height // 8, width * 7 // 8, height * 7 // 8), start, stop, fill=_colour(rng))
            start = stop
    else:
        for _ in range(rng.randint(3, 12)):
            x, y = rng.randint(-20, width - 20), rng.randint(-20, height - 20)
            box = (x, y, x + rng.randint(15, max(16, width // 2)), y + rng.randint(15, max(16, height // 2)))
            fill, shape = _colour(rng), rng.random()
            if shape < 0.3:
                pen.line(box, fill=fill, width=rng.randint(1, 8))
            elif shape < 0.65:
                pen.rectangle(box, fill=fill if rng.random() < 0.7 else None, outline=_colour(rng))
            else:
                pen.ellipse(box, fill=fill if rng.random() < 0.7 else None, outline=_colour(rng))
    cutting = rng.uniform(0.0, 0.12)
    box = (
        int(width * rng.uniform(0, cutting)),
        int(height * rng.uniform(0, cutting)),
        int(width * (1 - rng.uniform(0, cutting))),
        int(height * (1 - rng.uniform(0, cutting))),
    )
    other = np.asarray(image.crop(box).resize(second[::-1], Image.Resampling.BILINEAR))
    return np.asarray(image), degrade(other, rng)


def _gradient(rng: random.Random, height: int, width: int) -> Pixels:
    one, two = np.asarray(_colour(rng), np.float32), np.asarray(_colour(rng), np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    share = np.clip((x / width) * rng.uniform(-1, 1) + (y / height) * rng.uniform(-1, 1) + 0.5, 0, 1)[..., None]
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.choice((0, 0, 4, 12)), (height, width, 1))
    pixels: Pixels = np.clip(one + (two - one) * share + noise, 0, 255).astype(np.uint8)
    return pixels


def _colour(rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255)

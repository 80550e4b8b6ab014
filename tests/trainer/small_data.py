"""A training file of all five tasks that a tiny model can learn, with pictures of coloured squares."""

import json
import random
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "orange", "purple", "cyan", "black", "yellow")


def write_small_data(folder: Path, count: int = 40, seed: int = 0) -> Path:
    """`count` lines and their pictures; the answers can be learned from colour and place."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    makers = (_text_pair, _instr, _ocr, _vqa_single, _vqa_multi)
    lines = [makers[number % len(makers)](folder, rng, number) for number in range(count)]
    path = folder / "train.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_config(folder: Path, checkpoint: Path, data: Path, **changes: Any) -> Path:
    """A small run in float32; `changes` are dotted fields with __ for the dot."""
    content: dict[str, Any] = {
        "output": "run",
        "model": {"checkpoint": str(checkpoint), "max_tokens": 256, "precision": "fp32"},
        "data": {"train": str(data), "workers": 0},
        "optimization": {
            "epochs": 2, "per_device_batch": 4, "accumulation": 3, "token_budget": 2048, "learning_rate": 3e-3,
            "seed": 7,
        },
        "report": {"log_every": 1, "save_every": 2, "trackers": []},
    }  # fmt: skip
    for field, value in changes.items():
        *sections, name = field.split("__")
        place = content
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def _picture(folder: Path, rng: random.Random, name: str, colour: str) -> str:
    image = Image.new("RGB", (rng.choice((56, 84)), rng.choice((56, 84))), "white")
    x, y = rng.randrange(20), rng.randrange(20)
    ImageDraw.Draw(image).rectangle((x, y, x + 32, y + 32), fill=colour)
    image.save(folder / f"{name}.png")
    return f"{name}.png"


def _text_pair(folder: Path, rng: random.Random, number: int) -> dict[str, Any]:
    colour = rng.choice(COLOURS)
    score = rng.choice((0.0, 0.5, 1.0))
    other = colour if score else rng.choice([c for c in COLOURS if c != colour])
    return {
        "task": "text_pair", "query": {"text": f"{colour} {number}"}, "positive": {"text": f"the {other} one {number}"},
        "score": score, "language": "en",
    }  # fmt: skip


def _instr(folder: Path, rng: random.Random, number: int) -> dict[str, Any]:
    colour = rng.choice(COLOURS)
    return {"task": "instr", "query": {"text": f"say {colour}"}, "positive": {"text": f"{colour}!"}, "group": colour}


def _ocr(folder: Path, rng: random.Random, number: int) -> dict[str, Any]:
    colour = rng.choice(COLOURS)
    return {
        "task": "ocr", "query": {"text": "what colour?", "images": [_picture(folder, rng, f"o{number}", colour)]},
        "positive": {"text": f"{colour} {number}"}, "negatives": [{"text": rng.choice(COLOURS) + " no"}],
    }  # fmt: skip


def _vqa_single(folder: Path, rng: random.Random, number: int) -> dict[str, Any]:
    colour = rng.choice(COLOURS)
    return {
        "task": "vqa_single", "query": {"text": f"find {colour} {number}"},
        "positive": {"images": [_picture(folder, rng, f"s{number}", colour)]},
    }  # fmt: skip


def _vqa_multi(folder: Path, rng: random.Random, number: int) -> dict[str, Any]:
    colours = rng.sample(COLOURS, 2)
    images = [_picture(folder, rng, f"m{number}{i}", colour) for i, colour in enumerate(colours)]
    return {
        "task": "vqa_multi",
        "turns": [
            {"user": "how many?", "images": images, "assistant": "two"},
            {"user": "the second?", "assistant": f"{colours[1]} {number}"},
        ],
    }  # fmt: skip

"""Taking the pictures, in headless Chromium, and noting what of the interface is on each."""

import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pymupdf
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from examples.screenshots.places import PLACES
from examples.screenshots.scenes import PHONE, SCENES, Scene

# A face that has all Vietnamese letters in bold too, where it is installed; PyMuPDF brings the Chinese ones.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include><dir>{folder}</dir><cachedir>{folder}/cache</cachedir>
{aliases}</fontconfig>"""
ALIAS = (
    '<match target="pattern"><test name="family"><string>{name}</string></test><edit name="family" mode="prepend" '
    'binding="strong"><string>DejaVu Sans Condensed</string><string>Droid Sans Fallback</string></edit></match>'
)
# What the interface says, without figures: it is kept beside the pictures, for a test to see when they are old.
WORDS = """[...new Set([...document.querySelectorAll("h1, h2, th, button, label, legend, summary, input, textarea")]
    .filter((one) => one.checkVisibility())
    .map((one) => one.innerText || one.placeholder || one.ariaLabel || one.title || "")
    .map((words) => words.replace(/\\s+/g, " ").replace(/\\d[\\d.,]*/g, "#").trim()))].filter(Boolean)"""


@dataclass(frozen=True)
class Taken:
    """A picture's file, and the words of the interface that are on it."""

    file: Path
    words: list[str]


def take(index: Path, documents: Path, out: Path, scenes: Sequence[Scene] = SCENES) -> list[Taken]:
    """Take the pictures of a copy of an index, made of `documents`; the written files have at most 250 KB each.

    Raises:
        FileNotFoundError: there is no Chromium on this machine.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        raise FileNotFoundError("no chromium on this machine: install it (apt install chromium)")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    with ExitStack() as held:
        scratch = Path(held.enter_context(tempfile.TemporaryDirectory()))
        wanted = [place for place in PLACES if place in {scene.place for scene in scenes}]
        playwright = held.enter_context(sync_playwright())
        environment = {**os.environ, "FONTCONFIG_FILE": str(_fonts(scratch))}
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"], env=environment)
        held.callback(browser.close)
        for place in wanted:
            with PLACES[place](index, documents, scratch) as url:
                for scene in (scene for scene in scenes if scene.place == place):
                    picture, words = _seen(browser, scene, url, documents)
                    written.append(Taken(_save(picture, out / f"{scene.name}.webp"), words))
    return written


def _seen(browser: Browser, scene: Scene, url: str, documents: Path) -> tuple[bytes, list[str]]:
    width, height = scene.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if scene.size == PHONE else 1,
        is_mobile=scene.size == PHONE,
        has_touch=scene.size == PHONE,
        color_scheme="dark" if scene.dark else "light",
        locale={"vi": "vi-VN", "en": "en-GB"}[scene.language],
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(url)
    if scene.place in ("server", "linked"):
        page.locator("#search-state .start").wait_for()
    scene.play(page, documents)
    seen = page.screenshot(), sorted(str(words) for words in page.evaluate(WORDS))
    context.close()
    return seen


def _fonts(scratch: Path) -> Path:
    folder = scratch / "fonts"
    folder.mkdir()
    (folder / "cjk.ttf").write_bytes(pymupdf.Font("cjk").buffer)
    aliases = "".join(ALIAS.format(name=name) for name in ("system-ui", "sans-serif"))
    configuration = folder / "fonts.conf"
    configuration.write_text(FONTS.format(folder=folder, aliases=aliases), encoding="utf-8")
    return configuration


def _save(picture: bytes, path: Path) -> Path:
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(path, quality=88, method=6)
    return path

"""The pictures for the docs: some of the scenes, before the demo's index and the two-hop documents."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from examples.screenshots.scenes import SCENES
from examples.screenshots.taking import take
from tests.examples.conftest import DemoRun

IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine: no pictures are taken")
@pytest.mark.timeout(600)
def test_pictures_are_taken_of_a_copy_and_are_small(demo_run: DemoRun, tmp_path: Path) -> None:
    index, documents = demo_run.folder / "index", demo_run.folder / "documents"
    before = (index / "manifest.json").read_bytes()
    names = ["page-dark-vi", "phone-ask-vi", "evaluation"]
    wanted = [scene for scene in SCENES if scene.name in names]
    taken = take(index, documents, tmp_path / "out", wanted)
    assert (index / "manifest.json").read_bytes() == before
    assert [one.file.name for one in taken] == [f"{name}.webp" for name in names]
    shown = json.loads((IMAGES / "interface.json").read_text(encoding="utf-8"))
    again = "the interface says other things than on the pictures: run python -m examples.screenshots"
    assert {one.file.stem: one.words for one in taken} == {name: shown[name] for name in names}, again
    sizes = []
    for path in (one.file for one in taken):
        assert path.stat().st_size < 250_000
        with Image.open(path) as picture:
            sizes.append(picture.size)
            assert len(picture.convert("RGB").quantize(64).getcolors() or []) > 20  # no empty page
    assert sizes == [(1440, 900), (720, 1480), (1440, 900)]


def test_every_view_is_there_on_desktop_and_phone_light_and_dark() -> None:
    assert {(scene.size[0] < 500, scene.dark) for scene in SCENES} == {
        (False, False), (False, True), (True, False), (True, True),
    }  # fmt: skip
    assert len({scene.name for scene in SCENES}) == len(SCENES)


def test_the_committed_pictures_are_those_of_the_scenes_and_small_all_together() -> None:
    pictures = sorted(IMAGES.glob("*.webp"))
    assert [path.name for path in pictures] == sorted(f"{scene.name}.webp" for scene in SCENES)
    assert sum(path.stat().st_size for path in pictures) < 2_500_000
    shown = json.loads((IMAGES / "interface.json").read_text(encoding="utf-8"))
    assert set(shown) == {scene.name for scene in SCENES} and all(shown.values())
    for scene in SCENES:
        assert scene.name.endswith("-vi") == (scene.language == "vi")

"""The pictures of the web page, at small scale: two scenes before an index of one document."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from examples.screenshots import SCENES, take
from tests.vipylo_rag.conftest import write_pdf
from vipylo_rag import MultimodalIndex


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine: no pictures are taken")
def test_pictures_are_taken_of_a_copy_and_are_small(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    write_pdf(documents / "lease.pdf", ["Chậm trả tiền thuê quá 10 ngày: chịu lãi 0,05% mỗi ngày"])
    with MultimodalIndex.open(tmp_path / "index", embedder="starter") as index:
        index.ingest(documents)
    wanted = [scene for scene in SCENES if scene.name in ("page-dark", "phone-ask")]
    taken = take(tmp_path / "index", documents, tmp_path / "out", wanted)
    assert [path.name for path in taken] == ["page-dark.webp", "phone-ask.webp"]
    sizes = []
    for path in taken:
        assert path.stat().st_size < 250_000
        with Image.open(path) as picture:
            sizes.append(picture.size)
            assert len(picture.convert("RGB").quantize(64).getcolors() or []) > 20  # no empty page
    assert sizes == [(1440, 900), (720, 1480)]


def test_every_view_is_there_on_desktop_and_phone_light_and_dark() -> None:
    assert {(scene.size[0] < 500, scene.dark) for scene in SCENES} == {
        (False, False), (False, True), (True, False), (True, True),
    }  # fmt: skip
    assert len({scene.name for scene in SCENES}) == len(SCENES)

"""The demo as `make demo` runs it, on the starter: every right page in the first three, and a sheet that shows it."""

import json
from pathlib import Path
from typing import Any

import pytest

from examples.demo import own_index
from examples.sample_documents import QUERIES
from tests.examples.conftest import DemoRun
from vipylo_rag import IndexDirectoryError


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_right_page_is_in_the_first_three(demo_run: DemoRun) -> None:
    assert set(demo_run.ranks) == {query.name for query in QUERIES} and len(QUERIES) >= 6
    late = {name: rank for name, rank in demo_run.ranks.items() if rank is None or rank > 3}
    assert not late, f"rank of the right page: {late}"
    sheet = (demo_run.folder / "contact_sheet.html").read_text(encoding="utf-8")
    assert sheet.count("<section>") == len(QUERIES)
    assert sheet.count("data:image/jpeg;base64,") > 3 * len(QUERIES)
    assert sheet.count("class='right'") >= len(QUERIES)
    assert "20 files: 20 indexed" in demo_run.printed and "60 pages embedded" in demo_run.printed
    assert f"hybrid: the right page is in the first 3 for {len(QUERIES)} of {len(QUERIES)} queries" in demo_run.printed


@pytest.mark.parametrize("other", [{"embedder": {"fingerprint": "0" * 64}}, {"schema_version": 1}])
def test_an_index_of_another_version_is_made_anew(tmp_path: Path, other: dict[str, Any]) -> None:
    directory = tmp_path / "index"
    own_index(directory).close()
    manifest = directory / "manifest.json"
    made = manifest.read_text(encoding="utf-8")
    content = json.loads(made)
    content["embedder"].update(other.get("embedder", {}))
    manifest.write_text(json.dumps({**content, **other, "embedder": content["embedder"]}), encoding="utf-8")
    with own_index(directory) as index:
        assert index.embedder.fingerprint != "0" * 64
    assert manifest.read_text(encoding="utf-8") == made


def test_a_folder_that_is_no_index_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "letter.txt").write_text("mine")
    with pytest.raises(IndexDirectoryError):
        own_index(tmp_path / "index")
    assert (tmp_path / "index" / "letter.txt").read_text() == "mine"

"""The demo as `make demo` runs it, on the starter: every right page in the first three, and a sheet that shows it."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from examples.demo import _own_index, run
from examples.sample_documents import QUERIES


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_right_page_is_in_the_first_three(tmp_path: Path) -> None:
    console = Console(record=True, width=140)
    answered = run(tmp_path, console)
    assert len(answered) == len(QUERIES) >= 6
    late = {a.query.name: a.hybrid for a in answered if a.hybrid is None or a.hybrid > 3}
    assert not late, f"rank of the right page: {late}"
    sheet = (tmp_path / "contact_sheet.html").read_text(encoding="utf-8")
    assert sheet.count("<section>") == len(QUERIES)
    assert sheet.count("data:image/jpeg;base64,") > 3 * len(QUERIES)
    assert sheet.count("class='right'") >= len(QUERIES)
    printed = console.export_text()
    assert "20 files: 20 indexed" in printed and "60 pages embedded" in printed
    assert f"hybrid: the right page is in the first 3 for {len(QUERIES)} of {len(QUERIES)} queries" in printed


def test_an_index_of_another_versions_starter_is_made_anew(tmp_path: Path) -> None:
    directory = tmp_path / "index"
    _own_index(directory).close()
    manifest = directory / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["embedder"]["fingerprint"] = "0" * 64
    manifest.write_text(json.dumps(content), encoding="utf-8")
    with _own_index(directory) as index:
        assert index.embedder.fingerprint != "0" * 64
    assert json.loads(manifest.read_text(encoding="utf-8"))["embedder"]["fingerprint"] != "0" * 64

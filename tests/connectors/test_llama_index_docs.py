"""docs/llama_index.md: its code runs as it is written, its table names tests that exist."""

import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.connectors.llama_index_parts import write_pdf

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "llama_index.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_core")
    blocks = re.findall(r"```python\n(.*?)```", TEXT, flags=re.S)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    photo = Image.new("RGB", (300, 200), "teal")
    ImageDraw.Draw(photo).ellipse((50, 50, 200, 150), fill="yellow")
    photo.save("photo.jpg")
    (tmp_path / "documents").mkdir()
    write_pdf(tmp_path / "documents" / "a.pdf", ["Hợp đồng thuê nhà", "Hóa đơn tiền điện"])
    names: dict = {}
    for block in blocks:
        exec(compile(block, "llama_index.md", "exec"), names)
    assert names["by_text"][0].node.get_content() == "Hợp đồng thuê nhà"
    assert names["by_image"][0].node_id == names["photo"].node_id
    assert len(names["pages"]) == 2 and len(names["found"]) == 3
    assert names["hits"][0].text == "Hợp đồng thuê nhà" and names["hits"][0].metadata["page"] == 1
    assert [document.page_content for document in names["documents"]] == ["Biên bản họp ngày 5"]
    assert names["pictures"][0][1] == pytest.approx(1, abs=1e-3)
    names["store"].close()


def test_each_behaviour_has_its_line_and_its_test() -> None:
    lines = {int(number) for number in re.findall(r"^\| (\d+) \|", TEXT, flags=re.M)}
    tests = {
        int(number)
        for file in Path(__file__).parent.glob("test_llama_index_facts_*.py")
        for number in re.findall(r"def test_(\d\d)_", file.read_text(encoding="utf-8"))
    }
    assert lines == tests == set(range(1, 20))

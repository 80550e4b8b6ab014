"""The README's Python code runs as it is written."""

import re
from pathlib import Path

import pytest
from PIL import Image

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_every_python_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) == 4
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("Hợp đồng thuê nhà ký ngày 5 tháng 3.", encoding="utf-8")
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "photo.jpg")
    Image.new("RGB", (300, 200), "white").save(tmp_path / "price-list-2024.png")
    from llama_index.core import Settings

    monkeypatch.setattr(Settings, "_embed_model", None)
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["report"].indexed == 1
    assert names["hit"].name == "a.md"
    assert names["mixed"].shape == names["scan"].shape == (1, 1024)
    assert names["batch"].shape == (4, 1024)
    assert -1 <= names["cosine"] <= 1
    assert type(Settings.embed_model).__name__ == "ViPyloEmbedding"
    assert names["by_text"][0].node.get_content() == "Hợp đồng thuê nhà"
    assert names["by_image"][0].node.image_resource is not None
    names["store"].close()

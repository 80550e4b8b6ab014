"""The README's Python code runs as it is written, its two languages say the same, and links lead somewhere."""

import ast
import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
VIETNAMESE = ROOT / "README.vi.md"
DOCUMENTS = [README, VIETNAMESE, ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)
COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose_of(file: Path) -> str:
    """What is outside code blocks."""
    return INDENTED.sub("", FENCED.sub("", file.read_text(encoding="utf-8")))


def code_of(file: Path) -> list[str]:
    """The code blocks without their comments, which are translated."""
    text = file.read_text(encoding="utf-8")
    fenced = [
        ast.unparse(ast.parse(code)) if language == "python" else COMMENT.sub("", code)
        for language, code in FENCED.findall(text)
    ]
    return fenced + [COMMENT.sub("", block) for block in INDENTED.findall(FENCED.sub("", text))]


def tables_of(file: Path) -> list[list[list[str]]]:
    """The cells of each table."""
    found = re.findall(r"(?:^\|.*\|\n)+", prose_of(file), re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()] for table in found]


def anchors_of(file: Path) -> set[str]:
    """The headings of a page as GitHub names them in addresses."""
    headings = (
        re.sub(r"[`*\[\]()]", "", heading).lower()
        for _, heading in HEADING.findall(FENCED.sub("", file.read_text("utf-8")))
    )
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def test_both_languages_have_the_same_code() -> None:
    assert len(code_of(README)) == 15
    assert code_of(VIETNAMESE) == code_of(README)


def test_both_languages_have_the_same_sections() -> None:
    levels = {file: [len(marks) for marks, _ in HEADING.findall(prose_of(file))] for file in (README, VIETNAMESE)}
    assert len(levels[README]) == 20
    assert levels[VIETNAMESE] == levels[README]


def test_both_languages_have_the_same_tables_and_figures() -> None:
    english, vietnamese = tables_of(README), tables_of(VIETNAMESE)
    assert len(english) == 4
    assert [[len(row) for row in table] for table in vietnamese] == [[len(row) for row in table] for table in english]
    for table, translated in zip(english, vietnamese, strict=True):
        for row, other in zip(table, translated, strict=True):
            figures = [cell for cell in row if re.fullmatch(r"[>\d. –:-]+", cell)]
            assert [cell for cell in other if re.fullmatch(r"[>\d. –:-]+", cell)] == figures
    said = {file: re.sub(r"(?<=\d),(?=\d{3})", "", LINK.sub("", prose_of(file))) for file in (README, VIETNAMESE)}
    numbers = {file: sorted(re.findall(r"\d+(?:\.\d+)*", text)) for file, text in said.items()}
    assert len(numbers[README]) > 100
    assert numbers[VIETNAMESE] == numbers[README]


def test_both_languages_name_the_same_options_and_files() -> None:
    named = {
        file: {" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose_of(file))}
        for file in (README, VIETNAMESE)
    }
    assert len(named[README]) > 100
    assert named[VIETNAMESE] == named[README]


def test_both_languages_link_to_each_other_and_to_the_same_pages() -> None:
    linked = {file: set(LINK.findall(prose_of(file))) for file in (README, VIETNAMESE)}
    pages = {file: {link for link in links if not link.endswith(".webp")} for file, links in linked.items()}
    assert pages[README] - {"README.vi.md"} == pages[VIETNAMESE] - {"README.md"}
    assert "README.vi.md" in pages[README] and "README.md" in pages[VIETNAMESE]
    assert all(link.endswith("-vi.webp") for link in linked[VIETNAMESE] if link.endswith(".webp"))
    assert not any(link.endswith("-vi.webp") for link in linked[README])


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_and_pictures_are_there(file: Path) -> None:
    for link in LINK.findall(prose_of(file)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.is_relative_to(ROOT) and target.exists(), f"{file.name}: {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{file.name}: {link}"


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

"""The notebooks: each runs from its top in a new kernel and shows pictures, and is committed as the runner writes."""

import base64
import io
import subprocess
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image, ImageStat

from examples.run_notebooks import FOLDER, MOST_BYTES, executed, formatted, notebooks, problems
from tests.examples.conftest import DemoRun

ROOT = FOLDER.parents[1]
NAMES = ("1_tour", "2_llamaindex", "3_train_on_your_jsonl", "4_medical_images", "5_graph_rag", "6_evaluation")
LEAST_PICTURES = 2
MOST_CODE_LINES = 150


def pictures(notebook: NotebookNode) -> list[Image.Image]:
    """All pictures in the outputs, decoded."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, said in output.get("data", {}).items():
                if kind in ("image/jpeg", "image/png"):
                    picture = Image.open(io.BytesIO(base64.b64decode(said)))
                    found.append(picture.convert("RGB"))
    return found


def check_pictures(notebook: NotebookNode) -> None:
    shown = pictures(notebook)
    assert len(shown) >= LEAST_PICTURES
    for picture in shown:
        assert picture.width >= 300 and picture.height >= 50
        assert max(ImageStat.Stat(picture).stddev) > 8, "a picture of nothing"


def read(name: str) -> NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_these_are_all() -> None:
    assert tuple(path.stem for path in notebooks()) == NAMES
    assert sum(path.stat().st_size for path in notebooks()) < 2_500_000


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_shows_pictures(name: str, demo_run: DemoRun, tmp_path: Path) -> None:
    before = changed_files()
    notebook = executed(FOLDER / f"{name}.ipynb", {"VIPYLO_DEMO": str(demo_run.folder), "TMPDIR": str(tmp_path)})
    assert problems(notebook) == []
    check_pictures(notebook)
    assert changed_files() == before, "it wrote into the checkout"
    assert [len(cell.outputs) for cell in notebook.cells if cell.cell_type == "code"] == [
        len(cell.outputs) for cell in read(name).cells if cell.cell_type == "code"
    ], "what is committed shows something else: python -m examples.run_notebooks"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_committed_with_outputs_as_the_runner_writes_it(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    notebook = read(name)
    assert formatted(notebook) == text
    assert len(text.encode()) < MOST_BYTES
    assert problems(notebook) == []
    check_pictures(notebook)
    for told in (str(ROOT), "/home/", "/tmp/", "/root", "/Users/", "\\Users\\", "iopub."):
        assert told not in text, f"names a machine: {told}"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line for cell in code for line in cell.source.splitlines() if line.strip()]
    assert len(lines) < MOST_CODE_LINES
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")


def test_problems_are_found(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(f"print('a'); print({str(ROOT)!r})"),
            nbformat.v4.new_code_cell("import sys; print('b', file=sys.stderr)"),
        ]
    )
    path = tmp_path / "bad.ipynb"
    path.write_text(formatted(notebook), encoding="utf-8")
    ran = executed(path)
    found = "\n".join(problems(ran))
    assert "names the folder" in found and "writes to stderr: b" in found
    assert formatted(nbformat.reads(formatted(ran), as_version=4)) == formatted(ran)
    assert nbformat.reads(formatted(ran), as_version=4).cells[0].outputs[0].text == f"a\n{ROOT}\n"


def changed_files() -> str:
    """What git sees in the folder of examples beside what is committed; "" without git."""
    try:
        command = ["git", "status", "--porcelain", "--untracked-files=all", "--", "examples"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60).stdout
    except FileNotFoundError:
        return ""

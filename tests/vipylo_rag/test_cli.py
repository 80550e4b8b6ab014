"""The command line as a user runs it: output, exit codes, and one-line errors."""

import json
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from PIL import Image

from tests.vipylo_rag.command_line import vipylo, vipylo_process
from tests.vipylo_rag.conftest import write_picture


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """An index made by the command, of a folder with a note and two pictures."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "docs").mkdir()
    (folder / "docs" / "note.md").write_text("biên bản họp ngày 5 tháng 3", encoding="utf-8")
    write_picture(folder / "docs" / "red.png", "red")
    write_picture(folder / "docs" / "blue.png", "blue")
    (folder / "docs" / "thing.xyz").write_bytes(b"\x00")
    done = vipylo_process("ingest", folder / "docs", "--index", folder / "index", "--embedder", tiny_checkpoint)
    assert done.returncode == 0, done.stderr
    assert "4 files: 3 indexed, 0 unchanged, 1 not indexed" in done.stdout
    assert "no loader for '.xyz' files" in done.stdout
    return folder


def test_help_is_quick_and_imports_no_torch() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = vipylo_process("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0 and "ingest" in done.stdout and "doctor" in done.stdout
    # Processor time, not wall time: other tests may hold the cores.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    code = (
        "import sys, vipylo_rag.cli; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'llama_index')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("command", ["ask", "serve", "search"])
def test_help_names_the_variables(command: str) -> None:
    told = vipylo(command, "--help").stdout
    wanted = {"ask": "VIPYLO_LLM", "serve": "VIPYLO_SERVER_KEY", "search": "VIPYLO_EMBEDDER"}
    assert f"(env: {wanted[command]})" in told


def test_version_is_the_packages() -> None:
    done = vipylo("--version")
    assert (done.returncode, done.stdout) == (0, f"vipylo {version('vipylo-rag')}\n")


def test_search_prints_a_table(built: Path) -> None:
    done = vipylo_process("search", "biên bản họp", "--index", built / "index", "--mode", "lexical")
    assert done.returncode == 0 and done.stderr == ""
    assert "note.md" in done.stdout and "biên bản họp ngày 5 tháng 3" in done.stdout


def test_search_by_image_and_both(built: Path, tmp_path: Path) -> None:
    image = built / "docs" / "red.png"
    rows = json.loads(vipylo("search", "--image", image, "--index", built / "index", "--json", "-k", 1).stdout)
    assert Path(rows[0]["source"]).name == "red.png" and rows[0]["score"] > 0.999
    done = vipylo("search", "đỏ", "--image", image, "--index", built / "index", "--save-pages", tmp_path / "pages")
    assert done.returncode == 0
    saved = sorted((tmp_path / "pages").iterdir())
    assert [Image.open(path).size for path in saved].count((240, 180)) == 2 and len(saved) == 3


def test_where_filters(built: Path) -> None:
    rows = json.loads(vipylo("search", "họp", "--index", built / "index", "--json", "--where", "kind=image").stdout)
    assert len(rows) == 2 and {row["kind"] for row in rows} == {"image"}


def test_info_and_failed(built: Path) -> None:
    facts = json.loads(vipylo("info", "--index", built / "index", "--failed", "--json").stdout)
    assert facts["points"] == 3 and facts["kinds"] == {"image": 2, "text": 1}
    assert [Path(row["source"]).name for row in facts["failed"]] == ["thing.xyz"]
    assert "3 searchable" in vipylo("info", "--index", built / "index").stdout


def test_ingest_again_and_strict(built: Path) -> None:
    done = vipylo("ingest", built / "docs", "--index", built / "index", "--json", "--strict")
    report = json.loads(done.stdout)
    assert (report["unchanged"], report["pages_embedded"]) == (3, 0)
    assert done.returncode == 1


def test_delete(built: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    vipylo("ingest", built / "docs", "--index", index, "--embedder", tiny_checkpoint)
    assert vipylo("delete", "red.png", "--index", index).stdout.strip().endswith("1 pages removed")
    assert json.loads(vipylo("info", "--index", index, "--json").stdout)["points"] == 2


BAD_CALLS = {
    "missing path": (["ingest", "{tmp}/nowhere", "--index", "{tmp}/new"], "nowhere: does not exist"),
    "empty folder": (["ingest", "{tmp}/empty", "--index", "{tmp}/new"], "nothing to ingest"),
    "unknown filter field": (
        ["search", "x", "--index", "{index}", "--where", "colour=red"],
        "unknown filter field 'colour'",
    ),
    "text where a number is": (
        ["search", "x", "--index", "{index}", "--where", "page=abc"],
        "the field 'page' is an integer: 'abc' never equals it",
    ),
    "range of text": (["search", "x", "--index", "{index}", "--where", "kind>3"], "the field 'kind' is text"),
    "no path": (["ingest", "--index", "{tmp}/new"], "name the files and folders to ingest"),
    "nothing to resume": (["ingest", "--resume", "--index", "{index}"], "no unfinished run to resume"),
    "resume and a path": (["ingest", "{docs}", "--resume", "--index", "{index}"], "goes without PATH"),
    "no tenant": (["ingest", "{docs}", "--index", "{tmp}/new", "--tenant", "a\nb"], "give printable characters"),
    "bad quantisation": (["ingest", "{docs}", "--index", "{tmp}/new", "--quantization", "x"], "none of none, int8"),
    "status of nothing": (["status", "--index", "{tmp}/nowhere"], "there is no index at"),
    "retry of nothing": (["retry", "--index", "{index}"], "--failed for all that failed"),
    "bad filter": (["search", "x", "--index", "{index}", "--where", "kind"], "kind"),
    "six images": (["search", "x", "--index", "{index}", *["--image", "{docs}/red.png"] * 6], "6 images"),
    "empty query": (["search", "--index", "{index}"], "the query is empty"),
    "missing image": (["search", "--image", "{tmp}/no.png", "--index", "{index}"], "no.png: does not exist"),
    "no index": (["search", "x", "--index", "{tmp}/nowhere"], "there is no index at"),
    "not an index": (["search", "x", "--index", "{docs}"], "exists and is not an index"),
    "corrupt index": (["search", "x", "--index", "{tmp}/corrupt"], "manifest.json is damaged"),
    "wrong embedder": (["search", "x", "--index", "{index}", "--embedder", "{other}"], "was made with embedder"),
    "unknown embedder": (["search", "x", "--index", "{index}", "--embedder", "nonsense"], "nonsense does not exist"),
    "unknown mode": (["search", "x", "--index", "{index}", "--mode", "fuzzy"], "mode='fuzzy'"),
    "no index of a server": (["info", "--index", "http://127.0.0.1:9/x"], "there is no index at"),
    "unreachable server": (
        ["ingest", "{docs}", "--index", "http://127.0.0.1:9/x", "--embedder", "{ck}"],
        "127.0.0.1:9",
    ),
    "unusable device": (["search", "x", "--index", "{index}", "--device", "gpu"], "device 'gpu' cannot be used"),
    "bad server URL": (["info", "--index", "http://h:abc/x"], "is no valid URL"),
    "index below a file": (["ingest", "{docs}", "--index", "{docs}/note.md/x", "--embedder", "{ck}"], "is a file"),
    "pages below a file": (
        ["search", "x", "--index", "{index}", "--mode", "lexical", "--save-pages", "{docs}/note.md/x"],
        "cannot be made",
    ),
    "unknown renderer": (
        ["ingest", "{docs}", "--index", "{tmp}/new", "--renderer", "crayon"],
        "no renderer named 'crayon'",
    ),
    "one of two unknown": (["delete", "{docs}/red.png", "nowhere.pdf", "--index", "{index}"], "nowhere.pdf is not in"),
    "unknown source": (["delete", "nowhere.pdf", "--index", "{index}"], "is not in this index"),
}


# A model is loaded, threads log: what a process of its own makes of these is looked at too.
WHOLE_PROCESSES = {"wrong embedder", "unreachable server"}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_give_one_line_and_code_2_and_write_nothing(
    built: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, case: str
) -> None:
    from tests.tiny_qwen import write_tiny_checkpoint

    arguments, message = BAD_CALLS[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "corrupt").mkdir()
    (tmp_path / "corrupt" / "manifest.json").write_text("{}")
    other = tmp_path_factory.mktemp("other") / "checkpoint"
    if case == "wrong embedder":
        write_tiny_checkpoint(other, seed=9)
    places = {"tmp": tmp_path, "index": built / "index", "docs": built / "docs", "other": other, "ck": tiny_checkpoint}
    before = sorted(tmp_path.rglob("*"))
    start = vipylo_process if case in WHOLE_PROCESSES else vipylo
    done = start(*[argument.format(**places) for argument in arguments], XDG_DATA_HOME=str(tmp_path / "empty"))
    assert done.returncode == 2, done.stdout + done.stderr
    # Patience with a server that is away is logged as warnings before the error.
    errors = [line for line in done.stderr.splitlines() if line and not line.startswith("WARNING ")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and message in errors[0]
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
    if arguments[0] == "delete":
        assert json.loads(vipylo("info", "--index", built / "index", "--json").stdout)["points"] == 3


def test_doctor_reports_every_part() -> None:
    done = vipylo("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0
    assert checks["starter model"]["state"] == "ok" and "1024-d" in checks["starter model"]["detail"]
    assert checks["embedded store"]["state"] == "ok"
    assert ".pdf" in checks["loaders"]["detail"]
    missing = [check for check in checks.values() if check["state"] == "missing" and check["name"] != "GPU"]
    assert all("pip install" in check["detail"] for check in missing)

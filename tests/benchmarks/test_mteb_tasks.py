"""The script that runs mteb tasks, on a task that is made known to mteb here."""

import runpy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mteb", reason="mteb is not installed: pip install vipylo-rag[bench]")

from tests.connectors.test_mteb import TextTask

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "mteb_tasks.py"


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    import mteb

    loaded = runpy.run_path(str(SCRIPT))
    known = {"OurTextRetrieval": TextTask}
    monkeypatch.setattr(mteb, "get_tasks", lambda tasks, languages: [known[name]() for name in tasks])
    return loaded["main"]


def test_tasks_are_run_kept_and_shown(
    main: Any, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--embedder", str(tiny_checkpoint), "--tasks", "OurTextRetrieval", "--out", str(tmp_path)]
    main([*arguments, "--batch-size", "4"])
    shown = capsys.readouterr().out
    assert "vipylo/tiny" in shown and "OurTextRetrieval" in shown
    assert len(list(tmp_path.glob("results/vipylo__tiny/*/OurTextRetrieval.json"))) == 1
    main([*arguments, "--no-prefixes"])  # kept apart
    assert len(list(tmp_path.glob("results/**/OurTextRetrieval.json"))) == 2


@pytest.mark.parametrize("arguments", [[], ["--tasks", "a", "--benchmark", "b"], ["--tasks", "Nonsense"]])
def test_bad_arguments_end_with_code_2(main: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err

"""`vipylo train` and its sub-commands, as typed by a user."""

import json
import sys
from pathlib import Path

import pytest

from tests.trainer.small_data import write_config, write_small_data
from vipylo_rag.cli import main


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["vipylo", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
        sys.exit(0)
    return int(ended.value.code or 0)


@pytest.fixture
def config(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    return write_config(tmp_path, tiny_checkpoint, write_small_data(tmp_path / "data", 12))


def test_train_writes_a_checkpoint_and_says_where(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", config, "--set", "optimization.max_steps=1") == 0
    out = capsys.readouterr().out
    assert f"checkpoint: {config.parent / 'run' / 'checkpoint'}" in out
    assert (config.parent / "run" / "checkpoint" / "model.safetensors").exists()
    assert (config.parent / "run" / "training_report.html").exists()


def test_the_change_may_come_before_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", "--set", "optimization.learning_rate=fast", config) == 2
    assert "optimization.learning_rate" in capsys.readouterr().err
    assert run(monkeypatch, "train", "--help") == 0
    assert "mine" in capsys.readouterr().out
    assert run(monkeypatch, "train", config, "--set", "report.name=[") == 2
    assert "report.name: '[' is not YAML" in capsys.readouterr().err


def test_both_commands_spell_changes_alike(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from trainer.__main__ import main as module

    monkeypatch.setattr(sys, "argv", ["trainer", str(config), "--set", "optimization.seed=x", "--set", "data.mixing=y"])
    with pytest.raises(SystemExit) as ended:
        module()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "optimization.seed" in error and "data.mixing" in error


def test_check_names_file_line_and_field(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = config.parent / "data" / "train.jsonl"
    assert run(monkeypatch, "train", "check", data, "--images") == 0
    assert "12 good samples" in capsys.readouterr().out
    lines = data.read_text(encoding="utf-8").splitlines()
    wrong = {**json.loads(lines[0]), "score": 1.5}
    lines[0] = json.dumps(wrong)
    lines[1] = json.dumps({**json.loads(lines[1]), "task": "caption"})
    data.write_text("\n".join(lines), encoding="utf-8")
    assert run(monkeypatch, "train", "check", data) == 1
    out = capsys.readouterr().out
    assert "train.jsonl:1: score" in out and "train.jsonl:2: task" in out and "2 lines with a problem" in out
    assert run(monkeypatch, "train", "check", data, "--task", "caption") == 1
    assert "train.jsonl:2" not in capsys.readouterr().out


def test_plan_needs_no_weights_and_no_data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    published = Path(__file__).parents[2] / "trainer" / "configs" / "qwen2VL2B.yaml"
    arguments = ("--gpus", 4, "--strategy", "fsdp", "--samples", 11_000_000)
    assert run(monkeypatch, "train", "plan", published, *arguments) == 0
    assert "28,646" in capsys.readouterr().out  # steps of the published run
    assert run(monkeypatch, "train", "plan", published, "--gpu", "abacus", "--samples", 10) == 2
    assert "abacus" in capsys.readouterr().err


def test_mine_adds_negatives(
    config: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = config.parent / "data" / "train.jsonl", config.parent / "mined.jsonl"
    arguments = ("--out", out, "--per-query", 1, "--margin", 0, "--any-task")
    assert run(monkeypatch, "train", "mine", tiny_checkpoint, data, *arguments) == 0
    assert "negatives for" in capsys.readouterr().out
    before = [len(json.loads(line).get("negatives", [])) for line in data.read_text().splitlines()]
    after = [len(json.loads(line).get("negatives", [])) for line in out.read_text().splitlines()]
    assert len(after) == 12 and sum(after) > sum(before)
    assert run(monkeypatch, "train", "check", out, "--images") == 0
    # Other queries, other neighbours: with and without prefix the model sees different texts.
    plain = config.parent / "plain.jsonl"
    assert (
        run(monkeypatch, "train", "mine", tiny_checkpoint, data, "--no-prefixes", *arguments[2:], "--out", plain) == 0
    )
    assert len(plain.read_text().splitlines()) == 12 and plain.read_text() != out.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "nothing.yaml"), "nothing.yaml"),
        (("train", "check", "nothing.jsonl"), "nothing.jsonl"),
        (("train", "mine", "starter", "nothing.jsonl", "--out", "x.jsonl"), "nothing.jsonl"),
        (("train", "plan", "nothing.yaml"), "nothing.yaml"),
    ],
)
def test_bad_calls_are_one_line_and_exit_code_2(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and said in error[0]


def test_a_wrong_field_is_named(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "train", config, "--set", "optimization.learning_rate=fast") == 2
    assert "optimization.learning_rate" in capsys.readouterr().err
    assert run(monkeypatch, "train", config, "--set", "nonsense") == 2
    assert not (config.parent / "run").exists()


def test_a_task_of_ones_own_is_a_few_lines_of_the_configuration(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_small_data(tmp_path / "data", 12)
    line = {"task": "caption", "query": {"text": "a"}, "positive": {"text": "b"}}
    with data.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    path = write_config(
        tmp_path, tiny_checkpoint, data, optimization__epochs=1,
        objective__tasks={"caption": [{"name": "infonce"}, {"name": "cosine", "weight": 0.5}]},
    )  # fmt: skip
    assert run(monkeypatch, "train", path) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["samples"] == 13 and facts["skipped"] == 0

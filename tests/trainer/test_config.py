"""The configuration says what is wrong before anything is loaded."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trainer.config import TrainConfig, load_config, overrides
from trainer.errors import ConfigError
from trainer.objective import OBJECTIVES, objectives_of


def written(folder: Path, **changes: Any) -> Path:
    """A configuration file; `changes` are whole sections."""
    content: dict[str, Any] = {"output": "run", "model": {"checkpoint": "starter"}, "data": {"train": "t.jsonl"}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"objective": {"weights": {"nce": 1.0}}}, r"objective\.weights names unknown terms: nce \(known: infonce"),
        ({"data": {"train": "t.jsonl", "sampling": {"orc": 2}}}, r"data\.sampling names unknown tasks: orc"),
        ({"report": {"early_stopping": 3}}, r"report\.early_stopping needs an evaluation file"),
        ({"report": {"evaluate_every": 3}}, r"report\.evaluate_every needs an evaluation file"),
        (
            {"model": {"checkpoint": "starter", "precision": "fp32", "attention": "flash_attention_2"}},
            r"model: .*flash_attention_2",
        ),
        ({"model": {"checkpoint": "starter", "lora": {}, "frozen": ["language"]}}, r"model: .*lora already freezes"),
    ],
)
def test_what_cannot_work_is_said_at_once(tmp_path: Path, section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config(written(tmp_path, **section))


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = load_config(written(
        tmp_path, output="~/runs/a", data={"train": "~/pairs/train.jsonl", "evaluation": "~/pairs/held.jsonl"}
    ))  # fmt: skip
    assert config.output == tmp_path / "home" / "runs" / "a"
    assert config.data.train == tmp_path / "home" / "pairs" / "train.jsonl"
    assert config.data.evaluation == tmp_path / "home" / "pairs" / "held.jsonl"


def test_overrides_are_yaml() -> None:
    assert overrides(["a.b=3", "c=[1, x]", "d=a=b"]) == {"a.b": 3, "c": [1, "x"], "d": "a=b"}
    for wrong, said in (("a.b", "no section.field=value"), ("a=[", "a: '\\[' is not YAML")):
        with pytest.raises(ConfigError, match=said):
            overrides([wrong])


def test_other_terms_do_not_change_what_kind_of_task_it_is(tmp_path: Path) -> None:
    """Multi-turn questions keep their own margin."""
    config: TrainConfig = load_config(written(
        tmp_path, objective={"tasks": {"vqa_multi": [{"name": "triplet"}], "ocr": [{"name": "triplet"}]}}
    ))  # fmt: skip
    found = objectives_of(config.objective)
    assert found["vqa_multi"].multi_turn and not found["ocr"].multi_turn
    assert (
        [term.name for term in found["vqa_multi"].terms]
        == ["triplet"]
        != [term.name for term in OBJECTIVES["vqa_multi"].terms]
    )

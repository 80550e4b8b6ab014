"""The ablation runs all its variants at tiny size, and each differs in what it says."""

import argparse
import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from embedder.prefixes import TASKS
from tests.trainer.small_data import write_small_data
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation, Part

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "ablation.py"


@pytest.fixture(scope="module")
def ablation() -> SimpleNamespace:
    """The script's names, as a user's `python benchmarks/ablation.py` defines them, without its main."""
    return SimpleNamespace(**runpy.run_path(str(BENCHMARK)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_small_data(folder, 30, seed=1).rename(folder / "evaluation.jsonl")
    write_small_data(folder, 15)
    return folder


def test_main_gives_a_row_for_each_variant_and_a_column_for_each_task(
    ablation: SimpleNamespace, data: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ablation.json"
    ablation.main(
        ["--data", str(data), "--checkpoint", str(tiny_checkpoint), "--steps", "2", "--batch", "4", "--accumulation",
         "2", "--workers", "0", "--precision", "fp32", "--learning-rate", "0.003", "--out", str(out)]
    )  # fmt: skip
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["settings"]["steps"] == "2" and report["settings"]["checkpoint"] == str(tiny_checkpoint)
    rows = report["rows"]
    assert list(rows) == ["before", *ablation.VARIANTS]
    columns = {f"{task} nDCG@10" for task in TASKS} | {"text_pair Spearman"}
    for runs in rows.values():
        assert len(runs) == 1 and set(runs[0]) == columns
        assert all(-1 <= value <= 1 for value in runs[0].values())
    # Every variant trained, and differently.
    assert len({tuple(runs[0].values()) for runs in rows.values()}) > 3
    shown = capsys.readouterr().out
    assert all(variant in shown for variant in rows) and all(task in shown for task in TASKS)


def options(data: Path) -> argparse.Namespace:
    return argparse.Namespace(
        data=data, checkpoint="starter", max_pixels=None, steps=7, batch=3, accumulation=2, learning_rate=1e-3,
        temperature=0.1, precision="fp32", workers=0,
    )  # fmt: skip


def settings_of(ablation: SimpleNamespace, data: Path, seed: int = 1) -> dict[str, TrainConfig]:
    return {
        variant: ablation.settings(options(data), data / "out", seed, changes)
        for variant, changes in ablation.VARIANTS.items()
    }


def flat(config: TrainConfig) -> dict[str, Any]:
    return {
        f"{section}.{name}": value
        for section, fields in config.model_dump().items()
        for name, value in (fields if isinstance(fields, dict) else {"": fields}).items()
    }


def test_variants_differ_in_what_they_say_and_in_nothing_else(ablation: SimpleNamespace, data: Path) -> None:
    configs = {variant: flat(config) for variant, config in settings_of(ablation, data).items()}
    base = configs.pop("prefix-guided losses, mixed negatives")
    assert base["data.mixing"] == "mixed" and base["data.prefixes"] and not base["objective.only_contrastive"]
    changed = {
        variant: {name: value for name, value in config.items() if value != base[name]}
        for variant, config in configs.items()
    }
    assert changed == {
        "prefix-guided losses, own task's negatives": {"data.mixing": "homogeneous"},
        "InfoNCE alone": {"objective.only_contrastive": True},
        "prefix-guided losses, no prefixes": {"data.prefixes": False},
        "InfoNCE alone, no prefixes": {"objective.only_contrastive": True, "data.prefixes": False},
    }


def test_settings_follow_the_options(ablation: SimpleNamespace, data: Path) -> None:
    for config in settings_of(ablation, data, seed=9).values():
        assert config.data.train == data / "train.jsonl" and config.model.frozen == ("vision", "layers")
        assert config.objective.temperature == 0.1 and config.model.precision == "fp32"
        run = config.optimization
        assert (run.max_steps, run.per_device_batch, run.accumulation, run.learning_rate, run.seed) == (
            7,
            3,
            2,
            1e-3,
            9,
        )


def test_metrics_are_those_of_whole_tasks(ablation: SimpleNamespace) -> None:
    parts = (
        Part("ocr", None, 4, 4, {"ndcg@10": 0.5, "mrr": 0.4}),
        Part("ocr", "vi", 2, 2, {"ndcg@10": 0.9}),
        Part("text_pair", None, 4, 4, {"ndcg@10": 0.3, "spearman": 0.2}),
        Part("instr", None, 0, 4, {"spearman": 0.1}),  # no query has a right document
    )
    assert ablation.main_metrics(Evaluation(parts, 8)) == {
        "ocr nDCG@10": 0.5, "text_pair nDCG@10": 0.3, "text_pair Spearman": 0.2, "instr Spearman": 0.1,
    }  # fmt: skip


def test_table_gives_mean_and_spread_over_seeds(ablation: SimpleNamespace) -> None:
    shown = ablation.table({"before": [{"ocr": 0.25}], "after": [{"ocr": 0.5, "more": 1.0}, {"ocr": 0.7}]})
    columns = {column.header: list(column.cells) for column in shown.columns}
    assert columns == {"variant": ["before", "after"], "ocr": ["0.250", "0.600 ±0.141"], "more": ["", "1.000"]}

"""The configuration as transformers' arguments: one device without a launcher, one precision, trackers."""

import os
from pathlib import Path

import pytest
import torch
from transformers import TrainingArguments

from trainer.arguments import arguments_of
from trainer.config import TrainConfig
from trainer.errors import ConfigError


def config(folder: Path, precision: str = "fp32", **report: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "output": folder / "run",
            "model": {"checkpoint": "starter", "precision": precision},
            "data": {"train": "t.jsonl"},
            "report": {"trackers": [], **report},
        }
    )


def test_several_gpus_without_a_launcher_are_not_data_parallel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def four(self: TrainingArguments) -> torch.device:
        self._n_gpu = 4  # what transformers' own _setup_devices counts there
        return torch.device("cpu")

    monkeypatch.setattr(TrainingArguments, "_setup_devices", property(four))
    arguments = arguments_of(config(tmp_path))
    assert arguments.n_gpu == 1 and arguments.train_batch_size == arguments.per_device_train_batch_size
    assert "4 GPUs" in caplog.text and "accelerate launch" in caplog.text


def test_a_launcher_of_another_precision_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ConfigError, match=r"model\.precision is fp32, .* mixed_precision is bf16"):
        arguments_of(config(tmp_path))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert arguments_of(config(tmp_path)).mixed_precision == "no"


def test_the_project_of_a_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("WANDB_PROJECT", "")
    monkeypatch.delenv("WANDB_PROJECT")
    arguments = arguments_of(config(tmp_path, project="pages", name="first", trackers=["wandb"]))
    assert arguments.run_name == "first" and os.environ["WANDB_PROJECT"] == "pages"
    assert arguments.report_to == [] and "wandb is not installed" in caplog.text

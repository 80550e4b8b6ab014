"""Whole runs of tiny models: through the command, killed and resumed, on two processes, with bad data."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from embedder.model import ColPaLiQwenEmbedder
from tests import prepared
from tests.trainer.small_data import write_config, write_small_data
from trainer.config import load_config
from trainer.errors import ConfigError, TrainerError
from trainer.run import train
from trainer.states import last_state

pytestmark = pytest.mark.usefixtures("one_thread")

ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples of all five tasks."""
    return write_small_data(tmp_path_factory.mktemp("data"))


def history(output: Path) -> list[dict[str, Any]]:
    """The log lines of training steps, from the newest saved state."""
    newest = last_state(output, remove_broken=False)
    assert newest is not None
    lines = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return [line for line in lines if "loss" in line]


def test_a_run_learns_and_leaves_a_checkpoint_card_and_report(
    tmp_path: Path, tiny_checkpoint: Path, data: Path
) -> None:
    path = write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__epochs=12, report__save_every=48,
        report__evaluate_every=12,
    )  # fmt: skip
    config = load_config(path)
    checkpoint = train(config)
    lines = history(config.output)
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    for task in ("text_pair", "instr", "ocr", "vqa_single", "vqa_multi"):
        for part in ("infonce", "positive_cosine", "hardest_negative_cosine", "accuracy"):
            assert any(f"{task}/{part}" in line for line in lines), f"{task}/{part}"
    assert {"text_pair/mse", "ocr/triplet", "instr/cosine"} <= {key for line in lines for key in line}
    assert all(line["grad_norm"] > 0 and line["tokens_per_second"] > 0 for line in lines)
    embedder = ColPaLiQwenEmbedder.from_pretrained(checkpoint)
    before = ColPaLiQwenEmbedder.from_pretrained(tiny_checkpoint)
    trained, fresh = embedder.encode(text=["red", "green"]), before.encode(text=["red", "green"])
    assert not torch.allclose(trained, fresh, atol=1e-2)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "ocr" in card and "nDCG@10" in card
    report = (config.output / "training_report.html").read_text(encoding="utf-8")
    assert "<svg" in report and "vqa_multi" in report
    with pytest.raises(TrainerError, match="finished run"):
        train(config)


def test_trackers_get_what_is_logged_and_evaluations_are_shown(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = load_config(write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__max_steps=4,
        report__evaluate_every=2, report__early_stopping=5, report__metric="ocr/recall@5",
        report__trackers=["tensorboard"],
    ))  # fmt: skip
    train(config)
    (events,) = config.output.rglob("events.out.tfevents.*")
    written = EventAccumulator(str(events))
    written.Reload()
    lines = history(config.output)
    for tag, name in (("train/loss", "loss"), ("train/ocr/positive_cosine", "ocr/positive_cosine")):
        logged = [line for line in lines if name in line]  # not every step has a row of every task
        assert [event.step for event in written.Scalars(tag)] == [line["step"] for line in logged]
        assert [event.value for event in written.Scalars(tag)] == pytest.approx([line[name] for line in logged])
    assert [event.step for event in written.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [event.step for event in written.Scalars("eval/ocr/recall@5")] == [2, 4]
    shown, evaluated = capsys.readouterr(), written.Scalars("eval/mean")
    for event in evaluated:
        assert f"step {event.step}: mean {event.value:.4f}, ocr/recall@5 " in shown.err
    assert "step" not in shown.out
    assert "best model will not be loaded" not in caplog.text + shown.err


def test_a_metric_that_the_file_cannot_give_is_said_before_training(
    tmp_path: Path, tiny_checkpoint: Path, data: Path
) -> None:
    path = write_config(tmp_path, tiny_checkpoint, data, data__evaluation=str(data))
    for metric in ("ocr/ndcg", "ndcg@10", "orc/mrr", "eval_mean", "ocr/recall@3"):
        with pytest.raises(ConfigError, match=r"report\.metric: .*is not measured.*text_pair.*ndcg@10"):
            train(load_config(path, {"report.metric": metric}))
    assert not (tmp_path / "run").exists()
    train(load_config(path, {"report.metric": "text_pair/en/spearman", "optimization.max_steps": 1}))


def untimed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Log lines without what no two runs have in common."""
    return [{name: value for name, value in line.items() if not name.endswith("_per_second")} for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_any_step_and_resumed_the_loss_curve_is_the_same(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, workers: int
) -> None:
    settings = {
        "optimization__epochs": 3,
        "data__workers": workers,
        "data__sampling": {"ocr": 1.5, "instr": 0.5},
        "model__lora": {"rank": 4, "dropout": 0.3},  # dropout: random numbers must go on where they were, too
        "report__log_every": 2,
        "report__save_every": 3,  # no multiple: a log line must not need steps from before the save
    }
    whole = write_config(tmp_path / "whole", tiny_checkpoint, data, **settings)
    train(load_config(whole))
    expected = untimed(history(tmp_path / "whole" / "run"))
    assert {line["step"] for line in expected} >= {2, 3, 4, 6, 8, 9, 10}

    killed = write_config(tmp_path / "killed", tiny_checkpoint, data, **settings)
    output = tmp_path / "killed" / "run"
    for saved in (3, 6):  # both in the middle of an epoch
        said = tmp_path / f"said-{saved}"
        process = prepared.start_module("trainer", killed, output=said)
        while process.is_alive() and not (output / f"checkpoint-{saved}").exists():
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, said.read_text()
    said = tmp_path / "said"
    process = prepared.start_module("trainer", killed, output=said)
    process.join(240)
    assert process.exitcode == 0, said.read_text()
    assert "goes on from step" in said.read_text()
    assert untimed(history(output)) == expected
    weights = [
        folder / "run" / "checkpoint" / "model.safetensors" for folder in (tmp_path / "whole", tmp_path / "killed")
    ]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    facts = json.loads((output / "run.json").read_text())
    assert facts["samples"] == json.loads((tmp_path / "whole" / "run" / "run.json").read_text())["samples"]


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one(tmp_path: Path, tiny_checkpoint: Path, data: Path) -> None:
    one = write_config(tmp_path / "one", tiny_checkpoint, data, optimization__per_device_batch=4)
    train(load_config(one))
    two = write_config(tmp_path / "two", tiny_checkpoint, data, optimization__per_device_batch=2)
    # What `accelerate launch` runs for several GPUs; for several CPU processes it would want MPI.
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", "-m", "trainer"]
    done = subprocess.run(
        [sys.executable, *launcher, str(two)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    expected, found = history(tmp_path / "one" / "run"), history(tmp_path / "two" / "run")
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], abs=1e-4)
    assert [line["grad_norm"] for line in found] == pytest.approx([line["grad_norm"] for line in expected], rel=1e-2)
    facts = [json.loads((tmp_path / name / "run" / "run.json").read_text()) for name in ("one", "two")]
    assert facts[0]["samples"] == facts[1]["samples"] and facts[0]["tokens"] == facts[1]["tokens"]
    assert facts[1]["devices"] == 2


def test_bad_samples_are_skipped_and_counted(tmp_path: Path, tiny_checkpoint: Path) -> None:
    data = write_small_data(tmp_path / "data")
    (tmp_path / "data" / "o2.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "data" / "s3.png").unlink()
    text = data.read_text(encoding="utf-8").splitlines()
    text[10] = '{"task": "instr", "query": {"text": "no positive"}}'
    data.write_text("\n".join(text) + "\n", encoding="utf-8")
    config = load_config(write_config(tmp_path, tiny_checkpoint, data, data__max_bad_share=0.5, optimization__epochs=1))
    checkpoint = train(config)
    facts = json.loads((config.output / "run.json").read_text())
    assert facts["skipped"] == 3 and facts["samples"] == 37
    assert {message.split(":")[1] for message in facts["skipped_messages"]} == {"3", "4", "11"}
    assert checkpoint.is_dir()


def test_too_many_bad_samples_end_the_run(tmp_path: Path, tiny_checkpoint: Path) -> None:
    data = write_small_data(tmp_path / "data")
    for picture in (tmp_path / "data").glob("*.png"):
        picture.write_bytes(b"broken")
    config = load_config(write_config(tmp_path, tiny_checkpoint, data, data__max_bad_share=0.1))
    with pytest.raises(TrainerError, match=r"samples could not be loaded.*max_bad_share = 0\.1"):
        train(config)

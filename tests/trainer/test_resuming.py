"""Runs that stop and go on: with their own settings and data alone, their best weights, and not a step too far."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import set_seed

import trainer.run
import trainer.trainer
from embedder.model import ColPaLiQwenEmbedder
from tests.trainer.small_data import write_config, write_small_data
from trainer.arguments import arguments_of
from trainer.config import TrainConfig, load_config
from trainer.errors import ConfigError, TrainerError
from trainer.evaluation import Evaluation, Part
from trainer.network import TrainableEmbedder, trainable
from trainer.run import train
from trainer.states import last_state
from trainer.trainer import PrefixGuidedTrainer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty samples of all five tasks: four steps an epoch."""
    return write_small_data(tmp_path_factory.mktemp("data"))


def steps_of(output: Path) -> list[int]:
    """The steps that were logged, by the newest state."""
    newest = last_state(output, remove_broken=False)
    assert newest is not None
    lines = json.loads((newest / "trainer_state.json").read_text())["log_history"]
    return [line["step"] for line in lines if "loss" in line]


def facts_of(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / "run.json").read_text())
    return content


def kill_while_finishing(monkeypatch: pytest.MonkeyPatch, config: TrainConfig) -> None:
    """Run to the last line of `_finish` but one, and find the disk full there."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(trainer.run, "write_report", full)
        with pytest.raises(OSError, match="No space"):
            train(config)


class Falling:
    """Stands for `evaluate`: each evaluation is worse than the one before. Remembers the weights it was shown."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []
        self.stop_at = stop_at

    def __call__(self, network: TrainableEmbedder, *_: object, **__: object) -> Evaluation:
        if len(self.seen) + 1 == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return Evaluation((Part("ocr", None, 8, 8, {"ndcg@10": 0.9 - 0.1 * len(self.seen)}),), 40)


def assert_weights(checkpoint: Path, expected: dict[str, torch.Tensor]) -> None:
    """A checkpoint holds these very weights, rounded to bfloat16."""
    found = ColPaLiQwenEmbedder.from_pretrained(checkpoint, device="cpu", dtype=torch.float32).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name].bfloat16().float()) for name, tensor in found.items())


def test_the_best_weights_are_shipped_and_training_stops_early(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = Falling()
    monkeypatch.setattr(trainer.trainer, "evaluate", falling)
    config = load_config(write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__epochs=50, report__evaluate_every=2,
        report__early_stopping=3, report__save_every=100,
    ))  # fmt: skip
    checkpoint = train(config)
    facts = facts_of(config.output)
    assert facts["steps"] == 8 and facts["stopped"] == "early stopping" and facts["best_step"] == 2
    assert_weights(checkpoint, falling.seen[0])
    assert not torch.equal(falling.seen[0]["projection.weight"], falling.seen[-1]["projection.weight"])
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "0.800" in card and "0.700" not in card
    assert facts["evaluation"]["parts"][0]["metrics"] == {"ndcg@10": pytest.approx(0.8)}
    assert not list(config.output.glob("best-*")), "the chosen weights are in checkpoint/ now"
    assert steps_of(config.output) == list(range(1, 9)), "the state in which it stopped is saved"


def test_the_best_weights_outlive_a_kill_and_a_failure_to_finish(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__epochs=50, report__evaluate_every=2,
        report__early_stopping=3, report__save_every=2, report__keep=1,
    ))  # fmt: skip
    falling = Falling(stop_at=3)
    monkeypatch.setattr(trainer.trainer, "evaluate", falling)
    with pytest.raises(KeyboardInterrupt):
        train(config)
    assert last_state(config.output, remove_broken=False) == config.output / "checkpoint-4"
    falling.stop_at = None
    kill_while_finishing(monkeypatch, config)
    assert len(falling.seen) == 4 and not (config.output / "checkpoint").exists()
    checkpoint = train(config)
    assert len(falling.seen) == 4, "it had stopped: nothing is left to train or to measure"
    facts = facts_of(config.output)
    assert facts["best_step"] == 2 and facts["steps"] == 8 and facts["stopped"] == "early stopping"
    assert_weights(checkpoint, falling.seen[0])
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "0.800" in card and "0.600" not in card


def test_without_its_best_weights_a_run_does_not_go_on(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__max_steps=4,
        report__evaluate_every=2,
    ))  # fmt: skip
    monkeypatch.setattr(trainer.trainer, "evaluate", Falling())
    kill_while_finishing(monkeypatch, config)
    (config.output / "best-2").rename(tmp_path / "elsewhere")
    with pytest.raises(TrainerError, match="best-2"):
        train(config)
    assert not (config.output / "checkpoint").exists()


def test_a_run_killed_after_its_last_step_makes_no_other(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(write_config(tmp_path, tiny_checkpoint, data, optimization__max_steps=2))
    kill_while_finishing(monkeypatch, config)
    last = load_file(config.output / "checkpoint-2" / "model.safetensors")
    checkpoint = train(config)
    assert facts_of(config.output)["steps"] == 2 and steps_of(config.output) == [1, 2]
    assert not (config.output / "checkpoint-3").exists()
    assert_weights(checkpoint, last)
    card = (checkpoint / "README.md").read_text(encoding="utf-8")
    assert "| optimizer steps | 2 |" in card and "Nothing was measured" in card


def test_ends_of_epochs_are_evaluated_before_their_state_is_saved(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a run that goes on from there would never evaluate that epoch."""
    config = load_config(write_config(
        tmp_path, tiny_checkpoint, data, data__evaluation=str(data), optimization__epochs=2, report__save_every=4,
        report__keep=5,
    ))  # fmt: skip
    falling = Falling()
    monkeypatch.setattr(trainer.trainer, "evaluate", falling)
    train(config)
    assert len(falling.seen) == 2
    state = json.loads((config.output / "checkpoint-4" / "trainer_state.json").read_text())
    assert [line["step"] for line in state["log_history"] if "eval_mean" in line] == [4]


def test_a_run_is_resumed_only_with_its_own_settings(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path, tiny_checkpoint, data, optimization__max_steps=2)
    kill_while_finishing(monkeypatch, load_config(path))
    settings = (tmp_path / "run" / "train_config.json").read_bytes()
    for field, value in (("optimization.learning_rate", 1.0), ("report.log_every", 5), ("report.save_every", 1)):
        with pytest.raises(ConfigError, match=rf"other settings \({field}\)"):
            train(load_config(path, {field: value}))
    with pytest.raises(ConfigError, match="holds other things"):
        train(load_config(path, {"output": str(data.parent)}))
    train(load_config(path, {"report.keep": 5, "report.name": "Another", "data.workers": 1}))
    assert (tmp_path / "run" / "train_config.json").read_bytes() == settings, "written once"


def test_a_run_is_resumed_only_with_its_own_data_and_devices(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_small_data(tmp_path / "data")
    path = write_config(tmp_path, tiny_checkpoint, file, optimization__max_steps=2)
    config = load_config(path)
    kill_while_finishing(monkeypatch, config)
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("say red", "say tan"), encoding="utf-8")  # as many bytes and lines as before
    with pytest.raises(ConfigError, match=r"\(content of data\.train\)"):
        train(config)
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"\(devices\)"):
        trainer.run._check_same_run(config, devices=2)
    moved = file.rename(file.with_name("moved.jsonl"))
    train(load_config(path, {"data.train": str(moved)}))


def test_settings_that_cannot_be_read_are_said(tmp_path: Path, tiny_checkpoint: Path, data: Path) -> None:
    config = load_config(write_config(tmp_path, tiny_checkpoint, data))
    config.output.mkdir()
    (config.output / "train_config.json").write_text('{"output": ')
    with pytest.raises(ConfigError, match=r"train_config\.json: cannot be read"):
        train(config)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Once a file is there, the gradient of the projection is not a number, while the loss is one."""

    def poison(when: Path) -> None:
        def load(config: Any) -> TrainableEmbedder:
            network = trainable(config)
            network.projection.weight.register_hook(
                lambda gradient: gradient * float("nan") if when.exists() else gradient
            )
            return network

        monkeypatch.setattr(trainer.run, "trainable", load)

    return poison


def test_a_gradient_that_is_no_number_makes_no_step(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, poisoned: Callable[[Path], None]
) -> None:
    config = load_config(write_config(tmp_path, tiny_checkpoint, data, report__save_every=1))
    poisoned(config.output / "checkpoint-2" / "complete")
    with pytest.raises(TrainerError, match=r"step 3: the norm of the gradient is nan.*lower optimization"):
        train(config)
    newest = last_state(config.output, remove_broken=False)
    assert newest == config.output / "checkpoint-2"
    assert all(tensor.isfinite().all() for tensor in load_file(newest / "model.safetensors").values())


def test_a_diverged_run_says_from_where_a_new_one_can_start(
    tmp_path: Path, tiny_checkpoint: Path, data: Path, poisoned: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = write_config(tmp_path, tiny_checkpoint, data, data__evaluation=str(data), report__evaluate_every=1)
    config = load_config(path)
    monkeypatch.setattr(trainer.trainer, "evaluate", Falling())
    poisoned(config.output / "best-1")
    with pytest.raises(TrainerError) as raised:
        train(config)
    best = str(config.output / "best-1")
    assert f"model.checkpoint set to {best}" in str(raised.value)
    monkeypatch.undo()
    changes = {"model.checkpoint": best, "output": "again", "optimization.max_steps": 1}
    assert train(load_config(path, {**changes, "optimization.learning_rate": 1e-4})).is_dir()


class Engine:
    """Stands for DeepSpeed's engine, which alone can gather the weights that it has sharded."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.gather = network.state_dict


def test_under_deepspeed_the_engine_gathers_the_weights(tmp_path: Path, tiny_checkpoint: Path, data: Path) -> None:
    config = load_config(write_config(tmp_path, tiny_checkpoint, data))
    set_seed(1)
    trained = PrefixGuidedTrainer(config, trainable(config.model), arguments_of(config))
    trained.is_deepspeed_enabled, trained.model_wrapped = True, Engine(trained.network)
    asked: list[object] = []

    def get_state_dict(model: Any) -> dict[str, torch.Tensor]:
        asked.append(model)
        state: dict[str, torch.Tensor] = model.gather()
        return state

    trained.accelerator.get_state_dict = get_state_dict
    trained.export(tmp_path / "out")
    assert asked == [trained.model_wrapped]
    assert_weights(tmp_path / "out", trained.network.state_dict())

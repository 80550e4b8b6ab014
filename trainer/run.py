"""A training run from configuration to checkpoint: what `vipylo train CONFIG.yaml` and `python -m trainer` do."""

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from trainer.card import write_card
from trainer.config import TrainConfig
from trainer.errors import ConfigError, TrainerError
from trainer.evaluation import Evaluation
from trainer.network import trainable
from trainer.report import write_report
from trainer.trainer import BEST, BEST_EVALUATION, PrefixGuidedTrainer, arguments_of, last_state

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
REPORT = "training_report.html"
_CONFIG = "train_config.json"
_FACTS = "run.json"
# A resumed run may change these: they do not touch what is computed.
_FREE = (("output",), ("report",), ("data", "workers"), ("data", "max_bad_share"))


@dataclass(frozen=True)
class RunFacts:
    """Counts of a run, over all devices and resumptions; `trainer.run_facts` spells them for card and report.

    Attributes:
        steps, epochs: optimizer steps, and passes over the data.
        samples, skipped: trained on (repeats included), and not loadable.
        tokens: through the model, visual ones included, padding not.
        hours: of training, without evaluation and interruptions.
        best_step: the step whose weights the checkpoint holds; None: the last.
        devices, device: how many, and which.
        stopped: why training ended before its time, if it did.
    """

    steps: int
    epochs: float
    samples: int
    skipped: int
    tokens: int
    hours: float
    best_step: int | None
    devices: int
    device: str
    parameters: int
    trained_parameters: int
    stopped: str | None = None


def train(config: TrainConfig) -> Path:
    """Train, or go on with the run that `config.output` holds; write checkpoint, model card and report.

    Returns:
        The checkpoint's directory: the weights of the best evaluation if there is an evaluation file, else the last.

    Raises:
        ViPyloError: configuration, data or checkpoint are not usable, the output folder holds another run, or the loss
            is no longer finite.
    """
    result = config.output / CHECKPOINT
    if (config.output / _FACTS).exists() and (result / "config.json").exists():
        raise TrainerError(
            f"{config.output} holds a finished run: choose another output (or delete the folder to train it again)"
        )
    _check_files(config)
    arguments = arguments_of(config)
    with arguments.main_process_first(desc="settings"):
        _check_same_run(config, arguments.should_save)
    set_seed(config.optimization.seed)
    state = last_state(config.output, remove_broken=arguments.should_save)
    trainer = PrefixGuidedTrainer(config, trainable(config.model), arguments)
    if state is not None:
        logger.warning("%s: goes on from step %s", config.output, state.name.rpartition("-")[2])
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    _finish(trainer, result)
    return result


def _finish(trainer: PrefixGuidedTrainer, result: Path) -> None:
    """Evaluate the last weights, put the best ones in place, and write card and report."""
    if trainer.evaluation_samples is not None and not _evaluated_last_step(trainer):
        trainer.evaluate_now()
    best = Path(trainer.args.output_dir) / BEST
    chosen = trainer.state.best_global_step if trainer.evaluation_samples is not None else None
    trainer.export(best if chosen == trainer.state.global_step else result)
    if not trainer.args.should_save:
        return
    if best.exists():
        shutil.rmtree(result, ignore_errors=True)
        best.rename(result)
    config, facts, evaluation = trainer.config, asdict(_facts(trainer, chosen)), _best_evaluation(trainer)
    write_card(result, config, evaluation, facts)
    messages = trainer.tally.messages
    write_report(config.output, trainer.state.log_history, config, evaluation, facts, messages)
    facts["skipped_messages"] = messages
    (config.output / _FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _evaluated_last_step(trainer: PrefixGuidedTrainer) -> bool:
    history = trainer.state.log_history
    return any(
        line["step"] == trainer.state.global_step and any(key.startswith("eval_") for key in line) for line in history
    )


def _best_evaluation(trainer: PrefixGuidedTrainer) -> Evaluation | None:
    path = trainer.config.output / BEST_EVALUATION
    return Evaluation.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _facts(trainer: PrefixGuidedTrainer, best_step: int | None) -> RunFacts:
    tally, state, network = trainer.tally, trainer.state, trainer.network
    early = state.max_steps > state.global_step
    return RunFacts(
        steps=state.global_step,
        epochs=round(state.epoch or 0.0, 3),
        samples=tally.seen - tally.bad,
        skipped=tally.bad,
        tokens=tally.tokens,
        hours=round(tally.seconds / 3600, 5),
        best_step=best_step,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        trained_parameters=sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
        devices=trainer.args.world_size,
        device=_hardware(trainer.args.device),
        stopped="early stopping" if early else None,
    )


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores"


def _check_files(config: TrainConfig) -> None:
    for field, path in (("data.train", config.data.train), ("data.evaluation", config.data.evaluation)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{field}: there is no file {path}")


def _check_same_run(config: TrainConfig, writes: bool) -> None:
    """A run is resumed only with the settings it began with: anything else would be neither run."""
    path = config.output / _CONFIG
    now = json.loads(config.model_dump_json())
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [".".join(field) for field in _differences(before, now) if not _is_free(field)]
        if changed:
            raise ConfigError(
                f"{config.output} holds a run with other settings ({', '.join(changed)}): "
                "change them back to go on with it, or choose another output"
            )
    elif config.output.exists() and any(config.output.iterdir()):
        raise ConfigError(f"{config.output} exists and holds other things than a run: choose another output")
    if writes:
        config.output.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def _differences(one: Any, two: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(one, dict) and isinstance(two, dict):
        keys = sorted({*one, *two})
        return [place for key in keys for place in _differences(one.get(key), two.get(key), (*at, key))]
    return [] if one == two else [at]


def _is_free(field: tuple[str, ...]) -> bool:
    return any(field[: len(free)] == free for free in _FREE)

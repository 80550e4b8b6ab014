"""A training run from configuration to checkpoint: what `vipylo train CONFIG.yaml` and `python -m trainer` do."""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from trainer.arguments import arguments_of
from trainer.card import write_card
from trainer.config import TrainConfig
from trainer.data import JsonlSamples
from trainer.errors import ConfigError, TrainerError
from trainer.network import trainable
from trainer.report import write_report
from trainer.states import (
    best_evaluation,
    best_folder,
    decided_by_first,
    known_best,
    last_state,
    remove_best,
    write_whole,
)
from trainer.trainer import PrefixGuidedTrainer

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint"
REPORT = "training_report.html"
_CONFIG = "train_config.json"
_FACTS = "run.json"
_UNFINISHED = "unfinished"
# A resumed run may change these: they do not touch what is computed or when. Data files may move: see `_settings`.
_FREE = (
    *(("output",), ("data", "train"), ("data", "evaluation"), ("data", "workers"), ("data", "max_bad_share")),
    *(("report", name) for name in ("keep", "trackers", "project", "name", "languages", "licence", "data_credits")),
)
_METRIC = re.compile(r"ndcg@10|recall@(1|5|10)|mrr|spearman")


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
        tasks: what was trained on.
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
    tasks: tuple[str, ...]
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
    if (result / "config.json").exists():
        raise TrainerError(
            f"{config.output} holds a finished run: choose another output (or delete the folder to train it again)"
        )
    _check_files(config)
    arguments = arguments_of(config)
    set_seed(config.optimization.seed)
    state = decided_by_first(lambda: _begin(config, arguments.world_size))
    trainer = PrefixGuidedTrainer(config, trainable(config.model), arguments)
    if state is not None:
        logger.warning("%s: goes on from step %s", config.output, state.name.rpartition("-")[2])
    trainer.train(resume_from_checkpoint=None if state is None else str(state))
    _finish(trainer, result)
    return result


def _begin(config: TrainConfig, devices: int) -> Path | None:
    """The state to go on from, if the output folder holds one, after all that can be checked before loading."""
    _check_metric(config)
    _check_same_run(config, devices)
    state = last_state(config.output, remove_broken=True)
    best = None if state is None else known_best(state)
    if best is not None and best_evaluation(config.output, best) is None:
        raise TrainerError(
            f"{best_folder(config.output, best)}, the run's best weights so far, or what was measured of them, is not "
            "there any more: put them back, or choose another output and begin anew"
        )
    return state


def _finish(trainer: PrefixGuidedTrainer, result: Path) -> None:
    """Evaluate the last weights, write card and report, and last of all put the chosen weights in their place.

    Whatever fails before that, the same command does again: the weights are where they were.
    """
    if trainer.evaluation_samples is not None and not _evaluated_last_step(trainer):
        trainer.evaluate_now()
    output, chosen = trainer.config.output, trainer.tally.best_step
    weights = output / _UNFINISHED if chosen is None else best_folder(output, chosen)
    if chosen is None:
        trainer.export(weights)
    if not trainer.args.should_save:
        return
    evaluation = None if chosen is None else best_evaluation(output, chosen)
    if chosen is not None and evaluation is None:
        raise TrainerError(f"{weights}, the best weights of the run, or what was measured of them, is not there")
    config, facts, messages = trainer.config, asdict(_facts(trainer, chosen)), trainer.tally.messages
    write_card(weights, config, evaluation, facts)
    write_report(output, trainer.state.log_history, config, evaluation, facts, messages)
    facts["skipped_messages"] = messages
    facts["evaluation"] = None if evaluation is None else evaluation.to_json()
    write_whole(output / _FACTS, json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    shutil.rmtree(result, ignore_errors=True)
    weights.rename(result)
    remove_best(output, wanted=())


def _evaluated_last_step(trainer: PrefixGuidedTrainer) -> bool:
    history = trainer.state.log_history
    return any(
        line["step"] == trainer.state.global_step and any(key.startswith("eval_") for key in line) for line in history
    )


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
        tasks=_trained_tasks(trainer),
        stopped="early stopping" if early else None,
    )


def _trained_tasks(trainer: PrefixGuidedTrainer) -> tuple[str, ...]:
    """Tasks with at least one sample in a step that was logged."""
    names = {name for line in trainer.state.log_history if "loss" in line for name in line}
    return tuple(sorted(name.removesuffix("/loss") for name in names if name.endswith("/loss")))


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} CPU cores"


def _check_files(config: TrainConfig) -> None:
    for field, path in (("data.train", config.data.train), ("data.evaluation", config.data.evaluation)):
        if path is not None and not path.is_file():
            raise ConfigError(f"{field}: there is no file {path}")


def _check_metric(config: TrainConfig) -> None:
    """`report.metric` must be something that the evaluation file can give: found out now, not after the first epoch."""
    if config.data.evaluation is None or config.report.metric == "mean":
        return
    task, _, rest = config.report.metric.partition("/")
    tasks = JsonlSamples(config.data.evaluation).task_names
    if task not in tasks or not _METRIC.fullmatch(rest.rpartition("/")[2]):
        raise ConfigError(
            f"report.metric: {config.report.metric!r} is not measured: it is mean, or TASK/METRIC or TASK/LANGUAGE/"
            f"METRIC with a task of {config.data.evaluation} ({', '.join(tasks)}) and ndcg@10, recall@1, recall@5, "
            "recall@10, mrr or spearman"
        )


def _check_same_run(config: TrainConfig, devices: int) -> None:
    """A run is resumed only with the settings, data and number of devices it began with: else it would be no run."""
    path = config.output / _CONFIG
    now = _settings(config, devices)
    if path.exists():
        changed = [".".join(field) for field in _differences(_read_json(path), now) if not _is_free(field)]
        if changed:
            raise ConfigError(
                f"{config.output} holds a run with other settings ({', '.join(changed)}): "
                "change them back to go on with it, or choose another output"
            )
        return
    if config.output.exists() and any(entry.suffix != ".part" for entry in config.output.iterdir()):
        raise ConfigError(f"{config.output} exists and holds other things than a run: choose another output")
    config.output.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(now, indent=2) + "\n")


def _settings(config: TrainConfig, devices: int) -> dict[str, Any]:
    """The configuration, and what else decides the course of a run."""
    settings: dict[str, Any] = json.loads(config.model_dump_json())
    settings["devices"] = devices
    for name, path in (("train", config.data.train), ("evaluation", config.data.evaluation)):
        settings[f"content of data.{name}"] = None if path is None else _digest(path)
    return settings


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}): choose another output and begin anew") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: is not the settings of a run: choose another output and begin anew")
    return content


def _differences(one: Any, two: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if isinstance(one, dict) and isinstance(two, dict):
        keys = sorted({*one, *two})
        return [place for key in keys for place in _differences(one.get(key), two.get(key), (*at, key))]
    return [] if one == two else [at]


def _is_free(field: tuple[str, ...]) -> bool:
    return any(field[: len(free)] == free for free in _FREE)

"""`transformers.Trainer` with our step: one optimizer step is one GradCache step over the whole global batch."""

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState, ProgressCallback

from embedder.model import ColPaLiQwenEmbedder
from trainer.config import TrainConfig
from trainer.data import JsonlSamples
from trainer.errors import TrainerError
from trainer.evaluation import Evaluation, evaluate
from trainer.grad_cache import GradCache
from trainer.loading import StepBatch, StepCollator
from trainer.network import TrainableEmbedder, merged
from trainer.objective import Objective, objectives_of
from trainer.sampling import StepSampler

logger = logging.getLogger(__name__)

BEST = "best"
BEST_EVALUATION = "best_evaluation.json"
_SHOWN = 20
COMPLETE = "complete"  # written into a saved state last: a state without it was cut off while it was written


class StepLoader(DataLoader[Any]):
    """A loader of whole optimizer steps, which passes the epoch's number on to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch. transformers calls it at the start of each."""
        sampler: Any = self.batch_sampler
        sampler.set_epoch(epoch)


class Tally(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Samples and tokens seen so far by all ranks; part of the saved state, so that a resumed run goes on counting."""

    def __init__(
        self, seen: int = 0, bad: int = 0, tokens: int = 0, seconds: float = 0.0, messages: list[str] | None = None
    ) -> None:
        self.seen, self.bad, self.tokens, self.seconds = seen, bad, tokens, seconds
        self.messages = messages or []  # the first of this rank's skipped samples, for the report

    def state(self) -> dict[str, Any]:
        """What transformers writes into trainer_state.json."""
        return {
            "args": {
                "seen": self.seen,
                "bad": self.bad,
                "tokens": self.tokens,
                "seconds": self.seconds,
                "messages": self.messages,
            },
            "attributes": {},
        }


class MarkComplete(TrainerCallback):  # type: ignore[misc]
    """Marks a saved state as whole once everything in it is on the disk."""

    def on_save(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by transformers after the last file of a state."""
        if args.should_save:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class PrefixGuidedTrainer(Trainer):  # type: ignore[misc]
    """Trains an embedder on JSONL samples whose task prefix selects their loss.

    From transformers come the loop, schedules, mixed precision, DDP / FSDP / ZeRO-3, saving, resuming and trackers.
    Ours are the loader (one item is all of a rank's samples of a step), the step (`GradCache`), what is logged and the
    evaluation. Gradient accumulation is therefore 1 for transformers: our step accumulates itself, over chunks.
    """

    control: Any  # of transformers

    def __init__(self, config: TrainConfig, network: TrainableEmbedder, arguments: TrainingArguments) -> None:
        self.config = config
        self.samples = JsonlSamples(config.data.train)
        self.evaluation_samples = JsonlSamples(config.data.evaluation) if config.data.evaluation else None
        self.last_evaluation: Evaluation | None = None
        self._meters: dict[str, list[float | Tensor]] = {}
        self._logged = time.monotonic()
        self._window = [0, 0]  # tokens and samples since the last log line
        super().__init__(
            model=network,
            args=arguments,
            train_dataset=self.samples,
            eval_dataset=self.evaluation_samples,
            data_collator=list,
        )
        self.add_callback(Tally())
        self.add_callback(MarkComplete())
        if config.report.early_stopping and self.evaluation_samples:
            self.add_callback(EarlyStoppingCallback(early_stopping_patience=config.report.early_stopping))
        # The stock bar prints each log line's dictionary; ours are a page long.
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(_Bar())

    @property
    def tally(self) -> Tally:
        """Looked up each time: resuming replaces the callback by one with the saved numbers."""
        found = [callback for callback in self.callback_handler.callbacks if isinstance(callback, Tally)]
        return found[0]

    @property
    def network(self) -> TrainableEmbedder:
        """The network without the wrappers of DDP and the like."""
        inner = self.accelerator.unwrap_model(self.model)
        assert isinstance(inner, TrainableEmbedder)
        return inner

    def get_train_dataloader(self) -> StepLoader:
        """Whole steps of this rank. Not prepared by accelerate: the sampler already shards."""
        data, optimization = self.config.data, self.config.optimization
        network = self.network
        sampler = StepSampler(
            self.samples.tasks() if data.sampling else None,
            len(self.samples),
            self.config.samples_per_device,
            self.args.process_index,
            self.args.world_size,
            optimization.seed,
            data.sampling,
            self.samples.task_names if data.sampling else (),
        )
        collate = StepCollator(
            network.processor,
            network.max_tokens,
            network.max_images,
            per_chunk=optimization.per_device_batch,
            token_budget=optimization.token_budget,
            task_names=tuple(objectives_of(self.config.objective)),
            prefixes=data.prefixes,
        )
        return StepLoader(
            self.samples,
            batch_sampler=sampler,
            collate_fn=collate,
            num_workers=data.workers,
            pin_memory=False,
            persistent_workers=data.workers > 0,
            prefetch_factor=2 if data.workers else None,
            # Its own: starting workers would otherwise draw from the model's random numbers, in a resumed run at
            # another place than in one that was never stopped.
            generator=torch.Generator(),
        )

    def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: Any) -> tuple[list[Any], None]:
        """The next step. (The stock method looks for labels to count.)"""
        found = [batch for _, batch in zip(range(num_batches), epoch_iterator, strict=False)]
        return found, None

    def floating_point_ops(self, inputs: StepBatch) -> int:
        """Not counted here: `vipylo train plan` derives them. (The stock method looks for input_ids.)"""
        return 0

    def training_step(self, model: nn.Module, inputs: StepBatch, num_items_in_batch: Any = None) -> Tensor:
        """Gradient of the global batch's loss, added to the parameters. Returns the loss, detached."""
        model.train()
        self._count(inputs)
        cache = GradCache(
            model,
            self._objective(),
            device=self.args.device,
            backward=self._backward,
            no_sync=self._no_sync(model),
        )
        report = cache.step(inputs)
        for name, value in report.metrics.items():
            self._meters.setdefault(name, []).append(value)
        if not torch.isfinite(report.loss):
            raise TrainerError(
                f"step {self.state.global_step + 1}: the loss is {float(report.loss)}; resume from the last saved "
                "state with a lower learning rate (optimization.learning_rate) or precision: fp32"
            )
        return report.loss.detach()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to each line of training what was seen since the last one: losses and cosines per task, tokens/s."""
        if "loss" in logs and self._meters:
            logs |= {name: _mean(values) for name, values in self._meters.items()}
            elapsed = max(time.monotonic() - self._logged, 1e-9)
            logs["tokens_per_second"] = self._window[0] / elapsed
            logs["samples_per_second"] = self._window[1] / elapsed
            logs["skipped"] = self.tally.bad
            self.tally.seconds += elapsed
            self._meters, self._window, self._logged = {}, [0, 0], time.monotonic()
        super().log(logs, start_time)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Retrieval and similarity on the evaluation file. Every rank takes part, as sharded weights need it."""
        if self.evaluation_samples is None:
            return {}
        paused, random = time.monotonic(), torch.get_rng_state()
        self.model.eval()
        try:
            self.last_evaluation = evaluate(
                self.network,
                self.evaluation_samples,
                batch_size=self.config.optimization.per_device_batch,
                prefixes=self.config.data.prefixes,
                show_progress=self.is_world_process_zero(),
            )
        finally:
            self.model.train()
            torch.set_rng_state(random)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.last_evaluation.metrics.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self._logged += time.monotonic() - paused  # evaluating is not training: tokens/s must not sink
        return metrics

    def evaluate_now(self) -> None:
        """Evaluate outside the loop, and keep the weights if they are the best so far."""
        self._determine_best_metric(self.evaluate(), None)

    def export(self, directory: Path) -> ColPaLiQwenEmbedder | None:
        """Write a checkpoint of what is trained now; on the main process, which gets it back. All ranks must call."""
        state = self.accelerator.get_state_dict(self.model)
        self.accelerator.wait_for_everyone()
        if not self.args.should_save:
            return None
        embedder = merged(self.network, state)
        embedder.save_pretrained(directory, dtype=torch.bfloat16)
        return embedder

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """As in transformers; besides, the best weights so far are kept as a whole checkpoint."""
        if f"eval_{self.config.report.metric}" not in metrics:
            raise TrainerError(
                f"report.metric: the evaluation has no {self.config.report.metric!r} (it has: "
                f"{', '.join(sorted(name.removeprefix('eval_') for name in metrics))})"
            )
        best: bool = super()._determine_best_metric(metrics, trial)
        if best:
            self.export(Path(self.args.output_dir) / BEST)
            if self.args.should_save and self.last_evaluation is not None:
                text = json.dumps(self.last_evaluation.to_json(), indent=2) + "\n"
                (Path(self.args.output_dir) / BEST_EVALUATION).write_text(text, encoding="utf-8")
        return best

    def _objective(self) -> Objective:
        return Objective(self.config.objective, self.config.model.matryoshka, self.config.data.mixing)

    def _no_sync(self, model: nn.Module) -> Callable[[], Any]:
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            return _Deferred(self.accelerator)
        return lambda: self.accelerator.no_sync(model)

    def _backward(self, loss: Tensor) -> None:
        if self.accelerator.distributed_type == DistributedType.DEEPSPEED:
            self.accelerator.backward(loss, scale_wrt_gas=False)
        else:
            self.accelerator.backward(loss)

    def _count(self, step: StepBatch) -> None:
        """Add up what all ranks see, and stop, on all of them at once, when too much of it is bad."""
        for message in step.bad:
            logger.warning("skipped: %s", message)
        self.tally.messages += step.bad[: max(0, _SHOWN - len(self.tally.messages))]
        numbers = torch.tensor(
            [len(step.tasks), len(step.bad), step.tokens], dtype=torch.int64, device=self.args.device
        )
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(numbers)
        good, bad, tokens = (int(number) for number in numbers.tolist())
        self.tally.seen += good + bad
        self.tally.bad += bad
        self.tally.tokens += tokens
        self._window[0] += tokens
        self._window[1] += good
        allowed = self.config.data.max_bad_share
        # A handful at the start is no share yet.
        if self.tally.bad > max(allowed * self.tally.seen, 10 if allowed > 0 else 0):
            raise TrainerError(
                f"{self.config.data.train}: {self.tally.bad} of {self.tally.seen} samples could not be loaded, more "
                f"than data.max_bad_share = {allowed} allows; the log names each (vipylo train check FILE names all)"
            )


class _Deferred:
    """What no_sync is to DDP, for ZeRO: marks that this backward is not the step's last."""

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator

    def __call__(self) -> "_Deferred":
        return self

    def __enter__(self) -> None:
        self.accelerator.gradient_state._set_sync_gradients(False)

    def __exit__(self, *_: Any) -> None:
        self.accelerator.gradient_state._set_sync_gradients(True)


class _Bar(ProgressCallback):  # type: ignore[misc]
    """The stock progress bar, with the loss beside it instead of a printed dictionary per log line."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show loss and speed."""
        if state.is_world_process_zero and self.training_bar is not None and logs and "loss" in logs:
            shown = {"loss": f"{logs['loss']:.3f}", "tokens/s": f"{logs.get('tokens_per_second', 0):.0f}"}
            self.training_bar.set_postfix(shown)


def _mean(values: list[float | Tensor]) -> float:
    return float(sum(float(value) for value in values) / len(values))


def arguments_of(config: TrainConfig) -> TrainingArguments:
    """The run's `TrainingArguments`: ours hold what transformers need not know, transformers' hold the loop."""
    optimization, report = config.optimization, config.report
    evaluates = config.data.evaluation is not None
    return TrainingArguments(
        output_dir=str(config.output),
        per_device_train_batch_size=config.samples_per_device,
        gradient_accumulation_steps=1,
        num_train_epochs=optimization.epochs,
        max_steps=optimization.max_steps or -1,
        learning_rate=optimization.learning_rate,
        lr_scheduler_type=optimization.schedule,
        warmup_steps=optimization.warmup_share,  # below 1 it is a share of all steps
        weight_decay=optimization.weight_decay,
        max_grad_norm=optimization.max_grad_norm,
        optim="adamw_torch",
        seed=optimization.seed,
        bf16=config.model.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_num_workers=config.data.workers,
        logging_strategy="steps",
        logging_steps=report.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="no" if not evaluates else "steps" if report.evaluate_every else "epoch",
        eval_steps=report.evaluate_every,
        metric_for_best_model=report.metric if evaluates else None,
        greater_is_better=True,
        save_strategy="steps",
        save_steps=report.save_every,
        save_total_limit=report.keep,
        report_to=_trackers(report.trackers),
        remove_unused_columns=False,
        label_names=[],
        restore_callback_states_from_checkpoint=True,
        # Ours makes the vision tower run in every chunk, so DDP need not search the graph for unused parameters.
        ddp_find_unused_parameters=False,
        disable_tqdm=False,
    )


def last_state(output: Path, remove_broken: bool) -> Path | None:
    """The newest saved state that is whole; ones cut off by a kill while saving are passed over, or removed."""
    whole: list[tuple[int, Path]] = []
    for folder in output.glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            whole.append((int(folder.name.rpartition("-")[2]), folder))
        elif remove_broken:
            logger.warning("%s was cut off while it was written: removed", folder)
            shutil.rmtree(folder, ignore_errors=True)
    return max(whole)[1] if whole else None


def _trackers(wanted: tuple[str, ...]) -> list[str]:
    import importlib.util

    found = [name for name in wanted if importlib.util.find_spec(name)]
    for name in set(wanted) - set(found):
        logger.warning("%s is not installed: nothing is logged to it (pip install %s)", name, name)
    return found

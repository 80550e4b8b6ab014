"""`transformers.Trainer` with our step: one optimizer step is one GradCache step over the whole global batch."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import ProgressCallback

from embedder.model import ColPaLiQwenEmbedder
from trainer.callbacks import Bar, EarlyStop, LogAtSaves, Tally
from trainer.config import TrainConfig
from trainer.data import JsonlSamples
from trainer.errors import TrainerError
from trainer.evaluation import Evaluation, evaluate
from trainer.grad_cache import GradCache
from trainer.loading import StepBatch, StepCollator
from trainer.network import TrainableEmbedder, merged
from trainer.objective import Objective, objectives_of
from trainer.sampling import StepSampler
from trainer.states import best_folder, decided_by_first, keep_best, mark_complete, remove_old, state_folder, unmark

logger = logging.getLogger(__name__)

_SHOWN = 20


class StepLoader(DataLoader[Any]):
    """A loader of whole optimizer steps, which passes the epoch's number on to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        """Shuffle for this epoch. transformers calls it at the start of each."""
        sampler: Any = self.batch_sampler
        sampler.set_epoch(epoch)


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
        self._logged: float | None = None  # when the last line was; the clock starts with the first step
        self._stopped = False  # whether the loaded state is that of a run that had come to its end
        self._window = [0, 0]  # tokens and samples since the last log line
        super().__init__(
            model=network,
            args=arguments,
            train_dataset=self.samples,
            eval_dataset=self.evaluation_samples,
            data_collator=list,
        )
        if self.evaluation_samples and config.report.evaluate_every is None:
            self.args.eval_steps = len(self._sampler())
        self.add_callback(Tally())
        self.add_callback(LogAtSaves())
        if config.report.early_stopping and self.evaluation_samples:
            self.add_callback(EarlyStop(early_stopping_patience=config.report.early_stopping))
        # The stock bar prints each log line's dictionary; ours are a page long.
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(Bar())

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
            batch_sampler=self._sampler(),
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
        self._logged = time.monotonic() if self._logged is None else self._logged
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
            self._diverged("loss", float(report.loss))
        return report.loss.detach()

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        """As in transformers, which calls it right before the optimizer's step: no step is made with a gradient of nan.

        (Under DeepSpeed that step has been made by then; but it is in no saved state.)
        """
        norm = super()._get_grad_norm(model, grad_norm=grad_norm)
        if norm is not None and not math.isfinite(float(norm)):
            self._diverged("norm of the gradient", float(norm))
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds to each line of training what was seen since the last one: losses and cosines per task, tokens/s."""
        if "loss" in logs and self._meters and self._logged is not None:
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
            own = evaluate(
                self.network,
                self.evaluation_samples,
                batch_size=self.config.optimization.per_device_batch,
                prefixes=self.config.data.prefixes,
                show_progress=self.is_world_process_zero(),
            )
        finally:
            self.model.train()
            torch.set_rng_state(random)
        # What is best and when to stop follows from it: a last digit that differs must not part the ranks.
        self.last_evaluation = decided_by_first(lambda: own)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.last_evaluation.metrics.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        if self._logged is not None:
            self._logged += time.monotonic() - paused  # evaluating is not training: tokens/s must not sink
        return metrics

    def evaluate_now(self) -> None:
        """Evaluate outside the loop, and keep the weights if they are the best so far."""
        self._determine_best_metric(self.evaluate(), None)

    def export(self, directory: Path) -> None:
        """Write a checkpoint of what is trained now, on the main process. All ranks must call."""
        embedder = self._plain()
        if embedder is not None:
            embedder.save_pretrained(directory, dtype=torch.bfloat16)

    def _plain(self) -> ColPaLiQwenEmbedder | None:
        """What is trained now as a plain embedder, on the main process. All ranks must call."""
        # DeepSpeed's engine alone can gather its shards; transformers leaves the engine out of self.model.
        held = self.model_wrapped if self.is_deepspeed_enabled else self.model
        state = self.accelerator.get_state_dict(held)
        self.accelerator.wait_for_everyone()
        return merged(self.network, state) if self.args.should_save else None

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether this is the best evaluation so far; then its weights are kept as a whole checkpoint.

        Instead of the stock method, which remembers states: those are for going on and go away in their turn.
        """
        name = f"eval_{self.config.report.metric}"
        if name not in metrics:
            raise TrainerError(
                f"report.metric: the evaluation has no {self.config.report.metric!r} (it has: "
                f"{', '.join(sorted(name.removeprefix('eval_') for name in metrics))})"
            )
        if self.state.best_metric is not None and metrics[name] <= self.state.best_metric:
            return False
        self.state.best_metric, self.tally.best_step = metrics[name], self.state.global_step
        embedder = self._plain()
        if embedder is not None and self.last_evaluation is not None:
            keep_best(
                Path(self.args.output_dir),
                self.state.global_step,
                lambda folder: embedder.save_pretrained(folder, dtype=torch.bfloat16),
                self.last_evaluation,
            )
        return True

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As in transformers; then the state is marked as whole, and only then older ones are removed."""
        output, step = Path(self.args.output_dir), self.state.global_step
        if self.args.should_save:
            unmark(state_folder(output, step))
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every rank writes a file of its own
        if self.args.should_save:
            mark_complete(state_folder(output, step), self.tally.best_step)
            remove_old(output, self.config.report.keep, self.tally.best_step)

    def _load_callback_state(self) -> None:
        super()._load_callback_state()
        self._stopped = self.control.should_training_stop  # transformers resets it when training begins

    def _run_epoch(self, **arguments: Any) -> None:
        """As in transformers, which would train one step more when it goes on from a run's last state."""
        if self._stopped or self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(**arguments)

    def _diverged(self, what: str, value: float) -> NoReturn:
        best = self.tally.best_step
        source = "as it is" if best is None else f"set to {best_folder(Path(self.args.output_dir), best)}"
        raise TrainerError(
            f"step {self.state.global_step + 1}: the {what} is {value}, and the step was not made. Start a new run "
            f"(another output) with a lower optimization.learning_rate or precision: fp32, model.checkpoint {source}"
        )

    def _sampler(self) -> StepSampler:
        data = self.config.data
        return StepSampler(
            self.samples.tasks() if data.sampling else None,
            len(self.samples),
            self.config.samples_per_device,
            self.args.process_index,
            self.args.world_size,
            self.config.optimization.seed,
            data.sampling,
            self.samples.task_names if data.sampling else (),
        )

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


def _mean(values: list[float | Tensor]) -> float:
    return float(sum(float(value) for value in values) / len(values))

"""What rides along in the training loop of transformers: counts, log lines at saves, early stopping, the bar."""

import sys
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState, ProgressCallback


class Tally(TrainerCallback, ExportableState):  # type: ignore[misc]
    """Samples and tokens seen so far by all ranks; part of the saved state, so that a resumed run goes on counting."""

    def __init__(
        self,
        seen: int = 0,
        bad: int = 0,
        tokens: int = 0,
        seconds: float = 0.0,
        messages: list[str] | None = None,
        best_step: int | None = None,
    ) -> None:
        self.seen, self.bad, self.tokens, self.seconds = seen, bad, tokens, seconds
        self.messages = messages or []  # the first of this rank's skipped samples, for the report
        self.best_step = best_step  # of the best evaluation so far

    def state(self) -> dict[str, Any]:
        """What transformers writes into trainer_state.json."""
        names = ("seen", "bad", "tokens", "seconds", "messages", "best_step")
        return {"args": {name: getattr(self, name) for name in names}, "attributes": {}}


class LogAtSaves(TrainerCallback):  # type: ignore[misc]
    """A log line at every saved state, so that a resumed run's lines are those of one that was never stopped.

    Sums since the last line are in no state of transformers.
    """

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """After the stock callback has decided whether to save at this step."""
        if control.should_save:
            control.should_log = True


class EarlyStop(EarlyStoppingCallback):  # type: ignore[misc]
    """The stock rule; the state in which it stopped is saved, so that finishing can be taken up again."""

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Any) -> None:
        """Nothing: the stock warning is about loading the best weights in the end, which `trainer.run` does itself."""

    def on_evaluate(self, args: TrainingArguments, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
        """Stop after as many evaluations without a better metric as were asked for."""
        super().on_evaluate(args, state, control, metrics, **kwargs)
        if control.should_training_stop:
            control.should_save = True


class Bar(ProgressCallback):  # type: ignore[misc]
    """The stock progress bar, with the loss beside it instead of a printed dictionary per log line."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Show loss and speed."""
        if state.is_world_process_zero and self.training_bar is not None and logs and "loss" in logs:
            shown = {"loss": f"{logs['loss']:.3f}", "tokens/s": f"{logs.get('tokens_per_second', 0):.0f}"}
            self.training_bar.set_postfix(shown)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """One line for each evaluation, above the bar."""
        super().on_evaluate(args, state, control, **kwargs)
        if state.is_world_process_zero and self.training_bar is not None:
            metrics = kwargs.get("metrics") or {}
            names = dict.fromkeys(("mean", args.metric_for_best_model))
            found = [f"{name} {metrics[f'eval_{name}']:.4f}" for name in names if f"eval_{name}" in metrics]
            # Not to stdout, where the command says where the checkpoint is.
            self.training_bar.write(f"step {state.global_step}: {', '.join(found)}", file=sys.stderr)

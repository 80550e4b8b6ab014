"""Our configuration as transformers' `TrainingArguments`."""

import importlib.util
import logging
import os

import torch
from transformers import TrainingArguments

from trainer.config import TrainConfig
from trainer.errors import ConfigError

logger = logging.getLogger(__name__)


def arguments_of(config: TrainConfig) -> TrainingArguments:
    """The run's `TrainingArguments`: ours hold what transformers need not know, transformers' hold the loop.

    Raises:
        ConfigError: the launcher asks for another precision than the configuration.
    """
    optimization, report = config.optimization, config.report
    evaluates = config.data.evaluation is not None
    arguments = TrainingArguments(
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
        # Ends of epochs are turned into steps by `PrefixGuidedTrainer`: transformers evaluates at an epoch's end after
        # it has saved, and a run resumed from that state would never do so.
        eval_strategy="steps" if evaluates else "no",
        eval_steps=report.evaluate_every or 1,
        metric_for_best_model=report.metric if evaluates else None,
        greater_is_better=True,
        save_strategy="steps",
        save_steps=report.save_every,
        save_total_limit=None,  # old states are removed by us, after the new one is whole
        report_to=_trackers(config),
        run_name=report.name,
        remove_unused_columns=False,
        label_names=[],
        restore_callback_states_from_checkpoint=True,
        # Ours makes the vision tower run in every chunk, so DDP need not search the graph for unused parameters.
        ddp_find_unused_parameters=False,
        disable_tqdm=False,
    )
    _check_precision(config, arguments)
    _use_one_device(arguments)
    return arguments


def _check_precision(config: TrainConfig, arguments: TrainingArguments) -> None:
    """transformers takes the launcher's precision where it is asked for none."""
    wanted = "bf16" if config.model.precision == "bf16" else "no"
    if arguments.mixed_precision != wanted:
        raise ConfigError(
            f"model.precision is {config.model.precision}, but the launcher's mixed_precision is "
            f"{arguments.mixed_precision}: give accelerate launch --mixed_precision {wanted}, or change model.precision"
        )


def _use_one_device(arguments: TrainingArguments) -> None:
    """Without a launcher transformers spreads a batch over all GPUs by nn.DataParallel.

    That cuts each tensor into equal parts by its first dimension; of pixel_values these are patches, not rows.
    """
    if arguments.n_gpu > 1:
        logger.warning(
            "this machine has %d GPUs, and this run uses one of them: for all of them start it with "
            "accelerate launch --multi_gpu --num_processes %d -m trainer CONFIG.yaml",
            arguments.n_gpu,
            arguments.n_gpu,
        )
        arguments._n_gpu = 1


def _trackers(config: TrainConfig) -> list[str]:
    wanted = config.report.trackers
    found: list[str] = [name for name in wanted if importlib.util.find_spec(name)]
    for name in set(wanted) - set(found):
        logger.warning("%s is not installed: nothing is logged to it (pip install %s)", name, name)
    if config.report.project is not None:
        os.environ.setdefault("WANDB_PROJECT", config.report.project)  # the one place where transformers looks for it
    return found

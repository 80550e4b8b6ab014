"""`python -m trainer` for tests of several processes: sharded on CPUs, with ranks that disagree, or cut off at a step.

python -m torch.distributed.run --nproc_per_node 2 --standalone -m tests.trainer.launched CONFIG.yaml
"""

import datetime
import os
from dataclasses import replace
from typing import Any

import torch.distributed as dist
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor
from transformers import TrainingArguments

import trainer.run
import trainer.trainer
from trainer.__main__ import main
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation
from trainer.loading import StepBatch

# A lost collective must fail the test, not hang it.
LIMIT = datetime.timedelta(seconds=60)


def shard_on_cpus() -> None:
    """accelerate shards where it finds GPUs only, and on CPUs copies in silence: call ours by another name."""
    stock = trainer.run.arguments_of

    def arguments_of(config: TrainConfig) -> TrainingArguments:
        arguments = stock(config)
        PartialState().distributed_type = DistributedType.MULTI_GPU
        return arguments

    trainer.run.arguments_of = arguments_of


def disagree() -> None:
    """Rank 0 finds each evaluation worse than the one before, rank 1 better."""
    stock, calls = trainer.trainer.evaluate, []

    def evaluate(*arguments: Any, **options: Any) -> Evaluation:
        found = stock(*arguments, **options)
        calls.append(found)
        value = 0.5 + 0.01 * len(calls) * (1 if dist.get_rank() else -1)
        return replace(found, parts=(replace(found.parts[0], metrics={"ndcg@10": value}),))

    trainer.trainer.evaluate = evaluate


def watch(stop_at: int | None, sharded: bool) -> None:
    """Leave all at once when a step begins, as if killed; and look whether weights are sharded indeed."""
    stock = trainer.trainer.PrefixGuidedTrainer.training_step

    def training_step(self: Any, model: Any, inputs: StepBatch, count: Any = None) -> Any:
        assert dist.get_world_size() == 2
        assert all(isinstance(parameter, DTensor) == sharded for parameter in model.parameters())
        if self.state.global_step == stop_at:
            os._exit(9)
        return stock(self, model, inputs, count)

    trainer.trainer.PrefixGuidedTrainer.training_step = training_step


if __name__ == "__main__":
    dist.init_process_group("gloo", timeout=LIMIT)
    stop_at = os.environ.get("STOP_AT")
    is_sharded = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if is_sharded:
        shard_on_cpus()
    if os.environ.get("DISAGREE"):
        disagree()
    watch(None if stop_at is None else int(stop_at), is_sharded)
    main()

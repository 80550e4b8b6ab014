"""The recipe's last training stage: the package's own trainer on JSONL pairs of all five tasks.

Only embeddings and projection learn. The vision tower is frozen, since its features are what reading made of them; so
are the layers of the text model, which begin as identity: let loose for minutes, they drown the codes (RESULTS.md).
"""

from pathlib import Path

from trainer.config import TrainConfig
from trainer.run import train


def finish(checkpoint: Path, pairs: Path, out: Path, steps: int, seed: int = 1) -> Path:
    """Train `checkpoint` on `pairs` (see `trainer.starter.pairs`) in the run folder `out`; resumes one found there.

    Returns:
        The directory of the finished checkpoint.
    """
    return train(finish_config(checkpoint, pairs, out, steps, seed))


def finish_config(checkpoint: Path, pairs: Path, out: Path, steps: int, seed: int = 1) -> TrainConfig:
    """The stage as a configuration: 256 samples a step, 16 in memory at once."""
    return TrainConfig.model_validate(
        {
            "output": out,
            "model": {"checkpoint": str(checkpoint), "max_tokens": 2048, "frozen": ["vision", "layers"]},
            "data": {"train": pairs, "workers": 1},
            # 1 - cos never decays and works against telling things apart: at weight 1 it would lead in the end.
            "objective": {"temperature": 0.05, "weights": {"cosine": 0.2, "mse": 4.0}},
            "optimization": {
                "max_steps": steps,
                "per_device_batch": 16,
                "accumulation": 16,
                "token_budget": 6144,
                "learning_rate": 1e-3,
                "weight_decay": 0.01,
                "seed": seed,
            },
            "report": {
                "name": "ViPylo starter",
                "log_every": 5,
                "save_every": 20,
                "trackers": [],
                "licence": "apache-2.0",
            },
        }
    )

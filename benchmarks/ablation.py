"""What do the prefix and its losses give? The same data and steps, one setting changed at a time, per task.

    python -m trainer.starter.pairs --texts TEXTS --out pairs --samples 2000 --held-out 400
    python benchmarks/ablation.py --data pairs --checkpoint OUT/read --steps 20 --accumulation 4 --out ablation.json

Trains a checkpoint (its vision tower and layers frozen, so that it runs on two CPU cores) on the five tasks of `--data`
and evaluates on its held-out part: nDCG@10 of each task's queries among all its documents, and Spearman's rho where
pairs have scores. Every variant sees the same samples in the same order from the same weights; `--seeds` repeats all
with other orders. "before" is the checkpoint that all start from. It should not have seen prefixes: the packaged
starter has, which favours the variants with them; `OUT/read` of `python -m trainer.starter` has not.
"""

import argparse
import json
import logging
import statistics
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from embedder.model import ColPaLiQwenEmbedder
from trainer.config import TrainConfig
from trainer.data import JsonlSamples
from trainer.evaluation import Evaluation, evaluate
from trainer.run import train

VARIANTS: dict[str, dict[str, Any]] = {
    "prefix-guided losses, mixed negatives": {},
    "prefix-guided losses, own task's negatives": {"data": {"mixing": "homogeneous"}},
    "InfoNCE alone": {"objective": {"only_contrastive": True}},
    "prefix-guided losses, no prefixes": {"data": {"prefixes": False}},
    "InfoNCE alone, no prefixes": {"objective": {"only_contrastive": True}, "data": {"prefixes": False}},
}


def settings(options: argparse.Namespace, output: Path, seed: int, changes: dict[str, Any]) -> TrainConfig:
    """A short run; `changes` are laid over its sections."""
    content: dict[str, Any] = {
        "output": output,
        "model": {
            "checkpoint": options.checkpoint,
            "precision": options.precision,
            "frozen": ["vision", "layers"],
            "max_pixels": options.max_pixels,
        },
        "data": {"train": options.data / "train.jsonl", "workers": options.workers},
        "objective": {"temperature": options.temperature},
        "optimization": {
            "max_steps": options.steps,
            "per_device_batch": options.batch,
            "accumulation": options.accumulation,
            "learning_rate": options.learning_rate,
            "seed": seed,
        },
        "report": {"log_every": 10, "save_every": 10**9, "trackers": []},
    }
    for section, fields in changes.items():
        content[section] = {**content.get(section, {}), **fields}
    return TrainConfig.model_validate(content)


def measured(checkpoint: str | Path, data: Path, prefixes: bool, max_pixels: int | None) -> Evaluation:
    """The checkpoint on the held-out samples, asked as it was trained."""
    embedder = ColPaLiQwenEmbedder.from_pretrained(checkpoint, max_pixels=max_pixels)
    return evaluate(embedder, JsonlSamples(data / "evaluation.jsonl"), prefixes=prefixes, show_progress=False)


def main_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Task -> nDCG@10, and Spearman's rho apart where there is one."""
    found: dict[str, float] = {}
    for part in evaluation.parts:
        if part.language is None:
            for metric, shown in (("ndcg@10", "nDCG@10"), ("spearman", "Spearman")):
                if metric in part.metrics:
                    found[f"{part.task} {shown}"] = part.metrics[metric]
    return found


def table(rows: dict[str, list[dict[str, float]]]) -> Table:
    """One row a variant: the mean over seeds, with the spread where there are several."""
    columns = list(dict.fromkeys(name for runs in rows.values() for run in runs for name in run))
    shown = Table("variant", *columns)
    for variant, runs in rows.items():
        cells = []
        for name in columns:
            values = [run[name] for run in runs if name in run]
            spread = f" ±{statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "")
        shown.add_row(variant, *cells)
    return shown


def main(arguments: list[str] | None = None) -> None:
    """Run all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and evaluation.jsonl")
    parser.add_argument("--checkpoint", default="starter")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16, help="samples in memory at once")
    parser.add_argument("--accumulation", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--temperature", type=float, default=0.07)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--max-pixels", type=int, help="of an image; small ones make the run shorter")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    rows: dict[str, list[dict[str, float]]] = {
        "before": [main_metrics(measured(options.checkpoint, options.data, True, options.max_pixels))]
    }
    with tempfile.TemporaryDirectory() as scratch:
        for seed in options.seeds:
            for number, (variant, changes) in enumerate(VARIANTS.items()):
                config = settings(options, Path(scratch) / f"{seed}-{number}", seed, changes)
                checkpoint = train(config)
                evaluation = measured(checkpoint, options.data, config.data.prefixes, options.max_pixels)
                rows.setdefault(variant, []).append(main_metrics(evaluation))
    Console(width=200).print(table(rows))
    if options.out:
        used = {key: str(value) for key, value in vars(options).items()}
        options.out.write_text(json.dumps({"settings": used, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""`python -m trainer.starter --texts DIR --out DIR --minutes 70`: train the starter checkpoint from scratch.

The checkpoint appears as OUT/checkpoint at the end (or where `--until` stops).
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from trainer.starter.export import export
from trainer.starter.train import Settings, start


def main() -> None:
    """Train, or go on with the run that `--out` holds."""
    parser = argparse.ArgumentParser(prog="python -m trainer.starter", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="folder with .txt .tsv .jsonl .json .csv texts")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run found there is resumed")
    parser.add_argument("--minutes", type=float, default=70.0, help="training time, all stages together")
    parser.add_argument("--until", type=float, default=1.0, help="stop at this share of the time (resume later)")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder with .ttf files (repeatable)")
    parser.add_argument("--processes", type=int, default=2, help="training processes of one thread each")
    options = parser.parse_args()
    # Forked workers: the tokenizer's own threads would not survive the fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    settings = replace(Settings(), minutes=options.minutes)
    run = start(options.texts, options.out, settings, options.fonts)
    run.train(options.until, options.processes)
    # Two minutes in a hundred; without it the checkpoint finds a third less (RESULTS.md).
    export(run.calibrated(3.6 * options.minutes), run.tokenizer, options.out / "checkpoint")


if __name__ == "__main__":
    main()

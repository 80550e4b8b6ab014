"""`python -m trainer.starter --texts DIR --out DIR --minutes 120`: train the starter checkpoint from scratch.

Reading (this room's own loop), then all five tasks (the package's trainer), then the vision tower's last layer and the
projection in closed form. The checkpoint appears as OUT/checkpoint. The same command goes on with a stopped run.
"""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from embedder.model import ColPaLiQwenEmbedder
from trainer.starter.corpus import read_corpus
from trainer.starter.export import export
from trainer.starter.finish import finish
from trainer.starter.model import Starter
from trainer.starter.pairs import write_pairs
from trainer.starter.render import Fonts
from trainer.starter.train import Run, Settings

# Of the last stage's samples: what has pictures takes long, and the vision tower is frozen.
SHARES = {"text_pair": 0.52, "instr": 0.34, "ocr": 0.06, "vqa_single": 0.06, "vqa_multi": 0.02}


def main() -> None:
    """Train, or go on with the run that `--out` holds."""
    parser = argparse.ArgumentParser(prog="python -m trainer.starter", description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="folder with .txt .tsv .jsonl .json .csv texts")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run found there is resumed")
    parser.add_argument("--minutes", type=float, default=120.0, help="time for reading")
    parser.add_argument("--until", type=float, default=1.0, help="stop at this share of that time (resume later)")
    parser.add_argument("--steps", type=int, default=60, help="steps of the last stage")
    parser.add_argument("--fonts", type=Path, action="append", default=[], help="folder with .ttf files (repeatable)")
    parser.add_argument("--processes", type=int, default=2, help="training processes of one thread each")
    options = parser.parse_args()
    # Forked workers: the tokenizer's own threads would not survive the fork.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    corpus, fonts = read_corpus(options.texts), Fonts.find(options.fonts)
    run = Run(options.out, corpus, replace(Settings(), minutes=options.minutes), fonts)
    run.train(options.until, options.processes)
    if options.until < 1:
        return
    read, pairs = options.out / "read", options.out / "pairs" / "train.jsonl"
    starter = run.averaged()
    run.refitted(starter)
    export(starter, run.tokenizer, read)
    if not pairs.exists():
        write_pairs(run.corpus, pairs, 230 * options.steps, fonts, seed=1, shares=SHARES)
    finished = options.out / "finish" / "checkpoint"
    if not finished.exists():
        finished = finish(read, pairs, options.out / "finish", options.steps)
    starter = Starter.of(ColPaLiQwenEmbedder.from_pretrained(finished, device="cpu"))
    run.refitted(starter)  # the codes have moved, the vision tower has not
    # Three minutes in a hundred; without it the checkpoint finds less (RESULTS.md).
    export(run.calibrated(starter, 1.8 * options.minutes), run.tokenizer, options.out / "checkpoint")


if __name__ == "__main__":
    main()

"""`accelerate launch -m trainer CONFIG.yaml [--set FIELD=VALUE ...]`: the same as `vipylo train CONFIG.yaml`."""

import argparse
import logging
import os
import sys

from embedder.errors import ViPyloError
from trainer.config import load_config, overrides


def main() -> None:
    """Train; errors of ours are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("config", help="YAML file, such as trainer/configs/qwen2VL2B.yaml")
    parser.add_argument(
        "--set",
        dest="changes",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="a field to change, such as optimization.max_steps=10 (repeatable)",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config, overrides(options.changes))
        from trainer.run import train

        checkpoint = train(config)
        if os.environ.get("RANK", "0") == "0":  # once, not from every device
            print(checkpoint)
    except ViPyloError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

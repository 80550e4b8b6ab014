"""`accelerate launch -m trainer CONFIG.yaml [section.field=value ...]`: the same as `vipylo train CONFIG.yaml`."""

import argparse
import logging
import os
import sys

import yaml

from embedder.errors import ViPyloError
from trainer.config import load_config


def main() -> None:
    """Train; errors of ours are one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m trainer", description=__doc__)
    parser.add_argument("config", help="YAML file, such as trainer/configs/qwen2VL2B.yaml")
    parser.add_argument("overrides", nargs="*", help="fields to change, such as optimization.max_steps=10")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config, overrides(options.overrides))
        from trainer.run import train

        checkpoint = train(config)
        if os.environ.get("RANK", "0") == "0":  # once, not from every device
            print(checkpoint)
    except ViPyloError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def overrides(arguments: list[str]) -> dict[str, object]:
    """["a.b=3"] -> {"a.b": 3}; values are YAML."""
    found: dict[str, object] = {}
    for argument in arguments:
        field, equals, value = argument.partition("=")
        if not equals:
            raise ViPyloError(f"{argument!r} is no section.field=value")
        found[field] = yaml.safe_load(value)
    return found


if __name__ == "__main__":
    main()

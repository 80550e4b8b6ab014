"""`vipylo train CONFIG.yaml`, and `vipylo train check | plan | mine`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _RunByDefault(TyperGroup):
    """`vipylo train CONFIG.yaml` is short for `vipylo train run CONFIG.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front unless a command or an option of the group comes first."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


train = typer.Typer(
    name="train",
    cls=_RunByDefault,
    help="Train an embedder: `vipylo train CONFIG.yaml`. Check data, plan a run, mine hard negatives.",
    no_args_is_help=True,
)


@train.command()
def run(
    config: Annotated[Path, typer.Argument(help="YAML file, such as trainer/configs/starter_finetune.yaml.")],
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A field to change: --set optimization.max_steps=10 (repeatable).")
    ] = None,
) -> None:
    """Train, or go on with the run that the configuration's output folder holds."""
    from trainer.__main__ import overrides
    from trainer.config import load_config
    from trainer.run import REPORT
    from trainer.run import train as train_run

    checked = load_config(config, overrides(change or []))
    checkpoint = train_run(checked)
    print(f"checkpoint: {checkpoint}")
    print(f"report:     {checked.output / REPORT}")


@train.command()
def check(
    file: Annotated[Path, typer.Argument(help="JSONL file.")],
    images: Annotated[bool, typer.Option("--images", help="Open every image's header too.")] = False,
    limit: Annotated[int, typer.Option(help="Problems shown; all are counted.", min=1)] = 20,
) -> None:
    """Check every line of a training file; problems name line and field. Exit code 1 if there is one."""
    from trainer.data_check import check_file
    from trainer.objective import OBJECTIVES

    report = check_file(file, known_tasks=OBJECTIVES, limit=limit, open_images=images)
    print(report)
    if not report.ok:
        raise typer.Exit(1)

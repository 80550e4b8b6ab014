"""`vipylo train CONFIG.yaml`, and `vipylo train check | plan | mine`."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperGroup


class _RunByDefault(TyperGroup):
    """`vipylo train CONFIG.yaml` is short for `vipylo train run CONFIG.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` in front unless a command or a call for help comes first."""
        if args and args[0] not in self.commands and args[0] != "--help":
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
    from trainer.config import load_config, overrides
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
    task: Annotated[list[str] | None, typer.Option("--task", help="A task of your own (repeatable).")] = None,
) -> None:
    """Check every line of a training file; problems name line and field. Exit code 1 if there is one."""
    from trainer.data_check import check_file
    from trainer.objective import OBJECTIVES

    report = check_file(file, known_tasks=[*OBJECTIVES, *(task or [])], limit=limit, open_images=images)
    print(report)
    if not report.ok:
        raise typer.Exit(1)


@train.command()
def plan(
    config: Annotated[Path, typer.Argument(help="YAML file of the run.")],
    gpu: Annotated[str, typer.Option(help="h100, h200, a100, a100-40, l4, rtx4090, a6000, or cpu.")] = "h100",
    gpus: Annotated[int, typer.Option(help="How many.", min=1)] = 1,
    strategy: Annotated[str, typer.Option(help="ddp, fsdp or zero3: what is sharded.")] = "ddp",
    samples: Annotated[int | None, typer.Option(help="Lines of the training file, if it is not here.", min=1)] = None,
    visual_tokens: Annotated[float | None, typer.Option(help="Visual tokens of a sample (with --text-tokens).")] = None,
    text_tokens: Annotated[float | None, typer.Option(help="Text tokens of a sample (with --visual-tokens).")] = None,
    share: Annotated[float, typer.Option(help="Part of the GPU's peak that is reached.", min=0.01, max=1)] = 0.35,
    change: Annotated[list[str] | None, typer.Option("--set", help="A field to change (repeatable).")] = None,
) -> None:
    """Parameters, tokens a step, steps, memory per GPU and hours of a run, without loading any weights."""
    from embedder.errors import InputError
    from trainer.config import load_config, overrides
    from trainer.plan import Strategy
    from trainer.plan import plan as make_plan

    if strategy not in get_args(Strategy):
        raise InputError(f"--strategy {strategy}: is none of {', '.join(get_args(Strategy))}")
    if (visual_tokens is None) != (text_tokens is None):
        raise InputError("--visual-tokens and --text-tokens go together")
    tokens = None if visual_tokens is None or text_tokens is None else (round(visual_tokens), round(text_tokens))
    chosen: Strategy = strategy  # type: ignore[assignment]  # checked above
    print(
        make_plan(
            load_config(config, overrides(change or [])),
            gpu=gpu,
            gpus=gpus,
            samples=samples,
            tokens_per_sample=tokens,
            strategy=chosen,
            share=share,
        )
    )


@train.command()
def mine(
    checkpoint: Annotated[str, typer.Argument(help="starter, a checkpoint directory or a hub id.")],
    file: Annotated[Path, typer.Argument(help="JSONL file.")],
    out: Annotated[Path, typer.Option(help="Where to write the lines with their negatives; may be the file itself.")],
    per_query: Annotated[int, typer.Option(help="Negatives to add to a line.", min=1)] = 4,
    margin: Annotated[float, typer.Option(help="Nearer to the positive's cosine than this is taken for right.")] = 0.05,
    sampling: Annotated[str, typer.Option(help="top: the hardest; random: drawn from the --depth hardest.")] = "top",
    depth: Annotated[int, typer.Option(help="For random: how many of the hardest to draw from.", min=1)] = 100,
    replace: Annotated[bool, typer.Option("--replace", help="Drop the negatives that lines have.")] = False,
    any_task: Annotated[bool, typer.Option("--any-task", help="Candidates of other tasks, too.")] = False,
    no_prefixes: Annotated[bool, typer.Option("--no-prefixes", help="For a model trained without prefixes.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...")] = None,
) -> None:
    """Add hard negatives to a training file: what a checkpoint takes for right and is not."""
    from embedder.errors import InputError
    from embedder.model import ColPaLiQwenEmbedder
    from trainer.data import JsonlSamples
    from trainer.mining import Sampling
    from trainer.mining import mine as mine_file

    if sampling not in get_args(Sampling):
        raise InputError(f"--sampling {sampling}: is none of {', '.join(get_args(Sampling))}")
    how: Sampling = sampling  # type: ignore[assignment]  # checked above
    samples = JsonlSamples(file)
    report = mine_file(
        ColPaLiQwenEmbedder.from_pretrained(checkpoint, device=device),
        samples,
        out,
        per_query=per_query,
        margin=margin,
        sampling=how,
        depth=depth,
        replace=replace,
        same_task=not any_task,
        prefixes=not no_prefixes,
    )
    print(report)

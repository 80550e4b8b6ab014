"""A plan as text for a terminal."""

from collections.abc import Iterable

from trainer.hardware import GB
from trainer.plan import TrainPlan


def render(plan: TrainPlan) -> str:
    """All of a plan, in sections."""
    step, flops, p = plan.step, plan.flops, plan.parameters
    full = plan.full_chunk
    sections = [
        f"{plan.name}: {plan.gpus} x {plan.device.name}, {plan.strategy}",
        _section(
            "Parameters",
            [
                ("vision tower", _millions(p.vision)),
                ("language model", _millions(p.language)),
                ("token embeddings", _millions(p.embeddings)),
                ("projection", _millions(p.projection)),
                *([("LoRA adapters", _millions(plan.adapters))] if plan.adapters else []),
                ("all", _millions(p.total + plan.adapters)),
                ("trained", _millions(plan.trainable)),
            ],
        ),
        _section(
            "Steps",
            [
                ("samples an epoch", f"{plan.samples:,}"),
                ("samples a step", f"{step.samples:,} ({step.samples_per_gpu:,} on each GPU)"),
                ("chunks a step", f"{step.chunks:.1f} on each GPU"),
                ("tokens a step", f"{step.visual + step.text:,.0f}"),
                ("  visual", f"{step.visual:,.0f}"),
                ("  text", f"{step.text:,.0f}"),
                ("padding", f"{step.padding:.1%} of what is computed"),
                ("steps an epoch", f"{plan.steps_per_epoch:,}"),
                ("steps", f"{plan.steps:,}"),
            ],
        ),
        _section(
            "FLOPs a step, each GPU",
            [
                ("forward without graph (GradCache)", _flops(flops.cached)),
                ("forward", _flops(flops.forward)),
                ("computed again (checkpointing)", _flops(flops.recomputed)),
                ("backward", _flops(flops.backward)),
                ("all", _flops(flops.total)),
            ],
        ),
        _section(
            f"Memory of each GPU, with a full chunk ({full.rows:,.0f} rows, {full.tokens:,.0f} tokens, "
            f"{full.patches:,.0f} patches)",
            [
                *((item.name, _gigabytes(item.bytes)) for item in plan.memory),
                ("all", f"{_gigabytes(plan.memory_total)} of {plan.device.memory / GB:.0f}"),
            ],
        ),
        *([_advice(plan)] if not plan.fits else []),
        _section(
            "Time",
            [
                ("training", f"{_hours(plan.hours)} ({plan.hours * plan.gpus:,.0f} GPU hours)"),
                ("a step", f"{plan.hours / plan.steps * 3600:,.2f} s"),
                ("main memory for decoded images", f"{_gigabytes(plan.host)} for each GPU"),
            ],
        ),
        _devices(plan),
        "Measured or assumed\n" + "\n".join(f"  - {note}" for note in plan.notes),
    ]
    return "\n\n".join(sections)


def _section(title: str, lines: Iterable[tuple[str, str]]) -> str:
    rows = list(lines)
    width = max(len(name) for name, _ in rows)
    return title + "".join(f"\n  {name:<{width}}  {value}" for name, value in rows)


def _advice(plan: TrainPlan) -> str:
    head = f"DOES NOT FIT on {plan.device.name}."
    if not plan.advice:
        return f"{head} Use LoRA (model.lora), a smaller max_pixels, more GPUs with fsdp, or a larger GPU."
    return f"{head} It does with" + "".join(
        f"\n  {change.name}  ({_gigabytes(change.bytes)})" for change in plan.advice
    )


def _devices(plan: TrainPlan) -> str:
    lines = [f"The same on {plan.gpus} of", f"  {'GPU':<18}{'memory':>8}{'bf16 TFLOPS':>13}{'fits':>6}{'time':>14}"]
    lines += [
        f"  {device.name:<18}{device.memory / GB:>5.0f} GB{device.peak / 1e12:>13,.0f}{'yes' if fits else 'no':>6}"
        f"{_hours(hours):>14}"
        for device, fits, hours in plan.others
    ]
    return "\n".join(lines)


def _millions(count: int) -> str:
    return f"{count / 1e6:>9,.1f} M"


def _gigabytes(count: float) -> str:
    return f"{count / GB:.2f} GB"


def _flops(count: float) -> str:
    for unit, size in (("PFLOP", 1e15), ("TFLOP", 1e12)):
        if count >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count / 1e9:,.2f} GFLOP"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:,.1f} minutes"

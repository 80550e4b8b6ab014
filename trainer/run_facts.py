"""The counts of a run as people read them; report and model card show the same rows."""

from collections.abc import Callable, Mapping
from typing import Any


def fact_rows(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, text) of the facts that are known, in reading order. None and absent ones are left out: nobody counted.

    Known: steps, epochs, samples, skipped, tokens, hours, best_step, devices, device, parameters, trained_parameters,
    stopped. Others follow under their own names.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    rows: list[tuple[str, str]] = []
    for name, (label, spell) in _LABELS.items():
        if name in known:
            rows.append((label, spell(known.pop(name))))
    rows += [
        (name.replace("_", " "), str(value)) for name, value in known.items() if isinstance(value, (str, int, float))
    ]
    return rows


def duration(hours: float) -> str:
    """Hours as people say them: "42 s", "7 min", "3.4 h"."""
    seconds = hours * 3600
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3570 else f"{hours:.1f} h"


def amount(number: float) -> str:
    """A count as people read it: "950", "12,345", "3.4 million"."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


_LABELS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "steps": ("optimizer steps", amount),
    "best_step": ("weights kept from step", amount),
    "epochs": ("epochs", lambda value: f"{value:.3g}"),
    "samples": ("samples seen, repeats included", amount),
    "skipped": ("samples skipped (could not be loaded)", amount),
    "tokens": ("tokens, visual ones included", amount),
    "hours": ("time of training, without evaluation", duration),
    "devices": ("devices", amount),
    "device": ("kind of device", str),
    "parameters": ("parameters", amount),
    "trained_parameters": ("of them trained", amount),
    "stopped": ("ended early", str),
}

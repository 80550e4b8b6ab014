"""`training_report.html`: a run on one page that needs no network: numbers, curves, what was skipped, the settings."""

import html
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import yaml

from trainer import chart
from trainer.chart import Chart, Series
from trainer.config import TrainConfig
from trainer.evaluation import Evaluation, metric_order
from trainer.run_facts import amount, fact_rows

REPORT_FILE = "training_report.html"

Points: TypeAlias = dict[float, float]
Table: TypeAlias = Sequence[Sequence[str]]

STYLE = (
    """
:root { color-scheme: light dark; --text: #1f2328; --quiet: #59636e; --paper: #fff; --card: #f6f8fa; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --quiet: #9198a1; --paper: #0d1117; --card: #151b23;
  --good: #4cc266; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 1320px; padding: 0 1rem; font: 15px/1.45 system-ui, sans-serif;
  color: var(--text); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .8rem; }
.lead { color: var(--quiet); margin: .5rem 0 1.4rem; }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 150px), 1fr)); }
.tile { background: var(--card); border-radius: 10px; padding: .7rem .9rem; min-width: 0; overflow-wrap: anywhere; }
.tile b { display: block; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile b.long { font-size: .95rem; } .tile span { color: var(--quiet); font-size: .8rem; }
.charts { display: grid; gap: .9rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .9rem .32rem 0; text-align: right; white-space: nowrap; }
th { color: var(--quiet); font-weight: 500; } thead th { border-bottom: 1px solid var(--line); }
td:first-child, th:first-child, td.word, th.word { text-align: left; } tr.whole td { font-weight: 600; }
tr.whole:not(:first-child) td { border-top: 1px solid var(--line); }
details { margin: .8rem 0; } summary { cursor: pointer; color: var(--quiet); }
pre { background: var(--card); border-radius: 10px; padding: .9rem; overflow-x: auto; font-size: .8rem; }
ul.messages { font-size: .85rem; padding-left: 1.2rem; overflow-wrap: anywhere; }
@media print { .chart, .tile { break-inside: avoid; } }
"""
    + chart.STYLE
)

_TITLES = {
    "loss": "Loss", "infonce": "InfoNCE", "mse": "Squared error of the cosine", "cosine": "1 - cosine",
    "triplet": "Triplet", "accuracy": "In-batch accuracy", "count": "Samples a step", "ndcg@10": "nDCG@10",
    "mrr": "MRR", "spearman": "Spearman's rho", "mean": "Mean over tasks",
}  # fmt: skip
_SPEED = {
    "grad_norm": "Gradient norm", "learning_rate": "Learning rate", "tokens_per_second": "Tokens a second",
    "samples_per_second": "Samples a second", "skipped": "Samples skipped so far",
}  # fmt: skip
_EXACT = frozenset({"learning_rate", "skipped"})  # no noise to look through
_POSITIVE, _NEGATIVE = "positive_cosine", "hardest_negative_cosine"
_HOW_TO_READ = (
    "<p class='lead'>All curves are over optimizer steps. Faint lines are what was logged, strong ones their moving "
    "mean; dotted lines are ends of epochs. Point at a curve to see its values.</p>"
)
_NOT_CURVES = re.compile(r"epoch|step|total_flos|train_.*|eval_(runtime|.*_per_second|model_preparation_time)")


def write_report(
    run_dir: Path,
    history: Sequence[Mapping[str, Any]],
    config: TrainConfig,
    evaluation: Evaluation | None = None,
    facts: Mapping[str, Any] | None = None,
    skipped_messages: Sequence[str] = (),
) -> Path:
    """Write the report of a run, finished or not, into its folder.

    Args:
        history: log lines of transformers ("step", "loss", "ocr/infonce", "eval_ocr/ndcg@10", ...), by rising step;
            where two lines of a step disagree, the later one counts. What is no finite number leaves a gap.
        evaluation: of the weights that were kept.
        facts: counts of the run, see `trainer.run_facts`; what is missing is not shown.
        skipped_messages: of samples that could not be loaded.

    Returns:
        The file, `training_report.html`: one file with no script and no link to any other.
    """
    curves = _Curves(history)
    title = f"{config.report.name}: training report"
    lead = f"from {config.model.checkpoint}, written {datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    body = "\n".join(
        (
            f"<h1>{html.escape(title)}</h1><p class='lead'>{html.escape(lead)}</p>",
            _tiles(curves, facts or {}),
            _evaluation_section(evaluation),
            _HOW_TO_READ if curves.by_name else "",
            _charts("Evaluation while training", _evaluation_charts(curves)),
            _charts("Evaluation while training, by language", _language_charts(curves)),
            _charts("Loss", _loss_charts(curves)),
            _charts("Queries, positives and hardest negatives in the batch", _batch_charts(curves)),
            _charts("Optimisation and speed", [curves.single(name, label) for name, label in _SPEED.items()]),
            _charts("Other", [curves.single(name, name) for name in curves.other()]),
            _skipped_section(facts or {}, skipped_messages),
            _settings(config),
        )
    )
    path = run_dir / REPORT_FILE
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>\n'
        f"{body}\n</body></html>\n",
        encoding="utf-8",
    )
    return path


class _Curves:
    """The logged numbers by name, and charts of them."""

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        self.by_name: dict[str, Points] = defaultdict(dict)
        self.epochs: Points = {}
        for line in history:
            step = line.get("step")
            if not _is_number(step):
                continue
            for name, value in line.items():
                if name == "epoch" and _is_number(value):
                    self.epochs[float(step)] = float(value)
                elif not _NOT_CURVES.fullmatch(name) and _is_number(value):
                    self.by_name[_evaluated(name)][float(step)] = float(value)
        self.marks = tuple(
            next(step for step, epoch in sorted(self.epochs.items()) if epoch >= whole)
            for whole in range(1, min(20, math.floor(max(self.epochs.values(), default=0.0))) + 1)
        )
        tasks = sorted({parts[0] for name in self.by_name if len(parts := _plain(name).split("/")) > 1})
        self.colours = {task: place for place, task in enumerate(tasks)}
        self.shown: set[str] = set()

    def points(self, name: str) -> tuple[tuple[float, float], ...]:
        return tuple(sorted(self.by_name.get(name, {}).items()))

    def last(self, name: str) -> float | None:
        points = [value for _, value in self.points(name) if math.isfinite(value)]
        return points[-1] if points else None

    def single(self, name: str, title: str) -> Chart:
        self.shown.add(name)
        series = Series(title, self.points(name))
        return Chart(title, (series,), marks=self.marks, smooth=name not in _EXACT, allow_log=True)

    def by_task(self, part: str, evaluated: bool = False, smooth: bool = True) -> Chart:
        """One line for each task that logs this part."""
        series = []
        for task, colour in self.colours.items():
            name = f"{'eval/' if evaluated else ''}{task}/{part}"
            if name in self.by_name:
                self.shown.add(name)
                series.append(Series(task, self.points(name), colour))
        return Chart(
            "Loss by task" if part == "loss" else _title(part),
            tuple(series),
            marks=self.marks,
            smooth=smooth,
            allow_log=part == "loss",
        )

    def cosines(self, task: str) -> Chart:
        """Positive and hardest negative of a task."""
        names = {f"{task}/{_POSITIVE}": "positive", f"{task}/{_NEGATIVE}": "hardest negative"}
        self.shown |= set(names)
        series = tuple(
            Series(label, self.points(name), self.colours[task], dashed=name.endswith(_NEGATIVE))
            for name, label in names.items()
            if name in self.by_name
        )
        return Chart(f"{task}: cosines", series, marks=self.marks, smooth=True)

    def languages(self, task: str, part: str) -> Chart:
        """One line for each language of a task."""
        pattern = re.compile(rf"eval/{re.escape(task)}/([^/]+)/{re.escape(part)}")
        found = [(name, match[1]) for name in sorted(self.by_name) if (match := pattern.fullmatch(name))]
        self.shown |= {name for name, _ in found}
        series = tuple(Series(label, self.points(name), place) for place, (name, label) in enumerate(found))
        return Chart(f"{task}: {_title(part)} by language", series, marks=self.marks)

    def parts(self, pattern: str) -> list[str]:
        """Names in place of the group in `pattern`, which covers whole names."""
        found = {match[1] for name in self.by_name if (match := re.fullmatch(pattern, name))}
        return sorted(found, key=lambda part: (*metric_order(part), part))

    def other(self) -> list[str]:
        """What is in no chart so far, in so far as it is a curve."""
        return [name for name in sorted(self.by_name) if name not in self.shown and len(self.by_name[name]) > 1]


def _evaluation_charts(curves: _Curves) -> list[Chart]:
    curves.shown.add("eval/mean")
    mean = Chart("Mean over tasks", (Series("mean", curves.points("eval/mean")),), marks=curves.marks)
    parts = curves.parts(r"eval/[^/]+/([^/]+)")
    return [mean, *(curves.by_task(part, evaluated=True, smooth=False) for part in parts)]


def _language_charts(curves: _Curves) -> list[Chart]:
    curves.shown |= {name for name in curves.by_name if re.fullmatch(r"eval/[^/]+/[^/]+/[^/]+", name)}
    parts = ("ndcg@10", "recall@1", "spearman")
    return [curves.languages(task, part) for part in parts for task in curves.colours]


def _loss_charts(curves: _Curves) -> list[Chart]:
    order = list(_TITLES)
    parts = [part for part in curves.parts(r"(?!eval/)[^/]+/([^/]+)") if part not in _BATCH]
    parts.sort(key=lambda part: order.index(part) if part in order else len(order))
    return [curves.single("loss", "Loss"), *(curves.by_task(part) for part in parts)]


_BATCH = frozenset({_POSITIVE, _NEGATIVE, "accuracy", "count"})


def _batch_charts(curves: _Curves) -> list[Chart]:
    return [*(curves.cosines(task) for task in curves.colours), curves.by_task("accuracy"), curves.by_task("count")]


def _charts(title: str, charts: Sequence[Chart]) -> str:
    drawn = "\n".join(filter(None, (one.html() for one in charts)))
    return f"<h2>{html.escape(title)}</h2><div class='charts'>{drawn}</div>" if drawn else ""


def _tiles(curves: _Curves, facts: Mapping[str, Any]) -> str:
    tiles = [(text, label) for label, text in fact_rows(facts)]
    losses = [value for _, value in curves.points("loss") if math.isfinite(value)]
    if losses:
        last = losses[-max(1, len(losses) // 20) :]
        tiles.append((f"{losses[0]:.3g} → {math.fsum(last) / len(last):.3g}", "loss, first to last"))
    best = max(((value, step) for step, value in curves.points("eval/mean") if math.isfinite(value)), default=None)
    if best:
        tiles.append((f"{best[0]:.3f}", f"best mean in evaluation, at step {best[1]:,.0f}"))
    speed = [value for _, value in curves.points("tokens_per_second") if math.isfinite(value)]
    if speed:
        tiles.append((amount(round(sorted(speed)[len(speed) // 2])), "tokens a second (median)"))
    cells = "".join(
        f'<div class="tile"><b class="{"long" if len(text) > 12 else "short"}">{html.escape(text)}</b>'
        f"<span>{html.escape(label)}</span></div>"
        for text, label in tiles
    )
    return f'<div class="tiles">{cells}</div>' if cells else "<p>Nothing has been logged yet.</p>"


def _evaluation_section(evaluation: Evaluation | None) -> str:
    if evaluation is None or not evaluation.parts:
        return ""
    columns = sorted({name for part in evaluation.parts for name in part.metrics}, key=metric_order)
    head = "".join(
        f"<th{' class=word' if place < 2 else ''}>{html.escape(name)}</th>"
        for place, name in enumerate(("task", "language", "queries", "documents", *map(_title, columns)))
    )
    rows = "".join(
        f"<tr{' class=whole' if part.language is None else ''}><td>{html.escape(part.task)}</td>"
        f"<td class=word>{html.escape(part.language or 'all')}</td><td>{part.queries:,}</td><td>{part.documents:,}</td>"
        + "".join(f"<td>{part.metrics[name]:.3f}</td>" if name in part.metrics else "<td></td>" for name in columns)
        + "</tr>"
        for part in evaluation.parts
    )
    mean = evaluation.metrics.get("mean")
    said = (
        f"Mean over tasks (nDCG@10, or Spearman's rho where pairs are scored): {mean:.3f}. " if mean is not None else ""
    )
    if evaluation.skipped:
        said += f"{evaluation.skipped:,} of {evaluation.samples:,} samples could not be loaded."
    return (
        f"<h2>Evaluation of the weights that were kept</h2><div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p class='lead'>{html.escape(said)}</p>"
    )


def _skipped_section(facts: Mapping[str, Any], messages: Sequence[str]) -> str:
    count = facts.get("skipped")
    if not count and not messages:
        return ""
    seen = f" of {amount(facts['samples'])}" if facts.get("samples") else ""
    total = f"{amount(count)}{seen} samples could not be loaded and were skipped." if count else ""
    entries = "".join(f"<li>{html.escape(message)}</li>" for message in messages)
    return f"<h2>Skipped samples</h2><p>{total}</p>" + (f"<ul class='messages'>{entries}</ul>" if entries else "")


def _settings(config: TrainConfig) -> str:
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return (
        "<h2>Settings</h2><details open><summary>the configuration, defaults included</summary>"
        f"<pre>{html.escape(text)}</pre></details>"
    )


def _evaluated(name: str) -> str:
    """transformers writes "eval_ocr/mrr"; task names have underscores too, so "eval/ocr/mrr" here."""
    return "eval/" + name.removeprefix("eval_") if name.startswith("eval_") else name


def _plain(name: str) -> str:
    return name.removeprefix("eval/")


def _title(part: str) -> str:
    return _TITLES.get(part, part.replace("_", " "))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

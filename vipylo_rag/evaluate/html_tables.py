"""The tables and charts of the HTML page. Widths are SVG attributes: the page's policy allows no style on elements."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import numpy as np

from vipylo_rag.evaluate.figures import main_k, main_metric, metric_names
from vipylo_rag.evaluate.intervals import Interval
from vipylo_rag.evaluate.result import Evaluation, Group, QueryResult
from vipylo_rag.evaluate.words import say
from vipylo_rag.passages import quoted

_BINS: Final = 10
_RANKS: Final = (1, 3, 10, 100)


def results_table(evaluation: Evaluation) -> str:
    """Every group's main figures, with the interval of nDCG drawn on a scale from 0 to 1."""
    main = main_k(evaluation.ks)
    head = [
        f"<th>{say('mode')}</th><th>{say('queries')}</th><th class=n>n</th><th class=n>nDCG@{main}</th>",
        f"<th class=bar>{say('interval')} <small>0 – 1</small></th><th class=n>MRR@{main}</th>",
        *(f"<th class=n>recall@{k}</th>" for k in evaluation.ks),
    ]
    rows = [_group_row(group, evaluation.ks) for group in evaluation.groups]
    return f"<div class=wide><table><thead><tr>{''.join(head)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def all_figures(evaluation: Evaluation) -> str:
    """Each metric of each group with its interval, folded up."""
    names = metric_names(evaluation.ks)
    head = "".join(f"<th class=n>{shown_metric(name)}</th>" for name in names)
    rows = "".join(
        f"<tr{_first(group)}><td>{shown_mode(group.mode)}</td><td>{_group_name(group)}</td>"
        + "".join(f"<td class=n>{_with_range(group.metrics[name])}</td>" for name in names)
        + "</tr>"
        for group in evaluation.groups
    )
    head = f"<tr><th>{say('mode')}</th><th>{say('queries')}</th>{head}</tr>"
    table = f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
    return f"<details><summary>{say('every figure')}</summary><div class=wide>{table}</div></details>"


def differences_table(evaluation: Evaluation) -> str:
    """Modes against the first one, and against an earlier evaluation; nothing where there is neither."""
    if not evaluation.differences:
        return ""
    reach = max(_reach(one.paired.difference) for one in evaluation.differences) or 1.0
    rows = []
    for one in evaluation.differences:
        found = one.paired
        mode = shown_mode(one.mode)
        what = f"{mode}: {say('earlier')}" if one.earlier else f"{mode} − {shown_mode(one.than)}"
        rows.append(
            f"<tr><td>{what}</td><td>{shown_metric(one.metric)}</td><td class=n>{found.queries}</td>"
            f"<td class=n>{found.difference.mean:+.3f}</td>"
            f"<td class=bar>{_bar(found.difference, -reach, reach, '+')}</td>"
            f"<td class=n>{found.better}</td><td class=n>{found.worse}</td>"
            f"<td class=n>{'&lt; 0.001' if found.p < 0.001 else f'{found.p:.3f}'}</td></tr>"
        )
    head = (
        f"<th>{say('difference')}</th><th>{say('metric')}</th><th class=n>n</th><th class=n>±</th>"
        f"<th class=bar>{say('interval')} <small>−{reach:.2f} – +{reach:.2f}</small></th>"
        f"<th class=n>{say('better')}</th><th class=n>{say('worse')}</th><th class=n>p</th>"
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return (
        f"<section><h2>{say('differences')}</h2><p class=quiet>{say('differences note')}</p>"
        f"<div class=wide>{table}</div></section>"
    )


def distributions(evaluation: Evaluation) -> str:
    """For each mode: how many queries have their first right document at which rank, and how nDCG is spread."""
    main, depth = main_metric(evaluation.ks), evaluation.measured.depth
    edges = [rank for rank in _RANKS if rank < depth] + [depth]
    labels = [str(edge) if edge - before == 1 else f"{before + 1}–{edge}" for before, edge in _pairs(edges)]
    legend = "".join(
        f'<li><svg class=key viewBox="0 0 1 1"><rect class="r{number}" width=1 height=1 /></svg> {name}</li>'
        for number, name in _keyed([f"{say('rank')} {label}" for label in labels], say("not found"))
    )
    parts = []
    for mode in evaluation.modes:
        own = evaluation.of(mode)
        if not own:
            continue
        counts = _counts(own, edges)
        parts.append(
            f"<div class=spread><h3>{shown_mode(mode)}</h3><div>{_stack(counts)}</div>"
            f"<div>{_histogram([one.metrics[main] for one in own])}</div></div>"
        )
    return (
        f"<section><h2>{say('distribution')}</h2><ul class=legend>{legend}</ul>{''.join(parts)}"
        f"<p class=quiet>{shown_metric(main)} {say('per query')}. {say('histogram note')}</p></section>"
    )


def shown_metric(name: str) -> str:
    """ "nDCG@10" for "ndcg@10"."""
    return name.replace("ndcg", "nDCG").replace("mrr", "MRR")


def shown_mode(name: str) -> str:
    """HTML of a mode's name, which may be whatever a run file says."""
    return f"<bdi>{escape(quoted(name))}</bdi>"


def _group_row(group: Group, ks: Sequence[int]) -> str:
    main = main_k(ks)
    ndcg = group.metrics[f"ndcg@{main}"]
    cells = [
        f"<td>{shown_mode(group.mode) if group.by == 'all' else ''}</td><td>{_group_name(group)}</td>",
        f"<td class=n>{group.queries}</td>",
        f"<td class=n><b>{ndcg.mean:.3f}</b></td><td class=bar>{_bar(ndcg, 0.0, 1.0)}</td>",
        f"<td class=n>{group.metrics[f'mrr@{main}'].mean:.3f}</td>",
        *(f"<td class=n>{group.metrics[f'recall@{k}'].mean:.3f}</td>" for k in ks),
    ]
    return f"<tr{_first(group)}>{''.join(cells)}</tr>"


def _first(group: Group) -> str:
    return " class=first" if group.by == "all" else ""


def _group_name(group: Group) -> str:
    if group.by == "all":
        return say("all")
    return say(group.value) if group.by == "modality" else f"<bdi>{escape(quoted(group.value))}</bdi>"


def _with_range(interval: Interval) -> str:
    return f"{interval.mean:.3f}<small>{_range(interval)}</small>"


def _range(interval: Interval, sign: str = "") -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{interval.low:{sign}.3f} – {interval.high:{sign}.3f}"


def _reach(interval: Interval) -> float:
    return max(abs(value) for value in (interval.mean, interval.low, interval.high) if value is not None)


def _bar(interval: Interval, low: float, high: float, sign: str = "") -> str:
    """The interval as a line, the mean as a mark across it, on a scale from `low` to `high`."""

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 2)

    marks = ["<rect class=scale x=0 y=9 width=100 height=2 />"]
    if low < 0:
        marks.append("<rect class=scale x=49.8 y=2 width=0.4 height=16 />")
    if interval.low is not None and interval.high is not None:
        left, right = at(interval.low), at(interval.high)
        marks.append(f'<rect class=range x="{left}" y=7 width="{max(0.4, round(right - left, 2))}" height=6 />')
    marks.append(f'<rect class=mean x="{round(at(interval.mean) - 0.5, 2)}" y=3 width=1 height=14 />')
    drawn = f'<svg viewBox="0 0 100 20" preserveAspectRatio=none>{"".join(marks)}</svg>'
    return f"{drawn}<small>{_range(interval, sign)}</small>"


def _pairs(edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    yield from zip((0, *edges), edges, strict=False)


def _keyed(labels: Sequence[str], last: str) -> list[tuple[str, str]]:
    return [*((str(number), label) for number, label in enumerate(labels)), ("x", last)]


def _counts(results: Sequence[QueryResult], edges: Sequence[int]) -> list[tuple[str, int]]:
    ranks = [math.inf if one.first_rank is None else one.first_rank for one in results]
    counts = [sum(before < rank <= edge for rank in ranks) for before, edge in _pairs(edges)]
    return [*((str(number), count) for number, count in enumerate(counts)), ("x", len(ranks) - sum(counts))]


def _stack(counts: Sequence[tuple[str, int]]) -> str:
    total, left, parts, said = sum(count for _, count in counts), 0.0, [], []
    for key, count in counts:
        width = 100 * count / total
        parts.append(f'<rect class="r{key}" x="{left:.2f}" y=0 width="{width:.2f}" height=20 />')
        said.append(f'<li><svg class=key viewBox="0 0 1 1"><rect class="r{key}" width=1 height=1 /></svg> {count}</li>')
        left += width
    drawn = f'<svg class=stack viewBox="0 0 100 20" preserveAspectRatio=none>{"".join(parts)}</svg>'
    return f"{drawn}<ul class=legend>{''.join(said)}</ul>"


def _histogram(values: Sequence[float]) -> str:
    counts = np.histogram(values, bins=_BINS, range=(0.0, 1.0))[0].tolist()
    highest, bars = max(counts), []
    for number, count in enumerate(counts):
        height = 40 * count / highest
        said = f"{number / _BINS:.1f} – {(number + 1) / _BINS:.1f}: {count}"
        bars.append(
            f'<rect class=column x="{number * 10 + 0.5}" y="{40 - height:.2f}" width=9 height="{height:.2f}">'
            f"<title>{said}</title></rect>"
        )
    return f'<svg class=histogram viewBox="0 0 100 40" preserveAspectRatio=none role=img>{"".join(bars)}</svg>'

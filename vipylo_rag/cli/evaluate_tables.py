"""The tables of `vipylo evaluate`: numbers are never cut; names give way where the terminal is narrow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from vipylo_rag.passages import quoted

if TYPE_CHECKING:
    from rich.console import Console

    from vipylo_rag.evaluate.intervals import Interval
    from vipylo_rag.evaluate.result import Difference, Evaluation, Group

# Of recall, so many cuts fit a terminal of 80 columns.
_MOST_CUTS = 4
# A name is cut down to so much at most: less tells nothing.
_LEAST_NAME = 6


def print_tables(console: "Console", result: "Evaluation") -> None:
    """The figures of all groups, and the differences where there are any.

    A terminal too narrow for the numbers breaks the lines: it loses none.
    """
    for table in (_results(result), _differences(result.differences) if result.differences else None):
        if table is not None:
            before, console.width = console.width, _give_way(console, table)  # print() takes no width beyond its own
            console.print(table, crop=False)
            console.width = before


def _results(result: "Evaluation") -> Table:
    from vipylo_rag.evaluate.figures import main_k

    cuts, main = result.ks[:_MOST_CUTS], main_k(result.ks)
    several = len(result.groups) > len(result.modes)
    table = _table("R: recall; 95 %: of nDCG")
    for name in ("mode", "queries"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("n", f"nDCG@{main}", "95 %", f"MRR@{main}", *(f"R@{k}" for k in cuts)):
        table.add_column(name, justify="right", no_wrap=True)
    for group in result.groups:
        if group.by == "all" and table.row_count and several:
            table.add_section()
        table.add_row(*_row(group, main, cuts))
    return table


def _row(group: "Group", main: int, cuts: Sequence[int]) -> list[str | Text]:
    ndcg = group.metrics[f"ndcg@{main}"]
    return [
        _name(group.mode) if group.by == "all" else "",
        "all" if group.by == "all" else _name(group.value),
        str(group.queries),
        _share(ndcg.mean),
        _range(ndcg),
        _share(group.metrics[f"mrr@{main}"].mean),
        *(_share(group.metrics[f"recall@{k}"].mean) for k in cuts),
    ]


def _differences(differences: "Sequence[Difference]") -> Table:
    table = _table(None)
    for name in ("mode", "− other"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("metric", no_wrap=True)
    for name in ("n", "mean", "95 %", "better", "worse", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in differences:
        found = one.paired
        table.add_row(
            _name(one.mode),
            Text("− earlier") if one.earlier else _name(f"− {one.than}"),
            one.metric.replace("ndcg", "nDCG").replace("mrr", "MRR"),
            str(found.queries),
            _share(found.difference.mean, "+"),
            _range(found.difference, "+"),
            str(found.better),
            str(found.worse),
            "<0.001" if found.p < 0.001 else f"{found.p:.3f}",
        )
    return table


def _table(caption: str | None) -> Table:
    return Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption=caption)


def _name(text: str) -> Text:
    """As text: what a run file or a data set says is no markup."""
    return Text(quoted(text))


def _give_way(console: "Console", table: Table) -> int:
    """Cut the longer of the first two columns, the names, by what the table is too wide; returns its width then."""
    wide = console.options.update(max_width=10**4)
    names = table.columns[:2]
    whole = console.measure(table, options=wide).maximum
    widths = [
        max(console.measure(cell, options=wide).maximum for cell in (column.header, *column.cells)) for column in names
    ]
    wanted = sum(widths)
    while whole - wanted + sum(widths) > console.width and max(widths) > _LEAST_NAME:
        widths[widths.index(max(widths))] -= 1
    if sum(widths) < wanted:
        for column, width in zip(names, widths, strict=True):
            column.width = width
    return max(console.width, whole - wanted + sum(widths))


def _share(value: float, sign: str = "") -> str:
    """A share as papers write it, without its leading 0: the table then fits 80 columns."""
    return f"{value:{sign}.3f}".replace("0.", ".", 1)


def _range(interval: "Interval", sign: str = "") -> str:
    if interval.low is None or interval.high is None:
        return "–"
    return f"{_share(interval.low, sign)} {_share(interval.high, sign)}"

"""Line charts as inline SVG: axes, ticks, a line for each series, the values under the pointer. No scripts."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

WIDTH, HEIGHT = 420, 236
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 26
COLOURS = 8
# More points than pixels help nobody; a line keeps its peaks (the least and the greatest value of each column).
MOST_POINTS = 300
MOST_HOVERS = 120
_SMOOTH_FROM = 60
_LOG_SPREAD = 50.0

STYLE = """
:root { --c0: #0969da; --c1: #d1570a; --c2: #1a7f37; --c3: #8250df; --c4: #b0166b; --c5: #0e7c86; --c6: #8a6100;
  --c7: #57606a; --line: #8883; --guide: #8889; }
@media (prefers-color-scheme: dark) { :root { --c0: #58a6ff; --c1: #ff9349; --c2: #4cc266; --c3: #b794ff; --c4: #ff7ac0;
  --c5: #4ecbd6; --c6: #e0b341; --c7: #9ea7b1; } }
.chart { margin: 0; min-width: 0; border: 1px solid var(--line); border-radius: 10px; padding: .7rem .7rem .5rem; }
.chart h3 { font-size: .9rem; font-weight: 600; margin: 0 0 .35rem .2rem; }
.chart h3 small { font-weight: 400; color: var(--quiet); }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { font: 11px system-ui, sans-serif; fill: var(--quiet); }
.chart .grid { stroke: var(--line); } .chart .axis { stroke: var(--guide); }
.chart .epoch { stroke: var(--guide); stroke-dasharray: 1 3; }
.chart .raw { fill: none; stroke-width: 1; opacity: .3; } .chart .curve { fill: none; stroke-width: 1.8;
  stroke-linejoin: round; } .chart .dashed { stroke-dasharray: 5 3; }
.chart .at rect { fill: transparent; } .chart .at line, .chart .at circle { opacity: 0; pointer-events: none; }
.chart .at:hover line, .chart .at:hover circle { opacity: 1; } .chart .at line { stroke: var(--guide); }
.legend { display: flex; flex-wrap: wrap; gap: .15rem .9rem; margin: .35rem 0 0; padding: 0 0 0 .2rem; list-style: none;
  font-size: .78rem; color: var(--quiet); }
.legend li { display: flex; align-items: center; gap: .35rem; overflow-wrap: anywhere; }
.legend svg { width: 18px; height: 8px; flex: none; }
""" + "".join(
    f".k{n} {{ stroke: var(--c{n}); }} circle.k{n} {{ fill: var(--c{n}); stroke: none; }}\n" for n in range(COLOURS)
)


@dataclass(frozen=True)
class Series:
    """One line: (step, value) by rising step. Values that are not finite leave a gap."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        note: said in small letters beside the title.
        marks: steps with a dotted line, such as the ends of epochs.
        smooth: long series are drawn faint, with their moving mean over them.
        allow_log: a logarithmic scale where a few peaks would flatten all else.
    """

    title: str
    series: tuple[Series, ...]
    note: str = ""
    marks: tuple[float, ...] = ()
    smooth: bool = False
    allow_log: bool = False

    def html(self) -> str:
        """The chart as a `figure`; "" if there is nothing to draw."""
        drawn = [series for series in self.series if any(math.isfinite(value) for _, value in series.points)]
        if not drawn:
            return ""
        frame = _Frame.around(drawn, self.allow_log)
        noted = [self.note] if self.note else []
        if frame.log:
            noted.append("logarithmic")
        note = f" <small>{html.escape(', '.join(noted))}</small>" if noted else ""
        return (
            f'<figure class="chart"><h3>{html.escape(self.title)}{note}</h3>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(self.title)} over steps">'
            f"{frame.axes(self.marks)}{''.join(_curve(series, frame, self.smooth) for series in drawn)}"
            f"{_hovers(drawn, frame)}</svg>{_legend(drawn)}</figure>"
        )


@dataclass(frozen=True)
class _Frame:
    """Where a step and a value stand on the picture."""

    first: float
    last: float
    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, series: Sequence[Series], allow_log: bool) -> "_Frame":
        steps = [step for one in series for step, _ in one.points]
        values = sorted(value for one in series for _, value in one.points if math.isfinite(value))
        low, high, middle = values[0], values[-1], values[len(values) // 2]
        log = allow_log and low > 0 and high > _LOG_SPREAD * middle
        if log:
            low, high = low / 1.2, high * 1.2
            return cls(min(steps), max(steps), low, high, True, log_ticks(low, high))
        if high - low <= abs(high) * 1e-9:  # one value: some room around it
            low, high = (low - abs(low) * 0.1, high + abs(high) * 0.1) if high else (-1.0, 1.0)
        room = (high - low) * 0.04
        low, high = 0.0 if 0 <= low < high * 0.3 else low - room, high + room
        return cls(min(steps), max(steps), low, high, False, nice_ticks(low, high))

    def x(self, step: float) -> float:
        span = self.last - self.first
        share = (step - self.first) / span if span else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high, here = (
            (math.log(v) for v in (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return TOP + (high - here) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, marks: Iterable[float]) -> str:
        right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for value in self.ticks:
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>')
        for step in marks:
            if self.first < step < self.last:
                x = self.x(step)
                parts.append(f'<line class="epoch" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{floor}"/>')
        parts.append(f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{floor}" y2="{floor}"/>')
        for step in nice_ticks(self.first, self.last):
            x = self.x(step)
            anchor = "end" if x > right - 14 else "middle"
            parts.append(f'<text x="{x:.1f}" y="{floor + 17}" text-anchor="{anchor}">{number(step)}</text>')
        return "".join(parts)


def nice_ticks(low: float, high: float, wanted: int = 6) -> tuple[float, ...]:
    """About `wanted` round numbers, 1, 2 or 5 times a power of ten apart, from `low` to `high`."""
    if high <= low:
        return (low,)
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    gap = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    first, last = math.ceil(low / gap - 1e-9), math.floor(high / gap + 1e-9)
    return tuple(round(place * gap, 12 - math.floor(math.log10(gap))) for place in range(first, last + 1))


def log_ticks(low: float, high: float) -> tuple[float, ...]:
    """Powers of ten from `low` to `high`, at most six."""
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    return tuple(10.0**place for place in range(first, last + 1, max(1, math.ceil((last - first) / 5))))


def number(value: float) -> str:
    """A number as short as a tick or a tooltip needs it: 0.25, 1e-4, 12k, 3M."""
    if value == 0:
        return "0"
    size = abs(value)
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= unit:
            return f"{value / (1e3 if name == 'k' else unit):.4g}{name}"
    if size < 1e-3:
        mantissa, power = f"{value:.3e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.4g}"


def moving_mean(points: Sequence[tuple[float, float]], window: int) -> list[tuple[float, float]]:
    """Each point with the mean of the values up to `window // 2` places before and after it; gaps stay gaps."""
    half = window // 2
    sums, counts = [0.0], [0]
    for _, value in points:
        known = math.isfinite(value)
        sums.append(sums[-1] + (value if known else 0.0))
        counts.append(counts[-1] + known)
    smooth: list[tuple[float, float]] = []
    for place, (step, value) in enumerate(points):
        first, last = max(0, place - half), min(len(points), place + half + 1)
        if math.isfinite(value):
            value = (sums[last] - sums[first]) / (counts[last] - counts[first])
        smooth.append((step, value))
    return smooth


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most about `most` of the points: of each stretch the least and the greatest value, in their order."""
    if len(points) <= most:
        return list(points)
    size = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        stretch = [(step, value) for step, value in points[start : start + size] if math.isfinite(value)]
        if stretch:
            ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
            kept.extend(sorted(ends))
        else:
            kept.append(points[start])
    return kept


def _curve(series: Series, frame: _Frame, smooth: bool) -> str:
    style = f"k{series.colour % COLOURS}" + (" dashed" if series.dashed else "")
    finite = [(step, value) for step, value in series.points if math.isfinite(value)]
    if len(finite) == 1:
        step, value = finite[0]
        return f'<circle class="{style}" cx="{frame.x(step):.1f}" cy="{frame.y(value):.1f}" r="3"/>'
    line = thinned(series.points)
    if not smooth or len(series.points) < _SMOOTH_FROM:
        return f'<path class="curve {style}" d="{_path(line, frame)}"/>'
    # On a logarithmic scale the mean of the logarithms: one peak must not lift all that is near it.
    there, back = (math.log, math.exp) if frame.log else (float, float)
    scaled = [(step, there(value) if math.isfinite(value) else value) for step, value in series.points]
    mean = [
        (step, back(value) if math.isfinite(value) else value) for step, value in moving_mean(scaled, len(scaled) // 20)
    ]
    return (
        f'<path class="raw {style}" d="{_path(line, frame)}"/>'
        f'<path class="curve {style}" d="{_path(thinned(mean), frame)}"/>'
    )


def _path(points: Sequence[tuple[float, float]], frame: _Frame) -> str:
    parts: list[str] = []
    pen = "M"
    for step, value in points:
        if math.isfinite(value):
            parts.append(f"{pen}{frame.x(step):.1f} {frame.y(value):.1f}")
        pen = "L" if math.isfinite(value) else "M"
    return "".join(parts)


def _hovers(series: Sequence[Series], frame: _Frame) -> str:
    """Invisible strips, one for each step (or each few): under the pointer they show the values that were logged."""
    at: dict[float, list[tuple[Series, float]]] = {}
    for one in series:
        for step, value in one.points:
            if math.isfinite(value):
                at.setdefault(step, []).append((one, value))
    steps = sorted(at)
    every = math.ceil(len(steps) / MOST_HOVERS)
    steps = steps[::-every][::-1]  # the last one is always among them
    places = [frame.x(step) for step in steps]
    edges = [LEFT - 10.0, *((a + b) / 2 for a, b in pairwise(places)), WIDTH * 1.0]
    parts: list[str] = []
    for step, x, left, right in zip(steps, places, edges, edges[1:], strict=False):
        said = "\n".join(f"{one.label}: {value:.5g}" for one, value in at[step])
        dots = "".join(
            f'<circle class="k{one.colour % COLOURS}" cx="{x:.1f}" cy="{frame.y(value):.1f}" r="3"/>'
            for one, value in at[step]
        )
        parts.append(
            f'<g class="at"><rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT - BOTTOM}"/>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>{dots}'
            f"<title>{html.escape(f'step {step:g}')}\n{html.escape(said)}</title></g>"
        )
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    if len(series) == 1:
        return ""
    entries = "".join(
        f'<li><svg viewBox="0 0 18 8" aria-hidden="true"><line class="curve k{one.colour % COLOURS}'
        f'{" dashed" if one.dashed else ""}" x1="0" x2="18" y1="4" y2="4"/></svg>{html.escape(one.label)}</li>'
        for one in series
    )
    return f'<ul class="legend">{entries}</ul>'

"""The report's charts as inline SVG: interval rows that stretch with the page, and line charts.

Colours are CSS classes of the report's style sheet, so charts follow light and dark. Nothing here
knows what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from markupsafe import Markup, escape

Point = tuple[float, float | None]

_WIDTH, _HEIGHT = 360, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 10, 34


@dataclass(frozen=True)
class Axis:
    """A linear scale with its ticks, both in data units."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Position of a value along the axis, 0 … 1."""
        return (value - self.low) / (self.high - self.low)


def make_axis(values: Sequence[float | None], *, zero: bool = False, ticks: int = 4) -> Axis | None:
    """An axis over all finite values, with round ticks; None when there is no value."""
    finite = [value for value in values if value is not None and isfinite(value)]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    margin = 0.06 * (high - low)
    low, high = low - margin, high + margin
    step = _round_step((high - low) / ticks)
    first = int(-(-low // step))
    places = tuple(round(i * step, 12) for i in range(first, int(high // step) + 1))
    return Axis(low, high, places)


def forest_row(
    value: float | None, low: float | None, high: float | None, axis: Axis | None, css: str = ""
) -> Markup:
    """One interval with its point. Positions are percentages: the row stretches undistorted."""
    if axis is None or value is None:
        return Markup("")
    parts = [_line(tick, axis, "zero" if tick == 0 else "grid") for tick in axis.ticks]
    if low is not None and high is not None:
        left, right = _percent(axis.place(low)), _percent(axis.place(high))
        parts.append(f'<line class="bar" x1="{left}" x2="{right}" y1="50%" y2="50%"/>')
    parts.append(f'<circle cx="{_percent(axis.place(value))}" cy="50%" r="4.5"/>')
    return Markup(f'<svg class="interval {escape(css)}" aria-hidden="true">{"".join(parts)}</svg>')


def bar_row(value: float | None, mark: float | None, axis: Axis | None, css: str = "") -> Markup:
    """A bar from zero with an optional mark across it (a floor); stretches with the page."""
    if axis is None or value is None:
        return Markup("")
    start, end = sorted((axis.place(0.0), axis.place(value)))
    parts = [_line(tick, axis, "zero" if tick == 0 else "grid") for tick in axis.ticks]
    parts.append(
        f'<rect x="{_percent(start)}" width="{_percent(end - start)}" y="25%" height="50%"/>'
    )
    if mark is not None:
        parts.append(_line(mark, axis, "mark"))
    return Markup(f'<svg class="bars {escape(css)}" aria-hidden="true">{"".join(parts)}</svg>')


def forest_scale(axis: Axis | None) -> Markup:
    """The tick labels under interval rows."""
    if axis is None:
        return Markup("")
    labels = "".join(
        f'<text x="{_percent(axis.place(tick))}" y="12" text-anchor="middle">{_tick(tick)}</text>'
        for tick in axis.ticks
    )
    return Markup(f'<svg class="scale" aria-hidden="true">{labels}</svg>')


def line_chart(
    series: Mapping[str, Sequence[Point]], *, title: str, x_label: str, y_label: str
) -> Markup:
    """Lines over a common x; a None in y breaks the line. Empty without a single point."""
    points = [point for line in series.values() for point in line]
    x_axis = make_axis([x for x, _ in points], ticks=4)
    y_axis = make_axis([y for _, y in points], ticks=4)
    if x_axis is None or y_axis is None:
        return Markup("")
    finite = [x for x, _ in points]
    if max(finite) > min(finite):  # a time axis needs no margin
        kept = tuple(tick for tick in x_axis.ticks if min(finite) <= tick <= max(finite))
        x_axis = Axis(min(finite), max(finite), kept)

    def x_place(value: float) -> float:
        return _LEFT + x_axis.place(value) * (_WIDTH - _LEFT - _RIGHT)

    def y_place(value: float) -> float:
        return _HEIGHT - _BOTTOM - y_axis.place(value) * (_HEIGHT - _BOTTOM - _TOP)

    parts = [f"<title>{escape(title)}</title>"]
    for tick in y_axis.ticks:
        level = f"{y_place(tick):.1f}"
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level}" y2="{level}"/>'
            f'<text x="{_LEFT - 6}" y="{level}" dy="4" text-anchor="end">{_tick(tick)}</text>'
        )
    for tick in x_axis.ticks:
        parts.append(
            f'<text x="{x_place(tick):.1f}" y="{_HEIGHT - _BOTTOM + 15}"'
            f' text-anchor="middle">{_tick(tick)}</text>'
        )
    parts.append(
        f'<text class="label" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}"'
        f' text-anchor="end">{escape(x_label)}</text>'
        f'<text class="label" x="{_LEFT + 4}" y="{_TOP + 3}">{escape(y_label)}</text>'
    )
    for index, line in enumerate(series.values()):
        css = f"s{index % 5}"
        for run in _unbroken(line):
            if len(run) == 1:
                x, y = run[0]
                parts.append(
                    f'<circle class="{css}" cx="{x_place(x):.1f}" cy="{y_place(y):.1f}" r="3"/>'
                )
                continue
            path = " ".join(f"{x_place(x):.1f},{y_place(y):.1f}" for x, y in run)
            parts.append(f'<polyline class="{css}" points="{path}"/>')
    return Markup(
        f'<svg class="lines" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
    )


def _unbroken(line: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The line's runs without a missing value."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in line:
        if y is None or not isfinite(y):
            runs.append([])
        else:
            runs[-1].append((x, y))
    return [run for run in runs if run]


def _round_step(rough: float) -> float:
    """The nearest of 1, 2, 2.5 and 5 times a power of ten, not below `rough`."""
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)


def _line(tick: float, axis: Axis, css: str) -> str:
    x = _percent(axis.place(tick))
    return f'<line class="{css}" x1="{x}" x2="{x}" y1="0" y2="100%"/>'


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _tick(value: float) -> str:
    text = f"{value:,.6g}" if abs(value) < 10_000 else f"{value / 1000:,.6g}k"
    return text.replace("-", "−")

"""Charts as SVG that is drawn without any script; the numbers stand beside it for the reading under the pointer.

Shapes: T frames.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# In units that are a pixel where a chart is shown in its full width.
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 46, 14, 8, 22
HALF = 490
# Longer curves are means of so many points, as a screen has no more.
POINTS = 1500
# Unit vectors whose mean is no longer than this have no direction in common.
SAME_WAY = 1e-6
# A curve breaks where neighbours are further apart than so many usual steps.
GAP = 3.0


@dataclass(frozen=True, eq=False)
class Curve:
    """Values (T,) with a name, nan where there is none; `color` as CSS has it.

    Those of a `circular` one are degrees in which -180 and 180 are the same.
    """

    name: str
    values: Floats
    color: str
    dashed: bool = False
    circular: bool = False


@dataclass(frozen=True)
class Axis:
    """The range of the values, where lines are drawn across, and the unit behind numbers."""

    low: float
    high: float
    ticks: tuple[float, ...]
    unit: str = ""


def line_chart(
    times: Floats, curves: Sequence[Curve], axis: Axis, about: str = "curves", width: int = WIDTH, height: int = 150
) -> str:
    """Curves over time, with their names in a legend; `about` says what they show to those who cannot see them."""
    times, curves = _thinned(times, curves)
    start, end = _ends(times)
    down = height - BOTTOM
    y = _scale(axis.low, axis.high, down, TOP)
    x = _scale(start, end, LEFT, width - RIGHT)
    parts = [
        f'<line class="grid" x1="{LEFT}" x2="{width - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}{axis.unit}</text>'
        for tick in axis.ticks
    ]
    parts.append(_time_axis(start, end, width, height))
    gap = GAP * float(np.median(np.diff(times))) if len(times) > 1 else math.inf
    for curve in curves:
        dashes = ' stroke-dasharray="6 4"' if curve.dashed else ""
        path = _path(x(times), y(np.clip(curve.values, axis.low, axis.high)), _joined(times, curve, gap))
        parts.append(f'<path class="curve" style="stroke:{curve.color}"{dashes} d="{path}"/>')
    parts.append(f'<line class="cursor" y1="{TOP}" y2="{down}" x1="-9" x2="-9"/>')
    data = {
        "t": _numbers(times, 3),
        "x": [LEFT, width - RIGHT, start, end],
        "unit": axis.unit,
        "curves": [[curve.name, _numbers(curve.values, 2 if axis.high <= 1 else 1)] for curve in curves],
    }
    names = f": {', '.join(curve.name for curve in curves)}" if len(curves) > 1 else ""
    svg = _svg(parts, width, height, f"{about} over time{names}")
    return f'<div class="chart {"half" if width < WIDTH else "wider"}">{_legend(curves)}{svg}{_data(data)}</div>'


def time_line(rows: Sequence[tuple[str, str, Sequence[tuple[float, float]]]], start: float, end: float) -> str:
    """A bar for each (name, colour, stretches in seconds), one row below the other."""
    step = 20
    height = TOP + step * len(rows) + BOTTOM
    x = _scale(start, end, LEFT, WIDTH - RIGHT)
    parts = [_time_axis(start, end, WIDTH, height)]
    for number, (name, color, spans) in enumerate(rows):
        top = TOP + step * number
        label = f'<text class="tick" x="{LEFT - 6}" y="{top + 13}" text-anchor="end">{escape(name)}</text>'
        parts.append(label)
        for first, last in spans:
            wide = max(2.0, float(x(last) - x(first)))
            told = f"{name}: {first:.2f} to {last:.2f} s"
            parts.append(
                f'<rect x="{x(first):.1f}" y="{top + 2}" width="{wide:.1f}" height="{step - 5}" rx="3" '
                f'style="fill:{color}"><title>{escape(told)}</title></rect>'
            )
    return f'<div class="chart wider">{_svg(parts, WIDTH, height, "who is where in time")}</div>'


def ticks_of_time(start: float, end: float, count: int = 10) -> list[float]:
    """At most so many steps between round times from one time to another."""
    rough = max(end - start, 1e-3) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    if rough > 10:
        step = next((each for each in (15, 30, 60, 120, 300, 600, 1800, 3600, 7200) if each >= rough), step)
    return [number * step for number in range(math.ceil(start / step - 1e-9), math.floor(end / step + 1e-9) + 1)]


def clock(seconds: float, decimals: int = 0) -> str:
    """A time as people write it: 0.5 s, 1:30 or 1:02:03, from a minute on with so many decimals."""
    if seconds < 60:
        return f"{seconds:g} s"
    parts = 10**decimals
    minutes, rest = divmod(round(seconds * parts), 60 * parts)
    hours, minutes = divmod(minutes, 60)
    end = f"{rest // parts:02}" + (f".{rest % parts:0{decimals}}" if decimals else "")
    return f"{hours}:{minutes:02}:{end}" if hours else f"{minutes}:{end}"


def script_json(document: Any) -> str:
    """JSON that may stand in a script element, whatever names it holds."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _data(data: dict[str, Any]) -> str:
    return f'<script type="application/json">{script_json(data)}</script>'


def _svg(parts: Sequence[str], width: int, height: int, label: str) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _legend(curves: Sequence[Curve]) -> str:
    items = "".join(
        f'<span><i style="border-top:3px {"dashed" if curve.dashed else "solid"} {curve.color}"></i>'
        f"{escape(curve.name)}</span>"
        for curve in curves
    )
    return f'<div class="legend">{items}<output></output></div>'


def _ends(times: Floats) -> tuple[float, float]:
    start, end = (float(times[0]), float(times[-1])) if len(times) else (0.0, 1.0)
    return start, end if end > start else start + 1e-3


def _scale(low: float, high: float, first: float, last: float) -> Any:
    """A function from values between low and high to pixels; of numbers and arrays."""
    factor = (last - first) / max(high - low, 1e-9)
    return lambda value: first + (value - low) * factor


def _time_axis(start: float, end: float, width: int, height: int) -> str:
    x, base = _scale(start, end, LEFT, width - RIGHT), height - BOTTOM
    found = [round(tick, 6) for tick in ticks_of_time(start, end, width // 90)]
    decimals = next(count for count in range(7) if all(abs(tick - round(tick, count)) < 1e-7 for tick in found))
    ticks = "".join(
        f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{base}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{base + 15}" text-anchor="middle">{clock(tick, decimals)}</text>'
        for tick in found
    )
    return f'{ticks}<line class="axis" x1="{LEFT}" x2="{width - RIGHT}" y1="{base}" y2="{base}"/>'


def _joined(times: Floats, curve: Curve, gap: float) -> NDArray[np.bool_]:
    """Which points are joined to the one before: time does not jump, and no circular curve goes round at the back."""
    known = np.isfinite(curve.values)
    joined = known[1:] & known[:-1] & (np.diff(times) <= gap)
    if curve.circular:
        joined &= np.abs(np.diff(curve.values)) <= 180
    return np.append(False, joined)


def _path(x: Floats, y: Floats, joined: NDArray[np.bool_]) -> str:
    """The curve, broken where it has no value or is not joined; a value alone is a dot."""
    return "".join(
        f"{'L' if joined[number] else 'M'}{x[number]:.1f} {y[number]:.1f}{'' if joined[number] else 'h0'}"
        for number in np.flatnonzero(np.isfinite(y)).tolist()
    )


def _thinned(times: Floats, curves: Sequence[Curve]) -> tuple[Floats, Sequence[Curve]]:
    """The means of neighbours where there are more points than a screen shows."""
    block = math.ceil(len(times) / POINTS)
    if block <= 1:
        return times, curves
    starts = np.arange(0, len(times), block)
    counts = np.diff(np.append(starts, len(times)))
    thin = [
        replace(curve, values=(_directions if curve.circular else _means)(curve.values, starts)) for curve in curves
    ]
    return np.add.reduceat(times, starts) / counts, thin


def _means(values: Floats, starts: NDArray[np.int64]) -> Floats:
    """The mean of the known values of each block, nan where there is none."""
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0), starts)
    share = np.add.reduceat(known.astype(float), starts)
    return np.where(share > 0, total / np.maximum(share, 1), np.nan)


def _directions(degrees: Floats, starts: NDArray[np.int64]) -> Floats:
    """The direction of the mean of unit vectors of each block; nan where there is none, or where they cancel out."""
    x, y = (_means(part(np.radians(degrees)), starts) for part in (np.cos, np.sin))
    return np.where(np.hypot(x, y) > SAME_WAY, np.degrees(np.arctan2(y, x)), np.nan)


def _numbers(values: Floats, digits: int) -> list[float | None]:
    """Rounded numbers for JSON, None for nan."""
    return [round(value, digits) if math.isfinite(value) else None for value in values.tolist()]

"""Pictures as text: just what the report needs of SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

__all__ = ["COLOURS", "Axis", "bars", "curves", "forest", "steps"]

COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7c3aed", "#b91c1c", "#0f766e", "#a16207", "#475569",
           "#be185d", "#1d4ed8")  # fmt: skip

WIDTH, LEFT, RIGHT, BOTTOM = 860, 240, 150, 34


class Axis:
    """From values to places, by their logarithm."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        self.low, self.high = math.log10(low), math.log10(high)
        if self.high - self.low < 0.3:
            self.low, self.high = self.low - 0.15, self.high + 0.15
        self._left, self._right = left, right

    def at(self, value: float) -> float:
        """Where a value is; what lies outside is at the edge."""
        if math.isinf(value):
            return self._right
        share = (math.log10(max(value, 1e-12)) - self.low) / (self.high - self.low)
        return self._left + (self._right - self._left) * min(1.0, max(0.0, share))

    def ticks(self) -> list[float]:
        """Values to write down: powers of ten, and what lies between if they are few."""
        whole = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1, 2, 5) if self.high - self.low < 2.5 else (1,)
        found = [step * 10.0**power for power in whole for step in steps]
        return [one for one in found if self.low <= math.log10(one) + 1e-9 <= self.high + 2e-9]


def _text(x: float, y: float, text: str, extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {extra}>{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, extra: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {extra}/>'


def _picture(height: float, parts: Sequence[str], title: str) -> str:
    head = (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, True)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
    return f"{head}{''.join(parts)}</svg>"


def _grid(axis: Axis, top: float, bottom: float, word: Callable[[float], str]) -> list[str]:
    out = []
    for value in axis.ticks():
        x = axis.at(value)
        out.append(_line(x, top, x, bottom, 'class="grid"'))
        out.append(_text(x, bottom + 16, word(value), 'text-anchor="middle" class="tick"'))
    return out


def steps(
    series: Sequence[tuple[str, Sequence[float]]], word: Callable[[float], str], title: str
) -> str:
    """The share of attempts that ended within a time: a stair for each, failures never reached."""
    finite = [value for _, values in series for value in values if math.isfinite(value)]
    if not finite:
        return ""
    height, top = 300, 10
    bottom = height - BOTTOM
    axis = Axis(min(finite), max(finite), 44, WIDTH - LEFT)
    out = _grid(axis, top, bottom, word)
    for share in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * share
        out.append(_line(44, y, WIDTH - LEFT, y, 'class="grid"'))
        out.append(_text(38, y + 4, f"{share:.0%}", 'text-anchor="end" class="tick"'))
    for number, (name, values) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        path, ordered = "", sorted(values)
        y = bottom
        for rank, value in enumerate(ordered, 1):
            if math.isinf(value):
                break
            x = axis.at(value)
            path += f"{'L' if path else 'M'}{x:.1f} {y:.1f}"
            y = bottom - (bottom - top) * rank / len(ordered)
            path += f"L{x:.1f} {y:.1f}"
        out.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        place = top + 14 + 18 * number
        out.append(_text(WIDTH - LEFT + 14, place, name, f'fill="{colour}" class="name"'))
    return _picture(max(height, top + 18 * len(series) + 20), out, title)


def curves(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    across: Callable[[float], str],
    up: Callable[[float], str],
    title: str,
) -> str:
    """Points of a pair of logarithmic axes, joined; what is infinite is at the top.

    Args:
        series: by name, pairs of where and how much.
        across: how a value of the horizontal axis is written.
        up: likewise, of the vertical one.
        title: for those who cannot see it.
    """
    points = [point for _, line in series for point in line]
    finite = [value for _, value in points if math.isfinite(value)]
    if not finite:
        return ""
    top, bottom, left, right = 12.0, 266.0, 70.0, float(WIDTH - LEFT)
    wide = Axis(min(one for one, _ in points), max(one for one, _ in points), left, right)
    tall = Axis(min(finite), max(finite), bottom, top)
    out = _grid(wide, top, bottom, across)
    for value in tall.ticks():
        y = tall.at(value)
        out.append(_line(left, y, right, y, 'class="grid"'))
        out.append(_text(left - 6, y + 4, up(value), 'text-anchor="end" class="tick"'))
    for number, (name, line) in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        places = [(wide.at(where), tall.at(value)) for where, value in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        out.append(_text(right + 14, top + 12 + 18 * number, name, f'fill="{colour}"'))
    return _picture(bottom + BOTTOM, out, title)


def forest(
    rows: Sequence[tuple[str, float, float, float, float | None]],
    word: Callable[[float], str],
    title: str,
) -> str:
    """Ratios with their intervals, and the bound of each where it has one.

    Args:
        rows: name, value, low, high, bound; intervals may be nan.
        word: how a value is written.
        title: for those who cannot see it.
    """
    shown = [row for row in rows if math.isfinite(row[1]) and row[1] > 0]
    if not shown:
        return ""
    numbers = [
        one
        for row in shown
        for one in row[1:]
        if one is not None and math.isfinite(one) and one > 0
    ]
    axis = Axis(min([*numbers, 1.0]), max([*numbers, 1.0]), LEFT + 120, WIDTH - 210)
    bottom = 10 + 24 * len(shown)
    out = _grid(axis, 6, bottom, word)
    out.append(_line(axis.at(1), 6, axis.at(1), bottom, 'class="one"'))
    for number, (name, value, low, high, bound) in enumerate(shown):
        y = 22 + 24 * number
        out.append(_text(LEFT + 110, y + 4, name, 'text-anchor="end" class="name"'))
        if math.isfinite(low) and math.isfinite(high):
            out.append(_line(axis.at(low), y, axis.at(high), y, 'class="interval"'))
            text = f"{word(value)} ({word(low)} to {word(high)})"
        else:
            text = f"{word(value)} (not enough data)"
        out.append(f'<circle cx="{axis.at(value):.1f}" cy="{y}" r="4" class="dot"/>')
        if bound is not None:
            x = axis.at(bound)
            out.append(_line(x, y - 8, x, y + 8, 'class="bound"'))
        out.append(_text(WIDTH - 202, y + 4, text, 'class="tick"'))
    return _picture(bottom + BOTTOM, out, title)


def bars(
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    word: Callable[[float], str],
    title: str,
) -> str:
    """Spans of time one after the other, a line for each name: where the time goes."""
    longest = max((sum(length for _, length in spans) for _, spans in rows), default=0.0)
    if not longest:
        return ""
    names = list(dict.fromkeys(name for _, spans in rows for name, _ in spans))
    room = WIDTH - LEFT - RIGHT
    out = []
    for number, (row, spans) in enumerate(rows):
        y, x = 10 + 26 * number, float(LEFT)
        out.append(_text(LEFT - 8, y + 13, row, 'text-anchor="end" class="name"'))
        for name, length in spans:
            wide = room * length / longest
            colour = COLOURS[names.index(name) % len(COLOURS)]
            tip = f"<title>{escape(f'{name}: {word(length)}')}</title>"
            out.append(
                f'<rect x="{x:.1f}" y="{y}" width="{max(wide, 0.3):.1f}" height="18" '
                f'fill="{colour}">{tip}</rect>'
            )
            x += wide
        out.append(_text(x + 8, y + 13, word(sum(length for _, length in spans)), 'class="tick"'))
    y = 10 + 26 * len(rows) + 14
    x = float(LEFT)
    for name in names:
        colour = COLOURS[names.index(name) % len(COLOURS)]
        out.append(_text(x, y, name, f'fill="{colour}" class="name"'))
        x += 9 + 7.0 * len(name)
    return _picture(y + 12, out, title)

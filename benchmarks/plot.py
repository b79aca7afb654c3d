"""A line chart as SVG text, with a logarithmic x axis: for what grows by tens.

draw   series of (x, y) points to SVG
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 50
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")


def draw(title: str, x_name: str, y_name: str, series: Mapping[str, Points]) -> str:
    """The series in one chart; y begins at 0."""
    points = [point for each in series.values() for point in each]
    low = math.floor(min(math.log10(x) for x, _ in points))
    high = max(math.ceil(max(math.log10(x) for x, _ in points)), low + 1)
    top = _round_up(max(y for _, y in points))

    def at(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low) / (high - low)
        return (
            _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, 20, title, "middle"),
        _text(_WIDTH / 2, _HEIGHT - 10, x_name, "middle"),
        _text(8, _TOP - 12, y_name, "start"),
    ]
    for power in range(low, high + 1):
        x, y = at(10.0**power, 0)
        parts += [_line(x, y, x, _TOP), _text(x, y + 16, f"{10**power:,}", "middle")]
    for step in range(5):
        x, y = at(10.0**low, top * step / 4)
        parts += [
            _line(x, y, _WIDTH - _RIGHT, y),
            _text(x - 6, y + 4, f"{top * step / 4:g}", "end"),
        ]
    for place, (name, each) in enumerate(series.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        drawn = [at(x, y) for x, y in sorted(each)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        parts.append(_text(_LEFT + 10, _TOP + 14 + 16 * place, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8 and so on by tens that is not below."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 8, 10, 20) if step * power >= value)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {at}>{escape(text)}</text>"

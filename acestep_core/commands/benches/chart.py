"""Cost against length, both on logarithmic axes, where a straight line of slope 1 is linear growth. Plain SVG."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from acestep_core.errors import InvalidInput
from acestep_core.io.atomic import atomic_write

Lines = list[tuple[str, list[tuple[float, float]]]]
"""Names and points."""
_WIDTH, _HEIGHT, _LEFT, _ROOM = 640, 400, 60, 40
_COLOURS = ("#3b6fd4", "#d4683b", "#3ba55d", "#9b59b6", "#b58900", "#888888")


def write_chart(path: str, title: str, lines: Lines) -> None:
    """Draws `chart` into a file.

    Raises:
        InvalidInput: there are no lengths to draw.
    """
    if not lines:
        raise InvalidInput("This benchmark has no lengths to draw; leave --plot out.")
    with atomic_write(Path(path)) as temporary:
        temporary.write_text(chart(title, lines), encoding="utf-8")


def chart(title: str, lines: Lines) -> str:
    """The picture of named lines of points `(length, cost)`, all above 0."""
    points = [point for _, line in lines for point in line]
    across, up = (_axis([point[n] for point in points]) for n in range(2))

    def at(length: float, cost: float) -> tuple[float, float]:
        x = _LEFT + _share(length, across) * (_WIDTH - _LEFT - _ROOM)
        return round(x, 1), round(_HEIGHT - _ROOM - _share(cost, up) * (_HEIGHT - 2 * _ROOM), 1)

    height = _HEIGHT + 18 * len(lines)
    found = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/><text x="{_LEFT}" y="20">{escape(title)}</text>',
    ]
    for length in sorted({point[0] for point in points}):
        x, y = at(length, up[0])
        found.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{length:g} s</text>')
    for power in range(round(math.log10(up[0])), round(math.log10(up[1])) + 1):
        x, y = at(across[0], 10.0**power)
        found.append(f'<path d="M{_LEFT} {y}H{_WIDTH - _ROOM}" stroke="#ddd"/>')
        found.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{10.0**power:g} s</text>')
    for number, (name, line) in enumerate(lines):
        colour, places = _COLOURS[number % len(_COLOURS)], [at(*point) for point in line]
        path = "L".join(f"{x} {y}" for x, y in places)
        found.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        found += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        found.append(f'<text x="{_LEFT}" y="{_HEIGHT + 18 * number + 4}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*found, "</svg>\n"])


def _axis(values: list[float]) -> tuple[float, float]:
    """Powers of ten around the values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def _share(value: float, axis: tuple[float, float]) -> float:
    return math.log(value / axis[0]) / math.log(axis[1] / axis[0])

"""Wires between columns of nodes: led around what stands between, by way of the frontend's own reroutes.

A wire that would pass behind a node goes through the lanes above all nodes, through the gap between two nodes of a
column, or below a column. What the canvas draws between two points is `curves`, which is also the measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import atan2, cos, hypot, pi, sin
from typing import NamedTuple

Point = tuple[float, float]

LANE, LANES_FROM = 16, 36
"""Between lanes above the nodes, and from the highest title to the lowest lane."""
BELOW = 34
"""From the lowest node of a column to a wire below it."""
TRACK = 10
"""Between wires of several outputs that go up and down, or through a gap, side by side."""
TURN = 60.0
"""What a turn costs, in pixels of a longer way."""
REACH, CURVE = 80.0, 0.25
"""The frontend's handles of a curve: at most so long at a reroute, and such a share of the distance."""
SAMPLES = 48
APART = 8.0
"""How far a wire stays away from each node: its line is some pixels wide, and renderers round sizes differently."""
SOCKET = 24.0
"""So near to its own socket a wire lies on its node."""


class Box(NamedTuple):
    """What a node covers, its title with it."""

    left: float
    top: float
    right: float
    bottom: float


class Wire(NamedTuple):
    """From a socket to another; `source` and `target` are names of boxes, `output` tells a node's outputs apart."""

    source: str
    output: int
    target: str
    start: Point
    end: Point


@dataclass(frozen=True)
class Columns:
    """Nodes in columns.

    Args:
        boxes: of the nodes that stand there, with the room that they grow into.
        members: names from top to bottom, one list for each column from left to right.
    """

    boxes: Mapping[str, Box]
    members: Sequence[Sequence[str]]
    _column: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for number, names in enumerate(self.members):
            self._column.update(dict.fromkeys(names, number))

    @cached_property
    def kept(self) -> dict[str, Box]:
        """What wires keep out of."""
        return {
            name: Box(box.left - APART, box.top - APART, box.right + APART, box.bottom + APART)
            for name, box in self.boxes.items()
        }

    def of(self, name: str) -> int:
        return self._column[name]

    def edges(self, column: int) -> tuple[float, float]:
        """The left and right edge of a column, of which there is one more on both sides."""
        if column < 0 or column >= len(self.members):
            beside = self.edges(min(max(column, 0), len(self.members) - 1))
            return (beside[0] - 200, beside[0] - 100) if column < 0 else (beside[1] + 100, beside[1] + 200)
        boxes = [self.boxes[name] for name in self.members[column]]
        return min(box.left for box in boxes), max(box.right for box in boxes)

    def corridor(self, number: int) -> float:
        """The middle between column `number - 1` and column `number`."""
        return (self.edges(number - 1)[1] + self.edges(number)[0]) / 2

    def passages(self, column: int) -> tuple[list[float], float]:
        """Middles of the gaps between the nodes of a column, and where the free room below them begins."""
        boxes = [self.boxes[name] for name in self.members[column]]
        return [(upper.bottom + lower.top) / 2 for upper, lower in pairwise(boxes)], boxes[-1].bottom + BELOW


def routed(columns: Columns, wires: Sequence[Wire]) -> list[list[Point]]:
    """The points by way of which each wire goes; none for those that are free as they are.

    A wire for which a gap is too narrow beside others goes above all nodes instead, where that helps.
    """
    top = min((box.top for box in columns.boxes.values()), default=0.0) - LANES_FROM
    levels = {
        at: _levels(columns, wire, top)
        for at, wire in enumerate(wires)
        if behind(columns.kept, wire, curve([wire.start, wire.end]))
    }
    ways, hidden = _laid(columns, wires, levels, top)
    for at in sorted(at for at, names in enumerate(hidden) if names):
        other = levels | {at: [top] * len(levels[at])}
        found, left = _laid(columns, wires, other, top)
        if sum(map(len, left)) < sum(map(len, hidden)):
            levels, ways, hidden = other, found, left
    return ways


def _laid(
    columns: Columns, wires: Sequence[Wire], levels: Mapping[int, Sequence[float]], top: float
) -> tuple[list[list[Point]], list[list[str]]]:
    """Points for wires that go at these levels, each output on tracks of its own, and what they still pass behind."""
    nets = list(dict.fromkeys(_net(wires[at]) for at in levels if top in levels[at]))
    used: dict[tuple[str, float], list[tuple[str, int]]] = {}
    for at in levels:
        for place in _places(columns, wires[at], levels[at], top):
            users = used.setdefault(place, [])
            if _net(wires[at]) not in users:
                users.append(_net(wires[at]))

    def aside(kind: str, place: float, wire: Wire) -> float:
        users = used[kind, place]
        return place + TRACK * (users.index(_net(wire)) - (len(users) - 1) / 2)

    ways: list[list[Point]] = [[] for _ in wires]
    choices: dict[int, list[list[Point]]] = {}
    for at, heights in levels.items():
        wire = wires[at]
        back = columns.of(wire.target) <= columns.of(wire.source)
        points: list[Point] = []
        for column, level in zip(_crossed(columns, wire), heights, strict=True):
            y = top - LANE * nets.index(_net(wire)) if level == top else aside("level", level, wire)
            sides = (column + 1, column) if back else (column, column + 1)
            enter, leave = ((aside("corridor", columns.corridor(side), wire), y) for side in sides)
            points = points[:-1] if points and points[-1][1] == y else [*points, enter]
            points.append(leave)
        first, last = (points[0][0], wire.start[1]), (points[-1][0], wire.end[1])
        choices[at] = [points, [first, *points], [*points, last], [first, *points, last]]
        ways[at] = min(
            choices[at], key=lambda way: len(behind(columns.kept, wire, curve([wire.start, *way, wire.end])))
        )

    def hidden(net: tuple[str, int]) -> dict[int, list[str]]:
        mine = [at for at, wire in enumerate(wires) if _net(wire) == net]
        lines = drawn([wires[at] for at in mine], [ways[at] for at in mine])
        return {at: behind(columns.kept, wires[at], line) for at, line in zip(mine, lines, strict=True)}

    left: dict[int, list[str]] = {}
    for net in dict.fromkeys(map(_net, wires)):  # where wires part they bend each other, so they are looked at together
        now = hidden(net)
        for at in [at for at in now if now[at] and at in choices]:
            for way in choices[at]:
                before, ways[at] = ways[at], way
                other = hidden(net)
                if sum(map(len, other.values())) < sum(map(len, now.values())):
                    now = other
                else:
                    ways[at] = before
        left |= now
    return ways, [left[at] for at in range(len(wires))]


def drawn(wires: Sequence[Wire], ways: Sequence[Sequence[Point]]) -> list[list[Point]]:
    """What the canvas draws for wires by way of these points, which those of one output share until they part."""
    whole = [[*way, wire.end] for wire, way in zip(wires, ways, strict=True)]
    lines = []
    for wire, way in zip(wires, whole, strict=True):
        mates = [other for mate, other in zip(wires, whole, strict=True) if _net(mate) == _net(wire)]
        on = [[mate[at + 1] for mate in mates if mate[:-1][: at + 1] == way[: at + 1]] for at in range(len(way) - 1)]
        lines.append(curve([wire.start, *way], on))
    return lines


def _net(wire: Wire) -> tuple[str, int]:
    return wire.source, wire.output


def _crossed(columns: Columns, wire: Wire) -> list[int]:
    """The columns that a wire has to get through, in its order."""
    source, target = columns.of(wire.source), columns.of(wire.target)
    return list(range(source + 1, target)) if source < target else list(range(source, target - 1, -1))


def _levels(columns: Columns, wire: Wire, top: float) -> list[float]:
    """At which height it goes through each of these columns, so that it moves and turns least."""
    best: dict[float, tuple[float, list[float]]] = {wire.start[1]: (0.0, [])}
    for column in _crossed(columns, wire):
        gaps, below = columns.passages(column)
        free = {max(below, level) for level in (below, wire.start[1], wire.end[1], *best)}
        following: dict[float, tuple[float, list[float]]] = {}
        for level in (top, *gaps, *sorted(free)):
            following[level] = min(
                (cost + abs(level - before) + (TURN if level != before else 0.0), [*way, level])
                for before, (cost, way) in best.items()
            )
        best = following
    end = wire.end[1]
    return min((cost + abs(end - level) + (TURN if level != end else 0.0), way) for level, (cost, way) in best.items())[
        1
    ]


def _places(columns: Columns, wire: Wire, levels: Sequence[float], top: float) -> Iterator[tuple[str, float]]:
    """Where a wire needs a track of its own."""
    for column, level in zip(_crossed(columns, wire), levels, strict=True):
        yield "corridor", columns.corridor(column)
        yield "corridor", columns.corridor(column + 1)
        if level != top:
            yield "level", level


def curve(points: Sequence[Point], following: Sequence[Sequence[Point]] = ()) -> list[Point]:
    """What the canvas draws through points, the first and last of which are sockets.

    Args:
        following: for each reroute, where the wires through it go on; without it this is the only wire.
    """
    line: list[Point] = []
    leaving: Point | None = None
    for at, (here, there) in enumerate(pairwise(points)):
        apart = hypot(there[0] - here[0], there[1] - here[1])
        handle = leaving or (CURVE * apart, 0.0)
        arriving, leaving = (-CURVE * apart, 0.0), None
        if at + 2 < len(points):
            on = following[at] if following else [points[at + 2]]
            coming = atan2(there[1] - here[1], there[0] - here[0])
            going = sum(atan2(y - there[1], x - there[0]) for x, y in on) / len(on)
            half = (coming - going) / 2
            angle = coming - (half + pi if abs(half) > pi / 2 else half)
            reach = min(REACH, CURVE * apart)
            arriving = (-reach * cos(angle), -reach * sin(angle))
            after = points[at + 2]
            reach = min(REACH, CURVE * hypot(after[0] - there[0], after[1] - there[1]))
            leaving = (reach * cos(angle), reach * sin(angle))
        line += _bezier(here, handle, arriving, there)
    return line


def _bezier(here: Point, handle: Point, arriving: Point, there: Point) -> Iterator[Point]:
    first, second = (here[0] + handle[0], here[1] + handle[1]), (there[0] + arriving[0], there[1] + arriving[1])
    for step in range(SAMPLES + 1):
        t = step / SAMPLES
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3)
        x, y = (sum(w * p[axis] for w, p in zip(weights, (here, first, second, there), strict=True)) for axis in (0, 1))
        yield x, y


def behind(boxes: Mapping[str, Box], wire: Wire, drawn: Sequence[Point]) -> list[str]:
    """The nodes that a drawn wire passes behind; its own two beside their sockets count as well."""
    found = []
    for name, box in boxes.items():
        own = [wire.start] * (name == wire.source) + [wire.end] * (name == wire.target)
        if any(
            box.left < x < box.right and box.top < y < box.bottom and all(hypot(x - a, y - b) > SOCKET for a, b in own)
            for x, y in drawn
        ):
            found.append(name)
    return found

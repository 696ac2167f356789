"""Wires that are led around nodes, and what the canvas draws of them."""

import pytest

from acestep_core.host.graph.routing import SOCKET, Box, Columns, Wire, behind, curve, drawn, routed

COLUMNS = Columns(
    {name: Box(x, y, x + 300, y + 200) for name, (x, y) in {
        "load": (0, 0), "first": (400, 0), "second": (400, 260), "last": (800, 0)}.items()},
    [["load"], ["first", "second"], ["last"]],
)  # fmt: skip
MODEL = Wire("load", 0, "last", (290, 44), (810, 44))


def test_what_is_free_goes_straight() -> None:
    assert routed(COLUMNS, [Wire("load", 0, "first", (290, 44), (410, 64))]) == [[]]


def test_a_wire_goes_above_or_between_what_stands_in_its_way() -> None:
    low = Wire("load", 1, "last", (290, 180), (810, 180))
    (above, between) = routed(COLUMNS, [MODEL, low])
    assert {y < 0 for _, y in above} == {True} and {200 < y < 260 for _, y in between[:2]} == {True}
    for wire, line in zip((MODEL, low), drawn([MODEL, low], [above, between]), strict=True):
        assert line[0] == wire.start and line[-1] == pytest.approx(wire.end)
        assert not behind(COLUMNS.boxes, wire, line)


def test_a_wire_to_the_node_below_goes_through_the_gap() -> None:
    wire = Wire("first", 0, "second", (690, 44), (410, 304))
    (way,) = routed(COLUMNS, [wire])
    assert [x > 700 for x, _ in way][:1] == [True] and way[-1][0] < 400
    assert not behind(COLUMNS.boxes, wire, curve([wire.start, *way, wire.end]))
    assert behind(COLUMNS.boxes, wire, curve([wire.start, wire.end])) == ["first", "second"]


def test_wires_of_one_output_share_a_lane_and_others_have_their_own() -> None:
    both = [MODEL, MODEL._replace(end=(810, 64)), MODEL._replace(output=1, start=(290, 24))]
    one, two, other = routed(COLUMNS, both)
    assert one[0] == two[0] and not set(one) & set(other)
    assert len({y for _, y in (one[0], other[0])}) == 2


def test_only_beside_its_own_socket_a_wire_may_lie_on_its_node() -> None:
    box = {"load": COLUMNS.boxes["load"]}
    assert not behind(box, MODEL, [(290 - SOCKET + 1, 44)])
    assert behind(box, MODEL, [(290 - SOCKET - 1, 44)]) == ["load"]


def test_where_wires_part_they_bend_each_other() -> None:
    """At a reroute the frontend takes the mean of all directions in which it goes on."""
    alone = curve([(0, 0), (100, 0), (300, 0)])
    assert {y for _, y in alone} == {0}
    parted = curve([(0, 0), (100, 0), (300, 0)], [[(300, 0), (100, 200)]])
    assert max(y for _, y in parted) > 5

"""What `docs/canvas.md` names as the place of each control of upstream's interface is called so on the canvas."""

from __future__ import annotations

import json
import re

import pytest

from tests.canvas.desk import ROOT, WORKFLOWS, read

TABLE = (ROOT / "docs" / "canvas.md").read_text(encoding="utf-8").split("## From upstream's")[1]
LINES = [line.strip("|").split("|") for line in TABLE.splitlines() if line.startswith("| ")]
ROWS = [[cell.strip() for cell in line] for line in LINES[1:]]
PLACES = [place for _, here, *_ in ROWS for place in here.split("; ")]
GALLERY = json.loads((WORKFLOWS / "index" / "en.json").read_text(encoding="utf-8"))
CARDS = {template["title"]: template["name"] for group in GALLERY for template in group["templates"]}
NODES = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
SURFACES = {
    "form": ("make", "advanced", "author"),
    "song widget": ("song", "parts", "drawers"),
    "songbook": ("songbook", "songbook_parts"),
    "Song": ("author", "editor"),
    "Train LoRA": ("training",),
}
"""Whose words stand where: modules of `web/`."""
RUN = "Run"
"""The frontend's own button."""


def table(path: str) -> dict[str, str]:
    """Key -> English word of a table of words."""
    text = (ROOT / "web" / path).read_text(encoding="utf-8")
    return dict(re.findall(r'^  "?([\w ]+?)"?: \[\s*"((?:[^"\\]|\\.)*)"', text, re.MULTILINE))


WORDS = {key: word for path in (ROOT / "web").glob("words_*.js") for key, word in table(path.name).items()}


def said(surface: str) -> set[str]:
    """What may be read there: words whose key its modules name."""
    text = "\n".join((ROOT / "web" / f"{name}.js").read_text(encoding="utf-8") for name in SURFACES[surface])
    keys = {*re.findall(r'"([^"\n]*)"', text), *re.findall(r'\b(\w+): "', text)}
    return {WORDS[key] for key in keys & WORDS.keys()}


def labels(kind: str) -> set[str]:
    """The inputs of a node."""
    return {told["name"] for told in NODES[kind]["inputs"].values()}


def owner(name: str) -> set[str]:
    """What may be read on a part of the canvas or on a node."""
    kinds = [kind for kind, told in NODES.items() if told["display_name"] in (name, f"ACE-Step {name}")]
    assert name in SURFACES or kinds, f"nothing is called {name}"
    return (said(name) if name in SURFACES else set()).union(*map(labels, kinds))


def named(text: str) -> list[str]:
    """`One, "Two, or three", Four`: the names in it."""
    parts = re.findall(r'"([^"]+)"|([^,"]+)', text)
    return [name for quoted, plain in parts if (name := quoted or plain.strip())]


def clicks(cell: str) -> list[int]:
    assert re.fullmatch(r"\d+(, \d+)*( each| \(on Run\))?", cell), cell
    return [int(number) for number in re.findall(r"\d+", cell)]


def lacking(place: str) -> list[str]:
    """What a place names and nobody finds there."""
    where, colon, text = place.partition(": ")
    if where.startswith(("workflow **", "workflows **")):
        titles = re.findall(r"\*\*(.+?)\*\*", where)
        assert where.split("**", 1)[0] == ("workflow " if len(titles) == 1 else "workflows ")
        if unknown := [title for title in titles if title not in CARDS]:
            return unknown
        there = {node["type"] for title in titles for node in read(CARDS[title])["nodes"]}
        found = {RUN}.union(*(labels(kind) for kind in there if kind in NODES))
        return [name for name in named(text) if name not in found]
    if place.startswith("drop "):
        return []
    assert colon and named(text), f"{place} names no control"
    return [name for one in where.split(" or ") for name in named(text) if name not in owner(one)]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_called_so(place: str) -> None:
    assert lacking(place) == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("workflow **Codes by han**", ["Codes by han"]),
        ("workflow **With a LoRA**: LoRA, Tempo, Run", ["Tempo"]),
        ("form: Codes, Key", ["Codes"]),
        ("form or Song: Score takes, Format", ["Score takes"]),
        ('Plan: "Fill in tempo, key", Improve caption', ["Fill in tempo, key"]),
        ("song widget: Codes", ["Codes"]),
    ],
)
def test_a_name_that_is_not_there_is_seen(place: str, wrong: list[str]) -> None:
    """A part of another name, or the name of something elsewhere, is none."""
    assert lacking(place) == wrong


def test_never_more_clicks_than_there() -> None:
    assert len(ROWS) > 25
    for there, _, before, after in ROWS:
        most, found = clicks(before), clicks(after)
        assert len(most) == len(found) and all(map(int.__le__, found, most)), there

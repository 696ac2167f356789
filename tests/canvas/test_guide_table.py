"""What `docs/canvas.md` names as the place of each control of upstream's interface is called so on the canvas."""

from __future__ import annotations

import json
import re

import pytest

from tests.canvas.desk import ROOT, WORKFLOWS

TABLE = (ROOT / "docs" / "canvas.md").read_text(encoding="utf-8").split("## From upstream's")[1]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| ")]
PLACES = [place for _, here, *_ in ROWS[1:] for place in here.split("; ")]
GALLERY = json.loads((WORKFLOWS / "index" / "en.json").read_text(encoding="utf-8"))
CARDS = {template["title"] for group in GALLERY for template in group["templates"]}
CONTROLS = [place for place in PLACES if place.split(":")[0] in ("form", "song widget", "songbook")]


def english(*tables: str) -> str:
    """The English words of the canvas."""
    found = [(ROOT / "web" / f"words_{table}.js").read_text(encoding="utf-8") for table in tables]
    return " | ".join(word for text in found for word in re.findall(r'\[\s*"([^"]*)"', text))


@pytest.mark.parametrize("title", sorted(set(re.findall(r"\*\*(.+?)\*\*", " ".join(PLACES)))))
def test_every_workflow_is_a_card(title: str) -> None:
    assert title in CARDS


@pytest.mark.parametrize("place", CONTROLS)
def test_every_control_is_called_so(place: str) -> None:
    said = english("first", "song", "book", "edit")
    for name in re.split(r", ", place.partition(": ")[2]):
        assert name in said, name


def test_never_more_clicks_than_there() -> None:
    clicks = [(there, int(before[0]), int(after[0])) for there, _, before, after in ROWS[1:]]
    assert len(clicks) > 25 and [there for there, before, after in clicks if after > before] == []

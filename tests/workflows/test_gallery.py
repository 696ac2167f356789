"""The gallery of workflows: every job is one card, in three languages, with a picture."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from acestep_core.io.audio import read_audio
from tests.host.lab_site import Site, with_site
from workflows.sounds import played

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "workflows"
NAMES = {path.stem for path in (FOLDER / "api").glob("*.json")}
LONGEST = {"en": (24, 70), "ko": (14, 42), "zh": (10, 32)}
"""Signs of a title and of the line below it, so that a card of 260 pixels shows both."""


def cards(language: str) -> list[dict[str, Any]]:
    index = json.loads((FOLDER / "index" / f"{language}.json").read_text(encoding="utf-8"))
    return [card for group in index for card in group["templates"]]


@pytest.mark.parametrize("language", LONGEST)
def test_every_job_is_one_card(language: str) -> None:
    found = cards(language)
    assert sorted(card["name"] for card in found) == sorted(NAMES)
    assert [card["name"] for card in found] == [card["name"] for card in cards("en")], "in the same order"
    longest_title, longest_line = LONGEST[language]
    for card in found:
        assert 0 < len(card["title"]) <= longest_title and 0 < len(card["description"]) <= longest_line, card["name"]
        assert (FOLDER / f"{card['name']}_app.json").is_file(), "its other door"
        assert (FOLDER / f"{card['name']}.jpg").stat().st_size < 30_000
    if language != "en":
        ours, english = ([card[key] for key in ("title", "note") for card in part] for part in (found, cards("en")))
        assert [a for a, b in zip(ours, english, strict=True) if a == b] == []


def test_what_the_built_in_model_plays_can_be_heard() -> None:
    """Each of these cards has a sound of some seconds, and no other says that it has one."""
    found = {card["name"] for card in cards("en") if card["sound"]}
    assert found == {path.stem for path in FOLDER.glob("*.mp3")} == set(played())
    assert {"text2music", "make_a_song", "cover", "repaint", "extend"} <= found
    for name in found:
        sound, rate = read_audio(FOLDER / f"{name}.mp3")
        assert 9 < sound.shape[1] / rate < 12.5 and 0.2 < float(sound.abs().max()) <= 1.01, name


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_workflow_stands_in_numbered_groups(name: str) -> None:
    canvas = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    boxes = [group["bounding"] for group in canvas["groups"]]
    assert [int(group["title"].split()[0]) for group in canvas["groups"]] == list(range(1, len(boxes) + 1))
    assert all(a[0] + a[2] < b[0] for a, b in pairwise(boxes)), "side by side"
    where = {}
    for node in canvas["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        inside = [n for n, (left, top, w, h) in enumerate(boxes)
                  if left <= x and x + width <= left + w and top <= y and y + height <= top + h]  # fmt: skip
        assert len(inside) == (node["type"] != "MarkdownNote"), node["title"]
        where[node["id"]] = inside
    for _, source, _, target, _, _ in canvas["links"]:
        assert where[source] <= where[target], "wires go from left to right"
    (x, y), scale = canvas["extra"]["ds"]["offset"], canvas["extra"]["ds"]["scale"]
    assert (boxes[0][0] + x) * scale >= 64, "right of the sidebar"
    assert (min(node["pos"][1] for node in canvas["nodes"]) - 30 + y) * scale >= 92, "below the buttons in the corner"


@with_site(packs=(ROOT,))
async def test_our_host_serves_it(site: Site) -> None:
    for asked, language in (("index", "en"), ("index.ko", "ko"), ("index.zh", "zh"), ("index.fr", "en")):
        found = (await site.get(f"/templates/{asked}.json"))[1]
        assert [card["title"] for group in found for card in group["templates"]] == [
            c["title"] for c in cards(language)
        ]
        assert all(group["moduleName"] == "default" for group in found)
    status, picture = await site.get("/templates/cover-1.jpg")
    assert status == 200 and picture[:2] == b"\xff\xd8"
    assert (await site.get("/templates/cover.json"))[1]["nodes"]
    for missing in ("nothing.json", "..%2fpyproject.toml", "index.en%2f..%2f..%2fpyproject.toml"):
        assert (await site.get(f"/templates/{missing}"))[0] == 404

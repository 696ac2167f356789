"""After Run, every result that an app declares is on the screen: one app of six; `tests/workflows` runs them all."""

from __future__ import annotations

import json

import pytest

from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import WORKFLOWS, Desk, read

require_browser()

CARDS = json.loads((WORKFLOWS / "index" / "en.json").read_text(encoding="utf-8"))
LACKING = {"a folder of recordings", "a trainset", "a LoRA"}
"""What no desk has."""
APPS = [card["name"] for group in CARDS for card in group["templates"] if not LACKING & {*card["needs"]}][5::6]
RESULTS = """([outputs, fields]) => outputs.map(id => {
    const [, name] = fields.findLast(([owner]) => owner === id)
    const { element } = app.graph.getNodeById(id).widgets.find(widget => widget.name === name)
    const told = element.querySelector('.ace-has-songs, .ace-text:not(.ace-quiet)') ?? element.closest('.ace-has-songs')
    return !!told?.checkVisibility() && told.clientHeight > 0 && told.textContent.trim() !== ''
})"""


@pytest.mark.parametrize("name", APPS)
def test_an_app_shows_what_it_made(name: str, desk: Desk) -> None:
    app = read(f"{name}_app")
    made = app["extra"]["linearData"]

    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{app['id']}'")
        for node in app["nodes"]:
            if node["type"] == "ACEStepSong":
                await page.set(node["id"], duration=10)
        asked = [made["outputs"], made["inputs"]]
        assert made["outputs"] and not any(await page.js(RESULTS, asked)), "nothing is made yet"
        await page.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
        await page.page.wait_for_function(f"({RESULTS})({json.dumps(asked)}).every(Boolean)", timeout=120_000)

    desk.visit(desk.address(f"{name}_app", "&mode=linear"), f"app_{name}", scenario)

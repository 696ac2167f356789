"""The gallery with two doors and the models panel."""

from __future__ import annotations

import json

from acestep_core.host.graph.canvas import convert
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import ROOT, Desk, read

require_browser()


def test_each_job_is_one_card_with_two_doors(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("text2music"))
        await page.js("() => app.extensionManager.command.execute('ACEStep.Gallery')")
        cards = page.page.locator(".ace-card")
        await cards.first.wait_for()
        await page.js("() => app.extensionManager.command.execute('ACEStep.Gallery')")  # the menu can still be reached
        await page.frame()
        names = {path.stem for path in (ROOT / "workflows" / "api").glob("*.json")}
        assert await cards.count() == len(names)
        await page.until(
            "[...document.querySelectorAll('.ace-card img')].slice(0, 3).every(i => i.naturalWidth === 600)"
        )
        hear = page.page.get_by_role("button", name="Text to music: listen", exact=True)
        await hear.click()
        await page.until("document.querySelector('.ace-hear[aria-pressed=true] .pi-stop') !== null")
        await page.screenshot("gallery")
        await page.page.get_by_role("button", name="Cover: listen", exact=True).click()
        assert await hear.get_attribute("aria-pressed") == "false", "one plays at a time"
        await page.page.get_by_role("button", name="Cover: listen", exact=True).click()
        assert await page.js("() => document.querySelectorAll('.ace-hear[aria-pressed=true]').length") == 0
        await page.page.get_by_role("button", name="Cover: open graph", exact=True).click()
        await page.until("app.graph.nodes.some(node => node.comfyClass === 'ACEStepCover')")
        assert not await page.js("() => app.graph.extra.linearMode")
        assert await page.js("() => document.querySelectorAll('.ace-front').length") == 0

    desk.look(page, "after_gallery", scenario())


def test_models_are_listed_and_checked(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("text2music"))
        await page.js("() => app.extensionManager.command.execute('ACEStep.Models')")
        await page.page.get_by_role("button", name="Verify").first.wait_for()
        assert await page.page.get_by_text("All for a first song (turbo)").count() == 1
        assert " MB" in (told := await page.page.locator(".ace-models").inner_text()) and "0.00 GB" not in told
        await page.screenshot("models")
        await page.page.get_by_role("button", name="Verify").first.click()
        await page.until("/: done/.test(document.querySelector('.ace-job')?.textContent)", 60)
        await page.page.keyboard.press("Escape")
        assert await page.js("() => document.querySelectorAll('.ace-front').length") == 0

    desk.look(page, "after_models", scenario())


def test_blueprints_are_listed_and_give_the_prompt_of_their_graph(desk: Desk, page: Canvas) -> None:
    """The frontend's own store has them all; one that is opened becomes the prompt that we make of its file."""

    async def scenario() -> None:
        definitions = (await desk.site.get("/object_info"))[1]
        files = sorted((ROOT / "subgraphs").glob("*.json"))
        listed = (await desk.site.get("/global_subgraphs"))[1]
        assert sorted(entry["name"] for entry in listed.values()) == [path.stem for path in files]
        for path in files:
            data = json.loads(path.read_text(encoding="utf-8"))
            await page.js("graph => app.loadGraphData(graph)", data)
            made = await page.js("() => app.graphToPrompt().then(found => found.output)")
            expected = convert(data, definitions).prompt
            assert {key: node["inputs"] for key, node in made.items()} == {
                key: {name: value for name, value in node["inputs"].items() if name in made[key]["inputs"]}
                for key, node in expected.items()
            }, path.stem
            use = await page.js("() => app.graph.nodes[0].widgets.map(widget => widget.name)")
            assert {name for _, name in data["nodes"][0]["properties"]["proxyWidgets"]} <= set(use), path.stem
        await page.screenshot("blueprint")

    desk.look(page, "after_blueprints", scenario())

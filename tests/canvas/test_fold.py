"""Which inputs of a node are shown: what is rarely needed waits behind a button, what counts for nothing is hidden."""

from __future__ import annotations

from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read

require_browser()
pytestmark = on_every_server

GUIDANCE = next(node["id"] for node in read("base_guidance")["nodes"] if node["type"] == "ACEStepGuidance")
SCALE = "Guidance scale"
APG = ["momentum", "eta", "norm_threshold"]
SHOWN = """id => {
    const node = app.graph.getNodeById(id)
    const hidden = w => w.options.hidden ?? w.hidden // newer frontends show a wired input as its socket alone
    return node.widgets.filter(w => !hidden(w) && (node.showAdvanced || !w.options.advanced)).map(w => w.name)
}"""


def test_what_is_rarely_needed_is_folded(desk: Desk, page: Canvas) -> None:
    """In both renderers; the classic one has a button of ours for it, which is no setting."""

    async def scenario() -> None:
        await page.show(read("text2music"))
        classic = not await page.js("() => !!LiteGraph.vueNodesMode")
        height = "() => { const n = app.graph.getNodeById(7); return [n.computeSize()[1], n.showAdvanced] }"
        low, folded = await page.js(height)
        assert not folded and "advanced" not in (await page.prompt())["7"]["inputs"]
        values = await page.js("() => app.graph.serialize().nodes.find(n => n.id === 7).widgets_values")
        assert values == next(node for node in read("text2music")["nodes"] if node["id"] == 7)["widgets_values"]
        if not classic:
            assert await page.page.get_by_text("Zip the batch").locator("visible=true").count() == 0
            return
        await page.js("() => app.graph.getNodeById(7).widgets.find(w => w.name === 'advanced').callback()")
        high, unfolded = await page.js(height)
        assert unfolded and high > low
        assert await page.js("() => app.graph.getNodeById(7).size[1]") >= high
        await page.frame()

    desk.look(page, "folded", scenario())


def test_only_what_counts_in_the_chosen_mode_is_shown(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("base_guidance"))
        saved = (await page.prompt())[str(GUIDANCE)]["inputs"]
        usual = ["mode", "scale", "start", "end", "advanced"]
        assert await page.js(SHOWN, GUIDANCE) == usual

        await seen(page, True)
        await choose(page, "none")
        assert await page.js(SHOWN, GUIDANCE) == ["mode"]
        await seen(page, False)
        await page.screenshot("mode_none")
        assert (await page.prompt())[str(GUIDANCE)]["inputs"] == saved | {"mode": "none"}, (
            "hidden ones keep their values"
        )
        graph = await page.js("() => app.graph.serialize()")
        await page.js("graph => app.loadGraphData(graph)", graph)
        assert await page.js(SHOWN, GUIDANCE) == ["mode"]
        await seen(page, False)
        await choose(page, "cfg")
        await seen(page, True)
        assert await page.js(SHOWN, GUIDANCE) == usual[:-1], "nothing is left for the button"
        await choose(page, "apg")
        await page.js("id => (app.graph.getNodeById(id).showAdvanced = true)", GUIDANCE)
        await choose(page, "apg")
        assert await page.js(SHOWN, GUIDANCE) == [*usual[:-1], *APG, "advanced"]

        await choose(page, "none")
        wired = """id => {
            const node = app.graph.getNodeById(id), from = LiteGraph.createNode('PrimitiveFloat')
            app.graph.add(from)
            from.connect(0, node, node.inputs.findIndex(input => input.name === 'end'))
        }"""
        await page.js(wired, GUIDANCE)
        assert await page.js(SHOWN, GUIDANCE) == ["mode", "end"], "a wire is not hidden"

    desk.look(page, "modes", scenario())


def test_as_many_loras_are_shown_as_are_wanted(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        graph = read("lora")
        [lora] = [node["id"] for node in graph["nodes"] if node["type"] == "ACEStepLoRALoader"]
        await page.show(graph)
        first = ["lora", "strength", "enabled", "loras"]
        assert await page.js(SHOWN, lora) == first
        height = "id => app.graph.getNodeById(id).computeSize()[1]"
        low = await page.js(height, lora)
        await page.set(lora, loras=3)
        await page.frame()
        assert await page.js(SHOWN, lora) == [*first, "lora_2", "strength_2", "lora_3", "strength_3"]
        assert await page.js(height, lora) > low or await page.js("() => !!LiteGraph.vueNodesMode")
        await page.screenshot("three_loras")
        await page.set(lora, loras=1)
        await page.frame()
        assert await page.js(SHOWN, lora) == first

    desk.look(page, "loras", scenario())


async def seen(page: Canvas, there: bool) -> None:
    """Waits until newer nodes show the scale, or do not; the classic ones are a drawing."""
    text = f"""document.querySelector("[data-node-id='{GUIDANCE}']").innerText.includes({SCALE!r})"""
    if await page.js("() => !!LiteGraph.vueNodesMode"):
        await page.until(text if there else f"!{text}")


async def choose(page: Canvas, mode: str) -> None:
    """As a user does, who then sees the node again."""
    await page.set(GUIDANCE, mode=mode)
    await page.frame()

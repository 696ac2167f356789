"""Our nodes and workflows in the real frontend, on the tiny checkpoint, in both renderers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from acestep_core.host.graph.workflow import parse_workflow
from acestep_core.io.audio import read_audio
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import ROOT, WORKFLOWS, Desk, read

require_browser()

NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
SECONDS = 10
TITLE = 30
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


@pytest.mark.parametrize("newer", [False, True])
def test_a_workflow_is_shown_whole_and_readable(newer: bool, desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{read('text2music')['id']}'")
        await page.until("app.canvas.ds.scale < 1")  # fitted to the window
        await page.frame()
        assert await page.prompt() == read("api/text2music")
        assert await page.js("() => document.querySelectorAll('[role=dialog]').length") == 0
        scale, size = await page.js("() => [app.canvas.ds.scale, LiteGraph.NODE_TEXT_SIZE]")
        assert scale * size >= 8, "below that the canvas draws no text"

    desk.runner.run(desk.site.post("/settings/Comfy.VueNodes.Enabled", newer))
    desk.visit(desk.address("text2music"), "first_workflow", scenario)


def test_every_node_can_be_placed(desk: Desk, page: Canvas) -> None:
    """Titles, sockets and widgets are those of the definition, widgets in its order."""

    async def scenario() -> None:
        await page.js("() => app.graph.clear()")
        found = await page.js(
            """types => types.map((type, i) => {
                const node = LiteGraph.createNode(type)
                node.pos = [(i % 9) * 400, Math.floor(i / 9) * 600]
                app.graph.add(node)
                return {
                    type, title: node.title,
                    widgets: (node.widgets ?? [])
                        .filter(w => w.serialize !== false || w.name === 'audioUI').map(w => w.name),
                    inputs: node.inputs.map(i => i.name), outputs: node.outputs.map(o => o.name),
                }
            })""",
            desk.nodes(),
        )
        assert [node["type"] for node in found] == desk.nodes() and len(found) > 30
        for node in found:
            definition = desk.definitions()[node["type"]]
            assert node["title"] == definition["display_name"]
            assert node["outputs"] == definition["output_name"]
            assert node["widgets"] == list(widgets(definition))
            assert set(node["inputs"]) <= set(inputs(definition))
        await page.js("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        await page.until("app.canvas.ds.scale < 0.5")
        if await page.js("() => !!LiteGraph.vueNodesMode"):
            await page.until(f"document.querySelectorAll('[data-node-id]').length >= {len(found)}")

    desk.look(page, "every_node", scenario())


def inputs(definition: dict[str, Any]) -> Iterator[str]:
    for group in ("required", "optional"):
        yield from definition["input"].get(group, {})


def widgets(definition: dict[str, Any]) -> Iterator[str]:
    """Names of the widgets that the canvas makes, in order."""
    for group in ("required", "optional"):
        for name, (kind, *options) in definition["input"].get(group, {}).items():
            given = options[0] if options else {}
            if (isinstance(kind, list) or kind in WIDGETS) and not given.get("forceInput"):
                yield name
                if given.get("control_after_generate"):
                    yield "control_after_generate"
            elif kind == "AUDIO_UI":
                yield name


def test_every_workflow_opens_as_it_was_meant(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        shown_by_dom = await page.js("() => !!LiteGraph.vueNodesMode")
        for name in NAMES[::6] if shown_by_dom else NAMES:  # prompts do not depend on who draws
            await page.show(read(name))
            prompt = await page.prompt()
            for node in prompt.values():
                if node["class_type"] == "LoadAudio":
                    node["inputs"].pop("audioUI", None)  # older versions send their player's address along
            assert prompt == read(f"api/{name}"), name
            await page.frame()
            boxes = await page.js("() => app.graph.nodes.map(n => [n.title, ...n.pos, ...n.size])")
            for i, (a, ax, ay, aw, ah) in enumerate(boxes):
                for b, bx, by, bw, bh in boxes[i + 1 :]:
                    apart = ax + aw <= bx or bx + bw <= ax or ay + ah <= by - TITLE or by + bh <= ay - TITLE
                    assert apart, f"{name}: {a} and {b} lie on each other"
            assert await page.page.get_by_text("Media input missing").locator("visible=true").count() == 0, name

    desk.look(page, "workflows", scenario())


def test_runs_shows_how_far_it_is_and_plays(desk: Desk, page: Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    seam = sys.modules[desk.site.host.registry.cls("ACEStepSampler").__module__.rpartition(".")[0] + ".host"]
    monkeypatch.setattr(seam, "PREVIEW_SECONDS", 0.0)  # the tiny model is done before a second picture is due

    async def scenario() -> None:
        await short_song(page)
        await page.js(
            """() => {
                window.seen = { progress: [], text: [], previews: [], left: [] }
                const said = node => node.widgets?.some(widget => widget.name === '$$node-text-preview')
                const on = (kind, take) => window.comfyAPI.api.api.addEventListener(kind, e => take(e.detail))
                on('progress', e => { if (e.node == 5) seen.progress.push([e.value, e.max]) })
                on('progress_text', e => { seen.text.push(e.text); seen.shown ||= app.graph.nodes.some(said) })
                on('progress_state', ({ nodes }) => seen.left.push(
                    ...app.graph.nodes.filter(node => nodes[node.id]?.state === 'finished' && said(node))
                        .map(node => node.title)))
                on('execution_success', () => seen.left.push(...app.graph.nodes.filter(said).map(node => node.title)))
                on('b_preview_with_metadata', async e => {
                    const picture = await createImageBitmap(e.blob)
                    seen.previews.push([String(e.displayNodeId), picture.width, picture.height])
                })
            }"""
        )
        saved = (await page.run())["7"]["audio"][0]
        await page.until("seen.previews.length > 0")  # pictures are decoded beside the run
        seen = await page.js("() => seen")
        assert seen["progress"][-1] == [8, 8] and len(seen["progress"]) > 1
        assert seen["progress"] == sorted(seen["progress"]) and {most for _, most in seen["progress"]} == {8}
        assert "Sampling 8 of 8" in seen["text"] and any(text.startswith("Decoding") for text in seen["text"])
        assert seen["shown"] and not seen["left"], "the text leaves when its node is done"
        assert seen["previews"] and all(preview == ["5", 512, 96] for preview in seen["previews"])
        await page.until(
            "LiteGraph.vueNodesMode ? !!document.querySelector('[data-node-id=\"5\"] img')?.naturalWidth"
            " : app.graph.getNodeById(5).imgs?.[0]?.naturalWidth === 512"
        )

        await page.until(
            f"[...document.querySelectorAll('audio')].some(player => Math.round(player.duration) === {SECONDS})"
        )
        await page.js(
            "() => { for (const p of document.querySelectorAll('audio')) if (p.duration) { p.muted = true; p.play() } }"
        )
        await page.until("[...document.querySelectorAll('audio')].some(player => player.currentTime > 0.1)")

        path = desk.site.folders.output / saved["subfolder"] / saved["filename"]
        audio, rate = read_audio(path)
        assert audio.shape[-1] == SECONDS * rate
        part = await page.js(
            """async item => {
                const range = { headers: { Range: 'bytes=100-299' } }
                const answer = await fetch(`/api/view?${new URLSearchParams(item)}`, range)
                const bytes = new Uint8Array(await answer.arrayBuffer())
                return [answer.status, answer.headers.get('Content-Range'), [...bytes]]
            }""",
            saved,
        )
        content = path.read_bytes()
        assert part == [206, f"bytes 100-299/{len(content)}", list(content[100:300])]

    desk.look(page, "ran", scenario())


async def short_song(page: Canvas, **save: Any) -> None:
    """Text to music, short, with a seed that stays."""
    await page.show(read("text2music"))
    await page.set(2, duration=SECONDS)
    await page.set(5, seed=7, control_after_generate="fixed")
    await page.set(7, **save)


@pytest.mark.parametrize("form", ["flac", "mp3"])
def test_a_saved_song_dropped_on_the_canvas_restores_its_graph(form: str, desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await short_song(page, format=form, filename_prefix=f"kept/{form}")
        await page.set(2, caption='Wüste, 사막, 沙漠\n"quoted" \\ and <b>', bpm=97)
        await page.js("() => { app.graph.getNodeById(6).pos = [1234, 567]; app.graph.getNodeById(6).title = 'Mine' }")
        before = await page.js("() => app.graph.serialize()")
        prompt = await page.prompt()
        saved = (await page.run())["7"]["audio"][0]
        await page.js("() => app.graph.clear()")
        await page.js(
            """async item => {
                const data = await (await fetch(`/api/view?${new URLSearchParams(item)}`)).blob()
                await app.handleFile(new File([data], item.filename, { type: data.type }))
            }""",
            saved,
        )
        await page.until(f"app.graph.nodes.length === {len(before['nodes'])}")
        after = await page.js("() => app.graph.serialize()")
        assert await page.prompt() == prompt
        for kept in ("id", "type", "title", "pos", "widgets_values"):
            assert column(after, kept) == column(before, kept), kept
        assert len(after["links"]) == len(before["links"])

    desk.look(page, f"restored_{form}", scenario())


def column(graph: dict[str, Any], name: str) -> dict[str, Any]:
    return {str(node["id"]): node.get(name) for node in graph["nodes"]}


def test_saving_and_opening_again_keeps_every_value(desk: Desk, page: Canvas) -> None:
    """Every widget of every node gets a value that is not its default."""

    async def scenario() -> None:
        await page.js("() => app.graph.clear()")
        values = await page.js(
            """types => types.map((type, i) => {
                const node = LiteGraph.createNode(type)
                node.pos = [(i % 9) * 400, Math.floor(i / 9) * 600]
                app.graph.add(node)
                for (const w of node.widgets ?? []) {
                    if (['audioUI', 'shown', 'advanced'].includes(w.name)) continue
                    if (w.type === 'combo') w.value = w.options.values.at(-1)
                    else if (typeof w.value === 'boolean') w.value = !w.value
                    else if (typeof w.value === 'number') w.value = Math.min(w.options.max, w.value + 1)
                    else w.value = `${type} ${w.name}\\n"ü"`
                }
                return Object.fromEntries((node.widgets ?? []).map(w => [w.name, w.value]))
            })""",
            desk.nodes(),
        )
        await page.js(
            "() => comfyAPI.api.api.storeUserData('workflows/every.json', app.graph.serialize(), { stringify: true })"
        )
        saved = json.loads((desk.site.folders.user / "default" / "workflows" / "every.json").read_text())
        await page.js("() => app.graph.clear()")
        await page.js("data => app.loadGraphData(data)", saved)
        await page.until(f"app.graph.nodes.length === {len(values)}")
        again = await page.js(
            "() => app.graph.nodes.map(n => Object.fromEntries((n.widgets ?? []).map(w => [w.name, w.value])))"
        )
        assert again == values
        assert parse_workflow(saved, desk.definitions()).prompt == await page.prompt()

    desk.look(page, "every_value", scenario())


def test_the_help_of_a_node(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("text2music"))
        await page.js("() => app.canvas.selectNode(app.graph.getNodeById(5))")
        await page.page.get_by_test_id("info-button").first.click()
        first = (ROOT / "web" / "docs" / "ACEStepSampler.md").read_text(encoding="utf-8").splitlines()[2]
        await page.page.get_by_text(first).first.wait_for()
        await page.screenshot("help")
        await page.js("() => app.canvas.deselectAll()")

    desk.look(page, "after_help", scenario())


def test_an_error_is_one_sentence_on_its_node(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("base_guidance"))
        await page.set(1, variant="turbo")
        await page.set(3, duration=SECONDS)
        assert await page.queue() == "error"
        problem = await page.js("() => window.ending")
        message = problem["exception_message"].strip()
        assert problem["node_id"] == "5" and re.fullmatch(r"[A-Z][^\n]*[^.\n]\.", message), problem
        details = page.page.get_by_role("button", name=re.compile("View details|See Error"))
        shown = page.page.get_by_text(message[:30]).first
        await details.or_(shown).first.wait_for()
        if not await shown.is_visible():
            await details.first.click()
        await shown.wait_for()

    desk.look(page, "error", scenario())


def test_the_app_runs_and_plays(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{read('text2music_app')['id']}'")
        await page.set(2, duration=SECONDS)
        for field in ("Caption", "Lyrics", "Vocal language", "Length (s)", "Seed"):
            await page.page.get_by_text(field, exact=True).locator("visible=true").first.wait_for()
        assert await page.js("() => document.querySelectorAll('[role=dialog]').length") == 0
        await page.screenshot("app_before")
        await page.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
        await page.until(f"[...document.querySelectorAll('audio')].some(p => Math.round(p.duration) === {SECONDS})")

    desk.visit(desk.address("text2music_app", "&mode=linear"), "app", scenario)


FIELDS = """async ([path, apps]) => {
    const { readShipped, translate } = await import(path)
    const words = await readShipped(), called = {}
    for (const [name, graph] of Object.entries(apps)) {
        translate(graph, words)
        called[name] = graph.extra.linearData.inputs.map(([id, field]) => {
            const node = graph.nodes.find(n => n.id === id)
            const kind = LiteGraph.registered_node_types[node.type]
            if (['audioUI', 'shown'].includes(field)) return node.title ?? kind.title
            window.widgetsOf ??= {}
            const own = (widgetsOf[node.type] ??= LiteGraph.createNode(node.type).widgets).find(w => w.name === field)
            return node.inputs.find(i => i.name === field)?.label ?? own.label ?? field
        })
    }
    return called
}"""
"""How each app calls its fields, in the language of the canvas."""


@pytest.mark.parametrize("language", ["ko", "zh"])
def test_names_follow_the_language(language: str, desk: Desk) -> None:
    words = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))

    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{read('text2music')['id']}'")
        titles = await page.js("types => types.map(type => LiteGraph.createNode(type).title)", desk.nodes())
        assert titles == [words[name]["display_name"] for name in desk.nodes()]
        label = await page.js("() => app.graph.getNodeById(2).widgets[0].label")
        assert label == words["ACEStepSong"]["inputs"]["caption"]["name"]
        sides = "w => w.name === 'instrumental' && !/[a-z]/.test(w.options.on + w.options.off)"
        assert await page.js(f"() => app.graph.getNodeById(2).widgets.some({sides})")
        shown = await page.js("() => app.graph.nodes.map(node => [node.type, node.title, node.widgets?.[0]?.value])")
        ours = [(kind, title) for kind, title, _ in shown if kind.startswith("ACEStep")]
        assert len(ours) > 5 and all(title == words[kind]["display_name"] for kind, title in ours)
        (note,) = ((title, text) for kind, title, text in shown if kind == "MarkdownNote")
        said = json.loads((ROOT / "locales" / language / "workflows.json").read_text(encoding="utf-8"))
        assert note == (said["workflows"]["text2music"]["title"], said["workflows"]["text2music"]["note"])
        groups = await page.js("() => app.graph.groups.map(group => group.title)")
        assert groups == [f"{n} {said['stages'][name]}" for n, name in enumerate(("Song", "Render", "Keep"), 1)]
        await page.show(read("retakes"))
        titles = await page.js("() => app.graph.nodes.map(node => node.title)")
        assert f"{words['ACEStepSampler']['display_name']} {said['titles']['retake']} 20%" in titles
        assert said["titles"]["Retake seed"] in titles and not [title for title in titles if title.isascii()]
        apps = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in WORKFLOWS.glob("*_app.json")}
        for name, fields in (await page.js(FIELDS, [f"/extensions/{desk.pack}/shipped.js", apps])).items():
            assert len(set(fields)) == len(fields) and "value" not in fields, f"{name}: {fields}"
            assert not [field for field in fields if field.isascii() and ":" in field], f"{name}: {fields}"
        await page.js("() => { window.mine = app.graph.serialize(); mine.nodes[0].title = 'My own name' }")
        await page.js("() => app.loadGraphData(mine)")
        assert await page.js("() => app.graph.nodes.some(node => node.title === 'My own name')")

    desk.runner.run(desk.site.post("/settings/Comfy.Locale", language))
    try:
        desk.visit(desk.address("text2music"), language, scenario)
    finally:
        desk.runner.run(desk.site.post("/settings/Comfy.Locale", "en"))

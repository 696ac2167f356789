"""Draws graphs in a version of the frontend and keeps what it saves and what it would send.

    pip install --target FOLDER --no-deps comfyui-frontend-package==VERSION
    ACESTEP_FRONTEND=FOLDER python -m tests.canvas.save_graphs VERSION

writes `tests/host/saved/VERSION.json`. Everything is done as by hand: nodes from the menu, the frontend's own commands.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.canvas.browser import Canvas, open_canvas, other_frontend
from tests.host.lab_site import open_site

SAVED = Path(__file__).parents[1] / "host" / "saved"

HANDS = """() => {
    const pause = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
    const till = async (what, found) => {
        for (let tries = 0; tries < 200; tries++) { if (found()) return found(); await pause() }
        throw new Error(`${what} did not happen`)
    }
    window.hands = {
        pause, till,
        add(type, x, y, values = {}) {
            const node = LiteGraph.createNode(type)
            node.pos = [x, y]
            app.canvas.graph.add(node)
            for (const [name, value] of Object.entries(values)) this.set(node, name, value)
            return node
        },
        find: (node, name) => node.widgets?.find(w => w.name === name || w.name.endsWith(`: ${name}`)),
        set(node, name, value) {
            const widget = this.find(node, name)
            if (!widget) throw new Error(`${node.type} has no widget ${name}, but ${node.widgets?.map(w => w.name)}`)
            widget.value = value
            widget.callback?.(value)
        },
        input: (node, name) => node.inputs.findIndex(i => i.name === name || i.label === name),
        wire(from, slot, to, name) { return from.connect(slot, to, this.input(to, name)) },
        async copy(node) {  // Ctrl+C, Ctrl+V
            const before = new Set(app.canvas.graph.nodes.map(n => n.id))
            app.canvas.deselectAll()
            app.canvas.select(node)
            app.canvas.copyToClipboard()
            app.canvas.pasteFromClipboard()
            return till('a copy', () => app.canvas.graph.nodes.find(n => !before.has(n.id) && n.widgets?.length))
        },
        async pack(...nodes) {  // the command in the menu of the selection
            const before = new Set(app.canvas.graph.nodes.map(n => n.id))
            app.canvas.deselectAll()
            for (const node of nodes) app.canvas.select(node)
            await app.extensionManager.command.execute('Comfy.Graph.ConvertToSubgraph')
            return till('a subgraph', () => app.canvas.graph.nodes.find(n => n.subgraph && !before.has(n.id)))
        },
        async promote(box, node, ...names) {  // the command, with the pointer over the widget
            const outside = app.canvas.graph
            app.canvas.openSubgraph(box.subgraph, box)
            await till('a drawn node', () => app.canvas.visible_nodes.includes(node))
            for (const name of names) {
                const widget = hands.find(node, name)
                const y = await till('a drawn widget', () => widget.last_y ?? widget.y)
                app.canvas.graph_mouse[0] = node.pos[0] + 40
                app.canvas.graph_mouse[1] = node.pos[1] + y + 12
                await app.extensionManager.command.execute('Comfy.Graph.ToggleWidgetPromotion')
                await till(`${name} on the outside`, () => hands.find(box, name))
            }
            app.canvas.setGraph(outside)
            await pause()
        },
    }
}"""

GRAPHS = {
    "hand tools": """async () => {
        const first = hands.add('LabWord', 40, 40, { text: 'a' }), second = hands.add('LabWord', 340, 40, { tail: 'b' })
        const skipped = hands.add('LabWord', 640, 40, { tail: 'never' }), muted = hands.add('LabWord', 40, 340)
        const shown = hands.add('LabText', 940, 40), reroute = hands.add('Reroute', 640, 200)
        hands.add('Note', 40, 640); hands.add('MarkdownNote', 340, 640)
        const link = hands.wire(first, 0, second, 'text')
        app.graph.createReroute?.([300, 200], link)
        hands.wire(second, 0, reroute, ''); hands.wire(reroute, 0, skipped, 'text')
        hands.wire(skipped, 0, shown, 'text')
        skipped.mode = 4; muted.mode = 2
        const load = hands.add('LabLoad', 40, 440)
        const tone = hands.add('LabTone', 340, 340, { seed: 7, caption: 'as typed' })
        const save = hands.add('SaveAudio', 640, 340, { filename_prefix: 'audio/saved' })
        hands.wire(load, 0, tone, 'model'); hands.wire(tone, 0, save, 'audio')
        const number = hands.add('PrimitiveNode', 40, 540)
        hands.wire(number, 0, tone, 'seconds')
        await hands.pause()
        hands.set(number, number.widgets[0].name, 2.5)
        hands.set(tone, 'control_after_generate', 'fixed')
    }""",
    "subgraph": """async () => {
        const load = hands.add('LabLoad', 40, 40), tone = hands.add('LabTone', 340, 40, { caption: 'inside' })
        const save = hands.add('SaveAudio', 740, 40)
        hands.wire(load, 0, tone, 'model'); hands.wire(tone, 0, save, 'audio')
        const box = await hands.pack(tone)
        const inner = box.subgraph.nodes.find(n => n.type === 'LabTone')
        await hands.promote(box, inner, 'caption', 'seconds')
        hands.set(box, 'caption', 'typed on the outside')
        hands.set(box, 'seconds', 3)
        await hands.pause()
    }""",
    "subgraph twice": """async () => {
        const load = hands.add('LabLoad', 40, 40), tone = hands.add('LabTone', 340, 40, { caption: 'inside' })
        const save = hands.add('SaveAudio', 740, 40), other = hands.add('SaveAudio', 740, 340)
        hands.wire(load, 0, tone, 'model'); hands.wire(tone, 0, save, 'audio')
        const box = await hands.pack(tone)
        await hands.promote(box, box.subgraph.nodes.find(n => n.type === 'LabTone'), 'caption')
        const twin = await hands.copy(box)
        hands.wire(load, 0, twin, 'model'); hands.wire(twin, 0, other, 'audio')
        hands.set(box, 'caption', 'one'); hands.set(twin, 'caption', 'two')
        await hands.pause()
    }""",
    "subgraph within": """async () => {
        const word = hands.add('LabWord', 40, 40, { text: 'deep' }), more = hands.add('LabWord', 340, 40, { tail: '!' })
        const shown = hands.add('LabText', 740, 40)
        hands.wire(word, 0, more, 'text'); hands.wire(more, 0, shown, 'text')
        const box = await hands.pack(more)
        await hands.promote(box, box.subgraph.nodes.find(n => n.type === 'LabWord'), 'tail')
        hands.set(box, 'tail', '?')
        await hands.pack(word, box)
        await hands.pause()
    }""",
}


async def draw(page: Canvas) -> dict[str, Any]:
    """Each graph as the frontend saves it, and the prompt it would send."""
    await page.js(HANDS)
    found = {}
    for name, steps in GRAPHS.items():
        await page.js("() => { app.canvas.setGraph(app.rootGraph ?? app.graph); app.graph.clear() }")
        await page.js(steps)
        found[name] = await page.js(
            "() => app.graphToPrompt().then(made => ({ workflow: made.workflow, prompt: made.output }))"
        )
    return found


async def main(version: str) -> None:
    folder = other_frontend()
    if folder is None:
        raise SystemExit("ACESTEP_FRONTEND names no folder with a frontend.")
    sys.path.insert(0, str(folder))
    with tempfile.TemporaryDirectory() as work:
        async with open_site(Path(work)) as site, open_canvas(site.url) as page:
            assert await page.js("() => window.__COMFYUI_FRONTEND_VERSION__") == version
            graphs = await draw(page)
    SAVED.mkdir(exist_ok=True)
    data = json.dumps({"frontend": version, "graphs": graphs}, ensure_ascii=False, separators=(",", ":"))
    (SAVED / f"{version}.json").write_text(data + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

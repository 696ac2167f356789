"""The real frontend on the embedded host, with the lab pack: it opens, runs, plays, and agrees with our converter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.workflow import parse_workflow
from tests.canvas.browser import Canvas, open_canvas, require_browser
from tests.host.lab_site import LAB_PACK, Site, open_site
from tests.host.test_canvas import SHOW, node, socket, with_subgraph
from tests.host.test_canvas import canvas as graph

require_browser()

TEMPLATE = "/?template=lab_basic&source=lab_pack"


def look(tmp_path: Path, scenario: Callable[[Site, Canvas], Awaitable[None]], vue: bool, path: str = "/") -> None:
    async def main() -> None:
        async with open_site(tmp_path) as site:
            await site.post("/settings/Comfy.VueNodes.Enabled", vue)
            async with open_canvas(site.url, path) as canvas:
                await scenario(site, canvas)
                await canvas.screenshot(f"{scenario.__name__}_{'vue' if vue else 'classic'}")
                assert canvas.errors == []

    asyncio.run(main())


@pytest.mark.parametrize("vue", [False, True], ids=["classic", "nodes2"])
def test_open_run_and_play(vue: bool, tmp_path: Path) -> None:
    async def scenario(site: Site, canvas: Canvas) -> None:
        await canvas.until("app.graph.nodes.length === 3")
        known = await canvas.js("() => Object.keys(LiteGraph.registered_node_types)")
        assert {"LabLoad", "LabTone", "LabResult", "LoadAudio", "SaveAudio", "PreviewAny"} <= set(known)
        prompt = await canvas.js("() => app.graphToPrompt().then(found => found.output)")
        saved = json.loads((LAB_PACK / "example_workflows" / "lab_basic.json").read_text())
        assert parse_workflow(saved, site.host.registry.definitions()).prompt == prompt
        outputs = await canvas.run()
        assert outputs["3"]["audio"][0]["filename"] == "lab_00001_.flac"
        await canvas.until("[...document.querySelectorAll('audio')].some(player => player.duration > 0.9)")

    look(tmp_path, scenario, vue, TEMPLATE)


def test_a_saved_file_restores_its_graph(tmp_path: Path) -> None:
    async def scenario(site: Site, canvas: Canvas) -> None:
        await canvas.until("app.graph.nodes.length === 3")
        await canvas.js("() => { app.graph.getNodeById(2).widgets.find(w => w.name === 'caption').value = 'restored' }")
        outputs = await canvas.run()
        await canvas.js("() => app.graph.clear()")
        await canvas.until("app.graph.nodes.length === 0")
        await canvas.js(
            """async item => {
                const query = new URLSearchParams(item)
                const data = await (await fetch(`/api/view?${query}`)).blob()
                await app.handleFile(new File([data], item.filename, { type: 'audio/flac' }))
            }""",
            outputs["3"]["audio"][0],
        )
        await canvas.until("app.graph.nodes.length === 3")
        value = await canvas.js("() => app.graph.getNodeById(2).widgets.find(w => w.name === 'caption').value")
        assert value == "restored"

    look(tmp_path, scenario, False, TEMPLATE)


def graphs() -> dict[str, Any]:
    """Graphs with one canvas-only feature each."""
    word = node(1, "LabWord", values=["x", ""])
    return {
        "bypass": graph(
            [word, node(2, "LabWord", [socket("text", link=11, widget=True)], ["y", ""], mode=4), SHOW],
            [[11, 1, 0, 2, 0, "STRING"], [90, 2, 0, 9, 0, "STRING"]],
        ),
        "mute": graph(
            [node(1, "LabWord", values=["x", ""], mode=2), SHOW],
            [[90, 1, 0, 9, 0, "STRING"]],
        ),
        "reroute": graph(
            [word, node(2, "Reroute", [socket("", "*", 11)], outputs=[{"name": "", "type": "*", "links": [90]}]), SHOW],
            [[11, 1, 0, 2, 0, "STRING"], [90, 2, 0, 9, 0, "STRING"]],
        ),
        "primitive": graph(
            [
                node(
                    1,
                    "PrimitiveNode",
                    values=["from afar"],
                    outputs=[{"name": "STRING", "type": "STRING", "links": [11], "widget": {"name": "text"}}],
                ),
                node(2, "LabWord", [socket("text", link=11, widget=True)], ["old", "t"]),
            ],
            [[11, 1, 0, 2, 0, "STRING"]],
        ),
        "subgraph": _proper(with_subgraph()),
        "subgraph with widgets": _proper(with_subgraph(values=["unused", "shown"])),
        "promoted in another order": _promoted(["shown", "unused"], [["-1", "text"], ["-1", "tail"]]),
        "promoted by the inner node": _promoted(["shown", "end"], [["11", "text"], ["12", "tail"]]),
        "promoted with no values": _promoted([], [["12", "tail"], ["11", "text"]]),
        "dynamic choice": graph(
            [
                node(1, "EmptyAudio", [], [0.5, 44100, 2], outputs=[{"name": "AUDIO", "type": "AUDIO", "links": [7]}]),
                node(2, "SaveAudioAdvanced", [socket("audio", "AUDIO", 7)], ["p", "mp3", "V0"], outputs=[]),
            ],
            [[7, 1, 0, 2, 0, "AUDIO"]],
        ),
    }


def _proper(data: dict[str, Any]) -> dict[str, Any]:
    """Adds what the frontend wants of a subgraph and the converter does not need."""
    name = "11111111-2222-4333-8444-555555555555"
    text = json.dumps(data).replace("sub-1", name)
    data = json.loads(text)
    inner = data["definitions"]["subgraphs"][0]
    inner |= {"version": 1, "name": "inner", "revision": 0, "config": {}, "groups": [], "widgets": [], "extra": {}}
    inner["state"] = {"lastGroupId": 0, "lastNodeId": 99, "lastLinkId": 99, "lastRerouteId": 0}
    inner["inputNode"] = {"id": -10, "bounding": [0, 0, 100, 60]}
    inner["outputNode"] = {"id": -20, "bounding": [500, 0, 100, 60]}
    inner["inputs"] = [
        {"id": f"{name[:-1]}{i}", "name": kind, "type": "STRING", "linkIds": [i + 32], "pos": [0, 0]}
        for i, kind in enumerate(("tail", "text"))
    ]
    inner["outputs"] = [{"id": f"{name[:-1]}9", "name": "out", "type": "STRING", "linkIds": [35], "pos": [0, 0]}]
    return data


def _promoted(values: list[Any], proxies: list[Any]) -> dict[str, Any]:
    return _proper(with_subgraph(values=values, properties={"proxyWidgets": proxies}))


def test_our_converter_agrees_with_the_frontend(tmp_path: Path) -> None:
    """Each graph is loaded, written by the frontend in its own words, and converted by both."""

    async def scenario(site: Site, canvas: Canvas) -> None:
        definitions = site.host.registry.definitions()
        for name, data in graphs().items():
            data = {"last_node_id": 99, "last_link_id": 99, "groups": [], "config": {}, "extra": {}, **data}
            for entry in [
                *data["nodes"],
                *(n for g in data.get("definitions", {}).get("subgraphs", []) for n in g["nodes"]),
            ]:
                entry |= {"pos": [50 * entry["id"], 50], "size": [200, 100], "flags": {}, "order": 0}
                entry.setdefault("properties", {})
            await canvas.js("data => app.loadGraphData(data)", data)
            await canvas.until(f"app.graph.nodes.length === {len(data['nodes'])}")
            found = await canvas.js("() => app.graphToPrompt().then(p => ({ output: p.output, workflow: p.workflow }))")
            assert parse_workflow(found["workflow"], definitions).prompt == found["output"], name
            assert parse_workflow(data, definitions).prompt == found["output"], name

    look(tmp_path, scenario, False)

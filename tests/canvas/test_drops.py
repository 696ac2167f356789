"""Files dropped on the canvas: records, timed lyrics, sound, and what is none of these."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, read
from tests.host.migrate.native_graphs import TEMPLATES, TEXT

require_browser()

RECORD = {
    "format": "acestep-song",
    "version": 1,
    "song": {"caption": "calm piano", "lyrics": "[Instrumental]", "instrumental": True, "duration": 30},
    "seeds": {"noise": 7},
}
LRC = """[ar:Somebody]
[length: 01:20]
[00:01.00][Verse]
[00:02.50]<00:02.50>Leave <00:03.00>the moon
[00:05.00][00:25.00]밤하늘 아래

[00:09.00][Chorus]
[00:10.00]Outside the door
"""
WORDS = "[Verse]\nLeave the moon\n밤하늘 아래\n\n[Chorus]\nOutside the door"
DROP = """([name, text]) => {
    const data = new DataTransfer()
    data.items.add(new File([text], name))
    const place = { clientX: 500, clientY: 400, bubbles: true, cancelable: true }
    app.canvas.canvas.dispatchEvent(new DragEvent('drop', { dataTransfer: data, ...place }))
}"""


async def song(page: Canvas) -> dict[str, Any]:
    (found,) = (n["inputs"] for n in (await page.prompt()).values() if n["class_type"] == "ACEStepSong")
    return found


def test_a_record_opens_the_graph_that_makes_it_again(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("text2music"))
        await page.js(DROP, ["song_00001.json", json.dumps(RECORD)])
        await page.until("app.graph.nodes.some(node => node.comfyClass === 'ACEStepLoadRecord')")
        prompt = await page.prompt()
        (text,) = (n["inputs"]["record"] for n in prompt.values() if n["class_type"] == "ACEStepLoadRecord")
        assert json.loads(text) == RECORD
        assert {n["class_type"] for n in prompt.values()} >= {"ACEStepSampler", "ACEStepSaveSong"}

    desk.look(page, "drop_record", scenario())


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "7", "no JSON at all", ""])
def test_what_is_no_graph_leaves_the_open_one(text: str, desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("cover"))
        before = await page.prompt()
        await page.js("text => app.handleFile(new File([text], 'notes.json', { type: 'application/json' }))", text)
        assert await page.prompt() == before
        page.errors.clear()  # the frontend complains on the console about broken JSON

    desk.look(page, "drop_nothing", scenario())


def test_timed_lyrics_become_the_lyrics_of_the_song(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("cover"))
        await page.js(DROP, ["song.lrc", LRC])
        await page.until("app.graph.nodes.find(n => n.comfyClass === 'ACEStepSong').widgets[1].value.includes('moon')")
        found = await song(page)
        assert (found["lyrics"], found["instrumental"]) == (WORDS, False)
        await page.js("() => app.graph.clear()")
        await page.js(DROP, ["SONG.LRC", LRC])
        await page.until("app.graph.nodes.length === 1 && app.graph.nodes[0].widgets[1].value.includes('moon')")
        assert (await song(page))["lyrics"] == WORDS

    desk.look(page, "drop_lyrics", scenario())


def test_sound_becomes_a_recording(desk: Desk, page: Canvas) -> None:
    """The frontend's own doing, which ours must not get in the way of."""

    async def scenario() -> None:
        await page.show(read("text2music"))
        await page.js(
            """async () => {
                const data = await (await fetch('/api/view?filename=acestep_example_voice.flac&type=input')).blob()
                await app.handleFile(new File([data], 'mine.flac', { type: 'audio/flac' }))
            }"""
        )
        await page.until(
            "app.graph.nodes.some(n => n.comfyClass === 'LoadAudio' && n.widgets[0].value.includes('mine'))"
        )
        assert await page.js("() => app.graph.nodes.some(n => n.comfyClass === 'ACEStepSampler')"), "beside the rest"

    desk.look(page, "drop_sound", scenario())


AGREE = "[...document.querySelectorAll('button')].find(button => button.textContent.trim() === 'Confirm')"


def test_a_graph_of_native_nodes_is_offered_in_ours(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("cover"))
        await page.js("graph => { app.loadGraphData(graph) }", TEMPLATES["split"])
        await page.until(AGREE)
        await page.js(f"() => {AGREE}.click()")
        await page.until("app.graph.nodes.some(node => node.comfyClass === 'ACEStepSampler')")
        assert (await song(page))["caption"] == TEXT
        assert not await page.js("() => app.graph.nodes.some(node => node.type === 'KSampler')")

    desk.look(page, "drop_native", scenario())


def test_a_request_of_another_program_is_a_graph(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("cover"))
        text = json.dumps({"caption": "fado, soft guitar", "lm_batch_size": 1, "inference_steps": 8})
        await page.js(DROP, ["request.json", text])
        await page.until("app.graph.nodes.some(node => node.comfyClass === 'ACEStepPlanCodes')")
        assert (await song(page))["caption"] == "fado, soft guitar"

    desk.look(page, "drop_request", scenario())

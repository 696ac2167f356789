"""Choosing a region by hand and ear, on our host and inside ComfyUI, in both renderers and in an app."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acestep_core.io.audio import write_audio
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read

require_browser()
pytestmark = on_every_server

SECONDS = 12
BPM = 120
"""A bar lasts two seconds."""
LYRICS = """[00:00.00][Verse]
[00:00.50]City lights are fading slow
[00:03.00]Footsteps where the rivers go
[00:05.50][Chorus]
[00:06.00]Hold the night
[00:08.20]Leave the moon outside the door
[00:10.50]
"""


def node_of(graph: dict[str, Any], kind: str) -> int:
    return next(node["id"] for node in graph["nodes"] if node["type"] == kind)


async def opened(desk: Desk, page: Canvas, stem: str, kind: str, width: int = 900, bpm: int = BPM) -> int:
    """A workflow with a recording of twelve seconds; its region is `region` on the page. Gives the node."""
    time = torch.arange(SECONDS * 48_000) / 48_000
    swell = 0.3 + 0.6 * (torch.sin(time * 1.3).abs() * torch.sin(time * 7).abs())
    write_audio(desk.site.folders.input / "song.flac", (torch.sin(2 * torch.pi * 220 * time) * swell).expand(2, -1))
    (desk.site.folders.input / "song.lrc").write_text(LYRICS, encoding="utf-8")
    graph = read(stem)
    await page.show(graph)
    await page.set(node_of(graph, "LoadAudio"), audio="song.flac")
    await page.set(node_of(graph, "ACEStepSong"), bpm=bpm)
    node = node_of(graph, kind)
    await page.js(
        """([id, width]) => {
            const node = app.graph.getNodeById(id)
            for (const other of app.graph.nodes) if (other !== node) other.pos = [other.pos[0] - 4000, other.pos[1]]
            node.pos = [0, 0]
            node.setSize([width, node.size[1]])
            app.canvas.ds.scale = 1
            app.canvas.ds.offset = [120, 90]
            app.graph.setDirtyCanvas(true, true)
            window.input = name => node.widgets.find(w => w.name === name).value
            window.region = node.widgets.find(w => w.name === 'region').element
        }""",
        [node, width],
    )
    await page.until("!!region.querySelector('.ace-region-shown')?.checkVisibility()")
    size = "wide" if width > 700 else "narrow"
    await page.until(f"region.querySelector('.ace-region-body').dataset.size === '{size}'")
    await page.until("(audio => audio.src.includes('song.flac') && audio.readyState)(region.querySelector('audio'))")
    return node


async def along(page: Canvas, *times: float, low: bool = True, length: float = SECONDS) -> None:
    """Presses on the waveform at the first time, goes over the others, lets go. `length`: seconds in view."""
    box = await page.js("() => region.querySelector('.ace-surface').getBoundingClientRect().toJSON()")
    height = box["y"] + box["height"] * (0.7 if low else 0.2)
    points = [(box["x"] + time / length * box["width"], height) for time in times]
    mouse = page.page.mouse
    await mouse.move(*points[0])
    await mouse.down()
    for point in points[1:]:
        await mouse.move((points[0][0] + point[0]) / 2, point[1])
        await mouse.move(*point)
    await mouse.up()


async def chosen(page: Canvas) -> tuple[float, float]:
    await page.frame()
    return tuple(await page.js("() => [input('start'), input('end')]"))


async def snap(page: Canvas, how: str) -> None:
    """Chooses what edges snap to, once that is known: tempo and lyrics are asked for."""
    choice = f"region.querySelector('[data-snap={how}]')"
    await page.until(f"{choice}.getAttribute('aria-disabled') !== 'true'")
    await page.js(f"() => {choice}.click()")
    await page.until(f"{choice}.getAttribute('aria-checked') === 'true'")


def told(selector: str) -> str:
    return f"() => [...region.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.textContent)"


def test_a_region_is_drawn_dragged_and_said(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await opened(desk, page, "repaint", "ACEStepRepaint")
        await page.until("region.querySelector('.ace-transport strong').textContent === 'Bar 2'")
        await page.until("region.querySelectorAll('.ace-region-lines button').length === 4")
        assert await page.js(told(".ace-region-lines button")) == [
            "City lights are fading slow",
            "Footsteps where the rivers go",
            "Hold the night",
            "Leave the moon outside the door",
        ]
        await snap(page, "bar")
        where = await page.js("() => app.canvas.graph.nodes.map(n => [...n.pos])")
        await along(page, 6.3, 9.6)
        assert await chosen(page) == (6, 10), "free ground draws, by bars"
        await along(page, 10, 7.8)
        assert await chosen(page) == (6, 8), "an edge resizes"
        await along(page, 7, 4.9, low=False)
        assert await chosen(page) == (4, 6), "the top moves it"
        await snap(page, "beat")
        await along(page, 6, 7.4)
        assert await chosen(page) == (4, 7.5)
        assert await page.js(told(".ace-transport strong")) == ["3.1 → 4.4"]
        await snap(page, "line")
        await page.js("() => region.querySelectorAll('.ace-region-lines button')[3].click()")
        assert await chosen(page) == (8.2, 10.5)
        await page.until("region.querySelectorAll('.ace-region-lines [aria-pressed=true]').length === 1")
        await snap(page, "off")
        await along(page, 1.03, 2.07)
        assert await chosen(page) == (pytest.approx(1.03, abs=0.02), pytest.approx(2.07, abs=0.02))
        assert await page.js("() => app.canvas.graph.nodes.map(n => [...n.pos])") == where, "no node moves"
        await page.js("() => region.querySelectorAll('.ace-region-lines button')[3].click()")
        await page.until("region.querySelector('.ace-legend').textContent.includes('0.025 s inside each edge')")
        assert (await page.js(told(".ace-legend > div")))[0] == "Kept bit for bit0:00.0–0:08.2, 0:10.5–0:12.0"
        task = next(n for n in (await page.prompt()).values() if n["class_type"] == "ACEStepRepaint")["inputs"]
        assert (task["start"], task["end"]) == (8.2, 10.5) and "region" not in task

    desk.look(page, "region_repaint", scenario())


def test_typing_moves_it_and_keys_do(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        node = await opened(desk, page, "repaint", "ACEStepRepaint")
        await page.set(node, start=8.0, end=-1)
        await page.until("region.querySelector('.ace-transport strong').textContent === 'Bars 5–6'")
        await snap(page, "bar")
        await page.js("() => region.querySelector('.ace-edge.start').focus()")
        for key, expected in (
            ("ArrowLeft", (6, -1)),
            ("Shift+ArrowLeft", (0, -1)),
            ("ArrowRight", (2, -1)),
            ("Alt+ArrowRight", (2.01, -1)),
            ("ArrowLeft", (2, -1)),
        ):
            await page.page.keyboard.press(key)
            assert await chosen(page) == expected, key
        said = "region.querySelector('.ace-edge.start').getAttribute('aria-valuetext')"
        await page.until(f"{said} === 'bar 2.1, 2.0 s, City lights are fading slow'")  # once the lyrics are there
        nodes = await page.js("() => app.graph.nodes.length")
        await page.js("id => app.canvas.selectNode(app.graph.getNodeById(id))", node)
        await page.js("() => region.querySelector('.ace-edge.end').focus()")
        await page.page.keyboard.press("Delete")
        assert await page.js("() => app.graph.nodes.length") == nodes, "a key in the widget is not the canvas's"
        await page.page.keyboard.press("+")
        zoomed = "region.querySelector('.ace-surface').dataset.captureWheel === 'true'"
        await page.until(zoomed)
        await page.page.keyboard.press("0")
        await page.until(f"!({zoomed})")
        unnamed = "b => !b.textContent && !b.ariaLabel && !b.title"
        assert await page.js(f"() => [...region.querySelectorAll('button')].filter({unnamed}).length") == 0
        small = "e => parseFloat(getComputedStyle(e).fontSize) < 12"
        assert await page.js(f"() => [...region.querySelectorAll('*')].filter({small}).length") == 0

    desk.look(page, "region_keys", scenario())


def test_what_is_chosen_loops(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        node = await opened(desk, page, "repaint", "ACEStepRepaint")
        await page.set(node, start=4.0, end=4.4)
        await page.js(
            """() => {
                const audio = region.querySelector('audio')
                window.turns = []
                audio.addEventListener('seeked', () => turns.push(audio.currentTime))
                audio.muted = true
                region.querySelector('.ace-play').click()
            }"""
        )
        await page.until("turns.length >= 3")
        assert all(3.9 < time < 4.6 for time in await page.js("() => turns")), "each turn begins where the region does"
        await page.js("() => region.querySelector('.ace-play').click()")
        await page.until("region.querySelector('audio').paused")

    desk.look(page, "region_loops", scenario())


def test_an_extension_is_pulled_out(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        node = await opened(desk, page, "extend", "ACEStepExtend")
        await page.set(node, before=0, after=4.0)
        await page.until("region.querySelector('.ace-added').textContent.includes('New length 0:16')")
        await snap(page, "bar")
        length = 12 + 4 + 0.15 * 12
        await along(page, 16, 17.7, length=length)
        assert await page.js("() => [input('before'), input('after')]") == [0, 6]
        await page.js("() => region.querySelectorAll('.ace-added button')[1].click()")
        assert await page.js("() => input('after')") == 22, "eight bars more"
        assert await page.js(told(".ace-region-length")) == ["+ 22.0 s · 11 bars"]
        assert (await page.js(told(".ace-legend > div")))[0] == "Kept bit for bit0:00.0–0:12.0"

    desk.look(page, "region_extend", scenario())


def test_a_narrow_node_takes_times_as_text(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await opened(desk, page, "repaint", "ACEStepRepaint", 400)
        await page.until("region.querySelector('.ace-transport strong').textContent === 'Bar 2'")
        fields = await page.js("() => region.querySelectorAll('.ace-fields input').length")
        assert fields == 2 and not await page.js(told(".ace-legend > div"))
        write = """([place, text]) => {
            const field = region.querySelectorAll('.ace-fields input')[place]
            field.value = text
            field.dispatchEvent(new Event('change'))
        }"""
        await page.js(write, [1, "bar 5"])
        await page.until("input('end') === 10")
        await page.js(write, [0, "0:06.5"])
        await page.until("input('start') === 6.5")
        await page.js(write, [0, "the chorus"])
        await page.until("region.querySelector('.ace-note.err').textContent.includes(\"Write bars as 'bars 9-12'\")")
        box = "() => region.scrollWidth - region.clientWidth"
        assert await page.js(box) <= 0

    desk.look(page, "region_narrow", scenario())


def test_without_a_tempo_or_a_recording_it_says_so(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await opened(desk, page, "repaint", "ACEStepRepaint", bpm=0)
        assert await page.js("() => region.querySelector('[data-snap=bar]').ariaDisabled") == "true"
        await page.js(
            """() => {
                const field = region.querySelector('.ace-tempo')
                field.value = '60'
                field.dispatchEvent(new Event('change'))
            }"""
        )
        await page.until("region.querySelector('[data-snap=bar]').ariaDisabled === null")
        # 2 to 4 s at a beat a second
        await page.until("region.querySelector('.ace-transport strong').textContent === '1.3 → 2.1'")
        await page.js("() => { const s = app.graph.nodes.find(n => n.type === 'LoadAudio'); app.graph.remove(s) }")
        await page.until("region.querySelector('.ace-region-empty').checkVisibility()")

    desk.look(page, "region_nothing", scenario())


def test_the_maths_of_bars(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        found = await page.js(
            """async pack => {
                const grid = await import(`/extensions/${pack}/grid.js`)
                const line = await import(`/extensions/${pack}/line.js`)
                const meter = grid.meterOf(120, '3')
                const timed = [['Stay', 0, 1], ['Go', 2, 3], ['Stay', 3.1, 4]]
                const lines = timed.map(([text, start, end]) => ({text, start, end}))
                const span = (place, seconds) => line.spanOf(lines[place], lines, seconds)
                const words = ['Leave the moon', 'outside', '달빛 아래', '月亮', 'été', 'лето', 'ทะเล']
                return {
                    meter: [meter.beat, meter.bar, grid.meterOf(0, '3')],
                    places: [0, 1.4999999999, 1.5, 4.6].map(time => grid.placeOf(time, meter)),
                    bars: [grid.wholeBars(1.5, 4.5, meter), grid.wholeBars(1.5, 4, meter), grid.wholeBars(2, 2, meter)],
                    moments: [36.5, 59.96, 3599.94, -4].map(grid.moment),
                    snaps: ['off', 'beat', 'bar', 'line'].map(how => grid.snapped(2.3, how, meter, [0, 2.9, 4])),
                    steps: ['off', 'beat', 'bar', 'line'].map(how => grid.stepped(3, -1, how, meter, [0, 2.9])),
                    every: [grid.numbered(60), grid.numbered(20), grid.numbered(5)],
                    span: [span(1, 9), span(0, 9), span(2, 4)],
                    words: line.withLine('[Verse]\\nStay\\nGo\\nStay\\n', lines, lines[2], 'Leave'),
                    syllables: words.map(line.syllables),
                }
            }""",
            desk.pack,
        )
        assert found == {
            "meter": [0.5, 1.5, None],
            "places": [[1, 1], [2, 1], [2, 1], [4, 1]],
            "bars": [[2, 3], None, None],
            "moments": ["0:36.5", "1:00.0", "59:59.9", "-0:04.0"],
            "snaps": [2.3, 2.5, 3, 2.9],
            "steps": [2.9, 2.5, 1.5, 2.9],
            "every": [1, 4, 16],
            "span": [[pytest.approx(1.85), pytest.approx(3.1)], [0, 1.25], [3, 4]],
            "words": "[Verse]\nStay\nGo\nLeave\n",
            "syllables": [3, 2, 4, 2, 2, 2, 0],
        }

    desk.look(page, "region_maths", scenario())


def test_an_app_has_it_below_the_recording(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        graph = read("repaint_app")
        await page.until(f"app.graph.id === '{graph['id']}'")
        await page.set(node_of(graph, "LoadAudio"), audio="recording.wav")
        await page.set(node_of(graph, "ACEStepSong"), bpm=BPM)
        await page.until("!!document.querySelector('.ace-region-shown')?.checkVisibility()")
        await page.js(
            """id => {
                const node = app.graph.getNodeById(id)
                window.input = name => node.widgets.find(w => w.name === name).value
                window.region = document.querySelector('.ace-region')
            }""",
            node_of(graph, "ACEStepRepaint"),
        )
        loaded = "audio.src.includes('recording.wav') && audio.readyState"  # not the example that the app opens with
        await page.until(f"(audio => {loaded})(region.querySelector('audio'))")
        await page.answered()
        await page.js("() => region.scrollIntoView({ block: 'center' })")
        await snap(page, "bar")
        await along(page, 4, 5.8, length=6)
        assert await chosen(page) == (2, -1)
        await page.js("() => region.querySelector('.pi-expand').parentElement.click()")
        await page.until("document.querySelector('dialog .ace-legend')?.checkVisibility()")
        await page.screenshot("region_large")
        await page.page.keyboard.press("Escape")
        await page.until("!document.querySelector('dialog.ace-region')")

    desk.visit(desk.address("repaint_app", "&mode=linear"), "app_region", scenario)

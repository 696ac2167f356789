"""The song widget on our host and inside ComfyUI, in both renderers and in an app: what it shows and does."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from acestep_core.io.audio import write_audio
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read

require_browser()
pytestmark = on_every_server

SAVE = 7
LINES = [
    [0.5, 0.9, "[Verse]", []],
    [1.0, 2.5, "Leave the moon", [[1.0, 1.5, "Leave "], [1.5, 2.0, "the "], [2.0, 2.5, "moon"]]],
    [3.0, 4.0, "[Chorus]", []],
    [4.0, 5.5, "Outside <b>the door</b>", []],
]
FACTS: dict[str, Any] = {
    "caption": "dreamy synth pop, <img src=x onerror=alert(1)>",
    "lyrics": "[Verse]\nLeave the moon\n[Chorus]\nOutside the door",
    "language": "en",
    "instrumental": False,
    "duration": 6.0,
    "bpm": 92,
    "keyscale": "A minor",
    "timesignature": "4",
    "task": "text2music",
    "plan": "bpm: 92\nkeyscale: A minor",
    "codes": {"count": 300, "first": [1, 2, 3]},
    "seconds": {"condition": 0.5, "sample": 8.5, "decode": 1.8},
    "steps": 8,
    "model": "acestep-v15-turbo",
    "variant": "turbo",
    "lm": "acestep-5Hz-lm-1.7B",
    "adapters": [],
    "test": True,
    "lines": LINES,
}
SCORES = [{"alignment": 0.5, "lm": 0.4}, {"alignment": 0.87, "lm": 0.64}, {}]
WIDGET = f"app.graph.getNodeById({SAVE}).widgets.find(w => w.name === 'audioUI').element"


def batch(desk: Desk, kind: str = "output") -> dict[str, Any]:
    """Three songs of six seconds, the second half as loud as the others, as Save Song would show them."""
    time = torch.arange(6 * 48_000) / 48_000
    tone = torch.sin(2 * torch.pi * 220 * time).expand(2, -1) * torch.linspace(0.2, 1.0, 6 * 48_000)
    folder = getattr(desk.site.folders, kind) / "batch"
    folder.mkdir(exist_ok=True)
    names = []
    for number, level in enumerate((0.8, 0.4, 0.8), 1):
        names.append(f"song_{number}.flac")
        write_audio(folder / names[-1], tone * level)
    songs = [FACTS | {"seed": str(2**53 + place), "scores": scores} for place, scores in enumerate(SCORES)]
    return {
        "audio": [{"filename": name, "subfolder": "batch", "type": kind} for name in names],
        "songs": [json.dumps(song) for song in songs],
    }


async def shown(page: Canvas, output: dict[str, Any]) -> None:
    """The batch on Save Song of a fresh text2music, its outline drawn."""
    await page.show(read("text2music"))
    await page.js(f"output => app.graph.getNodeById({SAVE}).onExecuted(output)", output)
    await page.js(f"() => {{ window.song = {WIDGET} }}")
    await page.until("song.querySelector('.ace-clock').textContent.endsWith('/ 0:06')")
    await page.until("song.querySelector('.ace-sections').childElementCount > 0")


def text(selector: str) -> str:
    return f"() => [...song.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.textContent)"


def test_a_batch_is_told_in_words_and_stays_text(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.until("song.dataset.size === 'full'")
        assert await page.js(text(".ace-title")) == ["Dreamy synth pop, <img src=x onerror=alert(1)>"]
        assert await page.js("() => song.querySelectorAll('img, b:not(.ace-bar b)').length") == 0
        assert await page.js(text(".ace-count")) == ["1 / 3"]
        assert "test model" in (await page.js(text(".ace-note.warn")))[0]
        assert await page.js(text(".ace-chip")) == ["0:06", "92 bpm", "A minor", "4/4", "English", f"Seed {2**53}"]
        assert await page.js(text(".ace-score strong")) == ["0.50", "0.40"]
        assert await page.js(text(".ace-sections > span > span")) == ["Verse", "Chorus"]
        assert await page.js(text(".ace-tile")) == ["Cover", "Repaint", "Extend", "Add layer", "Reference"]
        best = "() => [...song.querySelectorAll('.ace-take')].map(t => !!t.querySelector('.pi-star-fill'))"
        assert await page.js(best) == [False, True, False]
        closed = ".ace-drawer[aria-expanded=false]"  # which of them are open is remembered
        await page.js(f"() => {{ for (const drawer of song.querySelectorAll('{closed}')) drawer.click() }}")
        told = " ".join(await page.js(text(".ace-table dd, .ace-codes")))
        assert all(part in told for part in ("92 bpm", "1 2 3 …", "8.5 s", "acestep-v15-turbo", "1.7B"))
        await page.js("() => { for (const drawer of song.querySelectorAll('.ace-drawer')) drawer.click() }")
        unnamed = (
            "() => [...song.querySelectorAll('button')].filter(b => !b.textContent && !b.ariaLabel && !b.title).length"
        )
        assert await page.js(unnamed) == 0
        small = (
            "() => [...song.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
        )
        assert await page.js(small) == 0

    desk.look(page, "song_told", scenario())


def test_it_plays_and_the_lyrics_run_along(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.js("() => { song.querySelector('audio').muted = true; song.querySelector('.ace-play').click() }")
        await page.until("song.querySelector('audio').currentTime > 0.1")
        await page.js("() => song.querySelector('.ace-slider').focus()")
        await page.page.keyboard.press("k")
        await page.until("song.querySelector('audio').paused")
        await page.js("() => song.querySelectorAll('button.ace-line')[0].click()")
        await page.until("song.querySelector('audio').currentTime >= 1")
        await page.js("() => { const audio = song.querySelector('audio'); audio.pause(); audio.currentTime = 1.7 }")
        await page.until("song.querySelector('[aria-current]')?.textContent.startsWith('Leave the moon')")
        await page.until("song.querySelectorAll('.sung').length === 2")  # by word
        await page.js("() => song.querySelector('.ace-slider').focus()")
        for key, now in (("End", 6), ("Home", 0), ("ArrowRight", 5), ("Shift+ArrowLeft", 4), ("ArrowUp", 1)):
            await page.page.keyboard.press(key)
            assert await page.js("() => song.querySelector('audio').currentTime") == pytest.approx(now, abs=0.01), key
        nodes = await page.js("() => app.graph.nodes.length")
        await page.js("() => app.canvas.selectNode(app.graph.nodes[0])")
        await page.js("() => song.querySelector('.ace-slider').focus()")
        await page.page.keyboard.press("Delete")
        assert await page.js("() => app.graph.nodes.length") == nodes, "a key in the widget is not the canvas's"
        await page.js("() => app.canvas.deselectAll()")

    desk.look(page, "song_plays", scenario())


def test_playing_and_a_run_go_on_together(desk: Desk, page: Canvas) -> None:
    """Time of the song passes between the steps of a run, which ends well, and the new song waits for the old one."""

    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.set(2, duration=10)
        await page.js(
            """() => {
                window.player = song.querySelector('audio')
                player.muted = player.loop = true
                song.querySelector('.ace-play').click()
                window.passed = []
                window.comfyAPI.api.api.addEventListener('progress', () => passed.push(player.currentTime))
            }"""
        )
        await page.until("player.currentTime > 0.1")
        assert await page.queue() == "success"
        assert await page.js("() => new Set(passed).size") > 1
        assert not await page.js("() => player.paused")
        assert "song_1.flac" in await page.js("() => player.src")
        await page.page.get_by_text("New takes ready").first.wait_for()
        await page.js("() => player.pause()")

    desk.look(page, "song_and_run", scenario())


def test_two_takes_are_compared_at_equal_loudness(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        volume = "() => song.querySelector('audio').volume"
        await page.js(
            "() => { const v = song.querySelector('.ace-volume'); v.value = 1; v.dispatchEvent(new Event('input')) }"
        )
        assert await page.js(volume) == 1
        await page.js("() => { song.querySelector('audio').currentTime = 2 }")
        await page.js("() => song.querySelector('.ace-slider').focus()")
        await page.page.keyboard.press("a")
        await page.until("song.querySelector('audio').volume < 0.6")
        assert abs(await page.js(volume) - 0.5) < 0.02, "as loud as the quietest"
        await page.page.keyboard.press("x")
        assert await page.js(text(".ace-count")) == ["2 / 3"]
        assert await page.js(volume) == 1
        await page.until("Math.abs(song.querySelector('audio').currentTime - 2) < 0.1")
        await page.page.keyboard.press("x")
        assert await page.js(text(".ace-count")) == ["1 / 3"]
        assert (await page.js(text(".ace-swap")))[0].split() == ["A", "1", "B", "2"]

    desk.look(page, "song_compared", scenario())


@pytest.mark.parametrize(
    ("button", "workflow"), [("Cover", "cover"), ("Add layer", "add_track"), ("Reference", "reference_audio")]
)
def test_a_song_is_sent_on(button: str, workflow: str, desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.js(
            "name => [...song.querySelectorAll('.ace-tile')].find(t => t.textContent === name).click()", button
        )
        task = {"cover": "ACEStepCover", "add_track": "ACEStepLego", "reference_audio": "ACEStepReferenceAudio"}
        await page.until(f"app.graph.nodes.some(n => n.comfyClass === {task[workflow]!r})")
        prompt = await page.prompt()
        by_class = {node["class_type"]: node["inputs"] for node in prompt.values()}
        assert by_class["LoadAudio"]["audio"] == "batch/song_1.flac [output]"
        song = by_class["ACEStepSong"]
        assert {name: song[name] for name in ("caption", "lyrics", "language", "bpm", "keyscale", "timesignature")} == {
            name: FACTS[name] for name in ("caption", "lyrics", "language", "bpm", "keyscale", "timesignature")
        }
        assert set(prompt) == set(read(f"api/{workflow}"))
        status, answer = await desk.site.post("/prompt", {"prompt": prompt, "client_id": "nobody"})
        assert status == 200 and not answer["node_errors"]
        await desk.site.post("/queue", {"clear": True})
        await desk.site.post("/interrupt", {})

    desk.look(page, f"song_{workflow}", scenario())


def test_one_line_is_sung_anew(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.js("() => song.querySelectorAll('.ace-redo')[0].click()")
        dialog = page.page.get_by_role("dialog", name="Repaint this line")
        await dialog.get_by_text("Now sung, 0:01.0–0:02.5").wait_for()
        await dialog.get_by_text("3 syllables before, 3 now").wait_for()
        field = dialog.get_by_label("New words of the line")
        assert await field.input_value() == "Leave the moon"
        await field.fill("Leave the morning and the moon")
        await dialog.get_by_text("4 more than before").wait_for()
        await field.fill("Keep the light")
        await dialog.get_by_text("fits the time").wait_for()
        await page.screenshot("song_line_asked")
        await dialog.get_by_role("button", name="Repaint 1.9 s").click()
        await page.until("app.graph.nodes.some(n => n.comfyClass === 'ACEStepRepaint')")
        by_class = {node["class_type"]: node["inputs"] for node in (await page.prompt()).values()}
        task = by_class["ACEStepRepaint"]
        assert (task["start"], task["end"], task["mode"], task["keep_outside"]) == (0.85, 2.75, "balanced", True)
        assert by_class["ACEStepSong"]["lyrics"] == "[Verse]\nKeep the light\n[Chorus]\nOutside the door"
        assert by_class["ACEStepSong"]["caption"] == FACTS["caption"]
        assert by_class["LoadAudio"]["audio"] == "batch/song_1.flac [output]"

    desk.look(page, "song_line_sent", scenario())


def test_settings_are_used_again(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk))
        await page.js(
            "() => [...song.querySelectorAll('.ace-actions button')].find(b => b.textContent === 'Reuse').click()"
        )
        await page.until("app.graph.getNodeById(2).widgets[0].value.startsWith('dreamy synth pop, <')")
        prompt = await page.prompt()
        assert (prompt["2"]["inputs"]["bpm"], prompt["2"]["inputs"]["duration"]) == (92, 6)
        assert prompt["5"]["inputs"]["seed"] == 2**53

    desk.look(page, "song_reused", scenario())


def test_a_song_that_was_only_played_is_kept(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await shown(page, batch(desk, "temp"))
        before = set((desk.site.folders.output / "acestep").glob("*.flac"))
        save = "[...song.querySelectorAll('.ace-actions button')][2]"
        assert await page.js(f"() => {save}.ariaDisabled") is None
        await page.js(f"() => {save}.click()")
        await page.until(f"{save}.textContent === 'Saved' && {save}.getAttribute('aria-disabled') === 'true'")
        (kept,) = set((desk.site.folders.output / "acestep").glob("*.flac")) - before
        assert kept.read_bytes() == (desk.site.folders.temp / "batch" / "song_1.flac").read_bytes()

    desk.look(page, "song_kept", scenario())


def test_an_app_shows_song_and_text(desk: Desk) -> None:
    """Also without a second look: the test model's note, the plan and the lyrics stand there after the run."""

    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{read('think_text2music_app')['id']}'")
        ids = {node["title"]: node["id"] for node in read("think_text2music_app")["nodes"]}
        await page.set(ids["Song"], duration=10)
        await page.page.get_by_text("Press Run. Your song appears here.").wait_for()
        await page.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
        await page.until("document.querySelector('.ace-has-songs .ace-title')?.textContent.length > 0", 120)
        await page.page.get_by_text("This song was made by the test model").first.wait_for()
        await page.until(
            "[...document.querySelectorAll('.ace-text')].some(e => e.clientHeight && e.textContent.includes('bpm:'))"
        )
        assert await page.js(
            "() => document.querySelector('.ace-song').scrollWidth <= document.querySelector('.ace-song').clientWidth"
        )

    desk.visit(desk.address("think_text2music_app", "&mode=linear"), "app_song", scenario)

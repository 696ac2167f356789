"""The songbook in the real frontend, on our host and in ComfyUI: what it lists, plays, makes and deletes."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import torch

from acestep_core.io.audio import write_audio
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read
from tests.records.test_songbook import record

require_browser()
pytestmark = on_every_server

CAPTIONS = (
    "dreamy synth pop, airy <b>female</b> vocals",
    "밤의 열차, 몽환적인 신스팝",
    "night train, brushed drums, upright bass",
)
TAB = "app.extensionManager.command.execute('Workspace.ToggleSidebarTab.acestep.songbook')"
LOADING = "book.querySelector('.ace-list .ace-row.loading')"
BOOK = "document.querySelector('.ace-songbook')"


def songs(desk: Desk, batches: int = 3, takes: int = 2) -> Path:
    """A folder with batches of two-second songs: the last two of today, those before of yesterday."""
    output = desk.site.folders.output
    for path in output.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    folder = output / "acestep"
    folder.mkdir()
    wave = torch.sin(2 * torch.pi * 220 * torch.arange(2 * 48_000) / 48_000) * torch.linspace(0.1, 0.9, 2 * 48_000)
    write_audio(folder / "tone.flac", wave.expand(2, -1))
    now = time.time()
    for number in range(batches * takes):
        batch, take = divmod(number, takes)
        words = {"caption": CAPTIONS[(batches - 1 - batch) % 3], "bpm": 80 + batch % 200, "lyrics": f"line{batch}."}
        made = record(take, tuple(range(10 * batch, 10 * batch + takes)), **words)
        made = replace(made, scores={"alignment": 0.9 - take / 10}, seconds={"sample": 8.5}, settings={"steps": 8})
        path = folder / f"song_{number:05d}.flac"
        os.link(folder / "tone.flac", path) if batches > 10 else shutil.copy(folder / "tone.flac", path)
        path.with_suffix(".json").write_text(made.to_json(), encoding="utf-8")
        if batches <= 10:
            at = now - (batches - batch) * 60 - (86_400 if batch < batches - 2 else 0) + take
            os.utime(path, (at, at))
    (folder / "tone.flac").unlink()
    return folder


PLAYERS = "const ours = n => n.type === 'LoadAudio', players = [...document.querySelectorAll('audio'),\
 ...app.graph.nodes.filter(ours).map(n => n.widgets.find(w => w.name === 'audioUI')?.element).filter(Boolean)]"
ASKING = "p => p.src && !p.readyState && !p.error && p.networkState !== HTMLMediaElement.NETWORK_IDLE"
LOADED = f"(() => {{ {PLAYERS}; return !players.some({ASKING}) }})()"
LET_GO = f"() => {{ {PLAYERS}; app.graph.nodes.filter(ours).forEach(n => app.graph.remove(n)) }}"


async def closed(page: Canvas) -> None:
    """No songbook, no node that plays, and nothing that either still asks for: songs may go."""
    await page.js(f"() => {{ if ({BOOK}) {TAB} }}")
    await page.until(f"!{BOOK}")
    await page.until(LOADED)
    await page.js(LET_GO)
    await page.until(LOADED)
    await page.answered()


async def opened(page: Canvas, workflow: str = "text2music") -> None:
    """The songbook beside a fresh workflow, without filters, as it is when somebody opens it."""
    await closed(page)
    await page.show(read(workflow))
    await page.js(f"() => {TAB}")
    await page.until(f"!!{BOOK}")
    await page.js(f"() => {{ window.book = {BOOK}; book.querySelector('.ace-none button').click() }}")
    await page.js(
        """() => {
            for (const head of book.querySelectorAll('.ace-group-head[aria-expanded=true]'))
                if (!head.textContent.startsWith('Batch')) head.click()
            book.querySelector('.ace-group-head .ace-icon[aria-expanded=true]')?.click()
            book.querySelector('.ace-selection button:last-child').click()
        }"""
    )


async def listed(page: Canvas, count: int) -> None:
    """So many songs, and the list is not being asked for again: those may have been there before."""
    shown = f"book.querySelectorAll('.ace-row:not(.loading)').length === {count} && !{LOADING}"
    await page.until(f"{shown} && book.querySelector('.ace-list').ariaBusy !== 'true'")


def texts(selector: str) -> str:
    return f"() => [...book.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.textContent)"


async def key(page: Canvas, name: str) -> None:
    await page.js("() => book.querySelector('.ace-list').focus()")
    await page.page.keyboard.press(name)


def test_songs_are_listed_newest_batch_first(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk)
        await opened(page)
        await listed(page, 4)
        assert await page.js(texts(".ace-row-title")) == [
            *["Dreamy synth pop, airy <b>female</b> vocals"] * 2,
            *["밤의 열차, 몽환적인 신스팝"] * 2,
        ]
        heads = [text.split("0")[0] for text in await page.js(texts(".ace-group-head"))]
        assert heads[0].startswith("Batch 32 songs · turbo") and heads[2] == "Yesterday2 songs · 1 batch"
        assert await page.js(texts(".ace-place")) == ["Batch 3 of 3"]
        assert await page.js(texts(".ace-row-text .ace-quiet .ace-cut")) == [
            *[f"Take {take} · 82 · A minor" for take in (1, 2)],
            *[f"Take {take} · 81 · A minor" for take in (1, 2)],
        ]
        assert (await page.js(texts(".ace-row-score")))[:2] == ["4.5", "4.0"]
        for _ in range(2):
            await page.js("() => book.querySelector('.ace-turning button').click()")
        await listed(page, 6)
        assert await page.js(texts(".ace-place")) == ["Batch 1 of 3"]
        assert await page.js("() => book.querySelector('.ace-turning button').ariaDisabled") == "true"
        await page.js("() => book.querySelectorAll('.ace-group-head .ace-icon')[0].click()")
        await page.until("book.querySelector('.ace-details')")
        told = " ".join(await page.js(texts(".ace-details dd")))
        assert all(part in told for part in ("acestep-v15-turbo", "20, 21", "1.7B", "8.5 s")), told
        unnamed = (
            "() => [...book.querySelectorAll('button')].filter(b => !b.textContent && !b.ariaLabel && !b.title).length"
        )
        assert await page.js(unnamed) == 0
        small = (
            "() => [...book.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
        )
        assert await page.js(small) == 0
        assert await page.js("() => book.scrollWidth <= book.clientWidth")

    desk.look(page, "songbook_listed", scenario())


def test_search_and_filters(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk)
        await opened(page)
        await listed(page, 4)
        await page.page.locator(".ace-search").fill("night train")
        await listed(page, 2)
        assert await page.js(texts(".ace-found")) == ["2 of 6 songs"]
        await page.page.locator(".ace-search").fill("Am 81–90")
        await page.until("book.querySelector('.ace-found').textContent === '4 of 6 songs'")
        await page.js("() => book.querySelector('.ace-book-search button').click()")
        await page.page.locator(".ace-filters select").first.select_option("A minor")
        await page.page.locator(".ace-filters input[type=number]").last.fill("81")
        await page.until("book.querySelector('.ace-found').textContent === '2 of 6 songs'")
        assert await page.js(texts(".ace-chips button")) == ["A minor", "30–81 bpm"]
        await page.page.locator(".ace-search").fill("no such words")
        await page.until("book.querySelector('.ace-none').checkVisibility()")
        await page.js("() => book.querySelector('.ace-none button').click()")
        await listed(page, 4)
        await page.js("() => book.querySelector('.ace-book-search button').click()")

    desk.look(page, "songbook_search", scenario())


def test_it_plays_on(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk)
        await opened(page)
        await listed(page, 4)
        await page.js(
            """() => {
                const audio = book.querySelector('audio')
                const rows = [...book.querySelectorAll('.ace-row')]
                window.played = []  // noted, not looked for: a slow page may miss a song of two seconds
                new MutationObserver(() => {
                    const now = rows.flatMap((row, place) => (row.classList.contains('current') ? [place] : [])).join()
                    if (now && now !== played.at(-1)) played.push(now)
                }).observe(book.querySelector('.ace-list'), {subtree: true, attributeFilter: ['class']})
                audio.muted = true
                book.querySelectorAll('.ace-row-play')[2].click()
            }"""
        )
        await page.until("book.querySelector('audio').currentTime > 0.1")
        await page.until("played.length >= 3")
        assert (await page.js("() => played"))[:3] == ["2", "3", "0"], "the next take, then the newer batch"
        assert await page.js(texts(".ace-place")) == ["Batch 3 of 3"]
        await page.until("book.querySelector('.ace-foot .ace-time').textContent.endsWith('/ 0:02')")

    desk.look(page, "songbook_plays", scenario())


def test_favourites_and_deleting(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        folder = songs(desk)
        files = {path.name for path in folder.iterdir()}
        await opened(page)
        await listed(page, 4)
        await page.js("() => book.querySelectorAll('.ace-heart')[1].click()")
        await page.until("book.querySelectorAll('.ace-heart')[1].ariaPressed === 'true'")
        marks = json.loads((desk.site.folders.output / ".acestep_favourites.json").read_text())
        assert marks == {"favourites": ["acestep/song_00005.flac"]}
        nodes = await page.js("() => app.graph.nodes.length")
        await page.js("() => app.canvas.selectNode(app.graph.nodes[0])")
        await key(page, "ArrowDown")
        await key(page, "Delete")
        await listed(page, 3)
        assert await page.js("() => app.graph.nodes.length") == nodes, "a key in the songbook is not the canvas's"
        assert files - {path.name for path in folder.iterdir()} == {"song_00005.flac", "song_00005.json"}
        assert await page.js(texts(".ace-snack span")) == ["1 song moved to the trash", "Undo"]
        await page.screenshot("songbook_deleted")
        await key(page, "Control+z")
        await listed(page, 4)
        assert {path.name for path in folder.iterdir()} == files
        await page.until("book.querySelectorAll('.ace-heart')[1].ariaPressed === 'true'")
        await key(page, "Control+a")
        await page.until("book.querySelector('.ace-selection strong').textContent === '6 selected'")
        await page.js(
            "() => { window.saved = null; HTMLAnchorElement.prototype.click = function () { saved = this.download } }"
        )
        await page.js("() => book.querySelector('.ace-selection button').click()")
        await page.until("saved?.endsWith('.zip')")

    desk.look(page, "songbook_selected", scenario())


def test_a_song_is_dragged_to_the_canvas_and_to_an_input(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk)
        await opened(page, "cover")
        await listed(page, 4)
        row, canvas = page.page.locator(".ace-row").first, page.page.locator("#graph-canvas")
        cover = "app.graph.nodes.find(n => n.comfyClass === 'ACEStepCover')"
        await page.js(
            f"() => {{ const n = {cover}; n.disconnectInput(n.findInputSlot('audio')); app.canvas.centerOnNode(n) }}"
        )
        await page.frame()
        ids = set(await page.js("() => app.graph.nodes.map(n => n.id)"))
        where = f"const n = {cover}, {{scale, offset}} = app.canvas.ds"
        point = "[(n.pos[0] + 60 + offset[0]) * scale, (n.pos[1] + 20 + offset[1]) * scale]"
        x, y = await page.js(f"() => {{ {where}; return {point} }}")
        box = await canvas.bounding_box()
        await row.hover()
        await page.page.mouse.down()
        await page.js("() => { const [more] = book.querySelectorAll('[aria-expanded]'); more.click() }")
        await page.page.locator(".ace-menu .ace-entry").first.evaluate("entry => entry.click()")
        await listed(page, 4)  # also a list that comes anew meanwhile leaves the song in the hand
        await page.page.mouse.move(box["x"] + x - 40, box["y"] + y, steps=8)
        await page.page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
        await page.until("!document.querySelector('.ace-target').hidden")
        await page.screenshot("songbook_dragging")
        await page.page.mouse.up()
        await page.until(f"{cover}.isInputConnected({cover}.findInputSlot('audio'))")
        prompt = await page.prompt()
        (made,) = (str(found) for found in set(await page.js("() => app.graph.nodes.map(n => n.id)")) - ids)
        assert prompt[made]["inputs"]["audio"] == "acestep/song_00004.flac [output]"
        assert prompt[str(await page.js(f"() => {cover}.id"))]["inputs"]["audio"] == [made, 0]
        status, answer = await desk.site.post("/prompt", {"prompt": prompt, "client_id": "nobody"})
        assert status == 200 and not answer["node_errors"]
        await desk.site.post("/queue", {"clear": True})
        await desk.site.post("/interrupt", {})
        await page.js("() => { app.canvas.ds.offset[1] -= 4000; app.canvas.setDirty(true, true) }")  # free ground
        await page.frame()
        await row.hover()
        await page.page.mouse.down()
        await page.page.mouse.move(box["x"] + 860, box["y"] + 400, steps=8)
        await page.page.mouse.move(box["x"] + 900, box["y"] + 400, steps=4)
        await page.page.mouse.up()
        await page.until(f"app.graph.nodes.length === {len(ids) + 2}")
        await page.js("() => { app.canvas.ds.offset[1] += 4000; app.canvas.setDirty(true, true) }")

    desk.look(page, "songbook_dragged", scenario())


def test_autogen_keeps_one_batch_ahead(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        folder = songs(desk)
        await opened(page)
        await listed(page, 4)
        before = set(folder.glob("*.flac"))
        await page.set(2, duration=10)
        await page.js("() => book.querySelector('.ace-switch').click()")
        assert await page.js(texts(".ace-making strong")) == ["Paused, nobody is listening"]
        await page.js(
            "() => { const audio = book.querySelector('audio'); audio.muted = true; audio.loop = true;"
            " book.querySelectorAll('.ace-row-play')[0].click() }"
        )
        await page.until(
            "book.querySelector('.ace-making strong').textContent.startsWith('Next batch: making 1 song')", 60
        )
        await page.screenshot("songbook_making")
        await page.until("book.querySelector('.ace-place').textContent === 'Batch 3 of 4'", 120)
        assert await page.js(texts(".ace-making strong")) == ["Next batch: ready"]
        assert len(set(folder.glob("*.flac")) - before) == 1
        tops = await page.js(
            "() => [...book.querySelectorAll('.ace-row[role=treeitem]')].map(row => row.getBoundingClientRect().top)"
        )
        assert tops == sorted(tops), "who reads the list hears it in the order in which it is seen"
        assert await page.js("() => !book.querySelector('audio').paused"), "what plays is not interrupted"
        await page.js(
            "() => book.querySelectorAll('.ace-row-play')[0].click()"
        )  # the new one is heard: the next is made
        await page.until("book.querySelector('.ace-place').textContent.endsWith('of 5')", 120)
        await page.js("() => book.querySelector('.ace-switch').click()")
        await page.js("() => book.querySelector('audio').pause()")
        new = sorted(set(folder.glob("*.json")), key=lambda path: path.stat().st_mtime)[-2:]
        seeds = {json.loads(path.read_text())["seeds"]["noise"] for path in new}
        assert len(seeds) == 2, "each batch has seeds of its own"

    desk.look(page, "songbook_autogen", scenario())


def test_the_heart_of_the_song_widget_is_the_same(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk)
        await opened(page)
        await listed(page, 4)
        file = {"filename": "song_00004.flac", "subfolder": "acestep", "type": "output"}
        output = {"audio": [file], "songs": [json.dumps({"caption": "x", "scores": {}})]}
        await page.js("output => app.graph.getNodeById(7).onExecuted(output)", output)
        await page.js(
            "() => { window.widget = app.graph.getNodeById(7).widgets.find(w => w.name === 'audioUI').element }"
        )
        await page.js("() => widget.querySelector('.ace-head .ace-heart').click()")
        await page.until("widget.querySelector('.ace-head .ace-heart').ariaPressed === 'true'")
        await page.until("book.querySelector('.ace-heart').ariaPressed === 'true'")
        # a song that plays is not interrupted by the next run
        await page.js(
            """() => {
                Object.assign(widget.querySelector('audio'), {muted: true, loop: true})
                widget.querySelector('.ace-play').click()
            }"""
        )
        await page.until("!widget.querySelector('audio').paused")
        later = {**output, "audio": [{**file, "filename": "song_00005.flac"}]}
        await page.js("output => app.graph.getNodeById(7).onExecuted(output)", later)
        assert await page.js(
            "() => !widget.querySelector('audio').paused && widget.querySelector('.ace-fresh').checkVisibility()"
        )
        await page.js("() => widget.querySelector('.ace-fresh').click()")
        await page.until("widget.querySelector('audio').src.includes('song_00005')")
        assert not await page.js("() => widget.querySelector('.ace-fresh').checkVisibility()")

    desk.look(page, "songbook_heart", scenario())


def test_a_thousand_songs(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk, 500)
        await page.show(read("text2music"))
        await opened(page)
        await page.until("book.querySelector('.ace-place').textContent === 'Batch 500 of 500'")
        assert await page.js("() => book.querySelectorAll('.ace-row').length") < 60, "only what can be seen is drawn"
        await page.js("() => { const list = book.querySelector('.ace-list'); list.scrollTop = list.scrollHeight }")
        await page.until("[...book.querySelectorAll('.ace-group-head strong')].some(e => e.textContent === 'Batch 1')")
        await page.until(f"!{LOADING}")
        await page.page.locator(".ace-search").fill("line250.")
        await listed(page, 2)

    desk.look(page, "songbook_thousand", scenario())


def test_without_songs(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await closed(page)
        songs(desk, 0)
        await opened(page)
        await page.until("book.querySelector('.ace-no-songs').checkVisibility()")
        assert "No songs yet" in (await page.js(texts(".ace-no-songs strong")))[0]

    desk.look(page, "songbook_empty", scenario())

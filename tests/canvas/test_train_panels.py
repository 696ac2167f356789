"""The table of a dataset and the monitor of a training run, in both renderers, on real runs of the tiny checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.train.checkpoints import RunFolder
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk
from tests.train.making_trainsets import write_trainset
from tests.train.recordings import write_tone

require_browser()

BUILD = """async ({nodes, links}) => {
    app.graph.clear()
    app.graph.id = crypto.randomUUID()  // the canvas remembers widgets by graph and node
    const made = {}
    for (const [name, {type, at, size, values}] of Object.entries(nodes)) {
        const node = made[name] = LiteGraph.createNode(type)
        node.pos = at
        app.graph.add(node)
        if (size) node.setSize(size)
        for (const widget of node.widgets ?? [])
            if (widget.name in values) { widget.value = values[widget.name]; widget.callback?.(widget.value) }
    }
    for (const [from, output, to, input] of links) made[from].connect(output, made[to], input)
    window.made = made
    const panel = Object.values(made).find(n => n.widgets?.some(w => w.name === 'panel'))
    window.node = panel
    window.panel = panel.widgets.find(w => w.name === 'panel').element
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [80 - panel.pos[0], 80 - panel.pos[1]]
    app.canvas.setDirty(true, true)
}"""


async def built(page: Canvas, nodes: dict[str, Any], links: list[list[Any]]) -> None:
    await page.js(BUILD, {"nodes": nodes, "links": links})
    await page.frame()


# --- the table ------------------------------------------------------------------------------------------------------


def recordings(desk: Desk) -> None:
    folder = desk.site.folders.input / "my songs"
    if folder.is_dir():
        return
    names = [
        "01 harbour.wav",
        "02 <img src=x onerror=alert(1)>.wav",
        "03 소나기.wav",
        "04 take two.wav",
        "05 outtake.wav",
    ]
    for number, name in enumerate(names):
        write_tone(folder / name, 2.0 + number, 110 * (number + 1))
    (folder / "01 harbour.json").write_text(
        json.dumps({"caption": "slow folk, nylon guitar, warm male voice", "bpm": 84, "keyscale": "D major"})
    )
    (folder / "01 harbour.lyrics.txt").write_text("[Verse]\nShips along the quay\n")
    (folder / "02 <img src=x onerror=alert(1)>.caption.txt").write_text("hushed ballad, piano")
    (folder / "03 소나기.json").write_text(json.dumps({"caption": "rain, soft drums", "bpm": 96, "keyscale": "Am"}))
    (folder / "05 outtake.json").write_text(json.dumps({"caption": "room noise", "is_instrumental": False}))


async def table(page: Canvas, width: int = 860) -> None:
    await built(
        page,
        {
            "scan": {"type": "ACEStepScanDataset", "at": [-400, 0], "values": {"folder": "my songs", "name": "mine"}},
            "edit": {"type": "ACEStepEditDataset", "at": [0, 0], "size": [width, 200], "values": {}},
        },
        [["scan", 0, "edit", "dataset"]],
    )
    await page.run()
    await page.until("panel.querySelectorAll('.ace-rows .ace-row').length === 5 && node.widgets.length === 4")
    for _ in range(3):  # until the node has grown
        await page.frame()


CELLS = "kind => [...panel.querySelectorAll(`.ace-rows .ace-cell.${kind}`)].map(e => e.textContent)"
STATES = "() => [...panel.querySelectorAll('.ace-rows .ace-cell.state')].map(e => e.className.split(' ').pop())"
EDITS = "() => JSON.parse(node.widgets.find(w => w.name === 'edits').value)"
FIELD = """([name, value]) => {
    const label = [...panel.querySelectorAll('.ace-said label')].find(l => l.textContent === name)
    const input = label.parentElement.querySelector('.ace-field')
    input.value = value
    input.dispatchEvent(new Event('change', {bubbles: true}))
}"""


def test_recordings_are_heard_seen_and_corrected(desk: Desk, page: Canvas) -> None:
    recordings(desk)

    async def scenario() -> None:
        await table(page)
        assert (await page.js(CELLS, "name"))[1:3] == ["02 <img src=x onerror=alert(1)>.wav", "03 소나기.wav"]
        assert await page.js("() => panel.querySelectorAll('img').length") == 0
        assert await page.js(STATES) == ["ready", "ready", "ready", "unlabeled", "problem"]
        assert (await page.js(CELLS, "key"))[:3] == ["D major", "—", "A minor"]
        assert (await page.js(CELLS, "words"))[0] == "Ships along the quay"
        await page.js("() => panel.querySelector('[role=combobox]').focus()")
        await page.page.keyboard.press("ArrowDown")
        await page.page.keyboard.press(" ")
        await page.until("panel.querySelector('.ace-rows .pi-pause')")
        await page.page.keyboard.press(" ")
        await page.page.keyboard.press("ArrowDown")
        await page.page.keyboard.press("Enter")
        await page.until("document.activeElement.tagName === 'TEXTAREA'")
        await page.js(FIELD, ["Key", "fis-moll"])
        await page.until("JSON.stringify(JSON.parse(node.widgets[0].value)).includes('F# minor')")
        await page.js(FIELD, ["bpm", "fast"])
        await page.until("panel.querySelector('.ace-wrong:not([hidden])')")
        assert "bpm" in await page.js("() => panel.querySelector('.ace-wrong:not([hidden])').textContent")
        identity = await page.js("() => Object.keys(JSON.parse(node.widgets[0].value))[0]")
        assert await page.js(EDITS) == {identity: {"keyscale": "F# minor"}}, "what makes no sense is not written"
        assert (await page.js(STATES))[1] == "edited"
        output = await page.run()
        rows = next(out["acestep_dataset"] for out in output.values() if "acestep_dataset" in out)
        assert rows[1]["keyscale"] == "F# minor" and rows[1]["before"] == {"keyscale": ""}
        assert (await page.js(CELLS, "key"))[1] == "F# minor"

    desk.look(page, "dataset_corrected", scenario())


def test_many_are_changed_at_once_and_taken_back(desk: Desk, page: Canvas) -> None:
    recordings(desk)

    async def scenario() -> None:
        await table(page)
        await page.js("() => { panel.querySelector('[role=combobox]').focus() }")
        await page.page.keyboard.press("Control+a")
        await page.page.keyboard.press("Enter")
        placeholder = "() => panel.querySelector('.ace-said textarea').placeholder"
        assert await page.js(placeholder) == "they differ"
        await page.js(FIELD, ["Language", "deutsch"])
        await page.until("Object.keys(JSON.parse(node.widgets[0].value)).length === 5")
        assert {json.dumps(v) for v in (await page.js(EDITS)).values()} == {'{"language": "de"}'}
        await page.js(FIELD, ["Language", "unknown"])
        await page.until("Object.keys(JSON.parse(node.widgets[0].value)).length === 0")
        for left in (5, 0):
            await page.js("() => panel.querySelector('[role=combobox]').focus()")
            await page.page.keyboard.press("Control+z")
            assert len(await page.js(EDITS)) == left
        await page.js(
            """() => { const only = panel.querySelector('select'); only.value = 'problem'
                only.dispatchEvent(new Event('input')) }"""
        )
        assert await page.js(CELLS, "name") == ["05 outtake.wav"]
        await page.js(
            """() => { const only = panel.querySelector('select'); only.value = ''
                only.dispatchEvent(new Event('input'))
                const find = panel.querySelector('[type=search]'); find.value = 'nylon'
                find.dispatchEvent(new Event('input')) }"""
        )
        assert await page.js(CELLS, "name") == ["01 harbour.wav"]
        await page.js(
            "() => { node.widgets[0].value = '[' ; panel.querySelector('[type=search]').value = '' ;"
            " panel.querySelector('[type=search]').dispatchEvent(new Event('input')) }"
        )
        assert await page.js("() => panel.querySelector('.ace-note.err').checkVisibility()")

    desk.look(page, "dataset_many", scenario())


def test_a_thousand_rows_are_few_elements(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await built(page, {"edit": {"type": "ACEStepEditDataset", "at": [0, 0], "size": [480, 200], "values": {}}}, [])
        await page.js(
            """() => node.onExecuted({acestep_edits: ["{}"], acestep_dataset: Array.from({length: 1000}, (_, n) => ({
                id: `id${n}`, name: `${n}.wav`, seconds: n, labeled: true, problems: [], audio: null, before: {},
                caption: `song ${n}`, genre: '', lyrics: '', bpm: 90, keyscale: '', timesignature: '', language: 'en',
                is_instrumental: true, custom_tag: '', prompt_override: null, repeat: 1, excluded: false}))})"""
        )
        await page.until("panel.querySelectorAll('.ace-rows .ace-row').length > 5")
        assert await page.js("() => panel.querySelectorAll('.ace-rows .ace-row').length") < 60
        await page.js("() => panel.querySelector('[role=combobox]').focus()")
        await page.page.keyboard.press("End")
        await page.until("[...panel.querySelectorAll('.ace-rows .name')].some(e => e.textContent === '999.wav')")
        small = (
            "() => [...panel.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
        )
        assert await page.js(small) == 0

    desk.look(page, "dataset_thousand", scenario())


# --- the monitor ----------------------------------------------------------------------------------------------------


async def trainer(page: Canvas, name: str, epochs: int, size: tuple[int, int], song: bool = False) -> None:
    nodes: dict[str, Any] = {
        "load": {"type": "ACEStepModelLoader", "at": [-400, 0], "values": {"variant": "base"}},
        "vae": {"type": "ACEStepLoader", "at": [-400, 200], "values": {}},
        "set": {"type": "ACEStepLoadTrainset", "at": [-400, 400], "values": {"folder": "trainsets/waves"}},
        "how": {"type": "ACEStepTrainSettings", "at": [-800, 0],
                "values": {"rank": 4, "log_every": 1, "validation": 0.34, "validate_every": 5}},
        "song": {"type": "ACEStepSong", "at": [-800, 600], "values": {"caption": "wavy piano", "duration": 10}},
        "train": {"type": "ACEStepTrainLoRA", "at": [0, 0], "size": list(size),
                  "values": {"name": name, "epochs": epochs, "learning_rate": 0.003, "test_every": 10 if song else 0}},
    }  # fmt: skip
    links: list[list[Any]] = [["set", 0, "train", "trainset"], ["load", 0, "train", "model"],
                              ["how", 0, "train", "settings"]]  # fmt: skip
    if song:
        links.append(["song", 0, "train", "test_song"])
    await built(page, nodes, links)


CHIP = "panel.querySelector('.ace-chip [role=status]').textContent"


@pytest.fixture(scope="module")
def waves(desk: Desk) -> Path:
    folder = desk.site.folders.output / "trainsets" / "waves"
    write_trainset(folder, (150, 150, 150))
    return folder


def test_a_run_is_watched_heard_and_stopped(desk: Desk, page: Canvas, waves: Path) -> None:
    name = f"watched_{page.label.strip('_')}"

    async def scenario() -> None:
        await trainer(page, name, 10_000, (940, 400), song=True)
        assert await page.js("() => panel.querySelector('.ace-empty').checkVisibility()")
        await page.js("() => { void app.queuePrompt(0) }")
        await page.until(f"{CHIP} === 'Running' && panel.querySelectorAll('.ace-test').length > 0", 60)
        before = await page.js("() => panel.querySelectorAll('.ace-test').length")
        buttons = "() => [...panel.querySelectorAll('.ace-head button')].filter(b => b.checkVisibility())"
        assert await page.js(f"{buttons.replace('() => ', '() => (')}).map(b => b.textContent)") == [
            "Test song", "Pause", "Stop and keep",
        ]  # fmt: skip
        await page.js(f"() => {{ ({buttons.removeprefix('() => ')})[0].click() }}")
        await page.until(f"panel.querySelectorAll('.ace-test').length > {before}", 60)
        await page.screenshot("training_running")
        await page.js(f"() => {{ ({buttons.removeprefix('() => ')})[2].click() }}")
        await page.until(f"{CHIP} === 'Stopped and kept'", 60)
        await page.until("Object.keys(app.nodeOutputs).length > 0")
        run = RunFolder(desk.site.folders.output / "acestep" / "runs" / name)
        assert run.about()["stopped"] and not run.finished
        label = await page.js("() => panel.querySelector('.ace-chart').ariaLabel")
        assert label.startswith("The loss goes from ")
        levels = await page.js("() => [...panel.querySelectorAll('.ace-levels > span:last-child')].length")
        assert levels == 1
        await page.js("() => { panel.querySelector('.ace-test button').click() }")
        await page.until("panel.querySelector('.ace-test .pi-pause')")
        await page.js("() => { panel.querySelector('.ace-test button').click() }")
        # What was told stays, from when the node is done, which is after the run was kept.
        await page.until("[...document.querySelectorAll('.ace-text')].some(e => e.textContent.includes('steps'))", 60)

    desk.look(page, "training_stopped", scenario())


def test_a_page_that_comes_later_sees_the_run(desk: Desk, page: Canvas, waves: Path) -> None:
    name = f"later_{page.label.strip('_')}"

    async def scenario() -> None:
        await trainer(page, name, 40, (560, 400))
        assert await page.queue() == "success"
        await page.until(f"{CHIP} === 'Finished'")
        workflow = await page.js("() => JSON.parse(JSON.stringify(app.graph.serialize()))")
        await page.show(json.loads(json.dumps(workflow)) | {"id": "later"})
        await page.js(
            """() => { window.node = app.graph.nodes.find(n => n.comfyClass === 'ACEStepTrainLoRA')
                window.panel = node.widgets.find(w => w.name === 'panel').element }"""
        )
        await page.until(f"{CHIP} === 'Finished'")
        table = "() => { [...panel.querySelectorAll('button')].find(b => b.textContent === 'As table').click() }"
        await page.js(table)
        assert await page.js("() => panel.querySelectorAll('.ace-numbers tbody tr').length") > 5
        await page.js(table)
        await page.js("() => panel.querySelector('.ace-chart').focus()")
        for _ in range(3):
            await page.page.keyboard.press("ArrowLeft")
        axis = "async path => { const {marks} = await import(path); return [marks(0, 80), marks(1.96, 3.53)] }"
        rounded = await page.js(axis, f"/extensions/{desk.pack}/chart.js")
        assert rounded == [[0, 20, 40, 60, 80], [2, 2.5, 3, 3.5]]
        told = "async path => { const {lasting} = await import(path); return [59.6, 3540, 3599, 5400].map(lasting) }"
        lengths = await page.js(told, f"/extensions/{desk.pack}/lengths.js")
        assert lengths == ["1 min", "59 min", "1 h 0 min", "1 h 30 min"]
        assert await page.js("() => panel.querySelector('.ace-bubble').textContent.startsWith('Step ')")
        small = (
            "() => [...panel.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
        )
        assert await page.js(small) == 0

    desk.look(page, "training_later", scenario())


def test_a_pause_goes_on(desk: Desk, page: Canvas, waves: Path) -> None:
    name = f"paused_{page.label.strip('_')}"

    async def scenario() -> None:
        await trainer(page, name, 10_000, (560, 400))
        await page.js("() => { void app.queuePrompt(0) }")
        await page.until(f"{CHIP} === 'Running'", 60)
        await page.js("() => { [...panel.querySelectorAll('button')].find(b => b.textContent === 'Pause').click() }")
        await page.until(f"{CHIP}.startsWith('Paused')", 60)
        run = RunFolder(desk.site.folders.output / "acestep" / "runs" / name)
        assert run.latest() is not None and not run.about()

    desk.look(page, "training_paused", scenario())

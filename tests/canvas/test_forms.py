"""The lyrics editor and the plan as a form in the real frontend and in ComfyUI, in both renderers and in an app."""

from __future__ import annotations

import json
from typing import Any

from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read

require_browser()
pytestmark = on_every_server

LYRICS = "[Verse]\nCity lights are fading slow\nFootsteps where the rivers go\n[Chorus]\nHold the night a little more"


def node(workflow: str, title: str) -> int:
    return next(one["id"] for one in read(workflow)["nodes"] if one["title"] == title)


async def opened(page: Canvas, workflow: str, title: str, widget: str) -> int:
    """Shows a workflow; `form` is then the element of a node's widget, in view and as large as on a screen."""
    await page.show(read(workflow))
    at = node(workflow, title)
    await page.js(
        """([id, name]) => {
            const node = app.graph.getNodeById(id)
            app.canvas.ds.scale = 1
            app.canvas.ds.offset[0] = 80 - node.pos[0]
            app.canvas.ds.offset[1] = 120 - node.pos[1]
            app.canvas.setDirty(true, true)
            window.form = node.widgets.find(w => w.name === name).element
        }""",
        [at, widget],
    )
    await page.until("form.isConnected && form.clientWidth > 100")
    return at


async def written(page: Canvas, text: str) -> None:
    """As if typed or pasted into the lyrics."""
    await page.js("() => { const a = form.querySelector('.ace-area'); a.focus(); a.select() }")
    await page.page.keyboard.insert_text(text)


def shown(selector: str) -> str:
    return f"() => [...form.querySelectorAll({selector!r})].filter(e => e.checkVisibility()).map(e => e.textContent)"


def test_lyrics_are_coloured_counted_and_sent(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        song = str(await opened(page, "text2music", "Song", "lyrics"))
        await written(page, LYRICS)
        await page.until("form.querySelector('.ace-tokens').textContent.match(/^\\d+ of 2,0\\d\\d tokens$/)")
        assert await page.js(shown(".ace-known")) == ["[Verse]", "[Chorus]"]
        assert (await page.js(shown(".ace-foot span")))[1].startswith("sings about 0:1")
        assert (await page.prompt())[song]["inputs"]["lyrics"] == LYRICS
        await page.set(int(song), lyrics="[Vrese]\nla")
        await page.until("form.querySelectorAll('.ace-unknown').length === 1")
        await written(page, LYRICS)

    desk.look(page, "lyrics", scenario())


def test_headings_are_offered_and_cleaned(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        song = str(await opened(page, "text2music", "Song", "lyrics"))
        await written(page, "【副歌】\nla la\nChorus:\nlo 🎤 lo\n")
        await page.until("!form.querySelector('.ace-offer').hidden")
        assert (await page.js(shown(".ace-offer-row > span")))[0] == "2 headings can be cleaned"
        await page.page.get_by_role("button", name="Show", exact=True).click()
        assert await page.js(shown(".ace-changes ins")) == ["[副歌]", "[Chorus]"]
        await page.screenshot("lyrics_offer")
        await page.page.get_by_role("button", name="Clean", exact=True).click()
        await page.until("form.querySelector('.ace-offer').hidden && form.querySelectorAll('.ace-known').length === 2")
        clean = "[副歌]\nla la\n[Chorus]\nlo 🎤 lo\n"
        assert (await page.prompt())[song]["inputs"]["lyrics"] == clean
        await page.js("() => { const a = form.querySelector('.ace-area'); a.focus(); a.setSelectionRange(999, 999) }")
        await page.page.keyboard.press("Control+z")
        assert (await page.prompt())[song]["inputs"]["lyrics"].startswith("【副歌】"), "the browser can undo it"
        await written(page, clean)

        await page.page.keyboard.type("[")
        await page.until("!form.querySelector('.ace-suggest').hidden")
        await page.page.keyboard.type("br")
        assert await page.js(shown(".ace-tag-choice")) == ["[Bridge]", "[Breakdown]"]
        await page.page.keyboard.press("ArrowDown")
        assert await page.js("() => document.activeElement.getAttribute('aria-activedescendant').endsWith('-1')")
        await page.page.keyboard.press("Enter")
        assert (await page.prompt())[song]["inputs"]["lyrics"] == clean + "[Breakdown]"
        assert await page.js("() => form.querySelector('.ace-suggest').hidden")
        await page.page.keyboard.type("\n[")
        await page.screenshot("lyrics_suggest")
        await page.page.keyboard.press("Escape")
        nodes = await page.js("() => app.graph.nodes.length")
        await page.page.keyboard.press("Delete")
        assert await page.js("() => app.graph.nodes.length") == nodes

    desk.look(page, "lyrics_cleaned", scenario())


def test_what_is_too_long_is_seen_not_to_be_heard(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        song = await opened(page, "text2music", "Song", "lyrics")
        await page.set(song, duration=30)
        await written(page, "[Verse]\n" + "สวัสดีครับ 你好世界 hold the night\n" * 400)
        await page.until("form.querySelector('.ace-tokens').textContent.includes('lines are not heard')")
        assert await page.js("() => form.querySelector('.ace-tokens').dataset.level") == "err"
        assert await page.js("() => form.querySelector('.ace-foot').children[1].dataset.level") == "warn"
        assert await page.js("() => form.querySelectorAll('.ace-unheard').length") > 0
        same = "() => form.querySelector('.ace-ink').scrollHeight - form.querySelector('.ace-area').scrollHeight"
        assert abs(await page.js(same)) <= 1, "the copy lies under the text"
        await page.js("() => { const a = form.querySelector('.ace-area'); a.scrollTop = a.scrollHeight }")
        await page.until("form.querySelector('.ace-ink').scrollTop === form.querySelector('.ace-area').scrollTop")
        await page.set(song, instrumental=True)
        await page.until("form.querySelector('.ace-foot').textContent.includes('left out')")
        await page.set(song, instrumental=False)

    desk.look(page, "lyrics_too_long", scenario())


def test_a_song_is_written_before_it_is_rendered(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        song = await opened(page, "text2music", "Song", "lyrics")

        async def values() -> dict[str, Any]:
            return (await page.prompt())[str(song)]["inputs"]

        first = await values()
        await page.page.get_by_role("button", name="Random", exact=True).click()
        assert (await values())["caption"] != first["caption"]
        await page.page.get_by_role("button", name="Undo", exact=True).click()
        assert await values() == first
        before = set(desk.site.folders.output.rglob("*"))
        await page.page.get_by_role("button", name="Create", exact=True).click()
        await page.screenshot("lyrics_create")
        await page.page.keyboard.type("a song about rain")
        await page.page.keyboard.press("Enter")
        await page.until("form.querySelector('.ace-ask .ace-cut').textContent.startsWith('Filled in')", 120)
        invented = await values()
        assert invented["caption"] != first["caption"] and invented["bpm"]
        await page.set(song, caption="my own words", bpm=77)
        await page.js("""() => {
            window.told = []
            const line = form.querySelector('.ace-ask .ace-cut')
            new MutationObserver(() => told.push(line.textContent)).observe(line, { childList: true })
        }""")
        await page.page.get_by_role("button", name="Format", exact=True).click()
        # Told, not looked for: a quick model is done before a slow page looks whether it is busy.
        await page.until("told.length >= 2 && !form.querySelector('[aria-busy]')", 120)
        assert (await page.js("() => told")) == ["Writing… nothing is rendered yet", "Filled in. Change it, then run."]
        assert (await values())["bpm"] == 77, "what was set stays"
        assert set(desk.site.folders.output.rglob("*")) == before, "nothing was rendered"

    desk.look(page, "lyrics_created", scenario())


def test_what_was_invented_in_a_run_is_taken_over(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        create = node("simple", "Song")
        await page.show(read("simple"))
        before = await page.prompt()
        fed = {(at, name) for at, one in before.items() for name, v in one["inputs"].items() if v == [str(create), 0]}
        invented = {"caption": "calm piano", "lyrics": "[Verse]\nla", "bpm": 92, "keyscale": "A minor", "duration": 20}
        output = {"text": ["calm piano"], "song": [json.dumps(invented)]}
        await page.js("([id, output]) => app.graph.getNodeById(id).onExecuted(output)", [create, output])
        await page.js(f"""() => {{
            const node = app.graph.getNodeById({create})
            node.widgets.find(w => w.name === 'shown').element.querySelector('.ace-button').click()
        }}""")
        after = await page.prompt()
        (song,) = [at for at, one in after.items() if one["class_type"] == "ACEStepSong"]
        assert {name: after[song]["inputs"][name] for name in invented} == invented
        assert fed and all(after[at]["inputs"][name] == [song, 0] for at, name in fed)

    desk.look(page, "taken_over", scenario())


def test_the_plan_is_a_form(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        plan = await opened(page, "think_text2music", "Plan", "edited_plan")
        song = node("think_text2music", "Song")
        await page.set(song, duration=10)

        async def text() -> str:
            return (await page.prompt())[str(plan)]["inputs"]["edited_plan"]

        assert await text() == ""
        heights = []
        for _ in range(12):
            await page.frame()
            heights.append(await page.js(f"() => app.graph.getNodeById({plan}).size[1]"))
        assert heights[-1] == heights[-6], "a node that stretches its form does not grow with it"
        await page.page.get_by_role("textbox", name="Tempo").fill("92")
        assert (await text()).startswith('bpm: "92"\nkeyscale: ?\n')
        await page.screenshot("plan_before")
        await page.page.get_by_role("button", name="Plan again").click()
        await page.until("form.querySelectorAll('.ace-keep').length >= 4", 120)
        assert await page.js(shown(".ace-plan-row.bpm .ace-choice")) == ["as given"]
        chosen = (await page.js(shown(".ace-plan-row.keyscale .ace-choice")))[0].removesuffix(" · keep")
        await page.js("() => form.querySelector('.ace-plan-row.keyscale .ace-keep').click()")
        assert await page.js("() => form.querySelector('.keyscale .ace-pin').getAttribute('aria-pressed')") == "true"
        kept = await text()
        assert f'keyscale: "{chosen}"' in kept and "?" not in kept, "the model is not asked again"
        await page.screenshot("plan_kept")
        await page.page.get_by_role("textbox", name="Tempo").fill("999")
        await page.until("form.querySelector('.bpm .ace-problem').checkVisibility()")
        assert "30 to 300" in (await page.js(shown(".bpm .ace-problem")))[0]
        await page.screenshot("plan_wrong")
        await page.page.get_by_role("textbox", name="Tempo").fill("100")
        await page.until("form.querySelector('.bpm [aria-invalid]').getAttribute('aria-invalid') === 'false'")

        saved = await page.js("() => app.graph.serialize()")
        before = await text()
        await page.js("graph => app.loadGraphData(graph)", saved)
        found = f"app.graph.getNodeById({plan}).widgets.find(w => w.name === 'edited_plan')"
        await page.js(f"() => {{ window.form = {found}.element }}")
        await page.until("form.querySelectorAll('.ace-keep').length >= 3")
        assert await text() == before
        pressed = "() => [...form.querySelectorAll('.ace-pin')].map(p => p.getAttribute('aria-pressed'))"
        assert (await page.js(pressed))[:3] == ["true", "true", "false"]
        for title in ("Plan", "Codes", "Sampler"):
            await page.set(node("think_text2music", title), control_after_generate="fixed")
        output = await page.run()
        assert "bpm: 100" in output[str(plan)]["text"][0] and chosen in output[str(plan)]["text"][0]
        await told_again_after_a_reload(page, plan)

    desk.look(page, "plan_form", scenario())


async def told_again_after_a_reload(page: Canvas, plan: int) -> None:
    """The graph comes back by itself; a run that makes nothing anew says again what was planned."""
    said = """ids => ids.map(id => app.graph.getNodeById(id).widgets.flatMap(w => w.element ?? [])
        .flatMap(e => [...e.querySelectorAll('.ace-choice, .ace-text')]).map(e => e.textContent))"""
    nodes = [plan, node("think_text2music", "Plan text")]
    before = await page.js(said, nodes)
    await page.reload()
    await page.until(f"app.graph.getNodeById({plan})?.type === 'ACEStepPlan'")
    assert not any(one == other for one, other in zip(before, await page.js(said, nodes)))
    await page.js("() => comfyAPI.api.api.addEventListener('execution_cached', e => (window.cached = e.detail.nodes))")
    await page.run()
    assert str(plan) in await page.js("() => cached")
    told = json.dumps(before, ensure_ascii=False, separators=(",", ":"))
    await page.until(f"JSON.stringify(({said})({nodes})) === {json.dumps(told)}")
    await page.screenshot("plan_again")


def test_texts_of_other_nodes_go_into_both(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        plan = await opened(page, "think_text2music", "Plan", "edited_plan")
        wired = {node("think_text2music", "Song"): "lyrics", plan: "edited_plan"}
        source = await page.js(
            """wired => {
                const text = LiteGraph.createNode('PrimitiveStringMultiline')
                app.graph.add(text)
                for (const [id, name] of wired) {
                    const node = app.graph.getNodeById(id)
                    text.connect(0, node, node.inputs.findIndex(input => input.name === name))
                }
                return String(text.id)
            }""",
            list(wired.items()),
        )
        await page.until("form.querySelector('.bpm .ace-field').disabled")
        await page.js("graph => app.loadGraphData(graph)", await page.js("() => app.graph.serialize()"))
        prompt = await page.prompt()
        for at, name in wired.items():
            assert prompt[str(at)]["inputs"][name] == [source, 0]

    desk.look(page, "forms_wired", scenario())


def test_an_app_has_both_editors(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await page.until(f"app.graph.id === '{read('edit_plan_app')['id']}'")
        for kind in ("edit", "plan"):
            await page.until(f"document.querySelector('.ace-{kind}')?.clientWidth > 100")
            sizes = f"['scrollWidth', 'clientWidth'].map(size => document.querySelector('.ace-{kind}')[size])"
            wide, there = await page.js(f"() => {sizes}")
            assert wide <= there + 1
        await page.page.get_by_role("textbox", name="Tempo").fill("88")
        (plan,) = [one for one in (await page.prompt()).values() if one["class_type"] == "ACEStepPlan"]
        assert '"88"' in plan["inputs"]["edited_plan"]

    desk.visit(desk.address("edit_plan_app", "&mode=linear"), "app_forms", scenario)

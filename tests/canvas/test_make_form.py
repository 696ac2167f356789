"""The form "Make a song": what somebody sees who comes for the first time, and what it does to the graph behind it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders
from tests.canvas.browser import Canvas, open_page, require_browser
from tests.canvas.desk import ROOT, Desk, read
from tests.host.lab_site import open_site
from tests.places import nothing_known

require_browser()

PLAN, CODES, SCORE, ALIGNMENT, BEST, SAVE = (
    "ACEStepPlan",
    "ACEStepPlanCodes",
    "ACEStepLMScore",
    "ACEStepLyricAlignment",
    "ACEStepBestOf",
    "ACEStepSaveSong",
)


def form(page: Canvas) -> Any:
    return page.page.locator(".ace-make-card")


async def ready(page: Canvas) -> None:
    await page.until(f"app.graph.id === '{read('make_a_song')['id']}' && !!document.querySelector('.ace-make-card')")


async def classes(page: Canvas) -> set[str]:
    return {node["class_type"] for node in (await page.prompt()).values()}


async def press(page: Canvas, name: str) -> None:
    await form(page).get_by_role("switch", name=name).click()


def test_the_first_visit_is_one_form_with_an_example(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        assert await page.prompt() == read("api/make_a_song")
        assert await form(page).get_by_role("textbox", name="Sound").input_value()
        assert "[Verse]" in await form(page).get_by_role("textbox", name="Lyrics").input_value()
        assert not await form(page).get_by_label("File format").is_visible(), "advanced stays folded"
        assert await page.js("() => document.querySelectorAll('[role=dialog]').length") == 0

    desk.visit(desk.site.url, "make_form", scenario)


def test_what_is_chosen_is_the_graph(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        await form(page).get_by_role("textbox", name="Sound").fill("밤의 재즈")
        for label, text in (("Length", "1:15"), ("Tempo", "97")):
            await form(page).get_by_label(label, exact=True).click()
            await page.until("(e => !e.selectionStart && e.selectionEnd === e.value.length)(document.activeElement)")
            await page.page.keyboard.type(text)
            await page.page.keyboard.press("Tab")
        await form(page).get_by_label("Key", exact=True).select_option("A minor")
        await form(page).get_by_label("Takes", exact=True).select_option("3")
        song = (await page.prompt())["2"]["inputs"]
        assert (song["caption"], song["duration"], song["bpm"], song["keyscale"]) == ("밤의 재즈", 75, 97, "A minor")
        counts = [n["inputs"]["batch_size"] for n in (await page.prompt()).values() if "batch_size" in n["inputs"]]
        assert counts == [3, 3]
        everything = await classes(page)
        assert {PLAN, CODES, SCORE, ALIGNMENT, BEST, SAVE} <= everything
        await press(page, "Think first")
        assert everything - await classes(page) == {PLAN, CODES, SCORE}, "stars are left by the lyrics"
        await press(page, "Lyric times")
        assert everything - await classes(page) == {PLAN, CODES, SCORE, ALIGNMENT, BEST}
        await press(page, "Think first")
        assert everything - await classes(page) == {ALIGNMENT}
        await press(page, "Score takes")
        assert everything - await classes(page) == {ALIGNMENT, SCORE, BEST}
        length = form(page).get_by_label("Length", exact=True)
        await length.fill("soon")
        await length.press("Tab")
        assert await length.get_attribute("aria-invalid") == "true"
        assert (await page.prompt())["2"]["inputs"]["duration"] == 75, "what is not understood changes nothing"

    desk.visit(desk.site.url, "make_chosen", scenario)


def test_what_is_rare_is_folded_and_is_the_graph_too(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        card = form(page)
        assert not await card.get_by_label("Guidance scale").is_visible()
        await card.get_by_text("Advanced", exact=True).click()
        await page.until("document.querySelector('.ace-make-advanced').open")
        await page.frame()
        seen = """() => ['.ace-make-advanced .ace-field', '.ace-make-foot'].map(
            part => document.querySelector(part).getBoundingClientRect())"""
        field, foot = await page.js(seen)
        assert field["bottom"] < foot["top"] < 900, "nothing of what is unfolded first lies under the foot"
        assert await card.get_by_label("Steps", exact=True).get_attribute("placeholder") == "Auto"
        assert await card.get_by_label("Temperature").get_attribute("placeholder") == "0.85"
        await page.until("/8 for turbo/.test(document.querySelector('.ace-make [data-name=steps]').title)")
        given = {"Steps": "12", "Guidance scale": "4,5", "Custom timesteps": "1, 0.5", "Top-k": "40"}
        for label, text in {**given, "CFG scale": "3", "Negative prompt": "noise, hum"}.items():
            await card.get_by_label(label, exact=True).fill(text)
            await card.get_by_label(label, exact=True).press("Tab")
        await card.get_by_label("Mode", exact=True).select_option("adg")
        nodes = {node["class_type"]: node["inputs"] for node in (await page.prompt()).values()}
        assert (nodes["ACEStepSchedule"]["steps"], nodes["ACEStepSchedule"]["timesteps"]) == (12, "1, 0.5")
        assert (nodes["ACEStepGuidance"]["mode"], nodes["ACEStepGuidance"]["scale"]) == ("adg", 4.5)
        words = nodes["ACEStepLMSampling"]
        assert (words["top_k"], words["cfg_scale"], words["negative_prompt"]) == (40, 3, "noise, hum")
        await page.screenshot("make_advanced")
        steps = card.get_by_label("Steps", exact=True)
        for text in ("many", "2.5", "201"):
            await steps.fill(text)
            await steps.press("Tab")
            assert await steps.get_attribute("aria-invalid") == "true"
            assert "from 0 to 200" in await card.get_by_role("alert").inner_text()
        await steps.fill("")
        await steps.press("Tab")
        nodes = {node["class_type"]: node["inputs"] for node in (await page.prompt()).values()}
        assert nodes["ACEStepSchedule"]["steps"] == 0, "left open again"
        drawing = "app.graph.nodes.flatMap(n => n.widgets ?? []).filter(w => w.name === 'control_after_generate')"
        before = await page.js(f"() => {drawing}.map(w => w.value)")
        await press(page, "New seed each time")
        after = await page.js(f"() => {drawing}.map(w => w.value)")
        assert len(set(before)) == len(set(after)) == 1 and {*before, *after} == {"fixed", "randomize"}

    desk.visit(desk.site.url, "make_rare", scenario)


def test_an_example_and_the_language_model_fill_it(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        sound = form(page).get_by_role("textbox", name="Sound")
        before = await sound.input_value()
        await form(page).get_by_role("button", name="Random").click()
        assert (example := await sound.input_value()) != before
        assert (await page.prompt())["2"]["inputs"]["caption"] == example
        assert await page.js("() => document.activeElement.textContent") == "Random"
        await form(page).get_by_role("button", name="Undo").click()
        assert await sound.input_value() == before
        await form(page).get_by_role("button", name="Create").click()
        await form(page).locator(".ace-ask input").fill("a waltz")
        await page.page.keyboard.press("Enter")
        await page.until("document.querySelector('.ace-make .ace-ask [role=status]').textContent.startsWith('Filled')")
        song = (await page.prompt())["2"]["inputs"]
        assert song["caption"] == await sound.input_value() != before
        assert not await page.page.locator(".ace-make-result").is_visible(), "no song was made"
        await press(page, "Keep one batch ahead")
        shown = form(page).get_by_role("switch", name="Keep one batch ahead")
        assert await shown.get_attribute("aria-checked") == "true"
        await page.js("() => app.extensionManager.command.execute('Workspace.ToggleSidebarTab.acestep.songbook')")
        await page.until("document.querySelector('.ace-book-head .ace-switch')?.ariaChecked === 'true'")
        await page.js("() => document.querySelector('.ace-book-head .ace-switch').click()")
        assert await shown.get_attribute("aria-checked") == "false", "both show the same"

    desk.visit(desk.site.url, "make_filled", scenario)


@pytest.mark.parametrize("switched", [[], ["Think first"], ["Instrumental", "Think first"]])
def test_it_makes_songs_and_shows_them_beside_it(switched: list[str], desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        await form(page).get_by_label("Length", exact=True).fill("10")
        for name in switched:
            await press(page, name)
        await form(page).get_by_role("button", name="Make song").click()
        await page.until("!!document.querySelector('.ace-make-result .ace-has-songs')", 120)
        shown = await page.page.locator(".ace-make-result .ace-count").inner_text()
        assert shown == "1 / 2"
        await page.until("!document.querySelector('.ace-main.busy')")
        summary = await page.page.locator(".ace-make-foot").inner_text()
        assert re.search(r"2 takes, 0:10 · about \d+:\d\d, as last time", summary), summary
        await page.screenshot(f"made_{len(switched)}")
        await form(page).get_by_role("button", name="Show graph").click()
        assert await page.js("() => document.querySelectorAll('.ace-make').length") == 0
        await page.js("() => app.extensionManager.command.execute('ACEStep.MakeSong')")
        await page.until("!!document.querySelector('.ace-make-result .ace-has-songs')")

    desk.visit(desk.site.url, "make_again", scenario)


def test_an_error_is_told_in_the_form(desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        await form(page).get_by_label("Length", exact=True).fill("3")
        await form(page).get_by_role("button", name="Make song").click()
        alert = form(page).get_by_role("alert").locator("visible=true")
        await alert.first.wait_for()
        assert "10" in await page.page.locator(".ace-make-card .ace-note.err").inner_text()

    desk.visit(desk.site.url, "make_error", scenario)


@pytest.mark.parametrize("language", ["ko", "zh"])
def test_the_example_speaks_the_language_of_the_canvas(language: str, desk: Desk) -> None:
    async def scenario(page: Canvas) -> None:
        await ready(page)
        song: dict[str, Any] = (await page.prompt())["2"]["inputs"]
        assert song["language"] == language and song["lyrics"].startswith("[Verse]\n") and not song["lyrics"].isascii()

    desk.runner.run(desk.site.post("/settings/Comfy.Locale", language))
    try:
        desk.visit(desk.site.url, f"make_{language}", scenario)
    finally:
        desk.runner.run(desk.site.post("/settings/Comfy.Locale", "en"))


def test_another_graph_has_no_form_in_front_of_it(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        await page.show(read("text2music"))
        assert await page.js("() => document.querySelectorAll('.ace-make').length") == 0

    desk.look(page, "no_form", scenario())


def test_who_has_no_models_hears_the_toy_and_is_told_so(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders.under(tmp_path / "bare")
    nothing_known(monkeypatch, tmp_path / "cache")

    async def scenario(page: Canvas) -> None:
        await ready(page)
        await page.page.get_by_text("Only the built-in toy model is here.").wait_for()
        await form(page).get_by_role("textbox", name="Sound").fill("calm piano, A minor")
        await form(page).get_by_label("Length", exact=True).fill("10")
        await form(page).get_by_label("Takes", exact=True).select_option("1")
        await press(page, "Score takes")
        await press(page, "Lyric times")
        await form(page).get_by_role("button", name="Make song").click()
        await page.until("!!document.querySelector('.ace-make-result .ace-has-songs')", 120)
        await page.page.get_by_text("This song was made by the built-in toy model").first.wait_for()
        await page.screenshot("toy")

    async def main() -> None:
        site = open_site(tmp_path, folders=folders, packs=(ROOT,))
        async with site as host, open_page(desk.browser, host.url, f"{desk.label}_") as page:
            await scenario(page)
            assert not page.errors, page.errors

    desk.runner.run(main())
    (record,) = (folders.output / "acestep").glob("*.json")
    told = json.loads(record.read_text(encoding="utf-8"))
    assert told["machine"]["toy_model"] and told["song"]["keyscale"] == "A minor", "the plan reads the caption"

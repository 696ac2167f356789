"""Refusals and remarks, which Python says in English, in the language of the canvas."""

from __future__ import annotations

import re

import pytest

from locales import sentences
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read

require_browser()
pytestmark = on_every_server

SONG = 2
TOO_LONG = "The lyrics {0}; some words may be rushed or left out."
STEPS = "Steps must be a whole number from 1 to {0} here, not {1}; {2} is usual."
TEXT_OF = "id => app.graph.getNodeById(id).widgets.find(w => w.name === 'shown')?.element.textContent"
LYRICS = "[Verse]\n" + "So many words are sung in such a short while\n" * 12


def shape(table: dict[str, str], text: str) -> re.Pattern[str]:
    """A translation with anything for its values, but no English left in them."""
    return re.compile(re.sub(r"\\{\d\\}", "[^A-Za-z]+", re.escape(table[text])))


@pytest.mark.parametrize("language", ["ko", "zh"])
def test_they_are_in_the_language_of_the_canvas(language: str, desk: Desk) -> None:
    table = sentences.translations(language)
    values = [f"<{number}>" for number in range(9)]

    def filled(text: str, english: str) -> str:
        """With a value for each hole; of holes side by side the first takes it all."""
        empty = re.findall(r"(?<=\})\{(\d)\}", english)
        return re.sub(r"\{(\d)\}", lambda hole: "" if hole[1] in empty else values[int(hole[1])], text)

    async def scenario(page: Canvas) -> None:
        await page.until(f"{desk.first}")
        await page.js(
            "path => import(path).then(found => (window.made = found))", f"/extensions/{desk.pack}/sentences.js"
        )
        await page.js("() => made.readSentences()")
        every = [text for text in table if text.endswith(".")]
        told = await page.js("texts => texts.map(made.told)", [filled(text, text) for text in every])
        assert dict(zip(every, told)) == {text: filled(table[text], text) for text in every}
        one, other = "The run was cancelled.", "Text between the codes was left out."
        mixed = f"  {one}\nmine.wav: {one} {other}\nThe night was young."
        assert await page.js("text => made.told(text)", mixed) == (
            f"  {table[one]}\nmine.wav: {table[one]} {table[other]}\nThe night was young."
        )
        await page.show(read("text2music"))
        await page.set(SONG, duration=10, lyrics=LYRICS)
        await page.run()
        await page.until(f"({TEXT_OF})({SONG})")
        assert shape(table, TOO_LONG).search(await page.js(TEXT_OF, SONG))
        await page.show(read("base_guidance"))
        await page.set(1, variant="turbo")
        assert await page.queue() == "error"
        assert shape(table, STEPS).search(await page.js("() => window.ending.exception_message"))

    desk.runner.run(desk.site.post("/settings/Comfy.Locale", language))
    try:
        desk.visit(desk.start, f"sentences_{language}", scenario)
    finally:
        desk.runner.run(desk.site.post("/settings/Comfy.Locale", "en"))

"""Caption and lyric prompts, byte for byte."""

from __future__ import annotations

import pytest

from acestep_core.render import text_prompts as prompts
from acestep_core.song.lyrics import read_lyrics
from acestep_core.vocabulary import CAPTION_TOKENS, LYRIC_TOKENS
from tests.golden_data import rows

ROWS = rows("G_prompts/dit_text_prompts")
UNSET = ("", "N/A")  # our `Song` holds an empty string where upstream also takes the word


def _metas(given):
    return prompts.metas_text(
        given.get("bpm"),
        "" if given.get("timesignature") in UNSET else given.get("timesignature", ""),
        given.get("keyscale", ""),
        given.get("duration"),
    )


def _instruction(given):
    if "instruction" in given:
        return given["instruction"]
    task = given.get("task", "text2music")
    if task == "text2music" and given.get("codes"):
        task = "cover"  # codes are a source
    return prompts.instruction_for(task, tuple(filter(None, [given.get("track")])) or tuple(given.get("classes", ())))


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_prompts(row):
    given = row["input"]
    instruction, metas, caption = _instruction(given), _metas(given), given["caption"]
    if given.get("is_lego_sft"):
        windowed = given["chunk_mask_mode"] != "auto"
        caption = prompts.stems_caption(caption, given.get("global_caption", ""), instruction, windowed)
    assert instruction == row["instruction"]
    assert metas == row["metas_string"]
    assert prompts.text_prompt(instruction, caption, metas) == row["text_prompt"]
    assert prompts.lyric_prompt(given["lyrics"], given["language"]) == row["lyric_prompt"]
    assert (row["text_max_tokens"], row["lyric_max_tokens"]) == (CAPTION_TOKENS, LYRIC_TOKENS)
    if row["non_cover_text_prompt"] is not None:
        plain = prompts.text_prompt(prompts.instruction_for("text2music"), given["caption"], metas)
        assert plain == row["non_cover_text_prompt"]


def test_lyrics_that_upstream_reads_reach_the_prompt_as_they_are():
    lyrics = [row["input"]["lyrics"] for row in ROWS if "{" not in row["input"]["lyrics"]]
    assert lyrics
    assert [read_lyrics(text) for text in lyrics] == [(text, ()) for text in lyrics]

from __future__ import annotations

from acestep_core.render import text_prompts as p
from acestep_core.song.description import Song


def test_a_song_becomes_two_prompts():
    song = Song(caption="calm piano", lyrics="[Verse]\nla", language="en", bpm=90, keyscale="Am", timesignature="4/4")
    text, lyric = p.song_prompts(song, p.instruction_for("text2music"), 61.9)
    assert text == (
        "# Instruction\nFill the audio semantic mask based on the given conditions:\n\n# Caption\ncalm piano\n\n"
        "# Metas\n- bpm: 90\n- timesignature: 4\n- keyscale: A minor\n- duration: 61 seconds\n<|endoftext|>\n"
    )
    assert lyric == "# Languages\nen\n\n# Lyric\n[Verse]\nla<|endoftext|>"


def test_another_caption_replaces_the_song_s():
    text, _ = p.song_prompts(Song(caption="a"), p.instruction_for("lego", ("bass",)), 10, caption="Local: b")
    assert "# Caption\nLocal: b\n\n" in text
    assert "BASS" in text


def test_braces_and_percent_signs_are_only_text():
    assert "{0} %s {}" in p.text_prompt("x", "{0} %s {}", p.metas_text())
    assert "{0} %s {}" in p.lyric_prompt("{0} %s {}", "en")


def test_extending_and_covering_without_codes_share_instructions():
    assert p.instruction_for("extend") == p.instruction_for("repaint")
    assert p.instruction_for("cover_nofsq") == p.instruction_for("cover")


def test_what_is_cut_off_is_named():
    song = Song(caption="calm", lyrics="one\ntwo", language="en")
    text, lyrics = p.song_prompts(song, p.instruction_for("text2music"), 30)
    assert (
        p.unread_remark(lyrics, "") == p.unread_remark(lyrics, p.END_OF_TEXT) == p.unread_remark(text, "text|>\n") == ""
    )
    assert "'two' on" in p.unread_remark(lyrics, "two<|endoftext|>") and "2048" in p.unread_remark(lyrics, "two")
    metas = text[text.index("# Metas") :]
    assert "these and its end are not read, from 'lm' on" in p.unread_remark(text, f"lm\n\n{metas}")
    assert "these are not read in full" in p.unread_remark(text, metas[30:])

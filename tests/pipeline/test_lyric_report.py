"""What is said of lyrics while they are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from acestep_core.builtin.tiny_tokenizer import WORDS
from acestep_core.checkpoints.find import find_models
from acestep_core.checkpoints.qwen_tokenizer import read_words
from acestep_core.errors import InvalidInput
from acestep_core.models.text import TextEncoder
from acestep_core.pipeline.lyric_report import lyric_report, tokenizer_for_lyrics
from acestep_core.render.text_prompts import lyric_prompt
from acestep_core.song.description import Song
from acestep_core.vocabulary import LYRIC_TOKENS


def tokenizer(tiny_root: Path):
    found = tokenizer_for_lyrics(find_models([tiny_root]), [tiny_root])
    assert found is not None
    return found


@pytest.mark.parametrize("line", ["la la la ", "你好世界", "สวัสดี ", "사랑 "])
def test_what_is_counted_is_what_is_heard(line: str, tiny_root: Path) -> None:
    words = tokenizer(tiny_root)
    encoder = TextEncoder(None, words)  # type: ignore[arg-type]
    for count in (1, 3000):
        lyrics = f"[Verse]\n{line}\n" * count
        report = lyric_report(lyrics, tokenizer=words)
        assert report.counted and report.limit < LYRIC_TOKENS
        unread = encoder.unread(lyric_prompt(Song(lyrics=lyrics).lyrics, "unknown"), LYRIC_TOKENS)
        assert (report.tokens > report.limit) == bool(report.unheard) == (count == 3000)
        if count == 3000:
            assert report.unheard == unread.removesuffix("<|endoftext|>").strip().count("\n") + 1


def test_the_last_token_that_is_heard(tiny_root: Path) -> None:
    words = tokenizer(tiny_root)
    full = lyric_report("1" * (lyric_report("", tokenizer=words).limit), tokenizer=words)
    assert (full.tokens, full.unheard) == (full.limit, 0)
    over = lyric_report("1" * (full.limit + 1), tokenizer=words)
    assert (over.tokens, over.unheard) == (full.limit + 1, 1)
    assert lyric_report("", tokenizer=words).tokens == 0


def test_without_a_tokenizer_it_is_an_estimate(tmp_path: Path) -> None:
    assert tokenizer_for_lyrics(find_models([tmp_path]), [tmp_path]) is None
    short, long = lyric_report("[Verse]\nla"), lyric_report("la la la\n" * 2000)
    assert not short.counted and short.unheard == 0 < short.tokens < short.limit
    assert long.tokens > long.limit and 0 < long.unheard < 2000


def test_words_of_qwen_count_where_no_model_is(
    tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    shutil.copy(next(tiny_root.rglob("tokenizer.json")), folder)
    size = 1 + max(read_words(folder / "tokenizer.json").ids)
    monkeypatch.setattr("acestep_core.pipeline.lyric_report.TEXT_ROWS", (size,))
    found = tokenizer_for_lyrics(find_models([tmp_path]), [tmp_path])
    assert found is not None and found.token_to_id(WORDS[0]) is not None


def test_headings_are_marked_and_offered_for_cleaning() -> None:
    text = "🎤 [Verse]\nla\nサビ\n[Vrese]\nChorus: lo\n"
    report = lyric_report(text, "ja", "0:30")
    units = text.encode("utf-16-le")
    shown = [(units[2 * start : 2 * end].decode("utf-16-le"), known) for start, end, known in report.marks]
    assert shown == [("[Verse]", True), ("[Vrese]", False)]
    assert report.headings == 2 and report.read == "🎤 [Verse]\nla\n[サビ]\n[Vrese]\n[Chorus]\nlo\n"
    assert report.changes == (("サビ", "[サビ]"), ("Chorus: lo", "[Chorus]\nlo"))
    assert any("[サビ]" in remark for remark in report.remarks)
    clean = lyric_report(report.read)
    assert clean.headings == 0 and clean.changes == () and clean.remarks == ()
    json.dumps(report.to_dict())


def test_what_is_no_text_is_refused() -> None:
    for refused in ({"lyrics": 3}, {"lyrics": "la", "language": "xx"}, {"lyrics": "la", "duration": "long"}):
        with pytest.raises(InvalidInput):
            lyric_report(**refused)  # type: ignore[arg-type]

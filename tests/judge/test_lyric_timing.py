"""Lines and words from placed tokens, and listening to whole songs with the tiny checkpoint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import AlignmentError, Cancelled, InvalidInput
from acestep_core.judge.alignment import Alignment, AlignmentScore, align, combine_heads
from acestep_core.judge.lyric_timing import listen, listen_to_batch, timed_lyrics
from acestep_core.judge.subtitles import parse_lrc, write_lrc
from acestep_core.judge.timing import TimedLyrics
from acestep_core.monitor import Monitor
from acestep_core.render.conditioning import condition
from acestep_core.render.tasks import text2music
from acestep_core.seeds import noise
from acestep_core.song.description import Song

FRAME = 0.08


def placed(frames, length, confidence=None):
    found = np.ones(len(frames)) if confidence is None else np.array(confidence, float)
    return Alignment(np.array(frames, np.int32), found, AlignmentScore(1, 1, 1, 1), length)


def test_lines_run_from_their_first_to_their_last_visible_character():
    pieces = [b"[Verse]", b"\n", b"oh", b" my", b"\n", b"\n", b" love", b"\n"]
    frames = [(0, 2), (2, 9), (10, 12), (12, 15), (15, 30), (30, 31), (40, 50), (50, 60)]
    confidence = [0.5, 0, 1, 0.5, 0, 0, 0.25, 0]
    tag, first, second = timed_lyrics(placed(frames, 70, confidence), pieces, FRAME, 5.6).lines
    assert (tag.text, tag.start, tag.end, tag.is_tag, tag.words) == ("[Verse]", 0, 0.16, True, ())
    assert (first.text, first.start, first.end) == ("oh my", 0.8, 1.2)
    assert first.confidence == pytest.approx((2 * 1 + 3 * 0.5) / 5)
    assert [(w.text, w.start, w.end, w.confidence) for w in first.words] == [
        ("oh ", 0.8, 0.96, 1.0),
        ("my", 0.96, 1.2, 0.5),
    ]
    assert (second.text, second.start, second.end, second.confidence) == ("love", 3.2, 4.0, 0.25)


def test_a_token_with_a_line_break_inside_serves_both_lines():
    lines = timed_lyrics(placed([(0, 4), (4, 8), (8, 9)], 9), [b"[A]", b"\n[", b"B]"], FRAME).lines
    assert [(line.text, line.start) for line in lines] == [("[A]", 0.0), ("[B]", 0.32)]


def test_a_character_cut_over_tokens_lasts_from_the_first_to_the_last():
    pieces = ["夜".encode(), "空".encode()[:2], "空".encode()[2:]]
    (line,) = timed_lyrics(placed([(0, 5), (5, 7), (10, 15)], 20), pieces, FRAME).lines
    assert [(w.text, w.start, w.end) for w in line.words] == [("夜", 0.0, 0.4), ("空", 0.4, 1.2)]


def test_characters_in_one_token_share_its_time():
    (line,) = timed_lyrics(placed([(0, 10)], 10), ["夜空に".encode()], FRAME).lines
    assert [(w.text, w.start) for w in line.words] == [("夜", 0.0), ("空", 0.27), ("に", 0.53)]


def test_words_nothing_attends_to_lie_inside_their_line():
    pieces = [b"oh", b" my", b"\n", b"love"]
    lines = timed_lyrics(placed([(5, 8), (40, 40), (40, 40), (40, 44)], 50, [1, 0, 0, 1]), pieces, FRAME).lines
    assert (lines[0].start, lines[0].end, lines[0].words[1].start, lines[0].words[1].confidence) == (0.4, 0.64, 0.64, 0)
    assert lines[0].confidence == pytest.approx(3 / 4)


def test_no_time_lies_behind_the_end_of_the_song():
    (line,) = timed_lyrics(placed([(0, 5), (5, 13)], 13), [b"oh", b" no"], FRAME, 1.0).lines
    assert (line.end, line.words[-1].end) == (1.0, 1.0)


@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 40))
def test_any_alignment_gives_valid_lyrics_that_survive_lrc(seed, tokens, frames):
    generator = torch.Generator().manual_seed(seed)
    kinds = [b"la", b" oh", b"\n", b" ", b"[", b"]", "夜空".encode(), b"\xe5", b"\xa4\x9c", b"\n\n"]
    pieces = [kinds[i] for i in torch.randint(len(kinds), (tokens,), generator=generator).tolist()]
    attention = torch.rand(1, tokens, frames, generator=generator) ** 8
    lyrics = timed_lyrics(align(combine_heads(attention), [True] * tokens), pieces, FRAME, frames * FRAME)
    for line in lyrics.lines:  # the values check themselves; words must lie inside their line
        assert all(line.start <= word.start <= word.end <= line.end for word in line.words)
        assert all(a.start <= b.start for a, b in zip(line.words, line.words[1:]))
    for words in (False, True):
        again = parse_lrc(write_lrc(lyrics, words=words))
        assert [(x.text, x.start) for x in again.lines] == [(x.text, x.start) for x in lyrics.lines]


# Whole songs


@pytest.fixture(scope="module")
def batch(tiny_models):
    """Three songs of different lyrics with latents, and what they were conditioned on."""
    songs = [
        Song("a", "[Verse]\nhello world\nsing along", duration=10),
        Song("a", "夜空に光る\n" * 3, language="ja", duration=10),
        Song("a", instrumental=True, duration=10),
    ]
    conditioning = condition(tiny_models.model, songs, [text2music(10.0)])
    return conditioning, noise([1, 2, 3], conditioning.frames) * 0.5


def test_every_item_of_a_batch_equals_its_single_run(tiny_models, batch):
    conditioning, latents = batch
    together = listen_to_batch(tiny_models.model, latents, conditioning)
    for item, song in enumerate(["[Verse]", "夜空に光る", None]):
        found = together[item]
        main = conditioning.main
        states = [row for group in main.states for row in group.split(1)][item]
        alone = replace(
            conditioning,
            main=replace(main, states=(states,), context=main.context[item : item + 1]),
            lyric_tokens=conditioning.lyric_tokens[item : item + 1],
        )
        (single,) = listen_to_batch(tiny_models.model, latents[item : item + 1], alone)
        assert single == found
        if song is None:
            assert found.lyrics == TimedLyrics((), 10.0) and found.score is None
        else:
            assert found.lyrics.lines[0].text == song and found.lyrics.duration == 10
            assert 0 < found.score.total <= 1


def test_one_conditioning_serves_all_takes(tiny_models):
    conditioning = condition(tiny_models.model, [Song("a", "hello world", duration=10)], [text2music(10.0)])
    takes = listen_to_batch(tiny_models.model, noise([1, 2], 250), conditioning)
    assert len(takes) == 2 and takes[0].score != takes[1].score


def test_listening_is_repeatable_and_reports(tiny_models, batch):
    conditioning, latents = batch
    ticks = []
    monitor = Monitor(lambda *tick: ticks.append(tick[:3]))
    first = listen_to_batch(tiny_models.model, latents, conditioning, monitor=monitor)
    assert first == listen_to_batch(tiny_models.model, latents, conditioning)
    assert ticks == [("Timing lyrics", n, 3) for n in range(4)]
    with pytest.raises(Cancelled):
        listen_to_batch(tiny_models.model, latents, conditioning, monitor=Monitor(cancelled=lambda: True))


def test_what_does_not_belong_together_is_refused(tiny_models, batch):
    conditioning, latents = batch
    with pytest.raises(InvalidInput, match="2 latents for a conditioning of 3 rows"):
        listen_to_batch(tiny_models.model, latents[:2], conditioning)
    with pytest.raises(InvalidInput, match="do not belong to this conditioning"):
        listen_to_batch(tiny_models.model, latents[:, :100], conditioning)
    with pytest.raises(InvalidInput, match="text encoder"):
        listen_to_batch(replace(tiny_models.model, text=None), latents, conditioning)
    with pytest.raises(InvalidInput, match="at least 1"):
        listen_to_batch(tiny_models.model, latents, conditioning, steps=0)


def test_more_tokens_than_states_is_refused():
    with pytest.raises(InvalidInput, match="more lyric tokens than states"):
        listen(None, torch.zeros(1, 4, 64), torch.zeros(1, 4, 128), torch.zeros(1, 2, 8), [b"a"] * 3, {0: (0,)})


def test_unknown_heads_reach_the_user(tiny_models, batch, monkeypatch):
    from acestep_core.models.config import AceStepConfig

    conditioning, latents = batch
    from acestep_core.models.manager import manager

    with manager.resident(tiny_models.model) as model:
        known: AceStepConfig = model.config
        monkeypatch.setattr(model, "config", replace(known, lyric_alignment_layers_config=()))
        with pytest.raises(AlignmentError, match="No lyric alignment heads are known"):
            listen_to_batch(tiny_models.model, latents, conditioning)

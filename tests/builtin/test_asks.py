"""Requests of every kind occur, each with one meaning, and the table of words is sound."""

import random
from itertools import chain

from acestep_core.builtin.asks import DEFAULT_TONICS, Ask, default_score, draw_ask, key_name
from acestep_core.builtin.captions import CAPTIONS
from acestep_core.builtin.rolls import STYLE_NAMES, STYLES, tempo_class
from acestep_core.builtin.words import EASTERN_WORDS, STYLE_WORDS, every_word


def drawn(count: int = 600) -> list[Ask]:
    rng = random.Random(1)
    return [draw_ask(rng) for _ in range(count)]


def test_every_kind_of_prompt_occurs() -> None:
    asks = drawn()
    for given in ("bpm", "timesignature", "key", "seconds"):
        shares = [bool(getattr(ask, given)) for ask in asks]
        assert 0.2 < sum(shares) / len(asks) < 0.9, given
    assert {ask.task for ask in asks} == {"text2music", "repaint", "cover", "complete", "lego", "extract"}
    assert {ask.score.style for ask in asks} == set(STYLE_NAMES)
    assert any("한" in ask.caption or "음악" in ask.caption for ask in asks)
    assert any("音乐" in ask.caption for ask in asks)
    assert any("bpm" in ask.caption.lower() and ask.bpm is None for ask in asks)
    assert "- bpm: N/A" in next(ask for ask in asks if ask.bpm is None).prompt


def test_what_is_said_is_what_is_meant() -> None:
    for ask in drawn():
        if ask.bpm is not None:
            assert ask.score.tempo == tempo_class(ask.bpm)
        if ask.key:
            assert ask.key in (key_name(ask.score), key_name(ask.score, flat=True))


def test_what_is_left_open_is_the_styles_and_the_moods() -> None:
    plain = default_score("jazz")
    assert plain.mode == STYLES["jazz"].mode
    assert default_score("jazz", -1).bar > plain.bar > default_score("jazz", 1).bar
    assert default_score("jazz", 0, "minor").tonic == DEFAULT_TONICS["minor"][STYLE_NAMES.index("jazz")]


def test_no_phrase_means_two_styles() -> None:
    for table in (STYLE_WORDS, EASTERN_WORDS):
        phrases = list(chain.from_iterable(table.values()))
        assert len(phrases) == len(set(phrases))
        assert set(table) == set(STYLE_NAMES)
    assert len(every_word()) > 900


def test_the_captions_kept_for_testing_cover_all_styles() -> None:
    assert len(CAPTIONS) >= 60
    assert {style for caption in CAPTIONS for style in caption.styles} == set(STYLE_NAMES)

"""Lessons of the language model are conversations of the planner, word for word."""

import random
from dataclasses import replace

from acestep_core.builtin.asks import Ask, default_score
from acestep_core.builtin.lessons import (
    COUNTED,
    NEVER,
    CountedBars,
    Lesson,
    bpm_of,
    counted,
    draw_lesson,
    first_code,
    song_codes,
    title,
    tokenizer,
)
from acestep_core.builtin.rolls import BARS, EVEN_BARS
from acestep_core.planner.grammar import cot_grammar
from acestep_core.planner.metas import parse_cot
from acestep_core.planner.plan import Plan
from acestep_core.vocabulary import LM_INSTRUCTIONS


def said(lesson: Lesson, learned: bool = False) -> str:
    ids = [i for i, wanted in zip(lesson.ids, lesson.learned) if i < first_code() and (wanted or not learned)]
    return tokenizer().decode(ids, skip_special_tokens=False)


def test_every_task_of_the_planner_occurs_and_every_plan_can_be_read() -> None:
    rng = random.Random(0)
    tasks = set()
    for lesson in [draw_lesson(rng, 40) for _ in range(150)]:
        text = said(lesson)
        tasks |= {name for name, instruction in LM_INSTRUCTIONS.items() if instruction in text}
        assert len(lesson.ids) == len(lesson.learned)
        assert any(lesson.learned)
        fields = parse_cot(text.partition("<think>")[2].partition("</think>")[0])
        plan = Plan.from_metas(fields)
        assert plan.fields().keys() == fields.keys() - {"genres"}
        assert cot_grammar(plan.fields(), ())
    assert tasks == LM_INSTRUCTIONS.keys()


def test_what_is_given_is_not_learned() -> None:
    rng = random.Random(1)
    seen = {True: 0, False: 0}
    for lesson in [draw_lesson(rng, 30) for _ in range(80)]:
        text, learned = said(lesson), said(lesson, learned=True)
        if LM_INSTRUCTIONS["generate"] in text and "keyscale: " in text:
            key = text.partition("keyscale: ")[2].partition("\n")[0]
            seen[key in learned] += 1
            assert "keyscale" not in learned
    assert seen[True] > 5
    assert seen[False] > 5


def test_free_tempi_can_be_counted_in_codes() -> None:
    assert all(abs(BARS[n] - 5 * round(BARS[n] / 5)) < 1.1 for n in COUNTED)
    assert all(CountedBars(n, 0, "major", "pop", True, True).bar % 5 == 0 for n in COUNTED)
    assert [bpm_of(n) for n in COUNTED] == [150, 120, 100, 86, 75, 67, 60]
    assert bpm_of(counted(default_score("pop").tempo)) == 120


def test_titles_are_captions_that_say_all() -> None:
    score = default_score("jazz")
    assert title(Ask("", score, moods=("gentle",))) == "calm jazz music, with drums, lead melody"


def test_codes_are_tokens_after_the_text_and_know_their_moment() -> None:
    lesson, score = Lesson(), replace(default_score("pop"), tempo=9)  # bars of ten codes
    lesson.text("go")
    words = len(lesson.ids)
    lesson.song(score, 60, random.Random(1), True)
    assert lesson.ids[words:] == (song_codes(score, 60, random.Random(1)) + first_code()).tolist()
    assert lesson.moments[:words] == [NEVER] * words
    assert [clock for _, clock in lesson.moments[words : words + 40 : 10]] == [0, 16, 32, 48], "a bar is a quarter"
    assert lesson.moments[words : words + 20] == lesson.moments[words + 40 :], "after four bars it begins anew"
    later = Lesson()
    later.song(score, 20, random.Random(1), False, start=200)
    assert later.moments == lesson.moments[words : words + 20]
    assert {tempo for tempo, _ in later.moments} == {9} and not any(later.learned)


def test_two_bars_that_cannot_be_counted_are_like_the_next_two() -> None:
    for tempo in set(range(len(BARS))) - set(EVEN_BARS):
        bar = CountedBars(tempo, 0, "major", "pop", True, True).bar
        assert (2 * bar).is_integer() and abs(bar / BARS[tempo] - 1) < 0.007

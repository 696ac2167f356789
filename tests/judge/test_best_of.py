"""Ranking takes and showing the ranking."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import InvalidInput
from acestep_core.judge.best_of import Take, kept, rank, table, table_text

TAKES = [
    Take(0, 10, {"lm": 0.4, "alignment": 0.9}),
    Take(1, 11, {"lm": 0.8, "alignment": 0.8}),
    Take(2, 12, {"lm": 0.9, "alignment": 0.1}),
]


def test_best_first_by_the_chosen_weights():
    assert kept(rank(TAKES, keep=3)) == [1, 0, 2]
    assert kept(rank(TAKES, {"lm": 1}, keep=2)) == [2, 1]
    assert kept(rank(TAKES, {"alignment": 1, "lm": 0})) == [0]
    assert rank(TAKES)[0].total == pytest.approx(0.8)


def test_equal_takes_stay_in_order():
    same = [Take(i, i, {"lm": 0.5}) for i in range(5)]
    assert kept(rank(same, keep=3)) == [0, 1, 2]


def test_scores_nobody_has_do_not_count():
    takes = [Take(0, 1, {"lm": 0.2, "alignment": None}), Take(1, 2, {"lm": 0.6, "alignment": math.nan})]
    ranking = rank(takes)
    assert kept(ranking) == [1] and ranking[0].total == pytest.approx(0.6)


def test_a_missing_score_is_no_advantage():
    takes = [Take(0, 1, {"lm": 0.7, "alignment": None}), Take(1, 2, {"lm": 0.7, "alignment": 0.2})]
    assert kept(rank(takes)) == [1]


def test_table_shows_every_take_and_score():
    rows = table(rank(TAKES, keep=2))
    assert [row["take"] for row in rows] == [2, 1, 3] and [row["kept"] for row in rows] == [True, True, False]
    assert rows[0] == {"place": 1, "take": 2, "seed": 11, "total": 0.8, "lm": 0.8, "alignment": 0.8, "kept": True}
    uneven = table(rank([Take(0, 1, {"lm": 1.0}), Take(1, 2, {"alignment": 0.5})]))
    assert [row["alignment"] for row in uneven] == [None, 0.5]
    lines = table_text(rank(TAKES)).splitlines()
    assert lines[0].split() == ["place", "take", "seed", "total", "lm", "alignment", "kept"]
    assert lines[1].split() == ["1", "2", "11", "0.800", "0.800", "0.800", "*"] and lines[3].endswith("0.100")
    assert len({len(line) for line in lines[:2]}) == 1


def test_bad_arguments_are_refused():
    for arguments, words in (
        (([],), "no takes"),
        ((TAKES, {"lm": -1}), "0 or above"),
        ((TAKES, {"lm": math.nan}), "0 or above"),
        ((TAKES, {"beauty": 1}), "No take has any of the scores beauty"),
        ((TAKES, {}), "No take has"),
        ((TAKES, {"lm": 1}, 0), "At least one"),
    ):
        with pytest.raises(InvalidInput, match=words):
            rank(*arguments)


scores = st.dictionaries(st.sampled_from(["lm", "alignment"]), st.floats(0, 1) | st.none() | st.just(math.nan))


@given(st.lists(scores, min_size=1, max_size=8), st.integers(1, 9))
def test_a_ranking_is_ordered_and_complete(found, keep):
    takes = [Take(i, i, values) for i, values in enumerate(found)]
    usable = any(value is not None and not math.isnan(value) for values in found for value in values.values())
    if not usable:
        with pytest.raises(InvalidInput):
            rank(takes, keep=keep)
        return
    ranking = rank(takes, keep=keep)
    assert sorted(entry.take.index for entry in ranking) == list(range(len(takes)))
    assert [entry.place for entry in ranking] == list(range(1, len(takes) + 1))
    assert all(a.total >= b.total for a, b in pairwise(ranking))
    assert len(kept(ranking)) == min(keep, len(takes))

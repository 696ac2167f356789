"""Dynamic time warping, maps, placement of tokens and scores on made-up attention."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from acestep_core import devices
from acestep_core.errors import AlignmentError, InvalidInput
from acestep_core.judge.alignment import (
    align,
    alignment_score,
    combine_heads,
    dtw,
    median_filter,
    sharpen,
    token_frames,
)
from tests.pretended_mps import pretended_mps


def plain_dtw(cost):
    """The recurrence as written, one cell at a time."""
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf, np.float32)
    step = np.zeros((rows + 1, columns + 1), int)
    total[0, 0] = 0
    for j in range(1, columns + 1):
        for i in range(1, rows + 1):
            d, u, left = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
            best = 0 if d < u and d < left else 1 if u < d and u < left else 2
            total[i, j] = np.float32(cost[i - 1, j - 1]) + (d, u, left)[best]
            step[i, j] = best
    step[0, :], step[:, 0] = 2, 1
    i, j, path = rows, columns, []
    while i or j:
        path.append((i - 1, j - 1))
        i, j = i - (step[i, j] != 2), j - (step[i, j] != 1)
    return np.array(path[::-1]).T


costs = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(-2, 2) | st.floats(-3, 3, width=32),
)


@given(costs)
def test_dtw_is_the_recurrence_ties_included(cost):
    assert np.array_equal(dtw(cost), plain_dtw(cost))


def test_dtw_of_a_long_song_is_monotonic():
    cost = np.random.default_rng(0).standard_normal((1500, 3000)).astype(np.float32)
    path = dtw(cost)
    steps = np.diff(path, axis=1)
    assert steps.min() == 0 and steps.max() == 1 and (steps.sum(axis=0) >= 1).all()
    assert path[:, 0].tolist() == [0, 0] and path[:, -1].tolist() == [1499, 2999]


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 3, 5]))
def test_median_filter_keeps_any_shape(heads, tokens, frames, width):
    """Also that of a single head, where upstream loses an axis."""
    x = torch.randn(heads, tokens, frames)
    got = median_filter(x, width)
    assert got.shape == x.shape
    for head in range(heads):
        assert torch.equal(got[head], median_filter(x[head], width))


def test_median_filter_refuses_even_widths():
    with pytest.raises(InvalidInput, match="odd"):
        median_filter(torch.zeros(3, 3), 2)


def test_sharpening_works_on_the_matrix_of_a_long_song():
    weights = torch.rand(600, 30_000)  # more cells than torch.quantile accepts
    assert sharpen(weights).shape == weights.shape


def test_heads_may_come_one_by_one_from_a_generator():
    heads = torch.rand(3, 5, 20)
    maps = combine_heads(head for head in heads)
    assert np.allclose(maps.mean, heads.mean(0))
    assert maps.energy.min() == 0 and maps.energy.max() == 1
    single = combine_heads([heads[0]], median_width=3, sharpened=True)
    assert single.standard.shape == (5, 20)
    before = heads.clone()
    combine_heads(heads, sharpened=True)
    assert torch.equal(heads, before)  # inputs stay as they were


def test_exact_sums_need_no_double_precision_on_the_device():
    """Apple's GPUs have none."""
    heads = torch.rand(3, 5, 20)
    expected = combine_heads(heads, median_width=3, sharpened=True)
    with pretended_mps(devices.MPS) as seen:
        found = combine_heads(heads, median_width=3, sharpened=True)
    assert "sum" in seen.seen
    for name, values in vars(expected).items():
        assert np.allclose(getattr(found, name), values), name


def test_unusable_attention_is_an_error():
    with pytest.raises(AlignmentError, match="at least one"):
        combine_heads([])
    with pytest.raises(AlignmentError, match="nothing to align"):
        combine_heads([torch.zeros(0, 5)])
    with pytest.raises(AlignmentError, match="finite"):
        combine_heads([torch.full((2, 5), float("nan"))])
    maps = combine_heads([torch.rand(2, 5)])
    with pytest.raises(InvalidInput, match="3 lyric tokens for 2 rows"):
        align(maps, [True] * 3)
    with pytest.raises(InvalidInput, match="sharpened=True"):
        align(maps, [True] * 2, "sharpened")


def sung_at(spans, frames, level=0.6, floor=0.01):
    """Attention of tokens that are sung in the given spans."""
    weights = torch.full((len(spans), frames), floor)
    for row, (start, stop) in enumerate(spans):
        weights[row, start:stop] = level
    return weights


def test_pauses_belong_to_no_token():
    spans = [(3, 6), (6, 8), (30, 34), (34, 35), (60, 66)]
    found = align(combine_heads([sung_at(spans, 80)]), [True] * 5)
    assert found.frames.tolist() == [list(span) for span in spans]
    assert found.confidence.min() > 0.9 and found.score.total > 0 and found.length == 80
    upstream = align(combine_heads([sung_at(spans, 80)], sharpened=True), [True] * 5, "sharpened")
    assert upstream.frames[0, 0] == 0 and upstream.frames[-1, 1] == 80  # every frame belongs to some token


def test_tokens_that_draw_attention_throughout_do_not_attract_the_path():
    weights = sung_at([(5, 9), (9, 9), (9, 14), (30, 33)], 40)
    weights[1] = 0.5  # such as a comma
    found = align(combine_heads([weights]), [True] * 4)
    assert found.frames[[0, 2, 3]].tolist() == [[5, 9], [9, 14], [30, 33]]


def test_tokens_nothing_attends_to_get_no_time_and_no_confidence():
    weights = sung_at([(5, 9), (0, 0), (20, 24), (0, 0)], 40)
    found = align(combine_heads([weights]), [True] * 4)
    assert found.frames[[0, 2]].tolist() == [[5, 9], [20, 24]]
    assert found.frames[1].tolist() == [20, 20] and found.confidence[1] == 0
    assert found.frames[3].tolist() == [24, 24]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_any_attention_gives_ordered_frames_inside_the_song(tokens, frames, seed):
    weights = torch.rand(2, tokens, frames, generator=torch.Generator().manual_seed(seed)) ** 4
    for method in ("salience", "sharpened"):
        found = align(combine_heads(weights, sharpened=True), [True] * tokens, method)
        assert (np.diff(found.frames, axis=0) >= 0).all()
        assert (found.frames[:, 0] <= found.frames[:, 1]).all()
        assert found.frames.min() >= 0 and found.frames.max() <= frames
        assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
        assert 0 <= found.score.total <= 1


def test_flat_attention_scores_nothing():
    found = align(combine_heads([torch.full((4, 9), 0.1)]), [True] * 4)
    assert found.score.total == 0 and not found.confidence.any()


def test_score_sees_missing_and_swapped_words():
    def score(spans):
        maps = combine_heads([sung_at(spans, 200)])
        return alignment_score(maps.energy, dtw(-np.square(maps.energy)), [True] * len(spans))

    spans = [(20 * i, 20 * i + 15) for i in range(8)]
    good, missing, swapped = score(spans), score([*spans[:4], *[(0, 0)] * 4]), score(spans[::-1])
    assert (good.coverage, good.monotonicity) == (1, 1)
    assert missing.coverage == 0.5 and swapped.monotonicity == 0
    assert good.total > missing.total > swapped.total == 0


def test_a_song_of_tags_only_counts_as_covered():
    energy = np.ones((2, 4), np.float32)
    score = alignment_score(energy, dtw(-energy), [False, False])
    assert (score.coverage, score.monotonicity, score.confidence) == (1, 1, 1)


def test_token_frames_follow_the_path():
    path = np.array([[0, 0, 1, 2, 2, 3], [0, 1, 2, 2, 3, 3]], np.int32)
    assert token_frames(path, 4).tolist() == [[0, 1], [2, 2], [2, 3], [3, 3]]


@pytest.mark.parametrize("shape", [(4, 7), (5, 6), (6, 8), (3, 9)])
def test_sharpening_takes_the_median_of_odd_and_even_numbers(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 3
    want = (x.softmax(-1) * x.softmax(-2)).double().numpy()
    for axis in (1, 0):
        want = np.maximum(want - 2.0 * np.median(want, axis=axis, keepdims=True), 0)
    np.testing.assert_allclose(sharpen(x).numpy(), np.square(want), rtol=1e-3, atol=1e-9)


def test_a_centre_may_lie_a_little_before_the_last_one():
    def monotonicity(back):
        maps = combine_heads([sung_at([(50, 60), (50 - back, 60 - back)], 200)])
        return alignment_score(maps.energy, dtw(-np.square(maps.energy)), [True, True]).monotonicity

    assert [monotonicity(back) for back in (0, 5, 9, 12)] == [1, 1, 1, 0]


def test_a_token_is_sung_while_half_its_peak_is_heard():
    attention = torch.zeros(2, 20)
    attention[0, 2:6] = torch.tensor([1.0, 0.9, 0.8, 0.5])
    attention[1, 12:15] = 1
    assert align(combine_heads([attention]), [True, True]).frames.tolist() == [[2, 5], [12, 15]]

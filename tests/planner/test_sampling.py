"""Logit filters and the choice of a token."""

import math

import pytest
import torch

import acestep_core.planner.sampling as sampling_module
from acestep_core.errors import InvalidInput
from acestep_core.options import LMSampling
from acestep_core.planner.sampling import _sorted, choose, choose_among, draw_keys, gumbel, keep_top_k
from tests.parity.upstream_planner import keep_top_p, nucleus


def slow_top_p(row, p):
    """The definition, one token at a time."""
    order = row.argsort(descending=True)
    kept, total = [], 0.0
    for index in order.tolist():
        kept.append(index)
        total += row.softmax(0)[index].item()
        if total > p:
            break
    return {index for index in kept if row[index] > -math.inf}


@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_top_p_is_its_definition(scale, p):
    logits = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)) * scale
    kept = keep_top_p(logits, p) > -math.inf
    for row, mask in zip(logits, kept):
        want = slow_top_p(row.double(), p)
        assert abs(len(want) - int(mask.sum())) <= (1 if scale < 1 else 0)  # rounding at the edge of a flat nucleus


def test_nucleus_without_a_sort_is_the_nucleus_with_one():
    logits = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1)) * 8
    values, ids = nucleus(logits, 0.9)
    assert values.shape[-1] == 1024
    flat = torch.cat([logits, torch.zeros(1, 5000)])  # a flat row forces the full sort
    sorted_values, sorted_ids = nucleus(flat, 0.9)
    assert sorted_values.shape[-1] == 5000
    for row in range(3):
        kept, kept_sorted = values[row] > -math.inf, sorted_values[row] > -math.inf
        assert set(ids[row][kept].tolist()) == set(sorted_ids[row][kept_sorted].tolist())


def by_the_book(logits, keys, sampling):
    """The choice from the nucleus in falling order."""
    values, ids = nucleus(keep_top_k(logits, sampling.top_k), sampling.top_p)
    place = (values / sampling.temperature + gumbel(keys[:, None], ids)).argmax(-1, keepdim=True)
    return ids.gather(-1, place)[:, 0]


@pytest.mark.parametrize("sampling", [LMSampling(0.85, 0.9), LMSampling(1.5, 0.3, 3000), LMSampling(1.0, 0.001)])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
def test_a_choice_from_a_flat_nucleus_needs_no_sort_and_is_the_same(sampling, scale, monkeypatch):
    logits = torch.randn(200, 3000, generator=torch.Generator().manual_seed(3)) * scale
    logits[:, 2000:] = -math.inf  # what a grammar does not allow
    keys = draw_keys([1], 200)[0]
    want, asked = by_the_book(logits, keys, sampling), []
    monkeypatch.setattr(sampling_module, "_sorted", lambda *given: asked.append(1) or _sorted(*given))
    alone = [choose(row[None], key[None], sampling) for row, key in zip(logits, keys, strict=True)]
    assert torch.equal(torch.cat(alone), want)
    if scale == 1.0 and sampling.top_p == 0.9:
        assert not asked, "no row is so near to the edge that all have to be sorted"
    assert torch.equal(choose(logits, keys, sampling), want)


@pytest.mark.parametrize("count", [1, 7, 900, 1500])
@pytest.mark.parametrize(
    "sampling", [LMSampling(0.85, 0.9), LMSampling(0, 0.9), LMSampling(0.85, 1.0, 5), LMSampling(2, 0.5, 40)]
)
def test_a_choice_among_few_is_the_choice_with_the_others_masked(sampling, count):
    draws = torch.Generator().manual_seed(count)
    for key in draw_keys([2], 40)[0]:
        logits = torch.randn(1, 5000, generator=draws) * 3
        allowed = torch.zeros(4000, dtype=torch.bool)
        allowed[torch.randperm(4000, generator=draws)[:count]] = True
        masked = logits[:, :4000].masked_fill(~allowed, -math.inf)
        want = masked.argmax(-1)
        if sampling.temperature and sampling.top_p < 1:
            want = by_the_book(masked, key[None], sampling)
        elif sampling.temperature:
            want = choose(masked, key[None], sampling)
        assert choose_among(logits, allowed, key[None], sampling) == int(want)


def test_top_k_keeps_ties():
    assert (keep_top_k(torch.tensor([[3.0, 1.0, 2.0, 2.0]]), 2) > -math.inf).tolist() == [[True, False, True, True]]
    assert (keep_top_k(torch.tensor([[3.0, 1.0]]), 0) > -math.inf).all()


@pytest.mark.parametrize("sampling", [LMSampling(1.0, top_p=1.0), LMSampling(0.5, top_p=1.0), LMSampling(2.0, 1.0, 3)])
def test_choices_follow_the_distribution(sampling):
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0, -math.inf])
    count = 40_000
    chosen = choose(logits.expand(count, 5).contiguous(), draw_keys([7], count)[0], sampling)
    want = (keep_top_k(logits[None], sampling.top_k)[0] / sampling.temperature).softmax(0)
    got = torch.bincount(chosen, minlength=5) / count
    assert got[-1] == 0
    torch.testing.assert_close(got, want, rtol=0, atol=4 * math.sqrt(0.25 / count))


def test_gumbel_noise_is_gumbel_and_independent():
    noise = gumbel(draw_keys([3], 400)[0][:, None], torch.arange(500))
    assert abs(noise.mean().item() - 0.5772) < 0.02
    assert abs(noise.var().item() - math.pi**2 / 6) < 0.05
    neighbours = torch.corrcoef(torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()]))[0, 1]
    steps = torch.corrcoef(torch.stack([noise[:-1].flatten(), noise[1:].flatten()]))[0, 1]
    assert abs(neighbours) < 0.01 and abs(steps) < 0.01


def test_a_row_does_not_depend_on_the_others():
    logits = torch.randn(4, 5000, generator=torch.Generator().manual_seed(2)) * torch.tensor([[9.0], [0.1], [5.0], [1]])
    keys = draw_keys([1, 2, 3, 4], 1)[:, 0]
    together = choose(logits, keys, LMSampling())
    alone = torch.cat([choose(logits[i : i + 1], keys[i : i + 1], LMSampling()) for i in range(4)])
    assert torch.equal(together, alone)


def test_more_draws_begin_like_fewer():
    assert torch.equal(draw_keys([5], 100)[:, :10], draw_keys([5], 10))


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_p": 1.5},
        {"top_k": -1},
        {"top_k": 2.5},
        {"cfg_scale": 0.5},
        {"repetition_penalty": 0},
        {"negative_prompt": None},
        {"prompt_form": "new"},
        {"temperature": True},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        LMSampling(**bad)

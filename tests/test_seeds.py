from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acestep_core import seeds as n
from acestep_core.errors import InvalidInput


@given(seed=st.integers(0, n.MAX_SEED), batch=st.integers(1, 8))
def test_items_count_up_from_the_seed(seed, batch):
    seeds = n.item_seeds(seed, batch)
    assert seeds[0] == seed
    assert len(set(seeds)) == batch
    assert all(b == (a + 1) % 2**64 for a, b in pairwise(seeds))


def test_no_seed_draws_one():
    assert n.item_seeds(None, 2) != n.item_seeds(None, 2)
    assert 0 <= n.random_seed() < 2**32


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, True, "7"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(InvalidInput):
        n.item_seeds(seed, 1)


def test_an_empty_or_endless_batch_is_refused():
    assert len(n.item_seeds(1, n.MAX_BATCH)) == n.MAX_BATCH
    for batch in (0, n.MAX_BATCH + 1):
        with pytest.raises(InvalidInput, match="1 to 1024 songs"):
            n.item_seeds(1, batch)


def test_item_of_a_batch_equals_the_single_run():
    seeds = n.item_seeds(40, 3)
    sources = n.generators(seeds)
    first, then = n.draw(sources, 17), n.draw(sources, 17)
    for i, seed in enumerate(seeds):
        single = n.generators([seed])
        assert torch.equal(n.draw(single, 17)[0], first[i])
        assert torch.equal(n.draw(single, 17)[0], then[i]), "later draws belong to the item, too"
    assert torch.equal(first, n.noise(seeds, 17))


def test_global_random_state_is_not_touched():
    before = torch.get_rng_state()
    n.noise([1, 2], 9)
    assert torch.equal(before, torch.get_rng_state())


def test_retake_turns_without_changing_the_variance():
    a, b = n.noise([1], 4000), n.noise([2], 4000)
    assert n.retake(a, b, 0.0) is a
    torch.testing.assert_close(n.retake(a, b, 1.0), b, rtol=0, atol=1e-6)
    for variance in (0.2, 0.5, 0.8):
        assert float(n.retake(a, b, variance).std()) == pytest.approx(1.0, abs=0.01)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidInput):
            n.retake(a, b, bad)

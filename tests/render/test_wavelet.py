from __future__ import annotations

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.options import WAVELETS, Sampling
from acestep_core.render.wavelet import corrected, haar, inverse_haar

X, CLEAN = torch.randn(2, 2, 13, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("frames", [1, 2, 11, 12])
def test_the_transform_is_undone(frames):
    x = X[:, :frames]
    torch.testing.assert_close(inverse_haar(*haar(x))[:, :frames], x)


def test_slow_and_fast_parts_are_told_apart():
    slow, fast = haar(torch.ones(1, 8, 3))
    assert fast.abs().max() == 0 and slow.abs().min() > 0
    slow, fast = haar(torch.tensor([1.0, -1.0]).repeat(4).view(1, 8, 1))
    assert slow.abs().max() == 0 and fast.abs().min() > 0


@pytest.mark.parametrize("mode", WAVELETS[1:])
def test_a_state_that_is_clean_is_left_alone(mode):
    torch.testing.assert_close(corrected(CLEAN, CLEAN, 0.4, mode, 0.05, 0.02), CLEAN)


def test_low_fades_out_and_high_fades_in():
    assert torch.equal(corrected(X, CLEAN, 0.0, "low", 0.05, 0.02), X)
    assert torch.equal(corrected(X, CLEAN, 1.0, "high", 0.05, 0.02), X)
    both = corrected(X, CLEAN, 0.5, "double", 0.1, 0.1)
    torch.testing.assert_close(both, X + 0.05 * (X - CLEAN))
    torch.testing.assert_close(corrected(X, CLEAN, 0.5, "pix", 0.1, 0.0), X + 0.1 * (X - CLEAN))


@pytest.mark.parametrize("bad", [{"wavelet": "x"}, {"wavelet_low": float("nan")}, {"wavelet_high": 5.0}])
def test_settings_are_checked(bad):
    with pytest.raises(InvalidInput):
        Sampling(**bad)

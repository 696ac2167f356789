from __future__ import annotations

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.render.wavelet import MODES, WaveletCorrection, haar, inverse_haar

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


@pytest.mark.parametrize("mode", MODES)
def test_a_state_that_is_clean_is_left_alone(mode):
    torch.testing.assert_close(WaveletCorrection(mode).apply(CLEAN, CLEAN, 0.4), CLEAN)


def test_low_fades_out_and_high_fades_in():
    assert torch.equal(WaveletCorrection("low").apply(X, CLEAN, 0.0), X)
    assert torch.equal(WaveletCorrection("high").apply(X, CLEAN, 1.0), X)
    both = WaveletCorrection("double", 0.1, 0.1).apply(X, CLEAN, 0.5)
    torch.testing.assert_close(both, X + 0.05 * (X - CLEAN))
    torch.testing.assert_close(WaveletCorrection("pix", 0.1).apply(X, CLEAN, 0.5), X + 0.1 * (X - CLEAN))


@pytest.mark.parametrize("bad", [{"mode": "x"}, {"low": float("nan")}, {"high": 5.0}])
def test_settings_are_checked(bad):
    with pytest.raises(InvalidInput):
        WaveletCorrection(**bad)

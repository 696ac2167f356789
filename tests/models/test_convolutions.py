"""Convolutions in parts are the whole ones, whatever their kernel, stride, dilation and padding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from acestep_core import devices
from acestep_core.models.convolutions import Conv1d, ConvTranspose1d
from tests.pretended_mps import pretended_mps

LIMITS = devices.Limits(convolution=50)
SAME = {"atol": 1e-5, "rtol": 1e-5}


@pytest.mark.parametrize("length", [49, 50, 51, 100, 333])
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (7, {"dilation": 9, "padding": 27}),
        (1, {}),
        (7, {"padding": 3, "bias": False}),
        (20, {"stride": 10, "padding": 5}),
    ],
)
def test_plain(kernel: int, options: dict[str, int], length: int) -> None:
    torch.manual_seed(0)
    length *= options.get("stride", 1)
    own, x = Conv1d(3, 4, kernel, **options), torch.randn(2, 3, length + 1)
    expected = nn.Conv1d.forward(own, x)
    with pretended_mps(LIMITS):
        found = own(x)
    torch.testing.assert_close(found, expected, **SAME)


@pytest.mark.parametrize("length", [4, 5, 6, 25, 33])
@pytest.mark.parametrize(("kernel", "stride"), [(20, 10), (8, 4), (4, 2), (13, 5), (3, 3)])
def test_transposed(kernel: int, stride: int, length: int) -> None:
    torch.manual_seed(0)
    own, x = ConvTranspose1d(3, 4, kernel, stride=stride, padding=(stride + 1) // 2), torch.randn(2, 3, length)
    expected = nn.ConvTranspose1d.forward(own, x)
    with pretended_mps(LIMITS):
        found = own(x)
    torch.testing.assert_close(found, expected, **SAME)

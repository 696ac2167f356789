from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from acestep_core.models.layers import Attention, Band, apply_rope, attend, attend_band, rope_table


def dense_mask(length: int, window: int) -> torch.Tensor:
    position = torch.arange(length)
    return (position[:, None] - position[None, :]).abs() <= window


@pytest.mark.parametrize("length", [10, 17, 24, 25, 31, 64])
@pytest.mark.parametrize(("heads", "kv_heads", "batch"), [(4, 2, 1), (4, 4, 2), (6, 2, 3)])
def test_band_equals_dense_mask(length, heads, kv_heads, batch):
    window = 8
    q = torch.randn(batch, heads, length, 16)
    k, v = torch.randn(2, batch, kv_heads, length, 16)
    band = Band.build(length, window, q.device)
    assert band is not None
    assert_close(attend_band(q, k, v, band), attend(q, k, v, dense_mask(length, window)))


def test_band_is_not_built_where_the_window_covers_everything():
    assert Band.build(9, 8, torch.device("cpu")) is None
    assert Band.build(10, 8, torch.device("cpu")) is not None


def test_attend_shares_keys_between_query_heads():
    q = torch.randn(2, 4, 5, 8)
    k, v = torch.randn(2, 2, 2, 7, 8)
    out = attend(q, k, v)
    for head in range(4):
        alone = attend(q[:, head : head + 1], k[:, head // 2 : head // 2 + 1], v[:, head // 2 : head // 2 + 1])
        assert_close(out[:, head : head + 1], alone)


def test_rope_depends_on_relative_position_only():
    cos, sin = rope_table(torch.arange(40), 16, 1e6, torch.float32)
    q, k = torch.randn(2, 1, 1, 1, 16)

    def score(i: int, j: int) -> torch.Tensor:
        return (apply_rope(q, cos[i : i + 1], sin[i : i + 1]) * apply_rope(k, cos[j : j + 1], sin[j : j + 1])).sum()

    assert_close(score(3, 10), score(23, 30), atol=1e-4, rtol=1e-4)
    assert not torch.isclose(score(3, 10), score(3, 12))


def test_self_attention_with_band_equals_mask():
    attention = Attention(32, 4, 2, 8, 1e-6)
    x = torch.randn(2, 30, 32)
    cos, sin = rope_table(torch.arange(30), 8, 1e6, x.dtype)
    assert_close(attention(x, cos, sin, Band.build(30, 5, x.device)), attention(x, cos, sin, dense_mask(30, 5)))

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from acestep_core import devices
from acestep_core.models import layers
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from acestep_core.models.layers import Attention, Band, Rope, attend, attend_band, head_scales
from acestep_core.models.qwen3 import Qwen3, Qwen3Config


def dense_mask(length: int, window: int) -> torch.Tensor:
    position = torch.arange(length)
    return ((position[:, None] - position[None, :]).abs() <= window)[None, None]


@pytest.mark.parametrize("length", [10, 17, 24, 25, 31, 64])
@pytest.mark.parametrize(("heads", "kv_heads", "batch"), [(4, 2, 1), (4, 4, 2), (6, 2, 3)])
def test_band_equals_dense_mask(length, heads, kv_heads, batch):
    window = 8
    qkv = torch.randn(batch, length, heads + 2 * kv_heads, 16)
    q, k, v = qkv.transpose(1, 2).split([heads, kv_heads, kv_heads], dim=1)
    band = Band.build(length, window, q.device)
    assert band is not None
    assert_close(attend_band(qkv, heads, band), attend(q, k, v, dense_mask(length, window)).transpose(1, 2))


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
    q, k = torch.randn(2, 1, 1, 1, 16)

    def score(i: int, j: int) -> torch.Tensor:
        there, here = (Rope.at(torch.tensor([p]), 16, 1e6, torch.float32) for p in (i, j))
        return (there.rotate(q) * here.rotate(k)).sum()

    assert_close(score(3, 10), score(23, 30), atol=1e-4, rtol=1e-4)
    assert not torch.isclose(score(3, 10), score(3, 12))


def test_self_attention_with_band_equals_mask():
    attention = Attention(32, 4, 2, 8, 1e-6)
    x = torch.randn(2, 30, 32)
    at = (Rope.at(torch.arange(30), 8, 1e6, x.dtype), head_scales([attention])[0])
    assert_close(attention(x, *at, Band.build(30, 5, x.device)), attention(x, *at, dense_mask(30, 5)))


@pytest.mark.parametrize("native", [False, True])
def test_grouped_heads_go_to_the_kernel_only_where_the_device_says_so(monkeypatch, native):
    """torch 2.5 and 2.6 end the process on Apple's devices when asked for it; every model asks the same place."""
    asked = []
    plain = F.scaled_dot_product_attention

    def watched(*args, **kwargs):
        asked.append(kwargs.get("enable_gqa", False))
        return plain(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    monkeypatch.setattr(devices, "limits", lambda device: devices.Limits(grouped_attention=native))
    config = AceStepConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    with torch.inference_mode():
        Qwen3(Qwen3Config(20, 32, 48, 2, 4, 2, 8))(torch.zeros(1, 6, dtype=torch.long))
        DiT(config)(torch.randn(1, 9, 64), torch.ones(1), torch.randn(1, 9, 128), torch.randn(1, 3, 32))
    assert any(asked) == native and asked


@pytest.mark.processor
@pytest.mark.parametrize("length", [1, 6])
@pytest.mark.parametrize("able", [devices.Limits(), devices.Limits(grouped_attention=True), devices.MPS])
def test_causal_attention_equals_its_mask(monkeypatch, length, able):
    monkeypatch.setattr(devices, "limits", lambda device: able)
    q, (k, v) = torch.randn(2, 4, length, 8), torch.randn(2, 2, 2, length, 8)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    repeated = (x.repeat_interleave(2, dim=1) for x in (k, v))
    want = F.scaled_dot_product_attention(q, *repeated, attn_mask=mask)
    assert_close(attend(q, k, v, causal=True), want)
    assert_close(attend(q, k, v, mask[None, None]), want)


@pytest.mark.processor
@pytest.mark.parametrize("mask", ["none", "causal", "bool", "additive", "keys"])
def test_attention_step_by_step_holds_few_scores_at_a_time(monkeypatch, mask):
    """All scores of a long text would be gigabytes, which no estimate knows of."""
    q, (k, v) = torch.randn(2, 4, 13, 8), torch.randn(2, 2, 2, 13, 8)
    masks = {
        "bool": torch.rand(2, 1, 13, 13) > 0.3,
        "additive": torch.randn(1, 1, 13, 13),
        "keys": torch.arange(13) < torch.tensor([9, 13])[:, None, None, None],
    }
    want = attend(q, k, v, masks.get(mask), causal=mask == "causal")
    largest = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if func.overloadpacket is torch.ops.aten._softmax:
                largest.append(out.numel())
            return out

    monkeypatch.setattr(layers, "_SCORES", 2 * 4 * 13 * 5)
    with Watch():
        got = layers._attend_step_by_step(q, k, v, masks.get(mask), mask == "causal")
    assert_close(got, want)
    assert largest == [520, 520, 312]

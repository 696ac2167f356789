"""Packed weights stand for what the format's own package makes of them, to the bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch

from acestep_core.checkpoints import packing
from acestep_core.checkpoints.packing import UNPACK, Packed
from acestep_core.checkpoints.stored import BLOCKS

HALVES = {
    **{"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0]},
    **{"Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]},
}
"""Where the fp16 numbers of a block stand."""


def blocks(name: str, rows: int, inputs: int, seed: int = 0, size: float = 1.0) -> Packed:
    """A matrix of random blocks."""
    draws = np.random.default_rng(seed)
    values, width = BLOCKS[name]
    raw = draws.integers(0, 256, (rows * inputs // values, width), dtype=np.uint8)
    for at in HALVES[name]:
        raw[:, at : at + 2] = (draws.normal(size=(len(raw), 1)) * size).astype(np.float16).view(np.uint8)
    return Packed(torch.from_numpy(raw).flatten(), name, (rows, inputs))


def meant(packed: Packed) -> torch.Tensor:
    raw = packed.data.numpy().reshape(-1, BLOCKS[packed.dtype][1])
    return torch.from_numpy(gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[packed.dtype])).view(packed.shape)


def test_every_packed_type_is_unpacked():
    assert UNPACK.keys() == BLOCKS.keys() | set(packing.HALVES)


@pytest.mark.parametrize("name", HALVES)
def test_blocks_are_what_the_format_says(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "AT_ONCE", 1000)  # so that they come in several parts, the last one smaller
    packed = blocks(name, 7, 768)
    assert packed.unpacked(torch.float32).equal(meant(packed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bits_are_those_of_the_format(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "AT_ONCE", 1000)
    weight = torch.randn(9, 256, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight[3, :32] = 0
    weight[4, :32] = torch.arange(32) / 2  # halves, to be rounded away from zero
    packed = packing.eight_bits(weight)
    told = gguf.quants.quantize(weight.float().numpy(), gguf.GGMLQuantizationType.Q8_0)
    assert packed.data.numpy().tobytes() == told.tobytes()
    assert packed.shape == (9, 256) and packed.unpacked(torch.float32).equal(meant(packed))
    assert (packed.unpacked(torch.float32) - weight.float()).abs().max() <= weight.float().abs().max() / 240


def test_rows_must_be_whole_blocks():
    assert packing.fits_eight_bits((7, 64)) and not packing.fits_eight_bits((64, 7))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_floats_of_sixteen_bits_can_be_packed(dtype: torch.dtype):
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    packed = Packed(weight.view(torch.uint8).flatten(), {torch.bfloat16: "BF16", torch.float16: "F16"}[dtype], (4, 6))
    assert packed.unpacked(torch.float32).equal(weight.float())


@pytest.mark.parametrize("name", HALVES)
def test_values_are_rounded_once(name: str):
    packed = blocks(name, 3, 256, 1)
    for dtype in (torch.bfloat16, torch.float16):
        assert packed.unpacked(dtype).equal(meant(packed).to(dtype))


def test_they_go_where_they_are_asked_to():
    packed, whole = blocks("Q4_K", 4, 256), torch.zeros(12, 256)
    packed.unpacked(torch.float32, whole[4:8])
    assert whole[4:8].equal(meant(packed)) and not whole[:4].any() and not whole[8:].any()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("scale", [1.0, 0.0123])
def test_fp8_is_scaled_in_full_precision(dtype: torch.dtype, scale: float):
    stored = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    name = "F8_E4M3" if dtype is torch.float8_e4m3fn else "F8_E5M2"
    factor = torch.tensor(scale)
    packed = Packed(stored.view(torch.uint8).flatten(), name, (5, 7), float(factor))
    assert packed.unpacked(torch.float32).equal(stored.float() * factor)
    assert packed.unpacked(torch.bfloat16).equal((stored.float() * factor).bfloat16())

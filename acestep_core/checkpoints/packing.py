"""Weights as files pack them, and what they stand for.

A block of a GGUF type is a few small whole numbers with their common scale, and in some types a common offset; fp8 is a
float of eight bits, with one scale for the whole tensor. Floats of sixteen bits count as packed, too, where wider ones
are computed. Every function takes blocks `[n, bytes]` uint8 and gives fp32 `[n, values]`, by the same operations in the
same order as the format's own tools, so to the same bits. No constants are brought to the device, so all of it can be
recorded with the work around it. Source: the block layouts of ggml, github.com/ggml-org/ggml, `docs/gguf.md` and
`ggml-common.h`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep_core.checkpoints.stored import BLOCKS, BYTES, Shape

EIGHT_BITS = "Q8_0"
"""What weights are packed into that have to take half of their memory."""
HALVES = ("BF16", "F16")
"""Floats of sixteen bits."""
AT_ONCE = 1 << 22
"""Values that are unpacked at a time, so that what they pass through stays small beside the model."""
SCRATCH = 24
"""Bytes that unpacking one value takes on the way, at most."""


@dataclass(frozen=True)
class Packed:
    """One tensor: its bytes `[n]` uint8, the type they have in `UNPACK`, what shape it is, and a factor for all."""

    data: Tensor
    dtype: str
    shape: Shape
    scale: float = 1.0

    def unpacked(self, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
        """The values, computed in fp32 and rounded to `dtype` once, into `out` if it is given."""
        if out is None:
            out = torch.empty(self.shape, dtype=dtype, device=self.data.device)
        values, size = _block(self.dtype)
        blocks, found, step = self.data.view(-1, size), out.view(-1, values), max(1, AT_ONCE // values)
        for start in range(0, len(blocks), step):
            part = UNPACK[self.dtype](blocks[start : start + step])
            found[start : start + step] = part if self.scale == 1 else part * self.scale
        return out


def _block(dtype: str) -> tuple[int, int]:
    """How many values a block of a type holds, and its bytes."""
    return BLOCKS.get(dtype) or (1, BYTES[dtype])


def blank(dtype: str | None, shape: Shape) -> Packed | None:
    """A weight of that type of which nothing is known but its size, on the meta device; None for no type."""
    if dtype is None:
        return None
    values, size = _block(dtype)
    return Packed(torch.empty(math.prod(shape) // values * size, dtype=torch.uint8, device="meta"), dtype, shape)


def eight_bits(weight: Tensor) -> Packed:
    """A weight, with rows of whole blocks, rounded to eight bits as GGUF's tools do it: by a scale for 32 values."""
    values, size = BLOCKS[EIGHT_BITS]
    rows, step = weight.detach().reshape(-1, values), max(1, AT_ONCE // values)
    data = torch.empty(len(rows), size, dtype=torch.uint8, device=weight.device)
    for start in range(0, len(rows), step):
        part = rows[start : start + step].float()
        scale = part.abs().amax(dim=1, keepdim=True) / 127
        numbers = part * torch.where(scale == 0, 0, 1 / scale)
        rounded = numbers.sign() * (numbers.abs() + 0.5).floor()  # halves away from zero
        data[start : start + step, :2] = scale.to(torch.float16).view(torch.uint8)
        data[start : start + step, 2:] = rounded.to(torch.int8).view(torch.uint8)
    return Packed(data.flatten(), EIGHT_BITS, tuple(weight.shape))


def fits_eight_bits(shape: Shape) -> bool:
    """Whether a weight's rows are whole blocks."""
    return shape[-1] % BLOCKS[EIGHT_BITS][0] == 0


def _half(blocks: Tensor, at: int) -> Tensor:
    """The fp16 number at byte `at` of each block, `[n, 1]` fp32."""
    return blocks[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """`[..., k]` -> `[..., 2, k]`: the low halves of the bytes, then the high ones."""
    return torch.stack([packed & 15, packed >> 4], dim=-2)


def _bits(packed: Tensor, width: int) -> Tensor:
    """`[..., k]` -> `[..., 8 / width, k]`: all lowest `width` bits, then all next ones."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)
    return (packed.unsqueeze(-2) >> shifts[:, None]) & (2**width - 1)


def _q4_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]).flatten(1).float() - 8)


def _q4_1(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]).flatten(1).float() + _half(blocks, 2)


def _fives(blocks: Tensor, at: int) -> Tensor:
    """Numbers of five bits: first all their fifth bits, then the rest of them."""
    fifth = _bits(blocks[:, at : at + 4], 1).mT.flatten(1)
    return (_nibbles(blocks[:, at + 4 :]).flatten(1) | (fifth << 4)).float()


def _q5_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * (_fives(blocks, 2) - 16)


def _q5_1(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * _fives(blocks, 4) + _half(blocks, 2)


def _q8_0(blocks: Tensor) -> Tensor:
    return _half(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8).float()


def _q2_k(blocks: Tensor) -> Tensor:
    scales, numbers = blocks[:, :16, None], _bits(blocks[:, 16:80].unflatten(1, (2, 32)), 2).view(-1, 16, 16).float()
    of_numbers, of_offsets = (scales & 15).float(), (scales >> 4).float()
    return (_half(blocks, 80)[..., None] * of_numbers * numbers - _half(blocks, 82)[..., None] * of_offsets).flatten(1)


def _q3_k(blocks: Tensor) -> Tensor:
    numbers = _bits(blocks[:, 32:96].unflatten(1, (2, 32)), 2).flatten(1)
    third = _bits(blocks[:, :32], 1).flatten(1)
    numbers = ((numbers | (third << 2)).float() - 4).view(-1, 16, 16)
    scales = _nibbles(blocks[:, 96:104]).flatten(1) | (_bits(blocks[:, 104:108], 2).flatten(1) << 4)
    return (_half(blocks, 108) * (scales.float() - 32)).unsqueeze(2).mul(numbers).flatten(1)


def _eight_scales(packed: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight offsets of six bits each, `[n, 12]` -> twice `[n, 8, 1]`."""
    first, second, rest = packed.unflatten(1, (3, 4)).unbind(1)
    scales = torch.cat([first & 63, (rest & 15) | ((first >> 6) << 4)], dim=1)
    offsets = torch.cat([second & 63, (rest >> 4) | ((second >> 6) << 4)], dim=1)
    return scales.float().unsqueeze(2), offsets.float().unsqueeze(2)


def _scaled(blocks: Tensor, numbers: Tensor) -> Tensor:
    """Q4_K and Q5_K: numbers `[n, 8, 32]` with the scales and offsets that begin the block."""
    scales, offsets = _eight_scales(blocks[:, 4:16])
    return (_half(blocks, 0)[..., None] * scales * numbers - _half(blocks, 2)[..., None] * offsets).flatten(1)


def _q4_k(blocks: Tensor) -> Tensor:
    return _scaled(blocks, _nibbles(blocks[:, 16:].unflatten(1, (4, 32))).view(-1, 8, 32).float())


def _q5_k(blocks: Tensor) -> Tensor:
    numbers = _nibbles(blocks[:, 48:].unflatten(1, (4, 32))).view(-1, 8, 32)
    return _scaled(blocks, (numbers | (_bits(blocks[:, 16:48], 1) << 4)).float())


def _q6_k(blocks: Tensor) -> Tensor:
    low = _nibbles(blocks[:, :128].unflatten(1, (2, 64))).flatten(1)
    high = _bits(blocks[:, 128:192].unflatten(1, (2, 32)), 2).flatten(1)
    numbers = ((low | (high << 4)).float() - 32).view(-1, 16, 16)
    scales = blocks[:, 192:208].contiguous().view(torch.int8).float()
    return (_half(blocks, 208) * scales).unsqueeze(2).mul(numbers).flatten(1)


UNPACK: dict[str, Callable[[Tensor], Tensor]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q2_K": _q2_k,
    "Q3_K": _q3_k,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "F8_E4M3": lambda blocks: blocks.view(torch.float8_e4m3fn).float(),
    "F8_E5M2": lambda blocks: blocks.view(torch.float8_e5m2).float(),
    "BF16": lambda blocks: blocks.view(torch.bfloat16).float(),
    "F16": lambda blocks: blocks.view(torch.float16).float(),
}

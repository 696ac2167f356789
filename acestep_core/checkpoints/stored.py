"""Where a tensor lies in a file, how its values are stored there, and how many bytes they take.

Types have the names that safetensors and GGUF give them. In packed types values share a scale, or are too short to
compute with; `packing.py` unpacks them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Shape = tuple[int, ...]
MAX_AXES, MAX_SIDE = 8, 1 << 40
BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "F64"), 8),
}
"""Bytes of one value, of the types that safetensors files hold and that are read."""
BLOCKS = {
    **{name: (32, size) for name, size in (("Q4_0", 18), ("Q4_1", 20), ("Q5_0", 22), ("Q5_1", 24), ("Q8_0", 34))},
    **{name: (256, size) for name, size in (("Q2_K", 84), ("Q3_K", 110), ("Q4_K", 144), ("Q5_K", 176), ("Q6_K", 210))},
    **dict.fromkeys(("F8_E4M3", "F8_E5M2"), (1, 1)),
}
"""Packed types: how many values a block holds, and its bytes."""


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies.

    Attributes:
        key: its name in the file.
        dtype: its stored type, one of `BYTES` or `BLOCKS`.
        shape: the one it is handed out with.
        scale: where the one number lies that its values are to be multiplied with, if there is one.
        begin: its first byte in a GGUF file; in a safetensors file it is found by its name.
    """

    path: Path
    key: str
    dtype: str
    shape: Shape
    scale: TensorInfo | None = None
    begin: int | None = None

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        values, size = BLOCKS.get(self.dtype, (1, BYTES.get(self.dtype, 0)))
        return self.numel // values * size

    @property
    def packed(self) -> bool:
        return self.dtype in BLOCKS


def format_of(infos: Iterable[TensorInfo]) -> str:
    """The packed type that most packed values have, such as `Q8_0` or `fp8`; empty where none are packed."""
    counts: Counter[str] = Counter()
    for info in infos:
        if info.packed:
            counts[info.dtype] += info.numel
    most = max(counts, key=lambda name: counts[name], default="")
    return "fp8" if most.startswith("F8") else most

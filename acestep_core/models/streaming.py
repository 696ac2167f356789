"""Models that are larger than what a device has left for them: some layers' weights stay in main memory.

They come to the device for each product and go again (`models.linear.Stays`), so the same numbers are multiplied in the
same way, and songs are the same to the bit; only copying takes time. Layers that a song needs once, those of encoders,
stay first, and of the layers that every step needs only as many as must. A language model needs all its weights for
each token, so none of its layers stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from torch import Tensor, nn

from acestep_core.models.dit import DiT, DiTLayer
from acestep_core.models.layers import TransformerLayer
from acestep_core.models.linear import Stays, passing_bytes

STREAMED = ("dit", "text")
"""Roles whose layers may stay."""


class Streaming:
    """Which layers of a module stay.

    Attributes:
        layers: what can stay, layer by layer, those first that are missed least.
        count: how many of them stay now.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module, self.count = module, 0
        self.layers = _layers(module)
        self.whole = nbytes([*module.modules()])
        self._sizes = [nbytes(layer) for layer in self.layers]
        self.keep(0)
        self.unpacking = passing_bytes(module)
        self.keep(len(self.layers))
        self.coming = passing_bytes(module)
        """Bytes of what comes by turns, where anything does."""
        self.keep(0)

    def keep(self, count: int) -> None:
        """Marks the first `count` layers as staying; whoever moves the module obeys."""
        for n, layer in enumerate(self.layers):
            for part in layer:
                part.away = n < count
        self.count = count

    def fitting(self, room: int) -> int:
        """The fewest layers to stay so that all else, and what the layers allocate themselves, takes `room` bytes at
        most; all of them where that is not enough.
        """
        if self.whole + self.unpacking <= room:
            return 0
        return self.holding(self.whole + self.coming - room)

    def holding(self, wanted: int) -> int:
        """The fewest layers, at least one, that are `wanted` bytes or more; all where there are not as many."""
        totals = accumulate(self._sizes)
        return next((count for count, total in enumerate(totals, 1) if total >= wanted), len(self.layers))

    @property
    def staying(self) -> int:
        """Bytes that stay."""
        return sum(self._sizes[: self.count])

    @property
    def passing(self) -> int:
        """Bytes that layers allocate themselves while they compute."""
        return self.coming if self.count else self.unpacking


def own_tensors(parts: Sequence[nn.Module]) -> Iterator[Tensor]:
    """The parameters and buffers that are the modules' own."""
    for part in parts:
        yield from part.parameters(recurse=False)
        yield from part.buffers(recurse=False)


def nbytes(parts: Sequence[nn.Module]) -> int:
    return sum(tensor.nbytes for tensor in own_tensors(parts))


def _layers(module: nn.Module) -> list[list[Stays]]:
    of_decoder = {layer for part in module.modules() if isinstance(part, DiT) for layer in part.blocks}
    layers = [layer for layer in module.modules() if isinstance(layer, DiTLayer | TransformerLayer)]
    ordered = sorted(layers, key=lambda layer: layer in of_decoder)
    return [[part for part in layer.modules() if isinstance(part, Stays)] for layer in ordered]

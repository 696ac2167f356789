"""A loaded model: its module, where its tensors are at home and which of them stay there, what it was read from, how it
says that memory ended.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.errors import OutOfMemory
from acestep_core.io.stamps import file_stamp
from acestep_core.models.linear import narrower_in_int8, or_int8
from acestep_core.models.streaming import Streaming, own_tensors

_NAMES = {"dit": "diffusion model", "vae": "VAE", "text": "text encoder", "lm": "language model"}
_READ = (".safetensors", ".gguf", ".json", ".pt")


@dataclass(eq=False)
class Entry:
    """One loaded module.

    Attributes:
        read: the files it was read from, and folders all of whose files count.
        pins: how many hold it, so that it is not sent away; `computing`: how many of them compute with it.
        home: its tensors in main memory, mapped from the file where the number format allows.
        streaming: which of its layers stay there, where its device is too small.
        streams: whether layers may stay there.
        least: how many stay in any case, because memory ran out although it should have sufficed.
    """

    key: Hashable
    module: nn.Module
    device: torch.device
    extra: Any = None
    read: tuple[Path, ...] = ()
    pins: int = 0
    computing: int = 0
    streams: bool = False
    least: int = 0
    home: dict[str, Tensor] = field(init=False)
    streaming: Streaming = field(init=False)
    stamps: tuple[tuple[str, int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.streaming = Streaming(self.module)
        self.home = {name: tensor.data for name, tensor in self.tensors()}
        self.stamps = stamps_of(self.read)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.module.named_parameters()
        yield from self.module.named_buffers()

    @property
    def product(self) -> Any:
        """What callers get: the module, or what wraps it."""
        return self.module if self.extra is None else self.extra

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.home.values())

    @property
    def going(self) -> int:
        """Bytes of what goes to its device; the rest stays at home."""
        return self.nbytes - self.streaming.staying

    @property
    def passing(self) -> int:
        """Bytes that its layers allocate besides what callers count: packed weights, and those that stay at home."""
        return self.streaming.passing

    @property
    def placed(self) -> bool:
        """Whether the module is where it computes, all but what stays at home."""
        away = {id(tensor) for tensor in self._staying()}
        return all(tensor.device == self.device for _, tensor in self.tensors() if id(tensor) not in away)

    @property
    def could_shrink(self) -> bool:
        """Whether more of it could stay at home."""
        return self.streams and self.streaming.count < len(self.streaming.layers)

    @property
    def there(self) -> int:
        """Bytes of it that are on its device now."""
        return self.going if self.placed else 0

    def settle(self, spare: int) -> None:
        """Has as few layers stay at home as must.

        Nothing changes while somebody computes with it; who only waits for it does not hinder.

        Args:
            spare: bytes of its device that would be left if all of it were there; negative where they are lacking.
        """
        if not self.streams or self.computing:
            return
        self.streaming.keep(max(self.least, self.streaming.fitting(spare + self.nbytes + self.passing)))
        home = {id(tensor): self.home[name] for name, tensor in self.tensors()}
        for tensor in self._staying():
            tensor.data = home[id(tensor)]

    def shrink(self, nbytes: int) -> None:
        """From now on so many bytes more stay at home, or all that can."""
        self.least = self.streaming.holding(self.streaming.staying + nbytes)

    def _staying(self) -> Iterator[Tensor]:
        for layer in self.streaming.layers[: self.streaming.count]:
            yield from own_tensors(layer)

    def go_out(self) -> None:
        """To its device, whole but for what stays at home, or not at all."""
        try:
            self.module.to(self.device)
        except BaseException:
            self.go_home()
            raise

    def go_home(self) -> None:
        """Back to main memory, without copying."""
        for name, tensor in self.tensors():
            tensor.data = self.home[name]

    def let_go(self) -> None:
        """Holds no weights any more, whoever still holds this entry."""
        self.module, self.extra, self.home = nn.Module(), None, {}
        self.streaming = Streaming(self.module)


def stamps_of(read: tuple[Path, ...]) -> tuple[tuple[str, int, int], ...]:
    """Size and time of change of every file: what tells that one was replaced."""
    found = []
    for path in read:
        for file in [f for f in path.iterdir() if f.suffix in _READ] if path.is_dir() else [path]:
            with suppress(FileNotFoundError):  # never there, or gone since it was listed
                found.append(file_stamp(file))
    return tuple(sorted(found))


@contextmanager
def told(entry: Entry, working: int) -> Iterator[None]:
    """Whatever a device says when its memory is full becomes one sentence with the figures."""
    free, placed = devices.free_memory(entry.device), entry.placed
    try:
        yield
    except Exception as error:
        if not devices.is_out_of_memory(error):
            raise
        name = _NAMES.get(entry.key[0], "model") if isinstance(entry.key, tuple) else "model"
        found = (
            "" if free >= devices.UNLIMITED else f", with {free >> 20} MiB free {'besides' if placed else 'for both'}"
        )
        raise OutOfMemory(
            f"The {name} ran out of memory on {entry.device}: its weights take {entry.nbytes >> 20} MiB and the work "
            f"about {working >> 20} MiB{found}; make fewer or shorter songs at once, choose a smaller model"
            f"{or_int8(narrower_in_int8(entry.module))}, or close other programs."
        ) from error

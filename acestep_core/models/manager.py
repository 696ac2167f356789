"""The one cache of loaded models.

Stages ask for a module when they run: `with manager.resident(handle) as module`. It is loaded at first use, brought
to its device, kept there while the block lasts, and stays cached until memory is needed for another. The weights
files stay mapped, so leaving a device means going back to the mapped pages: nothing is copied back and main memory
holds no second copy.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, overload

import torch
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.errors import CheckpointError, OutOfMemory
from acestep_core.models import loading
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.handles import Handle, LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.oobleck import OobleckVAE
from acestep_core.models.silence import encode_silence
from acestep_core.models.text import TextEncoder

if TYPE_CHECKING:
    from acestep_core.models.language_model import LanguageModel

log = logging.getLogger(__name__)

RESERVE = 256 << 20
"""Bytes that always stay free on a device, for what allocators and drivers take on the side."""


class Placement(Protocol):
    """Who moves modules between devices: this library, or a host with a memory manager of its own."""

    def place(self, entry: Entry, working: int) -> None:
        """Brings `entry.module` to `entry.device`, with `working` bytes to spare there."""

    def remove(self, entry: Entry) -> None:
        """Takes `entry.module` off its device."""


@dataclass(eq=False)
class Entry:
    """One loaded module. `home` holds its tensors in main memory, mapped from the file where the number format
    allows.
    """

    key: Hashable
    module: nn.Module
    device: torch.device
    extra: Any = None
    pins: int = 0
    home: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.home = {name: tensor.data for name, tensor in self.tensors()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.module.named_parameters()
        yield from self.module.named_buffers()

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.home.values())

    @property
    def placed(self) -> bool:
        """Whether the module is where it computes."""
        return all(tensor.device == self.device for _, tensor in self.tensors())

    def go_home(self) -> None:
        """Back to main memory, without copying."""
        for name, tensor in self.tensors():
            tensor.data = self.home[name]


class OwnPlacement:
    """Moves whole modules, and sends the least recently used ones home when a device is full."""

    def __init__(self, manager: ModelManager) -> None:
        self.manager = manager

    def place(self, entry: Entry, working: int) -> None:
        if not entry.placed:
            self.manager.make_room(entry.device, entry.nbytes + working, keep=entry)
            try:
                entry.module.to(entry.device)
            except torch.OutOfMemoryError as error:
                entry.go_home()
                raise OutOfMemory(
                    f"The model needs {entry.nbytes >> 20} MiB on {entry.device}, but only "
                    f"{devices.free_memory(entry.device) >> 20} MiB are free; close programs or choose a smaller model."
                ) from error
        elif working:
            self.manager.make_room(entry.device, working, keep=entry)

    def remove(self, entry: Entry) -> None:
        entry.go_home()
        devices.empty_cache(entry.device)


class ModelManager:
    """See the module's docstring. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, Entry] = {}  # least recently used first
        self._lock = threading.RLock()
        self.placement: Placement = OwnPlacement(self)
        self.limit: int | None = None

    @overload
    def resident(self, handle: ModelHandle, working: int = 0) -> AbstractContextManager[AceStepModel]: ...
    @overload
    def resident(self, handle: VAEHandle, working: int = 0) -> AbstractContextManager[OobleckVAE]: ...
    @overload
    def resident(self, handle: TextHandle, working: int = 0) -> AbstractContextManager[TextEncoder]: ...
    @overload
    def resident(self, handle: LMHandle, working: int = 0) -> AbstractContextManager[LanguageModel]: ...

    def resident(self, handle: Handle, working: int = 0) -> AbstractContextManager[Any]:
        """The module of `handle`, on its device until the block ends.

        Args:
            handle: what to load. Adapters of a `ModelHandle` are active inside the block only, for this thread's
            caller alone. working: bytes that the caller will allocate there besides the weights.

        Raises:
            CheckpointError: the files are missing, damaged or of another kind.
            OutOfMemory: they do not fit.
        """
        return self._resident(handle, working)

    @contextmanager
    def _resident(self, handle: Handle, working: int) -> Iterator[Any]:
        with ExitStack() as stack:
            entry = stack.enter_context(self._pinned(handle, working))
            if isinstance(handle, ModelHandle) and handle.adapters:
                from acestep_core.models.adapters import applied

                stack.enter_context(applied(entry.module.decoder, handle.adapters))  # type: ignore[arg-type]
            yield _product(entry)

    @contextmanager
    def _pinned(self, handle: Handle, working: int) -> Iterator[Entry]:
        # Parameters are ordinary tensors whatever mode the caller is in: hosts run nodes in inference mode, and a
        # trainer could not use tensors made there.
        with self._lock, torch.inference_mode(False):
            entry = self._entry(handle)
            entry.pins += 1
        try:
            with self._lock, torch.inference_mode(False):
                self.placement.place(entry, working)
            yield entry
        finally:
            with self._lock:
                entry.pins -= 1

    def _entry(self, handle: Handle) -> Entry:
        device = devices.pick_device(handle.device)
        role, load = _LOADERS[type(handle)]
        dtype = devices.dtype_for(role, device, handle.dtype)
        key = _key(handle, role, device, dtype)
        entry = self._entries.pop(key, None)
        if entry is None:
            log.info("loading %s from %s as %s", role, handle.path, dtype)
            module, extra = load(self, handle, dtype)
            entry = Entry(key, module, device, extra)
        self._entries[key] = entry  # now the most recently used
        if self.limit is not None:
            limit = self.limit
            self._shrink(lambda: self.used() > limit, keep=entry, drop=True)
        return entry

    def make_room(self, device: torch.device, needed: int, keep: Entry | None = None) -> None:
        """Sends the least recently used modules home until `needed` bytes are free on `device`."""
        with self._lock:
            self._shrink(lambda: devices.free_memory(device) < needed + RESERVE, keep, devices.is_host(device), device)

    def _shrink(
        self, wanted: Callable[[], bool], keep: Entry | None, drop: bool, device: torch.device | None = None
    ) -> None:
        for entry in list(self._entries.values()):
            if not wanted():
                return
            if entry is keep or entry.pins or (device is not None and entry.device != device):
                continue
            self.placement.remove(entry)
            if drop:
                del self._entries[entry.key]

    def used(self, device: torch.device | None = None) -> int:
        """Bytes of weights in the cache, on `device` or anywhere."""
        with self._lock:
            return sum(e.nbytes for e in self._entries.values() if device is None or (e.device == device and e.placed))

    def unload(self) -> None:
        """Forgets every model that is not in use right now."""
        with self._lock:
            self._shrink(lambda: True, None, drop=True)

    def forget(self, entry: Entry) -> None:
        """Drops one model that a host with its own memory manager has taken off its device; not while it is in use."""
        with self._lock:
            if not entry.pins and self._entries.get(entry.key) is entry:
                del self._entries[entry.key]

    def loaded(self) -> list[str]:
        """One line per cached model, for status pages."""
        with self._lock:
            return [f"{e.key[0]} {e.key[1]} {e.nbytes >> 20} MiB" for e in self._entries.values()]  # type: ignore[index]


def _key(handle: Handle, role: str, device: torch.device, dtype: torch.dtype) -> tuple[Any, ...]:
    """What was loaded and how. A file that was replaced since counts as another one."""
    path = handle.path.resolve()
    if not path.exists():
        raise CheckpointError(
            f"There is no checkpoint at {handle.path}; correct the path or fetch it with `acestep models download`."
        )
    stamps = tuple(
        sorted((f.name, f.stat().st_mtime_ns) for f in ([path] if path.is_file() else path.iterdir()) if f.is_file())
    )
    variant = handle.variant if isinstance(handle, ModelHandle) else None
    tokenizer = getattr(handle, "tokenizer", None)
    return (role, str(path), variant, tokenizer, str(dtype), str(device), stamps)


def _load_model(manager: ModelManager, handle: ModelHandle, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    model = loading.load_model(handle, dtype)
    if model.silence_latent.shape[1] == 0:
        if handle.vae is None:
            raise CheckpointError(
                f"{handle.path} holds no silence latent; load it with a VAE, or put silence_latent.pt beside it."
            )
        with manager.resident(handle.vae) as vae:
            model.silence_latent = encode_silence(vae).clone()
    return model, None


def _load_qwen(manager: ModelManager, handle: TextHandle | LMHandle, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    model, tokenizer = loading.load_qwen(handle, dtype)
    if isinstance(handle, TextHandle):
        return model, TextEncoder(model, tokenizer)
    from acestep_core.models.language_model import LanguageModel

    return model, LanguageModel(model, tokenizer)


_LOADERS: dict[type[Handle], tuple[str, Callable[..., tuple[nn.Module, Any]]]] = {
    ModelHandle: ("dit", _load_model),
    VAEHandle: ("vae", lambda manager, handle, dtype: (loading.load_vae(handle, dtype), None)),
    TextHandle: ("text", _load_qwen),
    LMHandle: ("lm", _load_qwen),
}


def _product(entry: Entry) -> Any:
    return entry.module if entry.extra is None else entry.extra


manager = ModelManager()
"""The process's models. The only global state of this library."""

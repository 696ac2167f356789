"""The one cache of loaded models.

Stages ask for a module when they run: `with manager.resident(handle) as module`. It is loaded at first use, brought
to its device, kept there while the block lasts, and stays cached until memory is needed for another. Where the weights
files can stay mapped, leaving a device means going back to the mapped pages: nothing is copied back and main memory
holds no second copy.

Stages say what they will allocate besides the weights (`models.memory`), and room is made for it first. Work that can
be done in smaller parts goes through `manager.run`, which finds the size that fits. Where a device runs out of memory
all the same, it is told here and nowhere else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import torch
from torch import Tensor, nn

from acestep_core import devices
from acestep_core.checkpoints.catalog import fetch
from acestep_core.errors import CheckpointError, OutOfMemory
from acestep_core.io.heap import give_back
from acestep_core.models import loading, selftest
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.entry import Entry, stamps_of, told
from acestep_core.models.handles import Handle, LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.layers import scores_bytes
from acestep_core.models.memory import at_once
from acestep_core.models.oobleck import OobleckVAE
from acestep_core.models.placement import RESERVE, OwnPlacement, Placement
from acestep_core.models.silence import encode_silence, silence_bytes
from acestep_core.models.streaming import STREAMED
from acestep_core.models.text import TextEncoder

if TYPE_CHECKING:
    from acestep_core.models.language_model import LanguageModel

log = logging.getLogger(__name__)

SHRINK = 1 << 30
"""Bytes of a model that stay in main memory from the time on at which they turned out to be too many."""

Result = TypeVar("Result")
Working = int | Callable[[Any], int]
"""Bytes that a stage allocates besides the weights, or how to tell them from the loaded model's shapes."""


class ModelManager:
    """See the module's docstring. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, Entry] = {}  # least recently used first
        self._lock = threading.RLock()
        self.placement: Placement = OwnPlacement(self)
        self.limit: int | None = None
        self.mapped = True  # where the system is good at it; a host may forbid it

    @overload
    def resident(self, handle: ModelHandle, working: Working = 0) -> AbstractContextManager[AceStepModel]: ...
    @overload
    def resident(self, handle: VAEHandle, working: Working = 0) -> AbstractContextManager[OobleckVAE]: ...
    @overload
    def resident(self, handle: TextHandle, working: Working = 0) -> AbstractContextManager[TextEncoder]: ...
    @overload
    def resident(self, handle: LMHandle, working: Working = 0) -> AbstractContextManager[LanguageModel]: ...

    def resident(self, handle: Handle, working: Working = 0) -> AbstractContextManager[Any]:
        """The module of `handle`, on its device until the block ends.

        Args:
            handle: what to load. Adapters of a `ModelHandle` are active inside the block only, for this thread's
            caller alone. working: bytes that the caller will allocate there besides the weights.

        Raises:
            CheckpointError: the files are missing, damaged or of another kind.
            OutOfMemory: model or work do not fit, also where that turns out inside the block only.
        """
        return self._resident(handle, working)

    @contextmanager
    def _resident(self, handle: Handle, working: Working) -> Iterator[Any]:
        with ExitStack() as stack:
            if handle.lent is not None:
                needs = working if callable(working) else lambda _: working
                product = stack.enter_context(handle.lent.resident(needs))
                stack.enter_context(_adapted(product, handle))
                stack.enter_context(_lender_told(handle))
                yield product
                return
            entry = stack.enter_context(self._pinned(handle))
            needed = working(entry.product) if callable(working) else working
            needed += side_bytes(handle, entry.device)
            selftest.check(entry.device)
            stack.enter_context(self._placed(entry, needed))
            needed += entry.passing
            stack.enter_context(told(entry, needed))
            if devices.is_host(entry.device) and needed > devices.free_memory(entry.device):
                raise MemoryError  # the system would end the process rather than say so
            stack.enter_context(_adapted(entry.product, handle))
            yield entry.product

    def run(
        self,
        handle: Handle,
        work: Callable[[Any, int], Result],
        needs: Callable[[Any, int], int],
        size: int,
        least: int = 1,
    ) -> Result:
        """`work(module, size)` with the module of `handle` on its device, in parts that fit its memory.

        If the device runs out of memory all the same, everything else leaves it and the work is done once more, in
        parts half as large.

        Args:
            work: does all of it, `size` (songs, frames of a tile) at a time; the result must not depend on the size.
            needs: bytes that `work(module, size)` allocates besides the weights.
            size: how much to do at a time where it fits.
            least: the smallest size.

        Raises:
            OutOfMemory: not even the smaller parts fit.
        """
        if handle.lent is None:
            size = self._fitting(handle, needs, size, least)
        try:
            with self._resident(handle, lambda module: needs(module, size)) as module:
                return work(module, size)
        except OutOfMemory as error:
            if handle.lent is not None:
                if size <= least:
                    raise
                return self.run(handle, work, needs, max(least, size // 2), least)
            with self._pinned(handle) as entry, self._lock:
                left = self.placement.clear(entry)
                if size <= least and not left and entry.could_shrink:
                    entry.shrink(SHRINK)
                    left = True
            if size <= least and not left:
                raise
            log.warning("%s Trying once more in smaller parts.", error)
        # Here nothing refers to what failed any more, so its memory is free.
        devices.empty_cache(devices.pick_device(handle.device))
        smaller = max(min(least, size), size // 2)
        with self._resident(handle, lambda module: needs(module, smaller)) as module:
            return work(module, smaller)

    def shared(self, handle: ModelHandle) -> tuple[AceStepModel, dict[str, Tensor]]:
        """A model as it lies in main memory, and its tensors by upstream's names, for a host to work with: nothing is
        copied, and nothing of it may be written to.

        Raises:
            CheckpointError: the weights stay packed, which no host can compute with.
        """
        with self._pinned(handle.bare) as entry:
            if entry.streaming.unpacking:
                raise CheckpointError(
                    f"The weights of {handle.path.name} stay packed; choose a bf16 file, and the number format bf16."
                )
            return entry.module, dict(entry.home)  # type: ignore[return-value]

    def _fitting(self, handle: Handle, needs: Callable[[Any, int], int], size: int, least: int) -> int:
        """The largest of `size` and its halves that fits once others have made room."""
        if size <= least:
            return size
        with self._pinned(handle) as entry:
            with self._lock:
                room = self.placement.room(entry, needs(entry.product, size))
            return at_once(size, least, lambda size: needs(entry.product, size), room)

    @contextmanager
    def private(
        self, handle: ModelHandle, working: Working = 0, prepare: Callable[[AceStepModel], None] = lambda model: None
    ) -> Iterator[AceStepModel]:
        """A decoder of the caller's own on its device until the block ends, to be changed at will.

        It is loaded anew, without the encoders and the adapters of the handle, and nobody else ever sees it.

        Args:
            prepare: changes it in main memory, before room is made for it on the device.

        Raises:
            CheckpointError, OutOfMemory: as `resident` does.
        """
        if handle.lent is not None:
            raise CheckpointError("Weights that ComfyUI holds cannot be trained; load their file with Load ACE-Step.")
        device = devices.pick_device(handle.device)
        dtype = handle.format_on(device)
        with self._lock, torch.inference_mode(False):
            model, _, read = _load_model(self, handle, loading.How(dtype, None, self.mapped))
            del model.encoder, model.tokenizer, model.detokenizer
            prepare(model)
            entry = Entry((*_key(handle, device, dtype), "private"), model, device, None, read, pins=1)
        needed = working(model) if callable(working) else working
        try:
            with self._placed(entry, needed), told(entry, needed):
                yield model
        finally:
            # What was lent is not what was loaded any more, so nothing of it goes home.
            entry.pins, entry.module, entry.home = 0, nn.Module(), {}
            self.placement.remove(entry)

    @contextmanager
    def _pinned(self, handle: Handle) -> Iterator[Entry]:
        """The loaded model, which nobody sends away before the block ends."""
        # Parameters are ordinary tensors whatever mode the caller is in: hosts run nodes in inference mode, and a
        # trainer could not use tensors made there.
        with self._lock, torch.inference_mode(False):
            entry = self._entry(handle)
            entry.pins += 1
        try:
            yield entry
        finally:
            with self._lock:
                entry.pins -= 1
                replaced = self._entries.get(entry.key) is not entry  # its files, while it was in use
                if not entry.pins and (replaced or handle.leaves):
                    self.placement.remove(entry)

    @contextmanager
    def _placed(self, entry: Entry, working: int) -> Iterator[None]:
        """The model is where it computes, and none of its layers comes or goes before the block ends."""
        with self._lock:
            with torch.inference_mode(False), told(entry, working):
                self.placement.place(entry, working)
            entry.computing += 1
        try:
            yield
        finally:
            with self._lock:
                entry.computing -= 1

    def _entry(self, handle: Handle) -> Entry:
        device = devices.pick_device(handle.device)
        dtype = handle.format_on(device)
        key = _key(handle, device, dtype)
        entry = self._entries.pop(key, None)
        if entry is not None and entry.stamps != stamps_of(entry.read):
            log.info("%s has changed", handle.path)
            if not entry.pins:
                self.placement.remove(entry)
            entry = None
        if entry is None:
            log.info("loading %s from %s as %s", handle.role, handle.path, dtype)
            how = loading.How(dtype, device, self.mapped, handle.eight_bits)
            module, extra, read = _LOADERS[type(handle)](self, handle, how)
            streams = handle.role in STREAMED and not devices.is_host(device)
            entry = Entry(key, module, device, extra, read, streams=streams)
        self._entries[key] = entry  # now the most recently used
        if self.limit is not None:
            limit = self.limit
            self._shrink(lambda: self.used() > limit, keep=entry, drop=True)
        return entry

    def make_room(self, device: torch.device, needed: int, keep: Entry | None = None) -> bool:
        """Sends the least recently used modules home until `needed` bytes are free on `device`; whether any went."""
        with self._lock:
            return self._shrink(
                lambda: devices.free_memory(device) < needed + RESERVE, keep, devices.is_host(device), device
            )

    def _shrink(
        self, wanted: Callable[[], bool], keep: Entry | None, drop: bool, device: torch.device | None = None
    ) -> bool:
        went = False
        for entry in list(self._entries.values()):
            if entry is keep or entry.pins or (device is not None and not (entry.device == device and entry.placed)):
                continue
            if not wanted():
                break
            self.placement.remove(entry)
            went = True
            if drop:
                self._entries.pop(entry.key, None)  # the host may have told us to forget it
                entry.let_go()
        if drop and went:
            give_back()
        return went

    def used(self, device: torch.device | None = None) -> int:
        """Bytes of weights in the cache, on `device` or anywhere."""
        with self._lock:
            return sum(
                e.nbytes if device is None else e.there
                for e in self._entries.values()
                if device is None or e.device == device
            )

    def unload(self) -> None:
        """Forgets every model that is not in use right now."""
        with self._lock:
            self._shrink(lambda: True, None, drop=True)

    def forget(self, entry: Entry) -> None:
        """Drops one model that a host with its own memory manager has taken off its device; not while it is in use."""
        with self._lock:
            if not entry.pins and self._entries.get(entry.key) is entry:
                del self._entries[entry.key]
                entry.let_go()
                give_back()

    def holds(self, handle: Handle) -> bool:
        """Whether weights of that role and place are loaded, in any number format."""
        wanted = (handle.role, str(handle.path.resolve()))
        with self._lock:
            return any(entry.key[:2] == wanted for entry in self._entries.values())  # type: ignore[index]

    def loaded(self) -> list[str]:
        """One line per cached model, for status pages; where it lies is nobody's business there."""
        with self._lock:
            return [f"{e.key[0]} {Path(e.key[1]).name} {e.nbytes >> 20} MiB" for e in self._entries.values()]  # type: ignore[index]


def side_bytes(handle: Handle, device: torch.device) -> int:
    """What a model takes on its device besides its weights and what callers count."""
    if isinstance(handle, VAEHandle):
        return 0
    adapters = handle.adapters if isinstance(handle, ModelHandle) else ()
    return scores_bytes(device) + sum(adapter.nbytes for adapter in adapters)


def _key(handle: Handle, device: torch.device, dtype: torch.dtype) -> tuple[Any, ...]:
    """What is to be loaded and how."""
    path = handle.path.resolve()
    if not path.exists():
        raise CheckpointError(
            f"There is no checkpoint at {handle.path}; correct the path or fetch it with `{fetch('')}`."
        )
    variant = handle.variant if isinstance(handle, ModelHandle) else None
    tokenizer = getattr(handle, "tokenizer", None)
    return (handle.role, str(path), variant, tokenizer, str(dtype), str(device), handle.eight_bits)


@contextmanager
def _adapted(model: Any, handle: Handle) -> Iterator[None]:
    """The adapters of a handle at work until the block ends."""
    if not isinstance(handle, ModelHandle) or not handle.adapters:
        yield
        return
    from acestep_core.models.adapters import applied

    with applied(model.decoder, handle.adapters):
        yield


@contextmanager
def _lender_told(handle: Handle) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemory) or not devices.is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"The work with {handle.path.name} does not fit into the memory; make fewer or shorter songs at once."
        ) from error


Loaded = tuple[nn.Module, Any, tuple[Path, ...]]
"""The module, what wraps it for callers if anything does, and what it was read from."""


def _load_model(
    manager: ModelManager, handle: ModelHandle, how: loading.How
) -> tuple[AceStepModel, None, tuple[Path, ...]]:
    model, read = loading.load_model(handle, how)
    if model.silence_latent.shape[1] == 0:
        if handle.vae is None:
            raise CheckpointError(
                f"{handle.path} holds no silence latent; load it with a VAE, or put silence_latent.pt beside it."
            )
        if handle.vae.lent is None:
            with manager._pinned(handle.vae) as entry:
                read = (*read, *entry.read)
        with manager.resident(handle.vae, silence_bytes) as vae:
            model.silence_latent = encode_silence(vae).clone()
    return model, None, read


def _load_vae(manager: ModelManager, handle: VAEHandle, how: loading.How) -> Loaded:
    vae, read = loading.load_vae(handle, how)
    return vae, None, read


def _load_qwen(manager: ModelManager, handle: TextHandle | LMHandle, how: loading.How) -> Loaded:
    model, tokenizer, read = loading.load_qwen(handle, how)
    if isinstance(handle, TextHandle):
        return model, TextEncoder(model, tokenizer), read
    from acestep_core.models.language_model import LanguageModel

    return model, LanguageModel(model, tokenizer), read


_LOADERS: dict[type[Handle], Callable[..., Loaded]] = {
    ModelHandle: _load_model,
    VAEHandle: _load_vae,
    TextHandle: _load_qwen,
    LMHandle: _load_qwen,
}


manager = ModelManager()
"""The process's models. The only global state of this library."""

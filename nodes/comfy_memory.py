"""Lets ComfyUI load, evict and count our models like its own.

ComfyUI only sees the size of a model and moves it whole: it can stream layers built from its own operators, not plain
torch ones, and a half-moved model would crash. Of a model that its card cannot hold, layers stay in main memory by this
library's own rule, and ComfyUI sees the size of the rest.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from acestep_core import devices
from acestep_core.models.entry import Entry
from acestep_core.models.manager import manager
from acestep_core.models.placement import RESERVE


class ACEStepWeights(nn.Module):
    """What a `ModelPatcher` gets instead of the module: it has no parameters to see, and goes to a device whole."""

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self.entry: Entry | None = entry

    def to(self, device: Any) -> ACEStepWeights:  # type: ignore[override]
        if self.entry is None:
            return self
        if devices.indexed(device) == self.entry.device:
            self.entry.go_out()
        else:
            self.entry.go_home()  # to the mapped file, without a copy
        return self


class ComfyPlacement:
    """Implements the manager's `Placement` with ComfyUI's memory management."""

    def __init__(self) -> None:
        self.patchers: dict[Entry, Any] = {}
        self.emptied: list[Any] = []

    def room(self, entry: Entry, working: int) -> int:
        missing = entry.nbytes - entry.there
        if not devices.is_host(entry.device):
            self._free(entry, missing + working + entry.passing + RESERVE)
        return devices.free_memory(entry.device) - missing - entry.passing

    def place(self, entry: Entry, working: int) -> None:
        memory = sys.modules["comfy.model_management"]
        self.emptied.clear()
        if entry.streams:
            entry.settle(self.room(entry, working) - working - RESERVE)
        if entry not in self.patchers:
            self.patchers[entry] = self._patcher(entry, memory.unet_offload_device())
        self.patchers[entry].size = entry.going
        working += entry.passing
        # Models in use are named again, so that making room for this one cannot take them away.
        memory.load_models_gpu(self._used(entry), memory_required=working, force_full_load=True)
        if not entry.placed:  # layers that stayed before come, too; ComfyUI thinks that it is there
            entry.go_out()
        if working and devices.is_host(entry.device):  # ComfyUI makes no room there by itself
            self._free(entry, working)

    def clear(self, entry: Entry) -> bool:
        return self._free(entry, devices.UNLIMITED)

    def _free(self, entry: Entry, wanted: int) -> bool:
        memory, used = sys.modules["comfy.model_management"], self._used(entry)
        keep = [loaded for loaded in memory.current_loaded_models if loaded.model in used]
        return bool(memory.free_memory(wanted, self._device(entry), keep_loaded=keep))

    def _used(self, entry: Entry) -> list[Any]:
        return [patcher for other, patcher in self.patchers.items() if other.pins or other is entry]

    @staticmethod
    def _device(entry: Entry) -> torch.device:
        """The device in ComfyUI's own words (`mps` for `mps:0`): it compares devices to find what may leave."""
        own = sys.modules["comfy.model_management"].get_torch_device()
        return own if devices.indexed(own) == entry.device else entry.device

    def _patcher(self, entry: Entry, offload_device: Any) -> Any:
        patcher = sys.modules["comfy.model_patcher"].ModelPatcher
        made = patcher(ACEStepWeights(entry), self._device(entry), offload_device, size=entry.going)
        if devices.is_host(entry.device):
            kind = sys.modules["comfy.patcher_extension"].CallbacksMP.ON_DETACH
            made.add_callback(kind, self._unloaded)
        return made

    def _unloaded(self, patcher: Any, entirely: bool) -> None:
        """In main memory there is no home to go to: what ComfyUI unloads is forgotten."""
        entry = patcher.model.entry
        if not entirely or entry is None or entry.pins:
            return
        patcher.model.entry = None
        self.patchers.pop(entry, None)
        self.emptied.append(patcher)  # ComfyUI still looks at it after this
        manager.forget(entry)

    def remove(self, entry: Entry) -> None:
        patcher = self.patchers.pop(entry, None)
        if patcher is not None:
            patcher.detach()
        entry.go_home()

"""Who moves loaded models between devices: this library, or a host with a memory manager of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from acestep_core import devices
from acestep_core.models.entry import Entry, told

if TYPE_CHECKING:
    from acestep_core.models.manager import ModelManager


class Placement(Protocol):
    """Who moves modules between devices: this library, or a host with a memory manager of its own."""

    def place(self, entry: Entry, working: int) -> None:
        """Brings `entry.module` to `entry.device`, with `working` bytes to spare there if others can make room."""

    def remove(self, entry: Entry) -> None:
        """Takes `entry.module` off its device."""

    def clear(self, entry: Entry) -> bool:
        """Takes everything that is not in use off the device of `entry`, which stays; whether anything left."""


class OwnPlacement:
    """Moves whole modules, and sends the least recently used ones home when a device is full."""

    def __init__(self, manager: ModelManager) -> None:
        self.manager = manager

    def place(self, entry: Entry, working: int) -> None:
        if entry.placed:
            self.manager.make_room(entry.device, working, keep=entry)
            return
        self.manager.make_room(entry.device, entry.nbytes + working, keep=entry)
        with told(entry, working):
            entry.go_out()

    def remove(self, entry: Entry) -> None:
        entry.go_home()
        devices.empty_cache(entry.device)

    def clear(self, entry: Entry) -> bool:
        return self.manager.make_room(entry.device, devices.UNLIMITED, keep=entry)

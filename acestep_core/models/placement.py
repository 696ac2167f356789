"""Who moves loaded models between devices: this library, or a host with a memory manager of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from acestep_core import devices
from acestep_core.models.entry import Entry, told

if TYPE_CHECKING:
    from acestep_core.models.manager import ModelManager

RESERVE = 256 << 20
"""Bytes that always stay free on a device, for what allocators and drivers take on the side."""


class Placement(Protocol):
    """Who moves modules between devices: this library, or a host with a memory manager of its own."""

    def room(self, entry: Entry, working: int) -> int:
        """Has others make room for all of `entry` and `working` bytes; how many bytes of work then fit beside it."""

    def place(self, entry: Entry, working: int) -> None:
        """Brings `entry.module` to `entry.device`, with `working` bytes to spare there if others can make room, or if
        some of its layers stay at home.
        """

    def remove(self, entry: Entry) -> None:
        """Takes `entry.module` off its device."""

    def clear(self, entry: Entry) -> bool:
        """Takes everything that is not in use off the device of `entry`, which stays; whether anything left."""


class OwnPlacement:
    """Moves whole modules, and sends the least recently used ones home when a device is full."""

    def __init__(self, manager: ModelManager) -> None:
        self.manager = manager

    def room(self, entry: Entry, working: int) -> int:
        missing = entry.nbytes - entry.there
        self.manager.make_room(entry.device, missing + working + entry.passing, keep=entry)
        return devices.free_memory(entry.device) - missing - entry.passing

    def place(self, entry: Entry, working: int) -> None:
        room = self.room(entry, working)
        entry.settle(room - working - RESERVE)
        if not entry.placed:
            with told(entry, working + entry.passing):
                entry.go_out()

    def remove(self, entry: Entry) -> None:
        entry.go_home()
        devices.empty_cache(entry.device)

    def clear(self, entry: Entry) -> bool:
        return self.manager.make_room(entry.device, devices.UNLIMITED, keep=entry)

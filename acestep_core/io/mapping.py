"""Whether large files are mapped into memory or read."""

from __future__ import annotations

from acestep_core.io import system


def maps_files() -> bool:
    """Whether a file may stay mapped while others replace it, and costs no memory until its pages are used.

    Not on Windows, where a mapped file counts against the page file, cannot be replaced, and has ended processes
    (safetensors 693, ComfyUI 15424); nor on macOS, whose GPUs share main memory and get a copy anyway.
    """
    return not (system.WINDOWS or system.MACOS)

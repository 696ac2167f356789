"""Memory that was freed but is still counted as this process's."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Gives what was freed back to the system. glibc alone keeps it, wherever something small lies above it: the
    weights of a whole model, once they were unpacked or rounded on the processor. Elsewhere there is nothing to do.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library
        return
    trim(0)

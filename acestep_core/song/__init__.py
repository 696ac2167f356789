"""What to make."""

from acestep_core.song.description import Song

__all__ = ["Song"]

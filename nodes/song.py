"""What to make: the song, and what is in one."""

from __future__ import annotations

from typing import Any, ClassVar

from acestep_core.song.description import Song

from . import inputs, wires


class ACEStepSong:
    TITLE = "ACE-Step Song"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = "Describes the song to make: style, lyrics, and what is known about tempo, key and length."
    SEARCH_ALIASES: ClassVar = ["music", "text to music", "lyrics", "prompt", "caption", "tags"]
    RETURN_TYPES = (wires.SONG,)
    RETURN_NAMES = ("song",)
    OUTPUT_TOOLTIPS = ("The song, checked and in the models' own spelling.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("caption", "lyrics", "instrumental", "language", "duration", "bpm", "keyscale", "timesignature")
        return {"required": inputs.widgets(Song, *names)}

    def make(self, **widgets: Any) -> tuple[Song]:
        song = Song.from_widgets(widgets)
        if remarks := song.warnings():
            from .host import host

            host().say(" ".join(remarks))
        return (song,)


class ACEStepSongInfo:
    TITLE = "ACE-Step Song Info"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = "Takes a song apart, for other nodes to read or to build a changed song from."
    SEARCH_ALIASES: ClassVar = ["unpack song", "metadata", "bpm", "lyrics"]
    RETURN_TYPES = ("STRING", "STRING", "STRING", "FLOAT", "INT", "STRING", "STRING", "BOOLEAN")
    RETURN_NAMES = (
        "caption",
        "lyrics",
        "language",
        "duration",
        "bpm",
        "keyscale",
        "timesignature",
        "instrumental",
    )
    OUTPUT_TOOLTIPS = (
        "Style, instruments, mood.",
        "Lyrics with section tags.",
        "Language code of the vocals.",
        "Seconds; 0 if open.",
        "Beats per minute; 0 if open.",
        "Such as 'C major'; 'auto' if open.",
        "2, 3, 4 or 6; 'auto' if open.",
        "Whether there are no vocals.",
    )
    FUNCTION = "read"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"song": inputs.wire(wires.SONG, "The song to read.")}}

    def read(self, song: Song) -> tuple[str, str, str, float, int, str, str, bool]:
        shown = song.to_widgets()
        return tuple(shown[name] for name in self.RETURN_NAMES)  # type: ignore[return-value]

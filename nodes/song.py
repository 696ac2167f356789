"""What to make: the song, and what is in one."""

from __future__ import annotations

from typing import Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.song.description import Song

from . import inputs, wires
from .remarks import Told, told

_TEXTS = {"STRING", "COMBO"}
_NUMBERS = {"INT", "FLOAT", "STRING"}
_TAKES = {"instrumental": {"BOOLEAN"}, "duration": _NUMBERS, "bpm": _NUMBERS, "timesignature": {*_TEXTS, "INT"}}
"""What may be connected to an input of a song, where it is not only text."""


class ACEStepSong:
    TITLE = "ACE-Step Song"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = "Describes the song to make: style, lyrics, and what is known about tempo, key and length."
    SEARCH_ALIASES: ClassVar = ["music", "text to music", "lyrics", "prompt", "caption", "tags"]
    RETURN_TYPES = (wires.SONG,)
    RETURN_NAMES = ("song",)
    OUTPUT_TOOLTIPS = ("The song, checked and in the models' own spelling.",)
    FUNCTION = "make"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = ("caption", "lyrics", "instrumental", "language", "duration", "bpm", "keyscale", "timesignature")
        return {"required": inputs.widgets(Song, *names)}

    @classmethod
    def VALIDATE_INPUTS(
        cls, input_types: dict[str, Any], language: Any = None, keyscale: Any = None, timesignature: Any = None
    ) -> bool | str:
        """Choices may be written as in a `Song` (Am, 4/4, Deutsch), or come from another node as text."""
        for name, kind in input_types.items():
            offered = {"COMBO"} if isinstance(kind, list | tuple) else {part.strip() for part in kind.split(",")}
            if not offered & (_TAKES.get(name, _TEXTS) | {"*"}):
                return f"{name} takes {' or '.join(sorted(_TAKES.get(name, _TEXTS)))}, not {kind}."
        try:
            Song(language=language, keyscale=keyscale, timesignature=timesignature)
        except InvalidInput as error:
            return str(error)
        return True

    def make(self, **widgets: Any) -> Told:
        song = Song.from_widgets(widgets)
        return told((song,), " ".join(song.warnings()))


class ACEStepSongInfo:
    TITLE = "ACE-Step Song Info"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = "Takes a song apart, for other nodes to read or to build a changed song from."
    SEARCH_ALIASES: ClassVar = ["unpack song", "metadata", "bpm", "lyrics"]
    RETURN_TYPES = ("STRING", "STRING", wires.CHOICE, "FLOAT", "INT", wires.CHOICE, wires.CHOICE, "BOOLEAN")
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

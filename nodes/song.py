"""What to make: the song, and what is in one."""

from __future__ import annotations

from typing import Any, ClassVar

from acestep_core.song.description import Song
from acestep_core.vocabulary import BPM_MAX, DURATION_MAX, LANGUAGES, PLAIN_KEYSCALES, TIME_SIGNATURES

from . import inputs, wires

AUTO = "auto"
LANGUAGE_CHOICES = ["unknown", *(code for code in LANGUAGES if code != "unknown")]
KEY_CHOICES = [AUTO, *PLAIN_KEYSCALES]
SIGNATURE_CHOICES = [AUTO, *TIME_SIGNATURES]


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
        return {
            "required": {
                "caption": inputs.text(
                    "Style, instruments, voice, mood, production. Up to about 512 characters are read.",
                    "warm lo-fi hip hop, mellow electric piano, soft vinyl crackle, relaxed female vocals",
                    multiline=True,
                ),
                "lyrics": inputs.text(
                    "Lyrics with section tags such as [Verse] and [Chorus]. Up to about 4096 characters are read.",
                    "[Verse]\nRain on the window, slow and low\n\n[Chorus]\nStay a little, let it go",
                    multiline=True,
                ),
                "instrumental": inputs.switch(
                    False,
                    "No vocals. Lyrics and language are then left out.",
                    label_on="instrumental",
                    label_off="vocals",
                ),
                "language": inputs.choice(
                    LANGUAGE_CHOICES, "unknown", "Language of the vocals, as a code. 'unknown' lets the models decide."
                ),
                "duration": inputs.number(
                    30.0,
                    0.0,
                    DURATION_MAX,
                    1.0,
                    "Length in seconds, 10 to 600. 0 leaves it to the planner.",
                    round=0.01,
                ),
                "bpm": inputs.integer(0, 0, BPM_MAX, "Beats per minute, 30 to 300. 0 leaves it open."),
                "keyscale": inputs.choice(KEY_CHOICES, AUTO, "Musical key. 'auto' leaves it open."),
                "timesignature": inputs.choice(
                    SIGNATURE_CHOICES, AUTO, "Beats per bar: 4 for 4/4, 3 for 3/4, 6 for 6/8. 'auto' leaves it open."
                ),
            }
        }

    def make(
        self,
        caption: str,
        lyrics: str,
        instrumental: bool,
        language: str,
        duration: float,
        bpm: int,
        keyscale: str,
        timesignature: str,
    ) -> tuple[Song]:
        song = Song(
            caption=caption,
            lyrics=lyrics,
            language=language,
            bpm=bpm or None,
            keyscale=keyscale,
            timesignature=timesignature,
            duration=duration or None,
            instrumental=instrumental,
        )
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
        return (
            song.caption,
            song.lyrics,
            song.language,
            song.duration or 0.0,
            song.bpm or 0,
            song.keyscale or AUTO,
            song.timesignature or AUTO,
            song.instrumental,
        )

"""Listening to what was made: when each word is sung, and how well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput

from . import inputs, wires
from .host import monitor

if TYPE_CHECKING:
    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.models.handles import ModelHandle

    from .render import Conditioned

Timing = tuple["SungLyrics", ...]
"""What travels on the wire: one entry per song of the batch."""

SUBTITLES = ["lrc", "vtt", "srt", "json"]


class ACEStepLyricAlignment:
    TITLE = "ACE-Step Lyric Alignment"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Finds out when each line and word is sung, and how well the song sings its lyrics."
    SEARCH_ALIASES: ClassVar = ["lyric timestamps", "lrc", "karaoke", "alignment score"]
    RETURN_TYPES = (wires.TIMING, "STRING")
    RETURN_NAMES = ("timing", "report")
    OUTPUT_TOOLTIPS = ("Times and scores of every song.", "One line per song: how well the lyrics are sung, 0 to 1.")
    FUNCTION = "listen"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model that made the songs."),
                "conditioning": inputs.wire(wires.CONDITIONING, "What they were made from."),
                "latent": inputs.wire("LATENT", "The latents that the sampler made from it."),
            },
            "optional": {
                "steps": inputs.integer(
                    8,
                    1,
                    100,
                    "The song is heard with as much noise as before the last of so many steps.",
                    advanced=True,
                ),
                "listen_seed": inputs.integer(42, 0, inputs.MAX_SEED, "Seed of that noise.", advanced=True),
            },
        }

    def listen(
        self,
        model: ModelHandle,
        conditioning: Conditioned,
        latent: dict[str, Any],
        steps: int = 8,
        listen_seed: int = 42,
    ) -> tuple[Timing, str]:
        from acestep_core.judge.lyric_timing import listen_to_batch

        songs = listen_to_batch(
            model,
            wires.from_latent(latent),
            conditioning.conditioning,
            steps=steps,
            seed=listen_seed,
            monitor=monitor(),
        )
        return tuple(songs), "\n".join(_report(index, song) for index, song in enumerate(songs))


class ACEStepTimedLyrics:
    TITLE = "ACE-Step Timed Lyrics"
    CATEGORY = "ACE-Step/judge"
    DESCRIPTION = "Writes lyrics with their times as LRC, WebVTT, SRT or JSON text."
    SEARCH_ALIASES: ClassVar = ["lrc", "vtt", "srt", "subtitles", "karaoke"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The text of a subtitle file.",)
    FUNCTION = "write"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "timing": inputs.wire(wires.TIMING, "From ACE-Step Lyric Alignment."),
                "format": inputs.choice(SUBTITLES, "lrc", "lrc for players, vtt and srt for video, json for programs."),
                "words": inputs.switch(True, "Also the time of each word, in lrc and vtt."),
                "tags": inputs.switch(False, "Keep section tags such as [Chorus]."),
            },
            "optional": {
                "item": inputs.integer(0, 0, 63, "Which song of the batch; 0 is the first.", advanced=True),
            },
        }

    def write(self, timing: Timing, format: str, words: bool, tags: bool, item: int = 0) -> tuple[str]:
        from acestep_core.judge.subtitles import write_subtitles

        if item >= len(timing):
            raise InvalidInput(f"There are {len(timing)} songs; set item to {len(timing) - 1} or less.")
        return (write_subtitles(timing[item].lyrics, format, words=words, tags=tags),)


def _report(index: int, song: SungLyrics) -> str:
    if song.score is None:
        return f"Song {index + 1}: no lyrics"
    score = song.score
    return (
        f"Song {index + 1}: {score.total:.3f} (coverage {score.coverage:.3f}, order {score.monotonicity:.3f}, "
        f"confidence {score.confidence:.3f})"
    )

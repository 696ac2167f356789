"""What the model is asked to do with the song."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.song import Song

from . import inputs, wires

if TYPE_CHECKING:
    from acestep_core.render.tasks import Task

    from .codes import Codes


class ACEStepTextToMusic:
    TITLE = "ACE-Step Text to Music"
    CATEGORY = "ACE-Step/task"
    DESCRIPTION = "Makes music from the song's text, guided by audio codes if there are some."
    SEARCH_ALIASES: ClassVar = ["text2music", "generate song", "t2m", "empty latent"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = ("What to do, and how long the result is.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "song": inputs.wire(wires.SONG, "Gives the length. A song without one becomes 120 seconds long."),
            },
            "optional": {
                "codes": inputs.wire(wires.CODES, "Audio codes from the planner; they give structure and length."),
                "codes_strength": inputs.number(
                    1.0,
                    0.0,
                    1.0,
                    0.05,
                    "Share of the sampling steps that follow the codes; the rest follows the text alone.",
                    advanced=True,
                ),
            },
        }

    def make(self, song: Song, codes: Codes | None = None, codes_strength: float = 1.0) -> tuple[tuple[Task, ...]]:
        from acestep_core.generation import DEFAULT_SECONDS
        from acestep_core.render.tasks import text2music

        if not codes:
            return ((text2music(song.duration or DEFAULT_SECONDS),),)
        return (tuple(text2music(song.duration, item, strength=codes_strength) for item in codes),)

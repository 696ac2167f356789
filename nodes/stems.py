"""Tasks of base models: add a track to a recording, take one out, build an arrangement around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.vocabulary import TRACKS

from . import inputs, wires
from .sources import (
    TASK_CATEGORY,
    TASK_TIP,
    Tasks,
    from_recordings,
    keep_input,
    mask_input,
    mode_inputs,
    source_inputs,
    start_end,
)

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import VAEHandle
    from acestep_core.render.repaint import Region
    from acestep_core.render.task import Task

ALL = "all"


class ACEStepLego:
    TITLE = "ACE-Step Add Track"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "A new track that plays along with a recording. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["lego", "add instrument", "accompany", "layer", "stem"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "track": inputs.choice(TRACKS, "drums", "The track to add."),
                **start_end(),
                **mode_inputs("balanced"),
            },
            "optional": {**mask_input(), **keep_input()},
        }

    def make(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        track: str,
        start: float,
        end: float,
        mode: str,
        strength: float,
        chunk_mask: str = "ones",
        keep_outside: bool = True,
    ) -> tuple[Tasks]:
        from acestep_core.render.repaint import region_of
        from acestep_core.render.tasks import lego

        def task(latents: Tensor, canvas: Tensor, region: Region) -> Task:
            return lego(
                latents,
                canvas,
                region,
                track,
                mode=mode,
                strength=strength,
                chunk_mask=chunk_mask,  # type: ignore[arg-type]
                keep_outside=keep_outside,
            )

        return (from_recordings(vae, audio, task, lambda samples: (region_of(start, end, samples),)),)


class ACEStepExtract:
    TITLE = "ACE-Step Extract Track"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Takes one track out of a mix, or each of them in turn. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["stem separation", "isolate vocals", "karaoke", "demix"]
    RETURN_TYPES = (wires.TASK, "STRING")
    RETURN_NAMES = ("task", "track")
    OUTPUT_TOOLTIPS = ("What to do, for the conditioning; a list with one entry for each track.", "Name of the track.")
    OUTPUT_IS_LIST = (True, True)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "track": inputs.choice(
                    [*TRACKS, ALL], "vocals", "The track to take out. 'all' takes out each of the twelve, one by one."
                ),
            }
        }

    def make(self, vae: VAEHandle, audio: dict[str, Any], track: str) -> tuple[list[Tasks], list[str]]:
        from acestep_core.render.tasks import extract

        def tasks(latents: Tensor, wave: Tensor) -> list[Task]:
            return [extract(latents, wave.shape[-1], name) for name in names]

        names = list(TRACKS) if track == ALL else [track]
        songs = from_recordings(vae, audio, tasks)
        return [tuple(song[place] for song in songs) for place in range(len(names))], names


class ACEStepComplete:
    TITLE = "ACE-Step Complete"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "A full arrangement around a recording, such as a lone voice. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["arrange", "accompaniment", "backing track", "vocal to music"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "tracks": inputs.text(
                    "Tracks to add, separated by commas; empty leaves it to the model. Known are: " + ", ".join(TRACKS),
                    "drums, bass, guitar",
                ),
            }
        }

    def make(self, vae: VAEHandle, audio: dict[str, Any], tracks: str) -> tuple[Tasks]:
        from acestep_core.render.tasks import check_tracks, complete

        names = check_tracks([name for name in tracks.split(",") if name.strip()])
        return (from_recordings(vae, audio, lambda latents, wave: complete(latents, wave.shape[-1], names)),)

"""Tasks that work on single tracks: add one, take one out, complete the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.options import AddTrack, Complete, Extract
from acestep_core.vocabulary import TRACKS

from . import inputs, wires
from .remarks import Told, told
from .sources import SourceTask, from_recordings, source_inputs

if TYPE_CHECKING:
    from acestep_core.models.handles import VAEHandle

ALL = "all"


class ACEStepLego(SourceTask):
    TITLE = "ACE-Step Add Track"
    DESCRIPTION = "A new track that plays along with a recording. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["lego", "add instrument", "accompany", "layer", "stem"]
    OPTIONS = AddTrack


class ACEStepExtract(SourceTask):
    TITLE = "ACE-Step Extract Track"
    DESCRIPTION = "Takes one track out of a mix, or each of them in turn. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["stem separation", "isolate vocals", "karaoke", "demix"]
    RETURN_TYPES = (wires.TASK, "STRING")
    RETURN_NAMES = ("task", "track")
    OUTPUT_TOOLTIPS = ("What to do, for the conditioning; a list with one entry for each track.", "Name of the track.")
    OUTPUT_IS_LIST = (True, True)
    OPTIONS = Extract

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

    def make(self, vae: VAEHandle, audio: dict[str, Any], **widgets: Any) -> Told:
        track = widgets["track"]
        names = list(TRACKS) if track == ALL else [track]
        tasks, remark = from_recordings(vae, audio, *map(Extract, names))
        return told((tasks, names), remark)


class ACEStepComplete(SourceTask):
    TITLE = "ACE-Step Complete"
    DESCRIPTION = "A full arrangement around a recording, such as a lone voice. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["arrange", "accompaniment", "backing track", "vocal to music"]
    OPTIONS = Complete

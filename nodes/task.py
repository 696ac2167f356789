"""What the model is asked to do with the song."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.options import Cover, Extend, Morph, Repaint, TextToMusic
from acestep_core.song.description import Song

from . import inputs, wires
from .host import monitor
from .remarks import Told, told
from .sources import TASK_CATEGORY, TASK_TIP, SourceTask, Tasks

if TYPE_CHECKING:
    from acestep_core.models.handles import VAEHandle

    from .codes import Codes


class ACEStepTextToMusic:
    TITLE = "ACE-Step Text to Music"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Makes music from the song's text, guided by audio codes if there are some."
    SEARCH_ALIASES: ClassVar = ["text2music", "generate song", "t2m", "empty latent"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "song": inputs.wire(wires.SONG, "Gives the length. A song without one becomes 120 seconds long."),
            },
            "optional": {
                "codes": inputs.wire(wires.CODES, "Audio codes from the planner; they give structure and length."),
                **inputs.widgets(TextToMusic, "codes_strength"),
            },
        }

    def make(self, song: Song, codes: Codes | None = None, **widgets: Any) -> tuple[Tasks]:
        from acestep_core.pipeline.steps import text_task

        options = TextToMusic.from_widgets(widgets)
        return (tuple(text_task(song, options, item) for item in codes or [()]),)


class ACEStepCover(SourceTask):
    TITLE = "ACE-Step Cover"
    DESCRIPTION = "Another rendition of a recording, in the style of the song's caption."
    SEARCH_ALIASES: ClassVar = ["remix", "audio to audio", "style transfer", "restyle"]
    OPTIONS = Cover
    OPTIONAL = ("noise_strength",)


class ACEStepRepaint(SourceTask):
    TITLE = "ACE-Step Repaint"
    DESCRIPTION = "Makes one part of a recording anew; every sample outside stays as it is."
    SEARCH_ALIASES: ClassVar = ["inpaint", "edit", "replace section", "fix"]
    OPTIONS = Repaint


class ACEStepExtend(SourceTask):
    TITLE = "ACE-Step Extend"
    DESCRIPTION = "Adds music before or after a recording, which stays as it is."
    SEARCH_ALIASES: ClassVar = ["outpaint", "continue", "longer", "intro", "outro"]
    OPTIONS = Extend


class ACEStepMorph(SourceTask):
    TITLE = "ACE-Step Morph"
    DESCRIPTION = "Moves a recording from what it is to what the song says (flow-edit). Best with base and SFT models."
    SEARCH_ALIASES: ClassVar = ["flow edit", "flowedit", "change lyrics", "edit audio", "audio to audio"]
    OPTIONS = Morph


class ACEStepReferenceAudio:
    TITLE = "ACE-Step Reference Audio"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Gives a task the timbre of up to four recordings, mixed; chain several nodes for more."
    SEARCH_ALIASES: ClassVar = ["timbre", "voice reference", "style reference", "sound like"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.wire(wires.VAE, "The VAE that encodes the recording."),
                "task": inputs.wire(wires.TASK, "The task that gets the timbre."),
                "audio": inputs.wire("AUDIO", "The recording to take the timbre from; thirty seconds of it are heard."),
            },
            "optional": {
                "clip_seed": inputs.integer(
                    0, 0, inputs.MAX_SEED, "Which thirty seconds of a longer recording are heard.", advanced=True
                ),
                **inputs.further("audio", "AUDIO", "One more recording whose timbre is mixed in."),
            },
        }

    def make(
        self,
        vae: VAEHandle,
        task: Tasks,
        audio: dict[str, Any],
        clip_seed: int = 0,
        audio_2: dict[str, Any] | None = None,
        audio_3: dict[str, Any] | None = None,
        audio_4: dict[str, Any] | None = None,
    ) -> Told:
        from acestep_core.pipeline.steps import with_reference
        from acestep_core.vocabulary import SAMPLE_RATE

        remarks, before = [], task[0].remarks
        for recording in (audio, *(more for more in (audio_2, audio_3, audio_4) if more is not None)):
            waveforms, remark = wires.from_audio(recording)
            remarks.append(remark)
            for wave in waveforms:
                task = tuple(with_reference(task, vae, (wave, SAMPLE_RATE), clip_seed, monitor=monitor()))
        new = dict.fromkeys(text for text in task[0].remarks if text not in before)
        return told((task,), *remarks, *new)

"""What the model is asked to do with the song."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.song.description import Song

from . import inputs, wires
from .host import host, monitor
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

    def make(self, song: Song, codes: Codes | None = None, codes_strength: float = 1.0) -> tuple[Tasks]:
        from acestep_core.pipeline.generation import DEFAULT_SECONDS
        from acestep_core.render.tasks import text2music

        if not codes:
            return ((text2music(song.duration or DEFAULT_SECONDS),),)
        return (tuple(text2music(song.duration, item, strength=codes_strength) for item in codes),)


class ACEStepCover:
    TITLE = "ACE-Step Cover"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Another rendition of a recording, in the style of the song's caption."
    SEARCH_ALIASES: ClassVar = ["remix", "audio to audio", "style transfer", "restyle"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "strength": inputs.number(
                    1.0, 0.0, 1.0, 0.05, "1 follows the recording's structure to the end; lower hands over to the text."
                ),
            },
            "optional": {
                "noise_strength": inputs.number(
                    0.0, 0.0, 1.0, 0.05, "0 starts from noise; towards 1 ever nearer to the recording's own sound."
                ),
                "semantic": inputs.switch(
                    True, "Show the model what is played; off shows it the recording itself.", advanced=True
                ),
            },
        }

    def make(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        strength: float,
        noise_strength: float = 0.0,
        semantic: bool = True,
    ) -> tuple[Tasks]:
        from acestep_core.render.tasks import cover

        def task(latents: Tensor, wave: Tensor) -> Task:
            return cover(latents, wave.shape[-1], strength=strength, noise_strength=noise_strength, fsq=semantic)

        return (from_recordings(vae, audio, task),)


class ACEStepRepaint:
    TITLE = "ACE-Step Repaint"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Makes one part of a recording anew; every sample outside stays as it is."
    SEARCH_ALIASES: ClassVar = ["inpaint", "edit", "replace section", "fix"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {**source_inputs(), **start_end(), **mode_inputs("balanced")},
            "optional": {**mask_input(), **keep_input()},
        }

    def make(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        start: float,
        end: float,
        mode: str,
        strength: float,
        chunk_mask: str = "ones",
        keep_outside: bool = True,
    ) -> tuple[Tasks]:
        from acestep_core.render.repaint import region_of
        from acestep_core.render.tasks import repaint

        def task(latents: Tensor, canvas: Tensor, region: Region) -> Task:
            return repaint(
                latents,
                canvas,
                region,
                mode=mode,
                strength=strength,
                chunk_mask=chunk_mask,  # type: ignore[arg-type]
                keep_outside=keep_outside,
            )

        return (from_recordings(vae, audio, task, lambda samples: (region_of(start, end, samples),)),)


class ACEStepExtend:
    TITLE = "ACE-Step Extend"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Adds music before or after a recording, which stays as it is."
    SEARCH_ALIASES: ClassVar = ["outpaint", "continue", "longer", "intro", "outro"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "after": inputs.number(30.0, 0.0, 600.0, 1.0, "Seconds to add after the recording."),
                "before": inputs.number(0.0, 0.0, 600.0, 1.0, "Seconds to add before it."),
                **mode_inputs("conservative"),
            },
            "optional": mask_input(),
        }

    def make(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        after: float,
        before: float,
        mode: str,
        strength: float,
        chunk_mask: str = "ones",
    ) -> tuple[Tasks]:
        from acestep_core.render.repaint import extension_of
        from acestep_core.render.tasks import extend

        def task(latents: Tensor, canvas: Tensor, *regions: Region) -> Task:
            return extend(latents, canvas, regions, mode=mode, strength=strength, chunk_mask=chunk_mask)  # type: ignore[arg-type]

        return (from_recordings(vae, audio, task, lambda samples: extension_of(before, after, samples)),)


class ACEStepMorph:
    TITLE = "ACE-Step Morph"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Moves a recording from what it is to what the song says (flow-edit). Best with base and SFT models."
    SEARCH_ALIASES: ClassVar = ["flow edit", "flowedit", "change lyrics", "edit audio", "audio to audio"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **source_inputs(),
                "source_caption": inputs.text(
                    "Describes the recording as it is. What it shares with the song's caption stays.",
                    "pop song, acoustic guitar, male vocals",
                    multiline=True,
                ),
                "source_lyrics": inputs.text("Lyrics of the recording as it is.", multiline=True),
                "start": inputs.number(
                    0.0, 0.0, 1.0, 0.05, "Share of the steps to leave out at the beginning; more stays nearer to it."
                ),
                "end": inputs.number(
                    1.0, 0.0, 1.0, 0.05, "Share of the steps after which the song is followed freely; 1 never lets go."
                ),
            },
            "optional": {
                "average": inputs.integer(
                    1, 1, 16, "Draws of noise in each step; more is steadier and slower.", advanced=True
                ),
            },
        }

    def make(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        source_caption: str,
        source_lyrics: str,
        start: float,
        end: float,
        average: int = 1,
    ) -> tuple[Tasks]:
        from acestep_core.render.flow_edit import FlowEdit
        from acestep_core.render.tasks import morph

        edit = FlowEdit(source_caption, source_lyrics, start, end, average)
        return (from_recordings(vae, audio, lambda latents, wave: morph(latents, wave.shape[-1], edit)),)


class ACEStepReferenceAudio:
    TITLE = "ACE-Step Reference Audio"
    CATEGORY = TASK_CATEGORY
    DESCRIPTION = "Gives a task the timbre of a recording. Chain several to mix their timbres."
    SEARCH_ALIASES: ClassVar = ["timbre", "voice reference", "style reference", "sound like"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (TASK_TIP,)
    FUNCTION = "make"

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
                )
            },
        }

    def make(self, vae: VAEHandle, task: Tasks, audio: dict[str, Any], clip_seed: int = 0) -> tuple[Tasks]:
        from acestep_core.render.reference import reference_clip
        from acestep_core.render.stages import encode_audio
        from acestep_core.render.tasks import with_references
        from acestep_core.seeds import generators

        clips = [reference_clip(item, *generators([clip_seed])) for item in wires.from_audio(audio)]
        latents = [encode_audio(vae, clip[None], monitor=monitor()) for clip in clips]
        if remark := wires.conversion(audio):
            host().say(remark)
        return (tuple(with_references(item, (*item.references, *latents)) for item in task),)

"""What the model is asked to do with the song."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.song import Song
from acestep_core.vocabulary import TRACKS

from . import inputs, wires
from .host import monitor

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import VAEHandle
    from acestep_core.render.repaint import Region
    from acestep_core.render.tasks import Task

    from .codes import Codes

Tasks = tuple["Task", ...]
"""What travels on the wire: one task for the whole batch, or one for each song of it."""

MODES = ["balanced", "conservative", "aggressive"]
CHUNK_MASKS = ["ones", "window", "twos"]
_CATEGORY = "ACE-Step/task"
_TASK_TIP = "What to do, for the conditioning."


def _source_inputs() -> dict[str, Any]:
    return {
        "vae": inputs.wire(wires.VAE, "The VAE that encodes the recording."),
        "audio": inputs.wire("AUDIO", "The recording to work on, up to 600 seconds."),
    }


def _mode_inputs(default: str) -> dict[str, Any]:
    return {
        "mode": inputs.choice(
            MODES,
            default,
            "How closely the rest is held while sampling: conservative throughout, aggressive not at all.",
        ),
        "strength": inputs.number(0.5, 0.0, 1.0, 0.05, "For balanced: 0 is like conservative, 1 like aggressive."),
    }


def _mask_input() -> dict[str, Any]:
    return {
        "chunk_mask": inputs.choice(
            CHUNK_MASKS,
            "ones",
            "What the model is told about the region: nothing (ones), where it is (window), decide yourself (twos).",
            advanced=True,
        )
    }


def _start_end() -> dict[str, Any]:
    return {
        "start": inputs.number(0.0, -600.0, 600.0, 0.1, "Seconds where the region begins; below 0 adds a beginning."),
        "end": inputs.number(
            -1.0, -1.0, 1200.0, 0.1, "Seconds where it ends; -1 is the end of the recording, beyond it adds an ending."
        ),
    }


class ACEStepTextToMusic:
    TITLE = "ACE-Step Text to Music"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Makes music from the song's text, guided by audio codes if there are some."
    SEARCH_ALIASES: ClassVar = ["text2music", "generate song", "t2m", "empty latent"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
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
        from acestep_core.generation import DEFAULT_SECONDS
        from acestep_core.render.tasks import text2music

        if not codes:
            return ((text2music(song.duration or DEFAULT_SECONDS),),)
        return (tuple(text2music(song.duration, item, strength=codes_strength) for item in codes),)


class ACEStepCover:
    TITLE = "ACE-Step Cover"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Another rendition of a recording, in the style of the song's caption."
    SEARCH_ALIASES: ClassVar = ["remix", "audio to audio", "style transfer", "restyle"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **_source_inputs(),
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

        return (_from_audio(vae, audio, task),)


class ACEStepRepaint:
    TITLE = "ACE-Step Repaint"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Makes one part of a recording anew; every sample outside stays as it is."
    SEARCH_ALIASES: ClassVar = ["inpaint", "edit", "replace section", "fix"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {**_source_inputs(), **_start_end(), **_mode_inputs("balanced")},
            "optional": {
                **_mask_input(),
                "keep_outside": inputs.switch(
                    True, "Put the recording's own samples back outside the region.", advanced=True
                ),
            },
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

        return (_from_audio(vae, audio, task, lambda samples: (region_of(start, end, samples),)),)


class ACEStepExtend:
    TITLE = "ACE-Step Extend"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Adds music before or after a recording, which stays as it is."
    SEARCH_ALIASES: ClassVar = ["outpaint", "continue", "longer", "intro", "outro"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **_source_inputs(),
                "after": inputs.number(30.0, 0.0, 600.0, 1.0, "Seconds to add after the recording."),
                "before": inputs.number(0.0, 0.0, 600.0, 1.0, "Seconds to add before it."),
                **_mode_inputs("conservative"),
            },
            "optional": _mask_input(),
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

        return (_from_audio(vae, audio, task, lambda samples: extension_of(before, after, samples)),)


class ACEStepLego:
    TITLE = "ACE-Step Add Track"
    CATEGORY = _CATEGORY
    DESCRIPTION = "A new track that plays along with a recording. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["lego", "add instrument", "accompany", "layer", "stem"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **_source_inputs(),
                "track": inputs.choice(TRACKS, "drums", "The track to add."),
                **_start_end(),
                **_mode_inputs("balanced"),
            },
            "optional": _mask_input(),
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
    ) -> tuple[Tasks]:
        from acestep_core.render.repaint import region_of
        from acestep_core.render.tasks import lego

        def task(latents: Tensor, canvas: Tensor, region: Region) -> Task:
            return lego(latents, canvas, region, track, mode=mode, strength=strength, chunk_mask=chunk_mask)  # type: ignore[arg-type]

        return (_from_audio(vae, audio, task, lambda samples: (region_of(start, end, samples),)),)


class ACEStepExtract:
    TITLE = "ACE-Step Extract Track"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Takes one track out of a mix. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["stem separation", "isolate vocals", "karaoke", "demix"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {**_source_inputs(), "track": inputs.choice(TRACKS, "vocals", "The track to take out.")}}

    def make(self, vae: VAEHandle, audio: dict[str, Any], track: str) -> tuple[Tasks]:
        from acestep_core.render.tasks import extract

        return (_from_audio(vae, audio, lambda latents, wave: extract(latents, wave.shape[-1], track)),)


class ACEStepComplete:
    TITLE = "ACE-Step Complete"
    CATEGORY = _CATEGORY
    DESCRIPTION = "A full arrangement around a recording, such as a lone voice. Needs a base model."
    SEARCH_ALIASES: ClassVar = ["arrange", "accompaniment", "backing track", "vocal to music"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                **_source_inputs(),
                "tracks": inputs.text(
                    "Tracks to add, separated by commas; empty leaves it to the model. Known are: " + ", ".join(TRACKS),
                    "drums, bass, guitar",
                ),
            }
        }

    def make(self, vae: VAEHandle, audio: dict[str, Any], tracks: str) -> tuple[Tasks]:
        from acestep_core.render.tasks import check_tracks, complete

        names = check_tracks([name for name in tracks.split(",") if name.strip()])
        return (_from_audio(vae, audio, lambda latents, wave: complete(latents, wave.shape[-1], names)),)


class ACEStepReferenceAudio:
    TITLE = "ACE-Step Reference Audio"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Gives a task the timbre of a recording. Chain several to mix their timbres."
    SEARCH_ALIASES: ClassVar = ["timbre", "voice reference", "style reference", "sound like"]
    RETURN_TYPES = (wires.TASK,)
    RETURN_NAMES = ("task",)
    OUTPUT_TOOLTIPS = (_TASK_TIP,)
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
        import torch

        from acestep_core.render.reference import reference_clip
        from acestep_core.render.render import encode_audio
        from acestep_core.render.tasks import with_references

        clips = [reference_clip(item, torch.Generator().manual_seed(clip_seed)) for item in wires.from_audio(audio)]
        latents = [encode_audio(vae, clip[None], monitor=monitor()) for clip in clips]
        return (tuple(with_references(item, (*item.references, *latents)) for item in task),)


def _from_audio(
    vae: VAEHandle,
    audio: dict[str, Any],
    task: Callable[..., Task],
    regions_of: Callable[[int], tuple[Region, ...]] = lambda samples: (),
) -> Tasks:
    """Pads, checks and encodes each recording of a batch, and makes a task of it."""
    from acestep_core.render.render import encode_audio
    from acestep_core.render.tasks import check_source, whole_frames

    tasks = []
    for wave in wires.from_audio(audio):
        check_source(wave.shape[-1])
        regions = regions_of(wave.shape[-1])
        canvas = regions[0].pad(wave) if regions else wave
        latents = encode_audio(vae, whole_frames(canvas)[None], monitor=monitor())
        tasks.append(task(latents, canvas, *regions))
    return tuple(tasks)

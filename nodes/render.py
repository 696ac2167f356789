"""From song and task to sound: conditioning, schedule, guidance, sampler, decoder, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core import options
from acestep_core.errors import InvalidInput
from acestep_core.song.description import Song

from . import inputs, wires
from .host import monitor
from .remarks import Told, told

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import ModelHandle, VAEHandle
    from acestep_core.pipeline.recipe import Recipe
    from acestep_core.pipeline.sampling import Sampling
    from acestep_core.pipeline.steps import Conditioned
    from acestep_core.render.task import Task

_CATEGORY = "ACE-Step/render"
MAX_BATCH = 64


class ACEStepConditioning:
    TITLE = "ACE-Step Conditioning"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Encodes song and task for the sampler. Runs again only when one of them changes."
    SEARCH_ALIASES: ClassVar = ["text encode", "prompt", "clip", "lyrics encode", "condition"]
    RETURN_TYPES = (wires.CONDITIONING,)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("What the sampler follows.",)
    FUNCTION = "encode"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model that will sample; it also encodes."),
                "song": inputs.wire(wires.SONG, "What to make."),
                "task": inputs.wire(wires.TASK, "How to make it, from one of the task nodes."),
            },
            "optional": {
                "album_caption": inputs.text(
                    "For stems checkpoints: describes the whole song, while the caption describes one track.",
                    multiline=True,
                    advanced=True,
                ),
            },
        }

    def encode(self, model: ModelHandle, song: Song, task: tuple[Task, ...], album_caption: str = "") -> Told:
        from acestep_core.pipeline.steps import conditioned

        unused = "This is no stems checkpoint, so the album caption is not used."
        remark = unused if album_caption.strip() and not model.stems else ""
        found = conditioned(model, song, task, album_caption, monitor())
        return told((found,), remark, " ".join(found.conditioning.remarks))


class ACEStepSchedule:
    TITLE = "ACE-Step Schedule"
    CATEGORY = _CATEGORY
    DESCRIPTION = "The flow times the sampler visits, from 1 (noise) to 0 (music)."
    SEARCH_ALIASES: ClassVar = ["sigmas", "scheduler", "steps", "shift", "timesteps"]
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("Falling flow times, fp32.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        model = inputs.wire(wires.MODEL, "Gives the usual values and the largest number of steps.")
        return {
            "required": {"model": model, **inputs.widgets(options.Schedule, advanced=False)},
            "optional": inputs.widgets(options.Schedule, advanced=True),
        }

    def make(self, model: ModelHandle, **widgets: Any) -> tuple[Tensor]:
        from acestep_core.render.settings import flow_times, resolved

        schedule = options.Schedule.from_widgets(widgets)
        return (flow_times(resolved(options.RenderSettings(schedule), model)),)


class ACEStepGuidance:
    TITLE = "ACE-Step Guidance"
    CATEGORY = _CATEGORY
    DESCRIPTION = "How strongly a base or SFT model follows the text. Turbo models take none."
    SEARCH_ALIASES: ClassVar = ["cfg", "apg", "adg", "guidance scale", "classifier free guidance"]
    RETURN_TYPES = (wires.GUIDANCE,)
    RETURN_NAMES = ("guidance",)
    OUTPUT_TOOLTIPS = ("Guidance for the sampler.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": inputs.widgets(options.Guidance, advanced=False),
            "optional": inputs.widgets(options.Guidance, advanced=True),
        }

    def make(self, **widgets: Any) -> tuple[options.Guidance]:
        return (options.Guidance.from_widgets(widgets),)


class ACEStepSampler:
    TITLE = "ACE-Step Sampler"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Turns noise into music latents. The picture on the node is the loudness of what it hears so far."
    SEARCH_ALIASES: ClassVar = ["ksampler", "generate", "denoise", "euler", "heun", "sde"]
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("latent",)
    OUTPUT_TOOLTIPS = ("Latents of the songs, 25 frames a second.",)
    FUNCTION = "sample"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model to sample with."),
                "conditioning": inputs.wire(wires.CONDITIONING, "What to follow."),
                "seed": inputs.seed("Noise of the first song; each next song of the batch takes one more."),
                "batch_size": inputs.integer(
                    1,
                    1,
                    MAX_BATCH,
                    "How many songs to make at once. Songs with their own codes come as a batch already.",
                ),
                **inputs.widgets(options.Sampling, advanced=False),
            },
            "optional": {
                "sigmas": inputs.wire("SIGMAS", "The schedule; without one, the model's own."),
                "guidance": inputs.wire(wires.GUIDANCE, "Guidance; without one, the model's own."),
                **inputs.widgets(options.Sampling, advanced=True),
                "settings": inputs.wire(
                    wires.SETTINGS,
                    "Of a song record, in place of the widgets. With the song's own seed it is made again exactly.",
                ),
                "latent": inputs.wire(
                    "LATENT", "What to start from, as long as the song; its noise mask says what is made anew."
                ),
                "native_sampler": inputs.wire(
                    "SAMPLER", "A sampler of ComfyUI, in place of the widget. Its songs get no record."
                ),
                **inputs.widgets(options.Start),
            },
        }

    def sample(
        self,
        model: ModelHandle,
        conditioning: Conditioned,
        seed: int,
        batch_size: int,
        sigmas: Tensor | None = None,
        guidance: options.Guidance | None = None,
        settings: Recipe | None = None,
        latent: dict[str, Any] | None = None,
        native_sampler: Any = None,
        **widgets: Any,
    ) -> Told:
        from acestep_core.pipeline.sampling import sampled

        wanted = self._wanted(sigmas, guidance, settings, latent, widgets)
        again, at_once = settings is not None and seed == settings.seed, None
        if settings is not None and again:
            seed, batch_size, at_once = settings.seeds[0], len(settings.seeds), settings.at_once
        seen, begin, integrator = monitor(), *_start(latent, native_sampler, seed)
        latents, made = sampled(model, conditioning, seed, batch_size, wanted, seen, at_once, begin, integrator)
        if settings is not None and again:
            latents, made = latents[[settings.item]], made.select([settings.item])
        return told((wires.to_latent(latents, made),), made.unrecorded)

    @classmethod
    def together(cls, calls: Sequence[dict[str, Any]]) -> list[Told]:
        """What `sample` gives for each of several calls; songs that are alike are sampled at once."""
        from acestep_core.pipeline.sampling import sampled_together

        if any(call.get("settings") is not None for call in calls):  # a record knows itself with what its song went
            return [cls().sample(**call) for call in calls]
        found = sampled_together([cls._asking(**call) for call in calls], monitor())
        return [told((wires.to_latent(latents, made),), made.unrecorded) for latents, made in found]

    @classmethod
    def _asking(
        cls,
        model: ModelHandle,
        conditioning: Conditioned,
        seed: int,
        batch_size: int,
        sigmas: Tensor | None = None,
        guidance: options.Guidance | None = None,
        latent: dict[str, Any] | None = None,
        native_sampler: Any = None,
        settings: None = None,
        **widgets: Any,
    ) -> Sampling:
        from acestep_core.pipeline.sampling import Sampling

        wanted = cls._wanted(sigmas, guidance, settings, latent, widgets)
        return Sampling.of(model, conditioning, seed, batch_size, wanted, *_start(latent, native_sampler, seed))

    @staticmethod
    def _wanted(
        sigmas: Tensor | None,
        guidance: options.Guidance | None,
        settings: Recipe | None,
        latent: dict[str, Any] | None,
        widgets: dict[str, Any],
    ) -> options.RenderSettings:
        if settings is None:
            wanted = options.RenderSettings(
                sampling=options.Sampling.from_widgets(widgets), start=options.Start.from_widgets(widgets)
            )
        else:
            wanted = settings.settings
            if settings.latent is not None and latent is None:
                raise InvalidInput("This song started from a latent; connect that of Load Song Record, too.")
        if sigmas is not None:
            wanted = replace(wanted, schedule=options.Schedule(timesteps=sigmas.tolist()))
        return wanted if guidance is None else replace(wanted, guidance=guidance)


def _start(latent: dict[str, Any] | None, native_sampler: Any, seed: int) -> tuple[Any, Any]:
    """What a song starts from, and somebody else's sampler; None for what there is not."""
    from acestep_core.pipeline.starting import start_from

    if native_sampler is None:
        return start_from(latent), None
    from .native_sampler import integrator_of

    return start_from(latent), integrator_of(native_sampler, seed)


class ACEStepDecode:
    TITLE = "ACE-Step Decode"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Turns latents into 48 kHz stereo, in tiles that fit the memory, and finishes the sound."
    SEARCH_ALIASES: ClassVar = ["vae decode", "latent to audio", "normalize", "fade"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The songs, 48 kHz stereo.",)
    FUNCTION = "decode"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.wire(wires.VAE, "The VAE."),
                "latent": inputs.wire("LATENT", "Latents of an ACE-Step sampler or encoder."),
            },
            "optional": {
                "normalize": inputs.switch(True, "Bring each song's peak to the level below."),
                **inputs.widgets(options.Finish),
                **inputs.widgets(options.Decode),
                "settings": inputs.wire(wires.SETTINGS, "Of a song record, in place of the widgets."),
                "task": inputs.wire(
                    wires.TASK,
                    "For latents that other nodes changed: cuts them, puts the recording back around them.",
                ),
            },
        }

    def decode(
        self,
        vae: VAEHandle,
        latent: dict[str, Any],
        normalize: bool = True,
        settings: Recipe | None = None,
        task: tuple[Task, ...] | None = None,
        **widgets: Any,
    ) -> Told:
        from acestep_core.pipeline.steps import decoded

        if settings is None:
            decode, finish = options.Decode.from_widgets(widgets), options.Finish.from_widgets(widgets)
            finish = finish if normalize else replace(finish, peak_db=None)
        else:
            decode, finish = settings.settings.decode, settings.finish
        latents = wires.from_latent(latent)
        made, places = wires.story(latent)
        done = decoded(vae, latents, made, decode, finish, places=places, tasks=task or (), monitor=monitor())
        remark = done.remark or wires.unknown(latent, places, task or ())
        return told((wires.to_audio(done.audio, done.made, places),), remark)


class ACEStepEncodeAudio:
    TITLE = "ACE-Step Encode Audio"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Turns audio of any rate into latents, 25 frames a second."
    SEARCH_ALIASES: ClassVar = ["vae encode", "audio to latent"]
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("latent",)
    OUTPUT_TOOLTIPS = ("Latents of the audio.",)
    FUNCTION = "encode"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.wire(wires.VAE, "The VAE."),
                "audio": inputs.wire(
                    "AUDIO",
                    "Any sample rate. Mono goes to both sides; of more than two channels the first two are used.",
                ),
            },
            "optional": {
                "sample_posterior": inputs.switch(
                    False, "Draw from the VAE's distribution instead of taking its mean.", advanced=True
                ),
                "posterior_seed": inputs.integer(
                    *(0, 0, inputs.MAX_SEED, "Seed of that draw."),
                    advanced=True,
                    **inputs.counting(sample_posterior=[True]),
                ),
                "tile": inputs.integer(
                    0, 0, 2048, "Latent frames encoded at once; 0 picks by free memory.", step=32, advanced=True
                ),
            },
        }

    def encode(
        self,
        vae: VAEHandle,
        audio: dict[str, Any],
        sample_posterior: bool = False,
        posterior_seed: int = 0,
        tile: int = 0,
    ) -> Told:
        from acestep_core.render.stages import encode_audio
        from acestep_core.render.tasks import check_source, whole_frames

        waveform, remark = wires.from_audio(audio)
        check_source(waveform.shape[-1])
        latents = encode_audio(
            vae, whole_frames(waveform), posterior_seed if sample_posterior else None, tile or None, monitor=monitor()
        )
        return told((wires.to_latent(latents) | {wires.CARGO: wires.ENCODED},), remark)

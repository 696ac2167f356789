"""From song and task to sound: conditioning, schedule, guidance, sampler, decoder, and the way back."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.song.description import Song

from . import inputs, wires
from .host import host, monitor
from .made import Conditioned, MadeFrom

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import ModelHandle, VAEHandle
    from acestep_core.render.guidance import Guidance
    from acestep_core.render.task import Task

GUIDANCE_MODES = ["apg", "adg", "adg_w_norm", "adg_wo_clip", "cfg", "none"]
SAMPLERS = ["euler", "heun", "sde"]
WAVELETS = ["off", "double", "low", "high", "pix"]
MAX_BATCH = 64


class ACEStepConditioning:
    TITLE = "ACE-Step Conditioning"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "Encodes song and task for the sampler. Runs again only when one of them changes."
    SEARCH_ALIASES: ClassVar = ["text encode", "prompt", "clip", "lyrics encode", "condition"]
    RETURN_TYPES = (wires.CONDITIONING,)
    RETURN_NAMES = ("conditioning",)
    OUTPUT_TOOLTIPS = ("What the sampler follows.",)
    FUNCTION = "encode"

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

    def encode(
        self, model: ModelHandle, song: Song, task: tuple[Task, ...], album_caption: str = ""
    ) -> tuple[Conditioned]:
        from acestep_core.pipeline.generation import Stopwatch
        from acestep_core.render.conditioning import condition

        watch = Stopwatch()
        with watch.stage("condition"):
            made = condition(model, [song], task, album_caption, monitor())
        if album_caption.strip() and not model.stems:
            host().say("This is no stems checkpoint, so the album caption is not used.")
        return (Conditioned(made, song, tuple(task), watch.seconds),)


class ACEStepSchedule:
    TITLE = "ACE-Step Schedule"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "The flow times the sampler visits, from 1 (noise) to 0 (music)."
    SEARCH_ALIASES: ClassVar = ["sigmas", "scheduler", "steps", "shift", "timesteps"]
    RETURN_TYPES = ("SIGMAS",)
    RETURN_NAMES = ("sigmas",)
    OUTPUT_TOOLTIPS = ("Falling flow times, fp32.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "Gives the usual values and the largest number of steps."),
                "steps": inputs.integer(
                    0, 0, 200, "Sampling steps. 0 takes the model's own: 8 for turbo (at most 20), 50 for base and SFT."
                ),
                "shift": inputs.number(
                    0.0, 0.0, 10.0, 0.1, "Above 1 spends more steps near the noise. 0 takes the model's own, usually 3."
                ),
            },
            "optional": {
                "timesteps": inputs.text(
                    "Own times instead, falling from 1, separated by commas: 1, 0.75, 0.5, 0.25.",
                    placeholder="1, 0.75, 0.5, 0.25",
                    advanced=True,
                ),
            },
        }

    def make(self, model: ModelHandle, steps: int, shift: float, timesteps: str = "") -> tuple[Tensor]:
        from acestep_core.pipeline.generation import RenderSettings

        own = _numbers(timesteps) if timesteps.strip() else None
        return (RenderSettings(steps=steps or None, shift=shift or None, timesteps=own).schedule(model),)


class ACEStepGuidance:
    TITLE = "ACE-Step Guidance"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "How strongly a base or SFT model follows the text. Turbo models take none."
    SEARCH_ALIASES: ClassVar = ["cfg", "apg", "adg", "guidance scale", "classifier free guidance"]
    RETURN_TYPES = (wires.GUIDANCE,)
    RETURN_NAMES = ("guidance",)
    OUTPUT_TOOLTIPS = ("Guidance for the sampler.",)
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "mode": inputs.choice(
                    GUIDANCE_MODES,
                    "apg",
                    "apg is the usual one; adg turns instead of stretching; cfg is plain; none switches it off.",
                ),
                "scale": inputs.number(
                    0.0,
                    0.0,
                    30.0,
                    0.1,
                    "Higher is closer to the text; 1 is off. 0 takes the model's own: 7, or off for turbo.",
                ),
                "start": inputs.number(
                    0.0, 0.0, 1.0, 0.01, "Guide only while the flow time is at least this; 0 guides to the end."
                ),
                "end": inputs.number(
                    1.0, 0.0, 1.0, 0.01, "Guide only while the flow time is at most this; 1 guides from the beginning."
                ),
            },
            "optional": {
                "momentum": inputs.number(
                    -0.75, -1.0, 1.0, 0.05, "apg: how much of the steps before counts; negative damps.", advanced=True
                ),
                "eta": inputs.number(
                    0.0, 0.0, 1.0, 0.05, "apg: how much of the part along the prediction stays.", advanced=True
                ),
                "norm_threshold": inputs.number(
                    2.5, 0.0, 100.0, 0.1, "apg: longest difference that is used in full; 0 for no limit.", advanced=True
                ),
            },
        }

    def make(
        self,
        mode: str,
        scale: float,
        start: float,
        end: float,
        momentum: float = -0.75,
        eta: float = 0.0,
        norm_threshold: float = 2.5,
    ) -> tuple[Guidance]:
        from acestep_core.render.guidance import Guidance

        return (Guidance(mode, scale, start, end, momentum, eta, norm_threshold),)  # type: ignore[arg-type]


class ACEStepSampler:
    TITLE = "ACE-Step Sampler"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "Turns noise into music latents. The picture on the node is the loudness of what it hears so far."
    SEARCH_ALIASES: ClassVar = ["ksampler", "generate", "denoise", "euler", "heun", "sde"]
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("latent",)
    OUTPUT_TOOLTIPS = ("Latents of the songs, 25 frames a second.",)
    FUNCTION = "sample"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model to sample with."),
                "conditioning": inputs.wire(wires.CONDITIONING, "What to follow."),
                "seed": inputs.seed("Noise of the first song; song i of a batch takes seed + i."),
                "batch_size": inputs.integer(
                    1,
                    1,
                    MAX_BATCH,
                    "How many songs to make at once. Songs with their own codes come as a batch already.",
                ),
                "sampler": inputs.choice(
                    SAMPLERS, "euler", "euler is the usual one; heun looks twice at each step; sde draws new noise."
                ),
            },
            "optional": {
                "sigmas": inputs.wire("SIGMAS", "The schedule; without one, the model's own."),
                "guidance": inputs.wire(wires.GUIDANCE, "Guidance; without one, the model's own."),
                "velocity_clamp": inputs.number(
                    0.0,
                    0.0,
                    10.0,
                    0.1,
                    "Limits how fast a step may move, relative to the state; 0 is off.",
                    advanced=True,
                ),
                "velocity_ema": inputs.number(
                    0.0, 0.0, 0.95, 0.05, "Share of the step before that is mixed in; 0 is off.", advanced=True
                ),
                "variation": inputs.number(
                    0.0,
                    0.0,
                    1.0,
                    0.01,
                    "Turns the noise towards that of the variation seed: 0 is the same song, 1 another one.",
                    advanced=True,
                ),
                "variation_seed": inputs.integer(
                    0, 0, inputs.MAX_SEED, "Seed of the noise that variation turns to.", advanced=True
                ),
                "wavelet": inputs.choice(
                    WAVELETS,
                    "off",
                    "Correction after each step that newer releases use with turbo: of slow, fast or both changes.",
                    advanced=True,
                ),
                "wavelet_low": inputs.number(
                    0.05, -1.0, 1.0, 0.01, "Strength of the slow part; 0.02 with a planned song.", advanced=True
                ),
                "wavelet_high": inputs.number(
                    0.02, -1.0, 1.0, 0.01, "Strength of the fast part; 0.06 with a planned song.", advanced=True
                ),
            },
        }

    def sample(
        self,
        model: ModelHandle,
        conditioning: Conditioned,
        seed: int,
        batch_size: int,
        sampler: str,
        sigmas: Tensor | None = None,
        guidance: Guidance | None = None,
        velocity_clamp: float = 0.0,
        velocity_ema: float = 0.0,
        variation: float = 0.0,
        variation_seed: int = 0,
        wavelet: str = "off",
        wavelet_low: float = 0.05,
        wavelet_high: float = 0.02,
    ) -> tuple[dict[str, Any]]:
        from acestep_core import seeds as noise
        from acestep_core.pipeline.generation import RenderSettings, Stopwatch
        from acestep_core.render.sampler import Sampling
        from acestep_core.render.stages import render_latents
        from acestep_core.render.wavelet import WaveletCorrection

        given = conditioning.conditioning
        rows = given.batch
        if rows > 1 and batch_size not in (1, rows):
            raise InvalidInput(f"The conditioning holds {rows} songs already; set batch_size to 1 or {rows}.")
        seeds = noise.item_seeds(seed, max(rows, batch_size))
        presets = RenderSettings()
        times = presets.schedule(model) if sigmas is None else sigmas
        guidance = presets.guide(model) if guidance is None else guidance
        if guidance.scale == 0:
            guidance = replace(guidance, scale=model.preset.guidance)
        correction = None if wavelet == "off" else WaveletCorrection(wavelet, wavelet_low, wavelet_high)  # type: ignore[arg-type]
        initial = None
        if variation > 0:
            other = noise.item_seeds(variation_seed, len(seeds))
            initial = noise.retake(noise.noise(seeds, given.frames), noise.noise(other, given.frames), variation)
        sampling = Sampling(sampler, velocity_clamp, velocity_ema, correction)  # type: ignore[arg-type]
        watch = Stopwatch()
        with watch.stage("sample"):
            latents = render_latents(model, given, seeds, times, guidance, sampling, initial, monitor())
        settings = {
            "timesteps": times.tolist(),
            "guidance": guidance.scale if guidance.enabled else 1.0,
            "guidance_mode": guidance.mode,
            "guidance_start": guidance.start,
            "guidance_end": guidance.end,
            "method": sampler,
            "velocity_clamp": velocity_clamp,
            "velocity_ema": velocity_ema,
            "wavelet": None if correction is None else asdict(correction),
            "retake_seed": variation_seed if variation > 0 else None,
            "retake_variance": variation,
        }
        seconds = {**conditioning.seconds, **watch.seconds}
        made_from = MadeFrom(conditioning.tasks, conditioning.song, tuple(seeds), model, settings, seconds=seconds)
        return (wires.to_latent(latents, acestep=made_from),)


class ACEStepDecode:
    TITLE = "ACE-Step Decode"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "Turns latents into 48 kHz stereo, in tiles that fit the memory, and finishes the sound."
    SEARCH_ALIASES: ClassVar = ["vae decode", "latent to audio", "normalize", "fade"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The songs, 48 kHz stereo.",)
    FUNCTION = "decode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.wire(wires.VAE, "The VAE."),
                "latent": inputs.wire("LATENT", "Latents of an ACE-Step sampler or encoder."),
            },
            "optional": {
                "normalize": inputs.switch(True, "Bring each song's peak to the level below."),
                "peak_db": inputs.number(-1.0, -60.0, 0.0, 0.1, "Peak level in dBFS after normalising."),
                "fade_in": inputs.number(0.0, 0.0, 60.0, 0.1, "Seconds of fade-in at the start."),
                "fade_out": inputs.number(0.0, 0.0, 60.0, 0.1, "Seconds of fade-out at the end."),
                "latent_shift": inputs.number(
                    0.0, -1.0, 1.0, 0.01, "Added to the latents before decoding; 0 leaves them.", advanced=True
                ),
                "latent_rescale": inputs.number(
                    1.0, 0.1, 2.0, 0.01, "Multiplies the latents before decoding; 1 leaves them.", advanced=True
                ),
                "tile": inputs.integer(
                    0,
                    0,
                    2048,
                    "Latent frames decoded at once; smaller needs less memory and sounds the same. 0 picks.",
                    step=32,
                    advanced=True,
                ),
            },
        }

    def decode(
        self,
        vae: VAEHandle,
        latent: dict[str, Any],
        normalize: bool = True,
        peak_db: float = -1.0,
        fade_in: float = 0.0,
        fade_out: float = 0.0,
        latent_shift: float = 0.0,
        latent_rescale: float = 1.0,
        tile: int = 0,
    ) -> tuple[dict[str, Any]]:
        from acestep_core.pipeline.generation import Stopwatch
        from acestep_core.render.post import Finish
        from acestep_core.render.stages import decode_latents

        latents = wires.from_latent(latent)
        made_from: MadeFrom | None = latent.get("acestep")
        finish = Finish(peak_db if normalize else None, fade_in, fade_out)
        tasks = () if made_from is None else made_from.tasks
        watch = Stopwatch()
        with watch.stage("decode"):
            audio = decode_latents(vae, latents, tasks, finish, latent_shift, latent_rescale, tile or None, monitor())
        if made_from is None:
            return (wires.to_audio(audio),)
        settings = made_from.settings | {"latent_shift": latent_shift, "latent_rescale": latent_rescale}
        seconds = {**made_from.seconds, **watch.seconds}
        made_from = replace(made_from, settings=settings, vae=vae, finish=asdict(finish), seconds=seconds)
        return (wires.to_audio(audio) | {"acestep": made_from},)


class ACEStepEncodeAudio:
    TITLE = "ACE-Step Encode Audio"
    CATEGORY = "ACE-Step/render"
    DESCRIPTION = "Turns audio of any rate into latents, 25 frames a second."
    SEARCH_ALIASES: ClassVar = ["vae encode", "audio to latent"]
    RETURN_TYPES = ("LATENT",)
    RETURN_NAMES = ("latent",)
    OUTPUT_TOOLTIPS = ("Latents of the audio.",)
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.wire(wires.VAE, "The VAE."),
                "audio": inputs.wire(
                    "AUDIO", "Any sample rate; mono is doubled, of more channels the first two count."
                ),
            },
            "optional": {
                "sample_posterior": inputs.switch(
                    False, "Draw from the VAE's distribution instead of taking its mean.", advanced=True
                ),
                "posterior_seed": inputs.integer(0, 0, inputs.MAX_SEED, "Seed of that draw.", advanced=True),
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
    ) -> tuple[dict[str, Any]]:
        from acestep_core.render.stages import encode_audio
        from acestep_core.render.tasks import check_source, whole_frames

        waveform = wires.from_audio(audio)
        check_source(waveform.shape[-1])
        latents = encode_audio(
            vae, whole_frames(waveform), posterior_seed if sample_posterior else None, tile or None, monitor=monitor()
        )
        if remark := wires.conversion(audio):
            host().say(remark)
        return (wires.to_latent(latents),)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.replace(";", ",").split(",") if part.strip()]
    except ValueError as error:
        raise InvalidInput(
            f"The timesteps {text[:40]!r} are not numbers; write falling times such as 1, 0.75, 0.5, 0.25."
        ) from error

"""The front door: one call makes a song."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.monitor import Monitor, ProgressCallback
from acestep_core.song import Song

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import ModelHandle
    from acestep_core.models.models import Models
    from acestep_core.planner.plan import Plan
    from acestep_core.planner.think import Thinking
    from acestep_core.render.guidance import Guidance
    from acestep_core.render.sampler import Sampling
    from acestep_core.render.tasks import Task
    from acestep_core.render.wavelet import WaveletCorrection
    from acestep_core.sources import AudioLike

DEFAULT_SECONDS = 120.0
"""Length of a song whose length nobody decided, as upstream's."""


@dataclass(frozen=True)
class RenderSettings:
    """How the DiT is run. None means: as the checkpoint's preset says.

    Attributes:
        steps, shift, timesteps: the schedule, see `render.schedule`.
        guidance: scale; 1 is off and all that turbo takes.
        guidance_mode, guidance_start, guidance_end: see `render.guidance.Guidance`.
        method, velocity_clamp, velocity_ema, wavelet: see `render.sampler.Sampling`.
        retake_seed, retake_variance: turns each item's noise towards that of other seeds, see `render.noise.retake`.
        latent_shift, latent_rescale: applied to the latents before decoding.
    """

    steps: int | None = None
    shift: float | None = None
    timesteps: Sequence[float] | None = None
    guidance: float | None = None
    guidance_mode: str = "apg"
    guidance_start: float | None = None
    guidance_end: float | None = None
    method: str = "euler"
    velocity_clamp: float = 0.0
    velocity_ema: float = 0.0
    wavelet: WaveletCorrection | None = None
    retake_seed: int | None = None
    retake_variance: float = 0.0
    latent_shift: float = 0.0
    latent_rescale: float = 1.0

    def schedule(self, handle: ModelHandle) -> Tensor:
        """The flow times for `handle`, `[N + 1]`."""
        from acestep_core.render.schedule import check_steps, schedule

        steps = handle.preset.steps if self.steps is None else self.steps
        if self.timesteps is None:
            check_steps(steps, handle.info.kind)
        return schedule(steps, handle.preset.shift if self.shift is None else self.shift, self.timesteps)

    def guide(self, handle: ModelHandle) -> Guidance:
        from acestep_core.render.guidance import Guidance

        start, end = handle.preset.cfg_interval
        return Guidance(
            self.guidance_mode,  # type: ignore[arg-type]
            handle.preset.guidance if self.guidance is None else self.guidance,
            start if self.guidance_start is None else self.guidance_start,
            end if self.guidance_end is None else self.guidance_end,
        )

    def sampling(self) -> Sampling:
        from acestep_core.render.sampler import Sampling

        return Sampling(self.method, self.velocity_clamp, self.velocity_ema, self.wavelet)  # type: ignore[arg-type]

    def initial_noise(self, seeds: Sequence[int], frames: int) -> Tensor | None:
        """Noise `[B, frames, 64]` where it is not the seeds' own."""
        from acestep_core.render.noise import item_seeds, noise, retake

        if self.retake_variance == 0:
            return None
        others = item_seeds(self.retake_seed, len(seeds))
        return retake(noise(seeds, frames), noise(others, frames), self.retake_variance)


@dataclass(frozen=True, eq=False)
class Generation:
    """A batch of songs and everything that made them.

    Attributes:
        audio: `[B, 2, S]` float32 at 48 kHz.
        latents: `[B, T, 64]`.
        seeds: of each item; run one alone with its seed to get it again.
        seconds: wall time of each stage.
        plan: what the language model decided, if it was asked.
    """

    audio: Tensor
    latents: Tensor
    song: Song
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    models: Models
    settings: RenderSettings
    seconds: dict[str, float] = field(default_factory=dict)
    plan: Plan | None = None
    sample_rate: int = 48000

    def save(self, path: str | Path, format: str | None = None, bitrate: int | None = None) -> list[Path]:
        """Writes every item, never over an existing file; returns the paths.

        Args:
            path: the file to write. A batch, and a name that is taken, get numbers: `song_00001.flac`.
            format: a key of `audio.FORMATS`; None goes by the file's suffix.
            bitrate: kbit/s, for mp3 and opus.
        """
        from acestep_core.audio import FORMATS, format_for, write_audio
        from acestep_core.files import unique_path

        path = Path(path)
        chosen = format or format_for(path)
        suffix = FORMATS[chosen].suffix
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = path.with_suffix(suffix)
        written = []
        for item, seed in zip(self.audio, self.seeds, strict=True):
            with ExitStack() as stack:
                alone = len(self.seeds) == 1 and not plain.exists()
                target = plain if alone else stack.enter_context(unique_path(path.parent, path.stem, suffix))
                write_audio(target, item, self.sample_rate, chosen, bitrate, self.tags(seed))
            written.append(target)
        return written

    def tags(self, seed: int) -> dict[str, str]:
        """What a player shows, and the seed."""
        song = self.song
        named = {"title": song.caption, "lyrics": song.lyrics, "bpm": str(song.bpm or ""), "key": song.keyscale}
        return {name: text for name, text in {**named, "seed": str(seed)}.items() if text}


class Stopwatch:
    """Wall time per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 4)


def generate(
    caption: str = "",
    *,
    lyrics: str = "",
    duration: float | None = None,
    seed: int | None = None,
    batch: int = 1,
    song: Song | None = None,
    think: bool | Thinking = False,
    references: Sequence[AudioLike] = (),
    reference_seed: int = 0,
    models: Models | str | Path | None = None,
    variant: str | None = None,
    settings: RenderSettings | None = None,
    peak_db: float | None = -1.0,
    fade_in: float = 0.0,
    fade_out: float = 0.0,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
    **song_fields: Any,
) -> Generation:
    """Makes songs from text.

    Args:
        caption, lyrics, duration: what to make; other fields of `Song` (language, bpm, keyscale, timesignature,
            instrumental) may follow by name. Or give a whole `song`.
        duration: seconds, 10 to 600; None makes 120.
        seed: of the first item; item i has seed + i. None draws one, which the result tells.
        batch: how many songs.
        think: lets the language model plan the song and write its codes first; `Thinking` says how.
        references: recordings whose timbre to take; `reference_seed` chooses which thirty seconds are heard.
        models: a checkpoint's folder or file, or what `open_models` returned; None takes what is found, or the tiny
            checkpoint.
        variant: which checkpoint, such as `turbo` or `base`, where the folder holds several.
        settings: how to sample; None is the checkpoint's preset.
        peak_db, fade_in, fade_out: finishing, see `render.post.Finish`.
        progress: called as `progress(stage, done, total, preview)`.
        cancelled: asked at every step; True ends the call with `Cancelled`.

    Returns:
        The songs and what made them.

    Raises:
        AceStepError: with one sentence about what is wrong and what to do.
    """
    from acestep_core.models.models import Models, open_models
    from acestep_core.render.noise import item_seeds
    from acestep_core.render.tasks import text2music, with_references
    from acestep_core.sources import reference_latents

    if song is None:
        song = Song(caption=caption, lyrics=lyrics, duration=duration, **song_fields)
    elif caption or lyrics or duration is not None or song_fields:
        raise InvalidInput("Give either a song or its fields (caption, lyrics, duration, ...), not both.")
    if not isinstance(models, Models):
        models = open_models(models, variant)
    monitor, watch = Monitor(progress, cancelled), Stopwatch()
    seeds = item_seeds(seed, batch)
    plan: Plan | None = None
    codes: tuple[tuple[int, ...], ...] = ()
    if think:
        from acestep_core.planner.think import Thinking
        from acestep_core.planner.think import think as think_first

        if models.lm is None:
            raise InvalidInput(
                "There is no language model to think with; fetch one with `acestep models download main`."
            )
        thinking = think if isinstance(think, Thinking) else Thinking()
        with watch.stage("think"):
            thought = think_first(models.lm, song, seeds, thinking, DEFAULT_SECONDS, monitor=monitor)
        plan, song, codes = thought.plan, thought.song, thought.codes
    seconds = song.duration or DEFAULT_SECONDS
    tasks = [text2music(seconds, item) for item in codes] or [text2music(seconds)]
    if references:
        with watch.stage("encode"):
            clips = reference_latents(models.vae, references, reference_seed, monitor)
        tasks = [with_references(task, clips) for task in tasks]
    return render(
        song,
        tasks,
        seed=seeds[0],
        batch=batch,
        models=models,
        settings=settings,
        finish=(peak_db, fade_in, fade_out),
        plan=plan,
        monitor=monitor,
        watch=watch,
    )


def render(
    song: Song,
    tasks: Sequence[Task],
    *,
    seed: int | None = None,
    batch: int = 1,
    models: Models | str | Path | None = None,
    variant: str | None = None,
    settings: RenderSettings | None = None,
    finish: tuple[float | None, float, float] = (-1.0, 0.0, 0.0),
    plan: Plan | None = None,
    monitor: Monitor | None = None,
    watch: Stopwatch | None = None,
) -> Generation:
    """Renders a song as its tasks say (one task for all items, or one for each)."""
    from acestep_core.models.models import Models, open_models
    from acestep_core.render.conditioning import condition
    from acestep_core.render.noise import item_seeds
    from acestep_core.render.post import Finish
    from acestep_core.render.render import decode_latents, render_latents

    monitor, watch, settings = monitor or Monitor(), watch or Stopwatch(), settings or RenderSettings()
    if not isinstance(models, Models):
        models = open_models(models, variant)
    seeds = item_seeds(seed, batch if len(tasks) == 1 else len(tasks))
    times, guidance, sampling = settings.schedule(models.model), settings.guide(models.model), settings.sampling()
    finishing = Finish(*finish)
    with watch.stage("condition"):
        conditioning = condition(models.model, [song], tasks, monitor=monitor)
    with watch.stage("sample"):
        initial = settings.initial_noise(seeds, conditioning.frames)
        latents = render_latents(models.model, conditioning, seeds, times, guidance, sampling, initial, monitor)
    with watch.stage("decode"):
        shift, rescale = settings.latent_shift, settings.latent_rescale
        audio = decode_latents(models.vae, latents, tasks, finishing, shift, rescale, monitor=monitor)
    return Generation(audio, latents, song, tuple(tasks), tuple(seeds), models, settings, watch.seconds, plan)

"""The front door: one call makes a song."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import CodesError, InvalidInput
from acestep_core.monitor import SILENT, Monitor, ProgressCallback
from acestep_core.records.origin import Origin, describe_recordings
from acestep_core.render.settings import RenderSettings
from acestep_core.song.codes import check_codes
from acestep_core.song.description import Song

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.io.recordings import AudioLike
    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.models.handles import Models
    from acestep_core.planner.plan import Plan
    from acestep_core.planner.think import Thinking
    from acestep_core.records.song_record import SongRecord
    from acestep_core.render.task import Task

DEFAULT_SECONDS = 120.0
"""Length of a song whose length nobody decided, as upstream's."""


@dataclass(frozen=True, eq=False)
class Generation:
    """Songs of a batch and everything that made them.

    Attributes:
        audio: `[B, 2, S]` float32 at 48 kHz.
        latents: `[B, T, 64]`.
        song: what was rendered, the plan merged in.
        tasks: one for all songs, or one for each.
        seeds: of each song; run one alone with its seed to get it again.
        settings: with nothing left open, see `RenderSettings.resolved`.
        seconds: wall time of each stage.
        plan: what the language model decided, if it was asked.
        origin: what else is needed to make the batch again.
        places: of the songs in the batch as it was made, of which these may be a part.
        scores: of each song, by name, where they were judged, see `judge.takes`.
        timing: when each line is sung, of each song, where that was listened for.
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
    origin: Origin = field(default_factory=Origin)
    places: tuple[int, ...] = ()
    scores: tuple[Mapping[str, Any], ...] = ()
    timing: tuple[SungLyrics, ...] = ()

    def __post_init__(self) -> None:
        if not self.places:
            object.__setattr__(self, "places", tuple(range(len(self.seeds))))

    def select(self, items: Sequence[int]) -> Generation:
        """Some of the songs, in the order asked for, counted from 0."""
        chosen = list(items)

        def part(values: tuple) -> tuple:
            return tuple(values[item] for item in chosen) if len(values) == len(self.seeds) else values

        return replace(
            self,
            audio=self.audio[chosen],
            latents=self.latents[chosen],
            tasks=part(self.tasks),
            seeds=part(self.seeds),
            places=part(self.places),
            scores=part(self.scores),
            timing=part(self.timing),
        )

    def record(self, item: int = 0) -> SongRecord:
        """Everything needed to make one of the songs again, see `replay`. Reads the models' files for their hashes."""
        from acestep_core.pipeline.provenance import record_of

        return record_of(self, item)

    def save(
        self,
        path: str | Path,
        format: str | None = None,
        bitrate: int | None = None,
        *,
        record: bool = True,
        subtitles: Sequence[str] = (),
        monitor: Monitor = SILENT,
    ) -> list[Path]:
        """Writes every song, never over an existing file; returns the paths of the audio.

        Args:
            path: the file to write. A batch, and a name that is taken, get numbers: `song_00001.flac`.
            format: a key of `audio.FORMATS`; None goes by the file's suffix.
            bitrate: kbit/s, for mp3 and opus.
            record: writes beside each song a JSON file of the same name from which `replay` makes it again.
            subtitles: writes its timed lyrics too: `lrc`, `vtt`, `srt`, or `json` as `song.lyrics.json`. Where nobody
                has listened for them yet, this takes a moment and the model.

        Raises:
            InvalidInput: there is no such format.
            StorageError: the disk is full, or the folder cannot be written; what was written before is whole.
        """
        from acestep_core.pipeline.saving import save

        return save(self, Path(path), format, bitrate, record=record, subtitles=subtitles, monitor=monitor)

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
    codes: Sequence[int] | Sequence[Sequence[int]] = (),
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
        codes: semantic codes to follow instead, five a second, such as those of a record: a sequence for all songs, or
            one for each. Without a duration the song is as long as they are.
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
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.opening import open_models
    from acestep_core.render.reference import reference_latents
    from acestep_core.render.tasks import text2music, with_references
    from acestep_core.seeds import item_seeds

    if song is None:
        song = Song(caption=caption, lyrics=lyrics, duration=duration, **song_fields)
    elif caption or lyrics or duration is not None or song_fields:
        raise InvalidInput("Give either a song or its fields (caption, lyrics, duration, ...), not both.")
    if not isinstance(models, Models):
        models = open_models(models, variant)
    monitor, watch = Monitor(progress, cancelled), Stopwatch()
    sequences = _sequences(codes, batch)
    seeds = item_seeds(seed, max(batch, len(sequences)))
    plan: Plan | None = None
    asked: dict[str, Any] | None = None
    if think:
        from acestep_core.planner.think import Thinking
        from acestep_core.planner.think import think as think_first

        if sequences:
            raise InvalidInput("Thinking writes codes of its own; leave out either think or codes.")
        if models.lm is None:
            raise InvalidInput(
                "There is no language model to think with; fetch one with `acestep models download main`."
            )
        thinking = think if isinstance(think, Thinking) else Thinking()
        thinking = replace(thinking, seed=seeds[0] if thinking.seed is None else thinking.seed)
        with watch.stage("think"):
            thought = think_first(models.lm, song, seeds, thinking, DEFAULT_SECONDS, monitor=monitor)
        plan, song, sequences, asked = thought.plan, thought.song, thought.codes, asdict(thinking)
    seconds = song.duration or (None if sequences else DEFAULT_SECONDS)
    tasks = [text2music(seconds, sequence) for sequence in sequences] or [text2music(seconds)]
    if references:
        with watch.stage("encode"):
            settings = (settings or RenderSettings()).tiled(models.vae)
            clips = reference_latents(models.vae, references, reference_seed, monitor, settings.tile)
        tasks = [with_references(task, clips) for task in tasks]
    files = describe_recordings("reference", references)
    return render(
        song,
        tasks,
        seed=seeds[0],
        batch=len(seeds),
        models=models,
        settings=settings,
        finish=(peak_db, fade_in, fade_out),
        plan=plan,
        origin=Origin("generate", files=files, reference_seed=reference_seed, think=asked),
        monitor=monitor,
        watch=watch,
    )


def _sequences(codes: Sequence[int] | Sequence[Sequence[int]], batch: int) -> tuple[tuple[int, ...], ...]:
    """One sequence of codes for all songs, or one for each."""
    if not codes:
        return ()
    rows = [codes] if isinstance(codes[0], int) else codes
    sequences = tuple(check_codes(row) for row in rows)  # type: ignore[arg-type]
    if not all(sequences):
        raise CodesError("A song of the batch has no codes; give some for every song, or none at all.")
    if len(sequences) > 1 and batch not in (1, len(sequences)):
        raise InvalidInput(f"There are codes for {len(sequences)} songs, but the batch has {batch}; make them agree.")
    return sequences


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
    origin: Origin | None = None,
    monitor: Monitor | None = None,
    watch: Stopwatch | None = None,
) -> Generation:
    """Renders a song as its tasks say (one task for all items, or one for each).

    Args:
        finish: peak level, fade-in and fade-out, see `render.post.Finish`.
        origin: where the tasks came from, so that the songs can be made again.
    """
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.opening import open_models
    from acestep_core.render.conditioning import condition
    from acestep_core.render.post import Finish
    from acestep_core.render.stages import decode_latents, render_latents
    from acestep_core.seeds import item_seeds

    monitor, watch, settings = monitor or Monitor(), watch or Stopwatch(), settings or RenderSettings()
    if not isinstance(models, Models):
        models = open_models(models, variant)
    seeds = item_seeds(seed, batch if len(tasks) == 1 else len(tasks))
    times, guidance, sampling = settings.schedule(models.model), settings.guide(models.model), settings.sampling()
    settings, finishing = settings.resolved(models.model), Finish(*finish)
    with watch.stage("condition"):
        conditioning = condition(models.model, [song], tasks, monitor=monitor)
    with watch.stage("sample"):
        initial = settings.initial_noise(seeds, conditioning.frames)
        latents = render_latents(models.model, conditioning, seeds, times, guidance, sampling, initial, monitor)
    with watch.stage("decode"):
        settings = settings.tiled(models.vae)
        shift, rescale, tile = settings.latent_shift, settings.latent_rescale, settings.tile
        audio = decode_latents(models.vae, latents, tasks, finishing, shift, rescale, tile, monitor)
    codes = tuple(task.codes for task in tasks) if any(task.codes for task in tasks) else ()
    origin = replace(origin or Origin(), seeds=tuple(seeds), codes=codes, finish=asdict(finishing))
    return Generation(
        audio, latents, song, tuple(tasks), tuple(seeds), models, settings, watch.seconds, plan, origin=origin
    )

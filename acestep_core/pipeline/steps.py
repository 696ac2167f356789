"""The three steps of every song, for every door: conditioned, sampled, decoded. Each adds what it did to the story."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from acestep_core.bars import Meter
from acestep_core.builtin.timbre import recognised
from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import LONGEST, AudioLike, read_source
from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import (
    AddTrack,
    Complete,
    Cover,
    Decode,
    Extend,
    Extract,
    Finish,
    Morph,
    Repaint,
    TaskOptions,
    TextToMusic,
)
from acestep_core.pipeline.made import Made
from acestep_core.records.keeping import record_of
from acestep_core.records.origin import describe_recording
from acestep_core.render import tasks
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.conditioning import condition
from acestep_core.render.reference import reference_latents
from acestep_core.render.repaint import Region, extension_of, region_of
from acestep_core.render.settings import tile_for
from acestep_core.render.stages import decode_latents, encode_audio
from acestep_core.render.task import Task
from acestep_core.song.description import Song
from acestep_core.vocabulary import HOP, SAMPLE_RATE

FOREIGN_SAMPLER = "A sampler of another pack took part, so these songs get no record to make them again from."
LENT_MODEL = (
    "The model is one that ComfyUI holds, with changes nobody can tell, so these songs get no record; load its file "
    "with Load ACE-Step for one."
)
UNHEARD = (
    "The built-in toy hears drums and melody only in the first seconds of songs of its own, and this reference is "
    "none; name real weights."
)
DEFAULT_SECONDS = 120.0
"""Length of a song whose length nobody decided, as upstream's."""


class Stopwatch:
    """Wall time per stage."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = dict(seconds or {})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 4)


# --- tasks ----------------------------------------------------------------------------------------------------------


def tasks_for(
    options: TaskOptions,
    song: Song,
    vae: VAEHandle,
    *,
    recordings: Sequence[AudioLike] = (),
    codes: Sequence[Sequence[int]] = (),
    references: Sequence[tuple[AudioLike, int]] = (),
    tile: int | None = None,
    monitor: Monitor = SILENT,
) -> list[Task]:
    """One task for all songs, or one for each, of everything that they start from.

    Args:
        recordings: what to work on; codes: what text to music follows. None, one for all songs, or one for each.
        references: recordings whose timbre to take, each with the seed that chooses what is heard of it.
        tile: as in `source_task`.
    """
    if isinstance(options, TextToMusic):
        found = [text_task(song, options, sequence) for sequence in codes or [()]]
    else:
        timed = [options.in_seconds(meter_of(each, song)) if options.in_bars else options for each in recordings]
        found = [source_task(vae, each, options, tile, monitor) for each, options in zip(recordings, timed)]
    for recording, seed in references:
        found = with_reference(found, vae, recording, seed, tile, monitor)
    return found


def meter_of(recording: AudioLike, song: Song | None = None) -> Meter | None:
    """The meter of a recording: its own, where it is a song of this library or a file of one, or that of `song`."""
    if isinstance(recording, Made):
        song = recording.song if recording.song.bpm else song
    elif isinstance(recording, str | Path) and Path(recording).is_file():
        with suppress(InvalidInput):  # a recording of others says nothing
            known = record_of(Path(recording)).to_song()
            song = known if known.bpm else song
    return None if song is None else Meter.of(song.bpm, song.timesignature)


def text_seconds(song: Song, options: TaskOptions, codes: Sequence[int] = ()) -> float | None:
    """The length of music from text; None where codes decide it."""
    asked = options.seconds if isinstance(options, TextToMusic) else None
    return asked or song.duration or (None if codes else DEFAULT_SECONDS)


def text_task(song: Song, options: TextToMusic, codes: Sequence[int] = ()) -> Task:
    """Music from text, or from text and codes. Where nothing decides its length, a song gets `DEFAULT_SECONDS`."""
    length = text_seconds(song, options, codes)
    task = tasks.text2music(length, codes, strength=options.codes_strength)
    return replace(task, options=replace(options, seconds=length))


def source_task(
    vae: VAEHandle, recording: AudioLike, options: TaskOptions, tile: int | None = None, monitor: Monitor = SILENT
) -> Task:
    """What to do with a recording, see `source_tasks`."""
    return source_tasks(vae, recording, (options,), tile, monitor)[0]


def source_tasks(
    vae: VAEHandle,
    recording: AudioLike,
    several: Sequence[TaskOptions],
    tile: int | None = None,
    monitor: Monitor = SILENT,
) -> list[Task]:
    """Several things to do with the same part of a recording, which is loaded and encoded once.

    Args:
        several: bars in them must bring their own tempo, see `TaskOptions.in_seconds`.
        tile: latent frames that the VAE takes at once; None is as many as fit the memory.

    Raises:
        AudioError: it cannot be read, or is too short or too long.
        InvalidInput: the options do not fit it.
    """
    several = [options.in_seconds(None) for options in several]
    read = read_source(recording)
    wave = read.waveform
    tasks.check_source(wave.shape[-1])
    regions = _regions(several[0], wave.shape[-1])
    canvas = regions[0].pad(wave) if regions else wave
    tiles: list[int] = []
    padded = tasks.whole_frames(canvas)[None]
    latents = encode_audio(vae, padded, tile=tile or tile_for(vae), monitor=monitor, note=tiles.append)
    known = recording if isinstance(recording, str | Path) else (wave, SAMPLE_RATE)
    file = describe_recording("source", known, encode_tile=tiles[-1])
    made = [(options, _task(options, latents, canvas, regions)) for options in several]
    return [replace(task, options=options, files=(file,), remarks=read.remarks) for options, task in made]


def with_reference(
    made_of: Sequence[Task],
    vae: VAEHandle,
    recording: AudioLike,
    seed: int,
    tile: int | None = None,
    monitor: Monitor = SILENT,
) -> list[Task]:
    """The tasks with the timbre of one more recording; `seed` chooses which thirty seconds of it are heard."""
    tiles: list[int] = []
    read = read_source(recording, limit=LONGEST)
    clip = reference_latents(vae, read.waveform, seed, monitor, tile or tile_for(vae), tiles.append)
    unheard = (UNHEARD,) if vae.toy and not recognised(clip[0]) else ()
    known = recording if isinstance(recording, str | Path) else (read.waveform, SAMPLE_RATE)
    file = describe_recording("reference", known, encode_tile=tiles[-1], clip_seed=seed)
    return [
        replace(
            task,
            references=(*task.references, clip),
            files=(*task.files, file),
            remarks=(*task.remarks, *read.remarks, *unheard),
        )
        for task in made_of
    ]


def _regions(options: TaskOptions, samples: int) -> tuple[Region, ...]:
    if isinstance(options, Repaint | AddTrack):
        return (region_of(options.start, options.end, samples),)
    if isinstance(options, Extend):
        return extension_of(options.before, options.after, samples)
    return ()


def _task(options: TaskOptions, latents: Tensor, canvas: Tensor, regions: tuple[Region, ...]) -> Task:
    samples = canvas.shape[-1]
    match options:
        case Cover(strength, noise_strength, fsq):
            return tasks.cover(latents, samples, strength=strength, noise_strength=noise_strength, fsq=fsq)
        case Repaint(_, _, mode, strength, chunk_mask, keep, _):
            held = {"mode": mode, "strength": strength, "chunk_mask": chunk_mask, "keep_outside": keep}
            return tasks.repaint(latents, canvas, regions[0], **held)  # type: ignore[arg-type]
        case AddTrack(track, _, _, mode, strength, chunk_mask, keep, _):
            held = {"mode": mode, "strength": strength, "chunk_mask": chunk_mask, "keep_outside": keep}
            return tasks.lego(latents, canvas, regions[0], track, **held)  # type: ignore[arg-type]
        case Extend(_, _, mode, strength, chunk_mask, _):
            return tasks.extend(latents, canvas, regions, mode=mode, strength=strength, chunk_mask=chunk_mask)  # type: ignore[arg-type]
        case Extract(track):
            return tasks.extract(latents, samples, track)
        case Complete(names):
            return tasks.complete(latents, samples, names)
        case Morph():
            return tasks.morph(latents, samples, options)
    raise InvalidInput(f"{options.CALL} works on no recording; leave the source out.")


# --- the steps ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Conditioned:
    """What the sampler reads, and what it was made from."""

    conditioning: Conditioning
    song: Song
    tasks: tuple[Task, ...]
    album_caption: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


def conditioned(
    model: ModelHandle,
    song: Song,
    made_of: Sequence[Task],
    album_caption: str = "",
    monitor: Monitor = SILENT,
    seconds: Mapping[str, float] | None = None,
) -> Conditioned:
    """Encodes song and tasks (one for all songs, or one for each). See `render.conditioning.condition`."""
    watch = Stopwatch(seconds)
    with watch.stage("condition"):
        found = condition(model, [song], made_of, album_caption, monitor)
    return Conditioned(found, song, tuple(made_of), album_caption if model.stems else "", watch.seconds)


@dataclass(frozen=True, eq=False)
class Decoded:
    """Audio `[B, 2, S]` at 48 kHz, the story of the songs in it that have one, and what there is to say about it."""

    audio: Tensor
    made: Made | None
    remark: str = ""


def decoded(
    vae: VAEHandle,
    latents: Tensor,
    made: Made | None,
    decode: Decode,
    finish: Finish,
    *,
    places: Sequence[int | None] | None = None,
    tasks: Sequence[Task] = (),
    monitor: Monitor = SILENT,
) -> Decoded:
    """From latents to audio.

    Args:
        latents: `[B, T, 64]`.
        made: their story, as far as it is known.
        places: of each song in `made`, None for one that is not there; left out, they are the same songs.
        tasks: what counts for songs without a story: one for all of them, or one for each song of the batch.
    """
    count = latents.shape[0]
    known = list(range(count)) if places is None and made is not None else list(places or [None] * count)
    spare = list(tasks) * (count if len(tasks) == 1 else 1)
    if spare and len(spare) != count:
        raise InvalidInput(f"There are {len(spare)} tasks for {count} songs; connect one, or one for each.")
    found = [
        made.task(place) if made is not None and place is not None else spare[item] if spare else None
        for item, place in enumerate(known)
    ]
    remark = _lost(found, latents.shape[1])
    if remark:
        made, found = None, [None] * count
    watch = Stopwatch(None if made is None else made.seconds)
    with watch.stage("decode"):
        tiles: list[int] = []
        tile, shift, rescale = decode.tile or tile_for(vae), decode.latent_shift, decode.latent_rescale
        audio = decode_latents(vae, latents, found, finish, shift, rescale, tile, monitor, note=tiles.append)
    if made is not None:
        settings = replace(made.settings, decode=replace(decode, tile=tiles[-1]))
        lost = made.unrecorded or ("" if vae.lent is None else LENT_MODEL)
        made = replace(made, settings=settings, vae=vae, finish=finish, seconds=watch.seconds, unrecorded=lost)
    return Decoded(audio, made, remark)


def _lost(found: Sequence[Task | None], frames: int) -> str:
    """What cannot be done for songs in a batch with others whose story is not known; empty if nothing is lost."""
    told = [task for task in found if task is not None]
    if len(told) == len(found):
        return ""
    if any(task.splice is not None for task in told) or any(task.samples <= (frames - 1) * HOP for task in told):
        return (
            "Some of these latents were changed on the way, so the recording is not put back and nothing is cut; "
            "connect the task to the decoder, or decode them apart."
        )
    return ""

"""The front door for songs that start from a recording: cover, repaint, extend, add a track, extract one, complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import AudioLike, load_source
from acestep_core.monitor import Monitor, ProgressCallback
from acestep_core.pipeline.generation import Generation, RenderSettings, Stopwatch, render
from acestep_core.records.origin import Origin, describe_recordings
from acestep_core.render.reference import reference_latents
from acestep_core.song.description import Song

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import Models
    from acestep_core.render.repaint import Region
    from acestep_core.render.task import Task


@dataclass(frozen=True)
class Options:
    """What every function of this module also takes, by name.

    Attributes:
        lyrics, song: as in `generate`; fields of `Song` (language, bpm, ...) may follow. The length is the source's.
        references: recordings whose timbre to take, one or several.
        reference_seed: which thirty seconds of a longer one are heard.
        seed, batch, models, variant, settings, progress, cancelled: as in `generate`.
        peak_db, fade_in, fade_out: finishing; none is applied where samples of the source are kept.
    """

    lyrics: str = ""
    song: Song | None = None
    references: Sequence[AudioLike] = ()
    reference_seed: int = 0
    seed: int | None = None
    batch: int = 1
    models: Models | str | Path | None = None
    variant: str | None = None
    settings: RenderSettings | None = None
    peak_db: float | None = -1.0
    fade_in: float = 0.0
    fade_out: float = 0.0
    progress: ProgressCallback | None = None
    cancelled: Callable[[], bool] | None = None
    song_fields: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: dict[str, Any]) -> Options:
        """Splits keyword arguments into options and fields of the song."""
        known = {name: given[name] for name in given if name in cls.__dataclass_fields__ and name != "song_fields"}
        return cls(**known, song_fields={name: value for name, value in given.items() if name not in known})


def cover(
    audio: AudioLike,
    caption: str = "",
    *,
    strength: float = 1.0,
    noise_strength: float = 0.0,
    fsq: bool = True,
    **options: Any,
) -> Generation:
    """Another rendition of a recording, in the style of the caption. See `render.tasks.cover` and `Options`."""
    from acestep_core.render import tasks

    def task(latents: Tensor, wave: Tensor) -> Task:
        return tasks.cover(latents, wave.shape[-1], strength=strength, noise_strength=noise_strength, fsq=fsq)

    call = Origin("cover", {"strength": strength, "noise_strength": noise_strength, "fsq": fsq})
    return _edit("cover" if fsq else "cover_nofsq", audio, caption, task, options, call)


def repaint(
    audio: AudioLike,
    start: float,
    end: float | None = None,
    caption: str = "",
    *,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    keep_outside: bool = True,
    **options: Any,
) -> Generation:
    """Makes `start` to `end` seconds anew; every sample outside stays. See `render.tasks.repaint` and `Options`.

    Args:
        end: None is the end of the recording; beyond it the song grows, as with a negative `start`.
    """
    from acestep_core.render import tasks
    from acestep_core.render.repaint import region_of

    held: dict[str, Any] = {"mode": mode, "strength": strength, "chunk_mask": chunk_mask}

    def task(latents: Tensor, canvas: Tensor, region: Region) -> Task:
        return tasks.repaint(latents, canvas, region, keep_outside=keep_outside, **held)

    call = Origin("repaint", {"start": start, "end": end, **held, "keep_outside": keep_outside})
    return _edit_regions("repaint", audio, caption, lambda n: (region_of(start, end, n),), task, options, call)


def extend(
    audio: AudioLike,
    after: float = 0.0,
    before: float = 0.0,
    caption: str = "",
    *,
    mode: str = "conservative",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    **options: Any,
) -> Generation:
    """Adds seconds after or before a recording, which stays as it is. See `render.tasks.extend` and `Options`."""
    from acestep_core.render import tasks
    from acestep_core.render.repaint import extension_of

    held: dict[str, Any] = {"mode": mode, "strength": strength, "chunk_mask": chunk_mask}

    def task(latents: Tensor, canvas: Tensor, *regions: Region) -> Task:
        return tasks.extend(latents, canvas, regions, **held)

    call = Origin("extend", {"after": after, "before": before, **held})
    return _edit_regions("extend", audio, caption, lambda n: extension_of(before, after, n), task, options, call)


def add_track(
    audio: AudioLike,
    track: str,
    caption: str = "",
    *,
    start: float = 0.0,
    end: float | None = None,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    **options: Any,
) -> Generation:
    """A new track that plays along with a recording, alone and ready to be mixed with it. Needs a base checkpoint.

    Args:
        track: one of the models' tracks, or an instrument such as saxophone, which is then also the default caption.
        start, end: seconds to play in; outside, the result is the recording itself.
    """
    from acestep_core.render import tasks
    from acestep_core.render.repaint import region_of

    tasks.check_tracks([track])
    held: dict[str, Any] = {"mode": mode, "strength": strength, "chunk_mask": chunk_mask}

    def task(latents: Tensor, canvas: Tensor, region: Region) -> Task:
        return tasks.lego(latents, canvas, region, track, **held)

    words = caption or ("" if options.get("song") else track)
    call = Origin("add_track", {"track": track, "start": start, "end": end, **held})
    return _edit_regions("lego", audio, words, lambda n: (region_of(start, end, n),), task, options, call)


def extract(audio: AudioLike, track: str, caption: str = "", **options: Any) -> Generation:
    """One track of a recording. Needs a base checkpoint. See `Options`."""
    from acestep_core.render import tasks

    tasks.check_tracks([track])
    call = Origin("extract", {"track": track})
    return _edit("extract", audio, caption, lambda z, w: tasks.extract(z, w.shape[-1], track), options, call)


def complete(audio: AudioLike, tracks: Sequence[str] = (), caption: str = "", **options: Any) -> Generation:
    """A full arrangement around a recording, such as a lone voice; `tracks` names what to add. Needs base."""
    from acestep_core.render import tasks

    tasks.check_tracks(tracks)
    call = Origin("complete", {"tracks": list(tracks)})
    return _edit("complete", audio, caption, lambda z, w: tasks.complete(z, w.shape[-1], tracks), options, call)


def morph(
    audio: AudioLike,
    source_caption: str,
    caption: str,
    *,
    source_lyrics: str = "",
    start: float = 0.0,
    end: float = 1.0,
    average: int = 1,
    **options: Any,
) -> Generation:
    """Moves a recording from one description to another (flow-edit). Meant for base and sft checkpoints.

    Args:
        source_caption, source_lyrics: describe the recording as it is.
        caption: describes the result; `lyrics` are the result's.
        start, end, average: see `render.flow_edit.FlowEdit`.
    """
    from acestep_core.render import tasks
    from acestep_core.render.flow_edit import FlowEdit

    edit = FlowEdit(source_caption, source_lyrics, start, end, average)

    def task(latents: Tensor, wave: Tensor) -> Task:
        return tasks.morph(latents, wave.shape[-1], edit)

    return _edit("text2music", audio, caption, task, options, Origin("morph", asdict(edit)))


def _edit(
    name: str,
    audio: AudioLike,
    caption: str,
    task: Callable[[Tensor, Tensor], Task],
    given: dict[str, Any],
    call: Origin,
) -> Generation:
    return _edit_regions(name, audio, caption, lambda samples: (), task, given, call)


def _edit_regions(
    name: str,
    audio: AudioLike,
    caption: str,
    regions_of: Callable[[int], tuple[Region, ...]],
    task_of: Callable[..., Task],
    given: dict[str, Any],
    call: Origin,
) -> Generation:
    """Loads, pads and encodes the source, makes the task of it and renders that."""
    from acestep_core.models.handles import Models
    from acestep_core.pipeline.opening import open_models
    from acestep_core.render import tasks
    from acestep_core.render.stages import encode_audio

    options = Options.of(given)
    song = _song(caption, options)
    models = options.models if isinstance(options.models, Models) else open_models(options.models, options.variant)
    tasks.check_task(name, models.model.info.kind, models.model.stems)
    wave = load_source(audio)
    tasks.check_source(wave.shape[-1])
    regions = regions_of(wave.shape[-1])
    canvas = regions[0].pad(wave) if regions else wave
    monitor, watch = Monitor(options.progress, options.cancelled), Stopwatch()
    with watch.stage("encode"):
        settings = (options.settings or RenderSettings()).tiled(models.vae)
        latents = encode_audio(models.vae, tasks.whole_frames(canvas)[None], tile=settings.tile, monitor=monitor)
        references = reference_latents(models.vae, options.references, options.reference_seed, monitor, settings.tile)
    task = tasks.with_references(task_of(latents, canvas, *regions), references)
    files = describe_recordings("source", [audio]) + describe_recordings("reference", options.references)
    return render(
        song,
        (task,),
        seed=options.seed,
        batch=options.batch,
        models=models,
        settings=settings,
        finish=(options.peak_db, options.fade_in, options.fade_out),
        origin=replace(call, files=files, reference_seed=options.reference_seed),
        monitor=monitor,
        watch=watch,
    )


def _song(caption: str, options: Options) -> Song:
    if options.song is None:
        if "duration" in options.song_fields:
            raise InvalidInput("The length is the recording's; leave out duration, or use extend to add seconds.")
        return Song.from_dict({"caption": caption, "lyrics": options.lyrics, **options.song_fields})
    if caption or options.lyrics or options.song_fields:
        raise InvalidInput("Give either a song or its fields (caption, lyrics, ...), not both.")
    return options.song

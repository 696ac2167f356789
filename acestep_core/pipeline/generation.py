"""The front door: one call makes a song, and what it gives can be looked at, changed and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor

from acestep_core.declared import options_of
from acestep_core.errors import CodesError, InvalidInput
from acestep_core.io.recordings import AudioLike
from acestep_core.models.ahead import read_ahead
from acestep_core.models.handles import Models
from acestep_core.monitor import SILENT, Monitor, ProgressCallback
from acestep_core.options import (
    AddTrack,
    Complete,
    Cover,
    Extend,
    Extract,
    Morph,
    RenderSettings,
    Repaint,
    TaskOptions,
    TextToMusic,
    track_in,
)
from acestep_core.pipeline.made import Made
from acestep_core.pipeline.opening import needed_lm
from acestep_core.pipeline.request import Request
from acestep_core.pipeline.sampling import sampled
from acestep_core.pipeline.starting import LatentLike, part_of, start_from
from acestep_core.pipeline.steps import (
    DEFAULT_SECONDS,
    Stopwatch,
    conditioned,
    decoded,
    tasks_for,
)
from acestep_core.render.settings import tile_for
from acestep_core.render.start import StartLatents
from acestep_core.render.tasks import check_task
from acestep_core.seeds import item_seeds
from acestep_core.song.codes import check_codes, text_to_codes
from acestep_core.song.description import Song
from acestep_core.values import counted

if TYPE_CHECKING:
    from acestep_core.planner.plan import Plan
    from acestep_core.planner.think import Thinking


AT_ONCE = 8
"""Songs of a large batch that are made together, as many as upstream allows at most."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Generation(Made):
    """Songs of a batch and everything that made them, see `Made`.

    `len`, `[i]`, slices and loops give its songs, each a `Generation` again. Every method that changes songs is the
    function of the front door of that name with the songs as its recording, which must be one: `result[0].cover(...)`.

    Attributes:
        audio: `[B, 2, S]` float32 at 48 kHz.
        latents: `[B, T, 64]`.
    """

    audio: Tensor
    latents: Tensor
    sample_rate: int = 48000

    @classmethod
    def of(cls, made: Made, audio: Tensor, latents: Tensor, **more: Any) -> Self:
        """Songs with their story; `more` is what the story does not know yet."""
        story = {name: getattr(made, name) for name in Made.__dataclass_fields__}
        return cls(audio=audio, latents=latents, **story | more)

    def select(self, items: Sequence[int]) -> Self:
        """Some of the songs, in the order asked for, counted from 0."""
        chosen = list(items)
        return replace(super().select(chosen), audio=self.audio[chosen], latents=self.latents[chosen])

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, item: int | slice) -> Self:
        places = range(len(self))[item]  # counts from the end, too, and refuses what is not there
        return self.select([places] if isinstance(places, int) else places)

    def __iter__(self) -> Iterator[Self]:
        return (self[item] for item in range(len(self)))

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.audio.shape[-1] / self.sample_rate

    def __repr__(self) -> str:
        seeds = ", ".join(map(str, self.seeds[:4])) + (", …" if len(self) > 4 else "")
        songs = counted(len(self), "song")
        return f"<{songs} of {self.duration:.1f} s by {self.model.variant}, seed {seeds}: {self.song.caption[:60]!r}>"

    def _repr_html_(self) -> str:
        from acestep_core.pipeline.notebook import html_of

        return html_of(self)

    def save(
        self,
        path: str | Path,
        format: str | None = None,
        bitrate: int | None = None,
        *,
        record: bool = True,
        subtitles: str | Sequence[str] = (),
        monitor: Monitor = SILENT,
    ) -> list[Path]:
        """Writes every song, never over an existing file; returns the paths of the audio.

        Args:
            path: the file to write. A batch, and a name that is taken, get numbers: `song_00001.flac`.
            format: a key of `formats.FORMATS`; None goes by the file's suffix.
            bitrate: kbit/s, for mp3 and opus.
            record: writes beside each song a JSON file of the same name from which `replay` makes it again.
            subtitles: writes its timed lyrics too: `lrc`, `vtt`, `srt`, or `json` as `song.lyrics.json`. Where nobody
                has listened for them yet, this takes a moment and the model.

        Raises:
            InvalidInput: `path` is no path, or there is no such format.
            StorageError: the disk is full, or the folder cannot be written; what was written before is whole.
        """
        from acestep_core.io.formats import format_for
        from acestep_core.pipeline.saving import Keep, save

        if not isinstance(path, str | PathLike):
            raise InvalidInput(f"The file to write must be a path such as 'song.flac', not {path!r:.80}.")
        kinds = (subtitles,) if isinstance(subtitles, str) else tuple(subtitles)
        keep = Keep(format or format_for(path), bitrate, record, kinds)
        return save(self, Path(path), keep, monitor=monitor)

    def cover(self, caption: str = "", **more: Any) -> Generation:
        return self._edit(Cover, caption, more)

    def repaint(
        self, start: float | None = None, end: float | None = None, caption: str = "", **more: Any
    ) -> Generation:
        given = {} if start is None else {"start": start}
        return self._edit(Repaint, caption, more, end=end, **given)

    def extend(self, after: float = 0.0, before: float = 0.0, caption: str = "", **more: Any) -> Generation:
        return self._edit(Extend, caption, more, after=after, before=before)

    def add_track(self, track: str, caption: str = "", **more: Any) -> Generation:
        return self._edit(AddTrack, caption, more, track=track)

    def add_layer(self, description: str, **more: Any) -> Generation:
        return self._edit(AddTrack, description, more, track=track_in(description))

    def extract(self, track: str, caption: str = "", **more: Any) -> Generation:
        return self._edit(Extract, caption, more, track=track)

    def complete(self, tracks: Sequence[str] = (), caption: str = "", **more: Any) -> Generation:
        return self._edit(Complete, caption, more, tracks=tracks)

    def morph(self, source_caption: str, caption: str, **more: Any) -> Generation:
        return self._edit(Morph, caption, more, source_caption=source_caption)

    def _edit(self, group: type[TaskOptions], caption: str, more: Mapping[str, Any], **given: Any) -> Generation:
        names = {option.name for option in options_of(group)}
        given |= {name: value for name, value in more.items() if name in names}
        if name := group.lacks(given):
            raise InvalidInput(f"{group.CALL} needs {name}; give it by name.")
        return edit(self, caption, group(**given), {name: more[name] for name in more.keys() - names})


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
    codes_strength: float = 1.0,
    references: Sequence[AudioLike] = (),
    reference_seed: int = 0,
    latent: LatentLike | None = None,
    noise_mask: Any = None,
    models: Models | str | Path | None = None,
    variant: str | None = None,
    settings: RenderSettings | None = None,
    progress: ProgressCallback | bool | None = None,
    cancelled: Callable[[], bool] | None = None,
    **more: Any,
) -> Generation:
    """Makes songs from text.

    Args:
        caption, lyrics, duration: what to make; other fields of `Song` (language, bpm, keyscale, timesignature,
            instrumental) may follow by name. Or give a whole `song`. `prompt` is another word for the caption.
        duration: seconds, 10 to 600; None makes 120.
        seed: of the first item; item i has seed + i. None draws one, which the result tells.
        batch: how many songs.
        think: lets the language model plan the song and write its codes first; `Thinking` says how.
        codes: semantic codes to follow instead, five a second, such as those of a record: a sequence for all songs, or
            one for each. Without a duration the song is as long as they are.
        codes_strength: share of the steps that follow them.
        references: recordings whose timbre to take; `reference_seed` chooses which thirty seconds are heard.
        latent: what to start from instead of noise, with `denoise` or `start_step`: latents, songs of this library, a
            recording, or a file that ComfyUI's Save Latent wrote. Without a duration the song is as long.
        noise_mask: what of it is made anew: seconds such as `10-20, 35-40`, or numbers from 0 to 1 along the song.
        models: a checkpoint's folder or file, or what `open_models` returned; None takes what is found, or the tiny
            checkpoint.
        variant: which checkpoint, such as `turbo` or `base`, where the folder holds several.
        settings: how to sample; None is the checkpoint's preset.
        progress: called as `progress(stage, done, total, preview)`; None shows a bar on a terminal and in a notebook,
            False nothing.
        cancelled: asked at every step; True ends the call with `Cancelled`.
        more: fields of `Song`, and any option by its flat name (`options.TABLE`): `steps`, `guidance`, `method`,
            `peak_db`, `fade_out`, with `think` also `lm_temperature` or `plan_caption`; `album_caption` for stems
            checkpoints.

    Returns:
        The songs and what made them.

    Raises:
        AceStepError: with one sentence about what is wrong and what to do.
    """
    given = {name: value for name, value in locals().items() if name not in ("caption", "codes", "codes_strength")}
    given |= {"lyrics": None if lyrics == "" else lyrics, **given.pop("more")}
    options, request = TextToMusic(codes_strength=codes_strength), Request.of(caption, given)
    return make(request, options, codes=_sequences(codes, request.batch))


def make(
    request: Request,
    options: TaskOptions,
    recordings: Sequence[AudioLike] = (),
    codes: Sequence[tuple[int, ...]] = (),
) -> Generation:
    """The one way from a request to songs.

    Args:
        options: what to do.
        recordings: to do it with: one for all songs, or one for each.
        codes: for text to music: none, one sequence for all songs, or one for each.
    """
    models, monitor, watch = request.models, request.monitor, Stopwatch()
    check_task(options.task, models.model.info.kind, models.model.stems)
    read_ahead([models.lm if request.thinking else None, models.model.text, models.model, models.vae])
    song, plan, asked = request.song, None, None
    tile = tile_for(models.vae, request.settings.decode.tile)
    with watch.stage("encode"):
        begin = _begin(request, tile)
    if begin is not None and isinstance(options, TextToMusic) and not (codes or song.duration or request.thinking):
        options = replace(options, seconds=options.seconds or begin.seconds)
    seeds = item_seeds(request.seed, _count(request, codes, recordings, begin))
    if request.thinking is not None:
        if codes or recordings:
            raise InvalidInput("Thinking writes codes of its own; leave out either think or what it would replace.")
        with watch.stage("think"):
            plan, song, codes, asked = _thought(request, seeds)
    with watch.stage("encode"):
        tasks = tasks_for(
            options,
            song,
            models.vae,
            recordings=recordings,
            codes=codes,
            references=request.references,
            tile=request.encode_tile or tile,
            monitor=monitor,
        )
    what = conditioned(models.model, song, tasks, request.album_caption, monitor, watch.seconds)
    latents, made = sampled(models.model, what, seeds[0], len(seeds), request.settings, monitor, request.at_once, begin)
    decode = replace(made.settings.decode, tile=tile)
    done = decoded(models.vae, latents, made, decode, request.finish, monitor=monitor)
    assert done.made is not None
    origin = replace(made.origin, think=asked)
    notes = tuple(dict.fromkeys((*request.song.notes, *done.made.notes)))
    return Generation.of(done.made, done.audio, latents, lm=models.lm, plan=plan, origin=origin, notes=notes)


def edit(audio: AudioLike, caption: str, options: TaskOptions, more: Mapping[str, Any]) -> Generation:
    """Songs from a recording; see `pipeline.editing` for the functions that call this.

    Args:
        more: what else the front door takes, by name.
    """
    if more.get("duration") is not None:
        raise InvalidInput("The length is the recording's; leave out duration, or use extend to add seconds.")
    if isinstance(options, AddTrack) and not (caption or more.get("prompt") or more.get("song")):
        caption = options.track
    return make(Request.of(caption, more, options.task, audio), options, [audio])


def make_in_parts(
    request: Request,
    options: TaskOptions,
    recordings: Sequence[AudioLike] = (),
    codes: Sequence[tuple[int, ...]] = (),
    size: int = AT_ONCE,
) -> Iterator[Generation]:
    """`make` for a large batch, `size` songs at a time, so that they can be kept before the next ones are made. They
    are the songs of one batch: one plan, seeds that go up.
    """
    begin = _begin(request, tile_for(request.models.vae, request.settings.decode.tile))
    seeds = item_seeds(request.seed, _count(request, codes, recordings, begin))
    thinking, sampling = request.thinking, request.settings.sampling
    if thinking is not None and thinking.seed is None:
        thinking = replace(thinking, seed=seeds[0])
    retakes = item_seeds(sampling.retake_seed, len(seeds))
    for start in range(0, len(seeds), size):
        part = slice(start, start + size)
        settings = request.settings
        if sampling.retake_variance > 0:
            settings = replace(settings, sampling=replace(sampling, retake_seed=retakes[start]))
        yield make(
            replace(
                request,
                seed=seeds[start],
                batch=len(seeds[part]),
                thinking=thinking,
                settings=settings,
                latent=part_of(begin, start, start + size),
                noise_mask=None,
            ),
            options,
            recordings[part] if len(recordings) > 1 else recordings,
            codes[part] if len(codes) > 1 else codes,
        )


def _begin(request: Request, tile: int) -> StartLatents | None:
    """What the songs start from instead of noise."""
    vae, tile = request.models.vae, request.encode_tile or tile
    return start_from(request.latent, request.noise_mask, vae=vae, tile=tile, monitor=request.monitor)


def _count(request: Request, codes: Sequence, recordings: Sequence, begin: StartLatents | None) -> int:
    """How many songs are made."""
    return max(request.batch, len(codes), len(recordings), 0 if begin is None else len(begin.latents))


def _thought(request: Request, seeds: Sequence[int]) -> tuple[Plan, Song, tuple[tuple[int, ...], ...], dict[str, Any]]:
    from acestep_core.planner.think import think

    assert request.thinking is not None
    thinking = replace(request.thinking, seed=seeds[0] if request.thinking.seed is None else request.thinking.seed)
    thought = think(needed_lm(request.models), request.song, seeds, thinking, DEFAULT_SECONDS, monitor=request.monitor)
    return thought.plan, thought.song, thought.codes, asdict(thinking)


def _sequences(codes: Any, batch: int) -> tuple[tuple[int, ...], ...]:
    """One sequence of codes for all songs, or one for each: numbers, an array of them, or text."""
    if isinstance(codes, str):
        codes = text_to_codes(codes)
    given = codes.tolist() if hasattr(codes, "tolist") else codes
    if not isinstance(given, Iterable):
        raise CodesError(f"Codes are a sequence of whole numbers, or one for each song, not {codes!r:.80}.")
    rows = list(given)
    if not rows:
        return ()
    if not all(isinstance(row, Iterable) for row in rows):
        rows = [rows]
    sequences = tuple(text_to_codes(row) if isinstance(row, str) else check_codes(row) for row in rows)
    if not all(sequences):
        raise CodesError("A song of the batch has no codes; give some for every song, or none at all.")
    if len(sequences) > 1 and batch not in (1, len(sequences)):
        raise InvalidInput(f"There are codes for {len(sequences)} songs, but the batch has {batch}; make them agree.")
    return sequences

"""Songs as files: the audio, and beside it the record and the timed lyrics under the same name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from acestep_core import __version__
from acestep_core.errors import AceStepError, InvalidInput, StorageError
from acestep_core.io.atomic import atomic_write
from acestep_core.io.audio import write_audio
from acestep_core.io.formats import FORMATS
from acestep_core.io.names import NUMBER, PLAIN
from acestep_core.io.staging import Content, write_song
from acestep_core.judge.subtitles import WRITERS, write_subtitles
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.keeping import RECORD
from acestep_core.records.song_record import TAG

if TYPE_CHECKING:
    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.pipeline.generation import Generation
    from acestep_core.pipeline.made import Made

ENCODER = f"acestep-nodes {__version__}"


@dataclass(frozen=True)
class Keep:
    """How songs are kept.

    Attributes:
        format: a key of `formats.FORMATS`; bitrate: kbit/s, None for the usual one.
        record: writes what made a song into a file beside it, from which `replay` makes it again.
        subtitles: writes its timed lyrics too: keys of `subtitles.WRITERS`.
        graph: of the song, in API form, for its record; `workflow`: further texts for its tags by name.
    """

    format: str = "flac"
    bitrate: int | None = None
    record: bool = True
    subtitles: tuple[str, ...] = ()
    graph: Mapping[str, Any] | None = None
    workflow: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InvalidInput(f"There is no format {self.format!r}; choose one of {', '.join(FORMATS)}.")
        for kind in self.subtitles:
            if kind not in WRITERS:
                raise InvalidInput(f"There is no subtitle format {kind!r}; choose one of {', '.join(WRITERS)}.")

    @property
    def file(self) -> dict[str, Any]:
        """What a record says of the file."""
        form = FORMATS[self.format]
        return {"format": self.format, "bitrate": self.bitrate or form.bitrate if form.bitrates else None}


def subtitle_suffix(kind: str) -> str:
    """The end of a file name, beside `RECORD` and the formats of audio."""
    return ".lyrics.json" if kind == "json" else f".{kind}"


def save(made: Generation, path: Path, keep: Keep, monitor: Monitor = SILENT, numbered: bool = False) -> list[Path]:
    """See `Generation.save`. All audio comes before lyrics are listened for, so that this can cost no song.

    Args:
        numbered: gives a single song a number, too, for it is one of several.
    """
    make_folder(path.parent)
    count, stem, sung = len(made.seeds), path.with_suffix("").name, made.timing
    rule = NUMBER if numbered or count > 1 else PLAIN
    batch = Batch([(path.parent, stem)] * count, made.audio, made.sample_rate, made, range(count), sung)
    written = [files[0] for files in save_songs([batch], keep, rule)]
    if keep.subtitles and not sung:
        from acestep_core.pipeline.takes import listen_to_takes

        for target, heard in zip(written, listen_to_takes(made, monitor), strict=True):
            for suffix, text in _lyrics(heard, keep).items():
                with atomic_write(target.with_suffix(suffix), new=True) as temporary:
                    temporary.write_text(text, encoding="utf-8")
    return written


@dataclass(frozen=True, eq=False)
class Batch:
    """Songs that are to become files.

    Attributes:
        where: folder and stem of each; songs: `[B, C, S]`, with their sample rate.
        made, places: their story, and the place of each in it; None for what other nodes made.
        sung: timed lyrics of each, as far as there are any.
    """

    where: Sequence[tuple[Path, str]]
    songs: Tensor
    sample_rate: int
    made: Made | None
    places: Sequence[int | None]
    sung: Sequence[SungLyrics] = ()


def save_songs(batches: Sequence[Batch], keep: Keep, rule: str = NUMBER) -> list[list[Path]]:
    """Writes the songs of some batches, see `save_song`. What fails for one costs no other: it is raised last.

    All are encoded at once, for encoders use one processor and let others run; names, records and lyrics come in turn.
    """
    jobs: list[Future[list[Path]]] = []
    with ThreadPoolExecutor(thread_name_prefix="acestep-encode") as pool:
        for batch in batches:
            for index, song in enumerate(batch.songs):
                heard = batch.sung[index] if index < len(batch.sung) else None
                folder, stem = batch.where[index]
                made, item = batch.made, batch.places[index]
                turn = partial(wait, jobs.copy())  # of all before it: one that fails does not wait for its own turn
                jobs.append(
                    pool.submit(
                        save_song, folder, stem, song, batch.sample_rate, made, item, keep, heard, rule, turn=turn
                    )
                )
    written, failed = [], None
    for job in jobs:
        try:
            written.append(job.result())
        except AceStepError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return written


def save_song(
    folder: Path,
    stem: str,
    song: Tensor,
    sample_rate: int,
    made: Made | None,
    item: int | None,
    keep: Keep,
    sung: SungLyrics | None = None,
    rule: str = NUMBER,
    turn: Callable[[], object] | None = None,
) -> list[Path]:
    """Writes one song `[2, S]` and all that lies beside it under one free name; returns the paths, the audio's first.

    Args:
        made, item: its story; None for audio that other nodes made, of which only the graph is known, or nothing.
        sung: its timed lyrics.
        rule: how it gets its name, see `io.names`; turn: when, see `write_song`.
    """
    audio = FORMATS[keep.format].suffix
    files: dict[str, Content] = {
        audio: lambda path: write_audio(path, song, sample_rate, keep.format, keep.bitrate, tags_of(made, item, keep))
    }
    told = made is not None and item is not None and not made.unrecorded
    if keep.record and (told or keep.graph is not None):
        files[RECORD] = lambda path: path.write_text(record_text(made, item, keep), encoding="utf-8")
    files |= _lyrics(sung, keep)
    later = [suffix for suffix in map(subtitle_suffix, keep.subtitles) if suffix not in files]
    return list(write_song(folder, stem, files, rule=rule, reserved=later, turn=turn).values())


def _lyrics(sung: SungLyrics | None, keep: Keep) -> dict[str, str]:
    if sung is None:
        return {}
    return {subtitle_suffix(kind): write_subtitles(sung.lyrics, kind, tags=False) for kind in keep.subtitles}


def tags_of(made: Made | None, item: int | None, keep: Keep) -> dict[str, str]:
    """What players show, and everything once more for programs. The same song gives the same tags."""
    tags = dict(keep.workflow or {}) | {"encoder": ENCODER}
    if made is None or item is None:
        return tags
    if made.unrecorded:
        return tags | made.tags(item)
    untimed = replace(made, seconds={})  # so that the same song is the same file, however long it took
    record = untimed.record(item, file=keep.file, hashes=False)
    return tags | made.tags(item) | {TAG: json.dumps(record.to_dict())}


def record_text(made: Made | None, item: int | None, keep: Keep) -> str:
    """The record as JSON; of audio that other nodes made only the graph is known, or nothing."""
    if made is None or item is None or made.unrecorded:
        return "" if keep.graph is None else json.dumps({"prompt": keep.graph}, indent=2)
    return made.record(item, file=keep.file, graph=keep.graph).to_json()


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it. Raises StorageError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be created; allow it or choose another one.") from error

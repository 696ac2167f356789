"""Songs as files: the audio, and beside it the record and the timed lyrics under the same name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from acestep_core import __version__
from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io.audio import FORMATS, format_for, write_audio
from acestep_core.io.files import atomic_write, unique_path
from acestep_core.judge.subtitles import WRITERS, write_subtitles
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.pipeline.generation import Generation
    from acestep_core.pipeline.made import Made

RECORD = ".json"
ENCODER = f"acestep-nodes {__version__}"


@dataclass(frozen=True)
class Keep:
    """How songs are kept.

    Attributes:
        format: a key of `audio.FORMATS`; bitrate: kbit/s, None for the usual one.
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

    @property
    def suffixes(self) -> list[str]:
        return [FORMATS[self.format].suffix, *([RECORD] if self.record else []), *map(subtitle_suffix, self.subtitles)]


def subtitle_suffix(kind: str) -> str:
    """The end of a file name, beside `RECORD` and the formats of audio."""
    return ".lyrics.json" if kind == "json" else f".{kind}"


def save(
    made: Generation,
    path: Path,
    format: str | None = None,
    bitrate: int | None = None,
    *,
    record: bool = True,
    subtitles: Sequence[str] = (),
    monitor: Monitor = SILENT,
) -> list[Path]:
    """See `Generation.save`. All audio comes first, so that nothing that fails later can cost a song."""
    keep = Keep(format or format_for(path), bitrate, record, tuple(subtitles))
    make_folder(path.parent)
    written = []
    for item in range(len(made.seeds)):
        with ExitStack() as stack:
            target = path.with_suffix(keep.suffixes[0])
            if len(made.seeds) > 1 or any(target.with_suffix(end).exists() for end in keep.suffixes):
                target = stack.enter_context(unique_path(path.parent, path.stem, keep.suffixes[0]))
            write_song(target, made.audio[item], made.sample_rate, made, item, keep)
        written.append(target)
    sung: Sequence[SungLyrics] = made.timing
    if subtitles and not sung:
        from acestep_core.pipeline.takes import listen_to_takes

        sung = listen_to_takes(made, monitor)
    for item, target in enumerate(written):
        write_siblings(target, made, item, keep, sung[item] if sung else None)
    return written


def write_song(target: Path, song: Tensor, sample_rate: int, made: Made | None, item: int | None, keep: Keep) -> None:
    """The audio `[2, S]` of one song, with its tags; of a song whose story is not known, only the graph."""
    write_audio(target, song, sample_rate, keep.format, keep.bitrate, tags_of(made, item, keep))


def write_siblings(
    target: Path, made: Made | None, item: int | None, keep: Keep, sung: SungLyrics | None = None
) -> list[Path]:
    """What lies beside the audio of one song: record and timed lyrics. Returns the paths."""
    texts = {}
    if keep.record and (text := record_text(made, item, keep)):
        texts[RECORD] = text
    if sung is not None:
        texts |= {subtitle_suffix(k): write_subtitles(sung.lyrics, k, tags=False) for k in keep.subtitles}
    for suffix, text in texts.items():
        write_text(target.with_suffix(suffix), text)
    return [target.with_suffix(suffix) for suffix in texts]


def tags_of(made: Made | None, item: int | None, keep: Keep) -> dict[str, str]:
    """What players show, and everything once more for programs. The same song gives the same tags."""
    tags = dict(keep.workflow or {}) | {"encoder": ENCODER}
    if made is None or item is None:
        return tags
    untimed = replace(made, seconds={})  # so that the same song is the same file, however long it took
    record = untimed.record(item, file=keep.file, hashes=False)
    return tags | made.tags(item) | {"acestep": json.dumps(record.to_dict())}


def record_text(made: Made | None, item: int | None, keep: Keep) -> str:
    """The record as JSON; of audio that other nodes made only the graph is known, or nothing."""
    if made is None or item is None:
        return "" if keep.graph is None else json.dumps({"prompt": keep.graph}, indent=2)
    return made.record(item, file=keep.file, graph=keep.graph).to_json()


def write_text(path: Path, text: str) -> None:
    """UTF-8, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def make_folder(folder: Path) -> None:
    """Creates a folder and those above it. Raises StorageError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be created; allow it or choose another one.") from error

"""A record read back into what the front door takes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from acestep_core.declared import Options, options_of
from acestep_core.errors import InvalidInput
from acestep_core.options import RENDER_GROUPS, TASKS, Finish, RenderSettings, TaskOptions
from acestep_core.records.song_record import FileRecord, SongRecord
from acestep_core.seeds import item_seeds
from acestep_core.song.codes import check_codes
from acestep_core.song.description import Song

log = logging.getLogger(__name__)

Group = TypeVar("Group", bound=Options)


@dataclass(frozen=True)
class Recipe:
    """How a song was made, in the terms of `pipeline.generation.make`.

    Attributes:
        options: what was done, and to do with `sources`.
        seeds: of the whole batch, of which the song is number `item`.
        at_once: how many songs of it were sampled together; None is all.
        codes: none, one sequence for all songs of the batch, or one for each.
        sources, references: recordings; references say which part of them was heard.
        latent: what it started from instead of noise, with its noise mask.
        encode_tile: latent frames at once in which they were encoded; None where nobody wrote it down.
    """

    song: Song
    options: TaskOptions
    seeds: tuple[int, ...]
    item: int
    at_once: int | None
    codes: tuple[tuple[int, ...], ...]
    settings: RenderSettings
    finish: Finish
    album_caption: str
    sources: tuple[FileRecord, ...]
    references: tuple[FileRecord, ...]
    latent: FileRecord | None
    encode_tile: int | None

    @classmethod
    def of(cls, record: SongRecord, alone: bool = False) -> Recipe:
        """What a record says.

        Args:
            alone: only this song of a batch, which is faster and may change its last bits.

        Raises:
            InvalidInput: the record is damaged, or does not say how its song was made.
        """
        seeds, item, codes = _batch(record, alone)
        sources = tuple(file for file in record.files if file.role == "source")
        if len(sources) not in (0, 1, len(seeds)):
            sources = sources[item : item + 1] if alone else ()
        references = tuple(file for file in record.files if file.role == "reference")
        latent = next((file for file in record.files if file.role == "latent"), None)
        heard = (*sources, *references, *([] if latent is None else [latent]))
        tiles = [file.extra.get("encode_tile") for file in heard]
        album = record.task.get("album_caption", "")
        return cls(
            song=record.to_song(),
            options=_options(record),
            seeds=tuple(seeds),
            item=item,
            at_once=_at_once(record, len(seeds)),
            codes=tuple(codes),
            settings=settings_of(record.settings),
            finish=_read(Finish, "finish", {k: v for k, v in record.finish.items() if k in _FINISH}),
            album_caption=album if isinstance(album, str) else "",
            sources=sources,
            references=_one_song(references, len(sources)),
            latent=latent,
            encode_tile=next((tile for tile in tiles if isinstance(tile, int)), None),
        )

    @property
    def seed(self) -> int:
        """Of the song itself."""
        return self.seeds[self.item]

    def clip_seed(self, record: SongRecord, reference: FileRecord) -> int:
        """Which thirty seconds of a reference were heard."""
        return int(reference.extra.get("clip_seed", record.seeds.get("reference", 0)))


_FINISH = frozenset(entry.flat for entry in options_of(Finish))


def settings_of(values: Mapping[str, Any]) -> RenderSettings:
    """Settings as a record holds them; what this version does not know is logged and left out."""
    flat = dict(values)
    wavelet = flat.get("wavelet", "off")
    if isinstance(wavelet, Mapping):  # until version 0.1
        named = {"mode": "wavelet", "low": "wavelet_low", "high": "wavelet_high"}
        flat |= {"wavelet": "double", **{named[name]: value for name, value in wavelet.items() if name in named}}
    elif wavelet is None:
        flat["wavelet"] = "off"
    for name in sorted(flat.keys() - RenderSettings.named(flat).keys()):
        log.warning("settings.%s is not known to this version and has no effect.", name)
    groups: dict[str, Any] = {name: _read(group, "settings", flat) for name, group in RENDER_GROUPS.items()}
    return RenderSettings(**groups)


def _read(group: type[Group], where: str, values: Mapping[str, Any]) -> Group:
    try:
        return group.from_flat(values)
    except InvalidInput as error:
        raise InvalidInput(f"The record's {where}.{str(error).rstrip('.')}; correct the file.") from error


def _options(record: SongRecord) -> TaskOptions:
    call, given = record.task.get("call"), record.task.get("arguments", {})
    if not isinstance(call, str) or call not in TASKS:
        if record.graph is not None:
            raise InvalidInput("This song was made by a graph; make it again with `acestep run` of its record.")
        raise InvalidInput("This record does not say how its song was made, so it cannot be made again from it alone.")
    if not isinstance(given, Mapping):
        raise InvalidInput("The record's task.arguments must be a table; correct the file.")
    group = TASKS[call]
    known = {entry.name for entry in options_of(group)}
    for name in given:
        if name not in known:
            raise InvalidInput(f"The record's task.arguments.{name} is nothing that {call} takes; correct the file.")
    if name := group.lacks(given):
        raise InvalidInput(f"The record's task.arguments lack {name}; correct the file.")
    return _read(group, "task.arguments", given)


def _batch(record: SongRecord, alone: bool) -> tuple[list[int], int, list[tuple[int, ...]]]:
    """Seeds of the batch, the song's place in it, and the codes of all songs or one sequence for all."""
    codes = [record.codes] if record.codes else []
    seeds, item = record.task.get("seeds"), record.task.get("index", 0)
    if alone or seeds is None:
        return [record.seeds["noise"]], 0, codes
    whole = isinstance(seeds, list) and all(map(_is_whole, [*seeds, item])) and 0 <= item < len(seeds)
    if not whole or seeds != item_seeds(seeds[0], len(seeds)) or seeds[item] != record.seeds["noise"]:
        raise InvalidInput("The record's task.seeds and task.index do not fit its seed; correct the file.")
    rows = record.task.get("codes")
    if rows is None:
        return seeds, item, codes
    if not isinstance(rows, list) or len(rows) != len(seeds) or not all(isinstance(row, list) for row in rows):
        raise InvalidInput("The record's task.codes must be one list of codes for each seed; correct the file.")
    batch = [check_codes(row) for row in rows]
    batch[item] = record.codes  # which a user may have edited
    return seeds, item, batch


def _at_once(record: SongRecord, batch: int) -> int | None:
    found = record.task.get("at_once")
    if found is not None and (not _is_whole(found) or found < 1):
        raise InvalidInput(f"The record's task.at_once must be a number of songs, not {found!r}; correct the file.")
    return found if found is not None and found < batch else None


def _one_song(references: tuple[FileRecord, ...], sources: int) -> tuple[FileRecord, ...]:
    """The references of one song, where every song of a batch from several sources names its own."""
    return references[: len(references) // sources] if sources > 1 else references


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

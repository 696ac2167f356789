"""A made batch and where it came from: one value, whichever door the songs were made through."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from acestep_core.errors import InvalidInput
from acestep_core.models.handles import LMHandle, ModelHandle, Models, VAEHandle
from acestep_core.options import Finish, RenderSettings
from acestep_core.records.origin import Origin
from acestep_core.song.description import Song

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.judge.lyric_timing import SungLyrics
    from acestep_core.planner.plan import Plan
    from acestep_core.records.song_record import SongRecord
    from acestep_core.render.task import Task

TITLE_LENGTH = 120


@dataclass(frozen=True, eq=False, kw_only=True)
class Made:
    """What made the songs of a batch, or of a part of one.

    Attributes:
        song: what was rendered, the plan merged in.
        tasks: one for all songs, or one for each.
        seeds: of each song; run one alone with its seed to get it again.
        model, vae, lm: what made them; the VAE is None until they are decoded.
        settings: with nothing left open, see `render.settings.resolved`.
        finish: how they were finished.
        origin: of the batch as it was made, of which these songs may be a part.
        places: of the songs in that batch.
        plan: what the language model decided, if it was asked.
        scores: of each song, by name, where they were judged.
        timing: when each line is sung, of each song, where that was listened for.
        seconds: wall time of each stage.
        notes: what of the song was not taken as it was written, or is not read by the model, one sentence each.
        unrecorded: why the songs can have no record, in a sentence; empty where they can.
    """

    song: Song
    tasks: tuple[Task, ...]
    seeds: tuple[int, ...]
    model: ModelHandle
    settings: RenderSettings
    origin: Origin
    vae: VAEHandle | None = None
    lm: LMHandle | None = None
    finish: Finish = Finish()  # noqa: RUF009
    places: tuple[int, ...] = ()
    plan: Plan | None = None
    scores: tuple[Mapping[str, Any], ...] = ()
    timing: tuple[SungLyrics, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unrecorded: str = ""

    def __post_init__(self) -> None:
        if not self.places:
            object.__setattr__(self, "places", tuple(range(len(self.seeds))))

    @property
    def models(self) -> Models:
        """The handles together. The songs must have been decoded."""
        assert self.vae is not None
        return Models(self.model, self.vae, self.lm)

    @property
    def tiny(self) -> bool:
        """Whether the built-in test checkpoint had a part in it, which makes noise instead of music."""
        return any(part is not None and part.tiny for part in (self.model, self.vae, self.lm))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to say about the song and the recordings it was made from, one sentence each."""
        said = (text for task in self.tasks for text in task.remarks)
        return tuple(dict.fromkeys(filter(None, (self.unrecorded, *self.notes, *self.song.remarks(), *said))))

    def task(self, item: int) -> Task:
        return self.tasks[item if len(self.tasks) > 1 else 0]

    def select(self, items: Sequence[int]) -> Self:
        """Some of the songs, in the order asked for, counted from 0."""

        def part(values: tuple) -> tuple:
            return tuple(values[item] for item in items) if values else ()

        return replace(
            self,
            tasks=tuple(self.task(item) for item in items),
            seeds=part(self.seeds),
            places=part(self.places),
            scores=part(self.scores),
            timing=part(self.timing),
        )

    def record(
        self,
        item: int = 0,
        *,
        file: Mapping[str, Any] | None = None,
        graph: Mapping[str, Any] | None = None,
        hashes: bool = True,
    ) -> SongRecord:
        """Everything needed to make one of the songs again, see `replay`.

        Args:
            file: what is known of the saved file, such as its format.
            graph: the API-format workflow, where a graph made it.
            hashes: also tells the models by their content; their files are read once for that, and it is remembered.

        Raises:
            InvalidInput: what made the songs cannot be told, see `unrecorded`.
        """
        if self.unrecorded:
            raise InvalidInput(self.unrecorded)
        from acestep_core.pipeline.provenance import record_of

        return record_of(self, item, file or {}, graph, hashes)

    def tags(self, item: int = 0) -> dict[str, str]:
        """What a player shows of one of the songs, and its seed."""
        song = self.song
        shown = {"title": song.caption[:TITLE_LENGTH], "lyrics": song.lyrics, "bpm": str(song.bpm or "")}
        shown |= {"key": song.keyscale, "seed": str(self.seeds[item])}
        return {name: text for name, text in shown.items() if text}


@dataclass(frozen=True, eq=False)
class Cargo:
    """A `Made` on its way, and how to know again what it belongs to: by the content of each song."""

    made: Made
    digests: tuple[str, ...]

    @classmethod
    def of(cls, made: Made, songs: Tensor) -> Cargo:
        """For songs as they leave, `[B, ...]`, one entry of `made` each."""
        return cls(made, digests_of(songs))

    def found(self, songs: Tensor) -> tuple[int | None, ...]:
        """For each song that arrives, its place in `made`; None for one that is not, or no longer, what was made."""
        return tuple(self.digests.index(digest) if digest in self.digests else None for digest in digests_of(songs))


def digests_of(songs: Tensor) -> tuple[str, ...]:
    """The content of each of `[B, ...]`, its length and number format included."""
    found = []
    for song in songs:
        content = hashlib.sha256(f"{song.dtype}{tuple(song.shape)}".encode())
        content.update(song.detach().cpu().contiguous().numpy().view("uint8").data)
        found.append(content.hexdigest())
    return tuple(found)

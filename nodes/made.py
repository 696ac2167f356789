"""What travels with conditioning, latents and audio, so that later nodes know what they were made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acestep_core.models.handles import ModelHandle, VAEHandle
    from acestep_core.render.conditioned import Conditioning
    from acestep_core.render.task import Task
    from acestep_core.song.description import Song


@dataclass(frozen=True, eq=False)
class Conditioned:
    """What the conditioning wire carries: what the sampler reads, and what it was made from."""

    conditioning: Conditioning
    song: Song
    tasks: tuple[Task, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class MadeFrom:
    """Travels with latents, for the decoder to cut and splice, and with audio, for the record that is saved with it.

    Attributes:
        tasks: one for all songs, or one for each.
        seeds: of each song.
        places: of the songs in the batch as it was sampled, of which these may be a part.
        settings: how they were sampled and finished, in the words of the library's settings.
        vae: what decoded them, once that has happened.
        scores: of each song by name, where they were judged.
        seconds: wall time of each stage, when it last ran.
    """

    tasks: tuple[Task, ...]
    song: Song
    seeds: tuple[int, ...]
    model: ModelHandle
    settings: dict[str, Any]
    places: tuple[int, ...] = ()
    vae: VAEHandle | None = None
    finish: dict[str, float | None] = field(default_factory=dict)
    scores: tuple[Mapping[str, float | None], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.places:
            object.__setattr__(self, "places", tuple(range(len(self.seeds))))

    def task(self, item: int) -> Task:
        return self.tasks[item if len(self.tasks) > 1 else 0]

    def select(self, items: Sequence[int]) -> MadeFrom:
        """Some of the songs, in the order asked for, counted from 0."""
        return replace(
            self,
            tasks=tuple(self.task(item) for item in items),
            seeds=tuple(self.seeds[item] for item in items),
            places=tuple(self.places[item] for item in items),
            scores=tuple(self.scores[item] for item in items) if self.scores else (),
        )

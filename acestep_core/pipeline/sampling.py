"""From noise to latents, for one request or for several at once.

A song of a batch is the song of its seed within float rounding, see `render.sampler`. So songs that were asked for one
by one are made in one batch where they are alike; their story says how many went together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.models.handles import ModelHandle
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import RenderSettings
from acestep_core.pipeline.made import Made
from acestep_core.pipeline.steps import FOREIGN_SAMPLER, LENT_MODEL, Conditioned, Stopwatch
from acestep_core.records.origin import Origin
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.parts import joined, kind_of
from acestep_core.render.sampler import Integrator
from acestep_core.render.schedule import passage
from acestep_core.render.settings import flow_times, initial_noise, resolved
from acestep_core.render.stages import Note, render_latents
from acestep_core.render.start import StartLatents, check_start
from acestep_core.seeds import item_seeds


@dataclass(frozen=True, eq=False)
class Sampling:
    """What is to be sampled, with nothing left open; `batch` items or as many as the conditioning holds.

    Attributes:
        seeds: of each song.
        settings: resolved.
        begin: latents to start from instead of noise, see `starting`.
        integrator: somebody else's sampler, see `render.sampler`; songs of one have no record.
    """

    model: ModelHandle
    what: Conditioned
    seeds: tuple[int, ...]
    settings: RenderSettings
    begin: StartLatents | None = None
    integrator: Integrator | None = None

    @classmethod
    def of(
        cls,
        model: ModelHandle,
        what: Conditioned,
        seed: int | None,
        batch: int,
        settings: RenderSettings,
        begin: StartLatents | None = None,
        integrator: Integrator | None = None,
    ) -> Sampling:
        """See `sampled`."""
        rows = what.conditioning.batch
        if begin is not None and rows == batch == 1:
            batch = len(begin.latents)
        if rows > 1 and batch not in (1, rows):
            raise InvalidInput(f"The conditioning holds {rows} songs already; make a batch of 1 or {rows}.")
        seeds = tuple(item_seeds(seed, max(rows, batch)))
        settings = resolved(settings, model)
        check_start(begin, settings.start, what.conditioning)
        if begin is not None:
            begin = replace(begin, add_noise=settings.start.add_noise)
            begin.check(len(seeds), what.conditioning.frames, what.tasks[0].samples)
        return cls(model, what, seeds, settings, begin, integrator)

    def initial(self) -> Tensor | None:
        """Noise `[B, T, 64]` where it is not the seeds' own."""
        return initial_noise(self.settings.sampling, self.seeds, self.what.conditioning.frames)

    def latents(
        self,
        conditioning: Conditioning,
        seeds: Sequence[int],
        initial: Tensor | None,
        monitor: Monitor,
        at_once: int | None,
        note: Note,
    ) -> Tensor:
        """Samples these songs, or more with the same settings."""
        return render_latents(
            self.model,
            conditioning,
            seeds,
            passage(flow_times(self.settings), self.settings.start),
            self.settings.guidance,
            self.settings.sampling,
            initial,
            monitor,
            at_once=at_once,
            note=note,
            begin=self.begin,
            leaves_noise=self.settings.start.leave_noise,
            integrator=self.integrator,
        )

    def story(self, at_once: int, seconds: Mapping[str, float]) -> Made:
        """What is known of the songs once they are sampled, `at_once` of them together."""
        what, begin = self.what, self.begin
        asked = what.tasks[0].options
        origin = Origin(
            call="" if asked is None else asked.CALL,
            arguments={} if asked is None else asked.to_flat(),
            files=(*(file for task in what.tasks for file in task.files), *([] if begin is None else [begin.file])),
            seeds=self.seeds,
            codes=tuple(task.codes for task in what.tasks) if any(task.codes for task in what.tasks) else (),
            album_caption=what.album_caption,
            at_once=at_once,
        )
        lent = "" if self.model.lent is None else LENT_MODEL
        return Made(
            song=what.song,
            tasks=what.tasks,
            seeds=self.seeds,
            model=self.model,
            settings=self.settings,
            origin=origin,
            seconds=seconds,
            notes=(*what.song.notes, *what.conditioning.remarks),
            unrecorded=lent if self.integrator is None else FOREIGN_SAMPLER,
        )


def sampled(
    model: ModelHandle,
    what: Conditioned,
    seed: int | None,
    batch: int,
    settings: RenderSettings,
    monitor: Monitor = SILENT,
    at_once: int | None = None,
    begin: StartLatents | None = None,
    integrator: Integrator | None = None,
) -> tuple[Tensor, Made]:
    """From noise to latents `[B, T, 64]`, and the story so far.

    Args:
        seed: of the first song; song i has seed + i. None draws one.
        batch: how many songs; 1 also takes as many as the conditioning holds.
        settings: what they leave open is decided here, by the checkpoint's preset.
        at_once: songs that are sampled together where they fit the memory; None is all. The story says how many it
            were.
        begin, integrator: see `Sampling`.
    """
    asked = Sampling.of(model, what, seed, batch, settings, begin, integrator)
    together: list[int] = []
    watch = Stopwatch(what.seconds)
    with watch.stage("sample"):
        initial = asked.initial()
        latents = asked.latents(what.conditioning, asked.seeds, initial, monitor, at_once, together.append)
    return latents, asked.story(together[-1], watch.seconds)


def sampled_together(several: Sequence[Sampling], monitor: Monitor = SILENT) -> list[tuple[Tensor, Made]]:
    """What `sampled` gives for each. Those that are alike are sampled in one batch, of which as many songs are on the
    device at a time as its memory holds.
    """
    done: dict[int, tuple[Tensor, Made]] = {}
    for places in _alike(several):
        done.update(zip(places, _in_one([several[place] for place in places], monitor), strict=True))
    return [done[place] for place in range(len(several))]


def _alike(several: Sequence[Sampling]) -> list[list[int]]:
    """Which go together, in the order of the first of each."""
    kinds: list[tuple[Any, list[int]]] = []
    for place, asked in enumerate(several):
        kind = _kind(asked)
        mates = next((mates for other, mates in kinds if kind is not None and kind == other), None)
        if mates is None:
            kinds.append((kind, [place]))
        else:
            mates.append(place)
    return [mates for _, mates in kinds]


def _kind(asked: Sampling) -> Any:
    """What must be equal; None goes with nothing."""
    if asked.begin is not None or asked.integrator is not None or asked.model.lent is not None:
        return None
    sampling = replace(asked.settings.sampling, retake_seed=0)
    return asked.model, replace(asked.settings, sampling=sampling), kind_of(asked.what.conditioning)


def _in_one(several: Sequence[Sampling], monitor: Monitor) -> list[tuple[Tensor, Made]]:
    counts = [len(asked.seeds) for asked in several]
    start, together = time.perf_counter(), [0]
    initial = [noise for asked in several if (noise := asked.initial()) is not None]
    latents = several[0].latents(
        joined([asked.what.conditioning.repeated(count) for asked, count in zip(several, counts, strict=True)]),
        [seed for asked in several for seed in asked.seeds],
        torch.cat(initial) if initial else None,
        monitor,
        None,
        together.append,
    )
    seconds = (time.perf_counter() - start) / sum(counts)
    return [
        (part.clone(), asked.story(together[-1], _timed(asked.what.seconds, seconds * count)))
        for asked, count, part in zip(several, counts, latents.split(counts), strict=True)
    ]


def _timed(before: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {**before, "sample": round(before.get("sample", 0.0) + seconds, 4)}

"""What a training step asks for: flow matching, as the checkpoints themselves were trained.

`x_t = t x1 + (1 - t) x0` with noise `x1`; the decoder shall predict `x1 - x0`. Every draw has a generator of its own,
seeded by what it is for, so that nothing depends on what was drawn before: a run that was stopped, or that makes test
songs on the way, is the same run. Source: upstream's `forward` of the checkpoints and its `training_v2`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from acestep_core.checkpoints.catalog import Preset
from acestep_core.models.config import AceStepConfig
from acestep_core.render.schedule import schedule
from acestep_core.render.tasks import MIN_FRAMES
from acestep_core.train.settings import Fine
from acestep_core.train.trainset import TrainSample, Trainset
from acestep_core.vocabulary import LATENT_CHANNELS

GRID: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Flow times at which a run is judged."""

Velocity = Callable[[Tensor, Tensor, Tensor, Sequence[Tensor]], Tensor]
"""Noisy latents `[B, T, 64]`, times `[B]`, contexts `[B, T, 128]` and conditions `[1, S, D]` of each row, all fp32, to
velocities `[B, T, 64]` fp32."""


def seed_of(*what: object) -> int:
    """32 bits that depend on all of `what`: the run's seed, the purpose, the step, the item."""
    text = "\0".join(map(str, what))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def source(*what: object) -> torch.Generator:
    """A generator on the CPU that belongs to one draw."""
    return torch.Generator().manual_seed(seed_of(*what))


def order(seed: int, epoch: int, repeats: Sequence[int]) -> list[tuple[int, int]]:
    """The songs of an epoch in random order, as `(song, which of its repeats)`."""
    copies = [(song, copy) for song, times in enumerate(repeats) for copy in range(times)]
    return [copies[i] for i in torch.randperm(len(copies), generator=source(seed, "order", epoch)).tolist()]


def window_of(seed: int, song: str, visit: int, count: int) -> int:
    """Which of its windows a song shows at its `visit`th visit: each of them once before any of them again."""
    turn, place = divmod(visit, count)
    return int(torch.randperm(count, generator=source(seed, "window", song, turn))[place])


@dataclass(frozen=True)
class Times:
    """How flow times are drawn.

    Attributes:
        kind: `model`, `schedule` or `mixed`.
        mu, sigma: of the checkpoint.
        table: the times that the sampler looks at, without the closing 0.
    """

    kind: str
    mu: float
    sigma: float
    table: tuple[float, ...]

    @classmethod
    def of(cls, kind: str, config: AceStepConfig, preset: Preset) -> Times:
        table = schedule(8, preset.shift)[:-1].tolist()
        return cls(kind, config.timestep_mu, config.timestep_sigma, tuple(table))

    def __call__(self, draws: torch.Generator) -> Tensor:
        """One flow time, fp32 scalar."""
        kind = self.kind
        if kind == "mixed":
            kind = "model" if torch.rand((), generator=draws) < 0.5 else "schedule"
        if kind == "schedule":
            return torch.tensor(self.table)[torch.randint(len(self.table), (), generator=draws)]
        return logit_time(torch.randn(2, generator=draws), self.mu, self.sigma)


def logit_time(normal: Tensor, mu: float, sigma: float) -> Tensor:
    """Normal draws `[2, ...]` -> `[...]`: the larger one of two logit-normal times, as every checkpoint was trained."""
    return torch.sigmoid(normal * sigma + mu).amax(0)


@dataclass(frozen=True, eq=False)
class Item:
    """One song as a step sees it.

    Attributes:
        song: its number in the trainset; `id` its name there.
        clean, noise: `[T, 64]`; `context` `[T, 128]`; all fp32.
        frames: how many of the T count.
        t: fp32 scalar.
        states: the condition `[1, S, D]`.
    """

    song: int
    id: str
    clean: Tensor
    noise: Tensor
    t: Tensor
    context: Tensor
    states: Tensor
    frames: int

    @property
    def noisy(self) -> Tensor:
        return mix(self.clean, self.noise, self.t)


@dataclass(frozen=True, eq=False)
class Place:
    """One place of a step and what will be seen there, before anything is read.

    Attributes:
        song, id, frames, t: of the item.
        step, slot: where it is seen.
        visit: how often the run has shown this song before.
        length: T, with the padding of short songs.
    """

    song: int
    id: str
    step: int
    slot: int
    visit: int
    t: Tensor
    frames: int

    @property
    def length(self) -> int:
        return max(MIN_FRAMES, self.frames)


@dataclass(frozen=True)
class Drawing:
    """How items are drawn from a trainset."""

    trainset: Trainset
    times: Times
    fine: Fine
    null: Tensor
    windowed: bool

    def place(self, song: int, step: int, slot: int, visit: int) -> Place:
        """What place `slot` of a step will see."""
        t = self.times(source(self.fine.seed, "time", step, slot))
        id = self.trainset.manifest.samples[song].id
        return Place(song, id, step, slot, visit, t, self.trainset.frames(song, self.windowed))

    def item(self, place: Place) -> Item:
        """What it sees."""
        seed, fine, song, step, slot = self.fine.seed, self.fine, place.song, place.step, place.slot
        entry = self.trainset.manifest.samples[song]
        window = window_of(seed, entry.id, place.visit, self.trainset.windows(song)) if self.windowed else None
        sample = self.trainset.sample(song, window)
        dice = torch.rand(5, generator=source(seed, "texts", step, slot)).tolist()
        states = sample.conditions.states(
            dice[0] < entry.genre_share,
            tagged=dice[1] >= fine.tag_drop,
            own_timbre=dice[2] < fine.own_timbre,
            lyrics=dice[3] >= fine.lyric_drop,
        )
        assert fine.drop is not None
        return Item(
            song,
            entry.id,
            self._clean(sample, step, slot),
            torch.randn(sample.latents.shape, generator=source(seed, "noise", step, slot)),
            place.t,
            sample.context,
            dropped(states, self.null, dice[4], fine.drop),
            sample.frames,
        )

    def judged(self, song: int, t: float) -> Item:
        """A song at a fixed time with fixed noise, the same in every run."""
        sample = self.trainset.sample(song, 0 if self.windowed else None)
        id = self.trainset.manifest.samples[song].id
        noise = torch.randn(sample.latents.shape, generator=source("judged", id, t))
        states = sample.conditions.states()
        return Item(song, id, sample.latents, noise, torch.tensor(t), sample.context, states, sample.frames)

    def _clean(self, sample: TrainSample, step: int, slot: int) -> Tensor:
        noise = torch.randn(sample.latents.shape, generator=source(self.fine.seed, "vae", step, slot))
        return torch.addcmul(sample.latents, sample.std, noise)


def dropped(states: Tensor, null: Tensor, draw: float, share: float) -> Tensor:
    """The condition `[1, S, D]`, or the null embedding `[1, 1, D]` where `draw` is below `share`.

    One row of it is enough: attention over equal keys gives the same result, however many there are.
    """
    return null.to(states) if draw < share else states


def mix(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The state at time `t` (1 is noise), shapes `[..., T, 64]` and `[...]`."""
    t = t[..., None, None]
    return t * noise + (1 - t) * clean


def batches(places: Sequence[Place], size: int) -> list[list[Place]]:
    """Neighbours of equal length, at most `size` together: nothing is ever padded against another song."""
    groups: list[list[Place]] = []
    for place in places:
        if groups and len(groups[-1]) < size and groups[-1][0].length == place.length:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def squared_errors(velocity: Velocity, items: Sequence[Item], device: torch.device) -> Tensor:
    """For each of equally long items, the sum of squared errors over its valid frames and channels, `[B]` fp32."""
    x, target, context = (
        torch.stack(part).to(device, non_blocking=True)
        for part in (
            [item.noisy for item in items],
            [item.noise - item.clean for item in items],
            [item.context for item in items],
        )
    )
    t = torch.stack([item.t for item in items]).to(device, non_blocking=True)
    states = [item.states.to(device, non_blocking=True) for item in items]
    valid = torch.zeros(x.shape[:2])
    for row, item in enumerate(items):
        valid[row, : item.frames] = 1
    error = (velocity(x, t, context, states) - target).square().sum(-1)
    return (error * valid.to(device, non_blocking=True)).sum(-1)


def numbers(items: Sequence[Item | Place]) -> int:
    """How many numbers the mean of a step's loss is over."""
    return sum(item.frames * LATENT_CHANNELS for item in items)


def judge(drawing: Drawing, songs: Sequence[int], velocity: Velocity, device: torch.device) -> float:
    """The mean error over `GRID` with fixed noise: what shows whether something was learned, and compares runs."""
    sums, count = [], 0
    with torch.no_grad():
        for song in songs:
            for t in GRID:
                items = [drawing.judged(song, t)]
                sums.append(squared_errors(velocity, items, device))
                count += numbers(items)
    return float(torch.cat(sums).sum()) / count

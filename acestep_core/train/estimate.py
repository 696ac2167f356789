"""How much memory a run takes, before its first step, and what would fit where it does not.

What a layer keeps for the backward pass depends on adapter, number format and the device's attention kernels. So it is
not looked up: one layer of each kind runs at two short lengths, what autograd keeps is counted, and the rest is a
straight line.

For a minute of sound, with rank 64 on attention in bf16, a layer of 2B keeps 109 MiB where it attends within windows
and 94 elsewhere; 6 of them are values, which the norm of queries and keys reads along. The usual dropout, which keeps
its own copy of each input, makes that 139 and 125.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from acestep_core import devices
from acestep_core.errors import OutOfMemory
from acestep_core.models.memory import layer_bytes, padding_tokens
from acestep_core.models.memory import windowed as whole_windows
from acestep_core.train.network import LiveNetwork, seeded
from acestep_core.train.quantised import largest_whole, saved_bytes
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainset import Trainset
from acestep_core.values import shown_size
from acestep_core.vocabulary import LATENT_RATE

STATE_BYTES: Final[Mapping[str, int]] = {"adamw": 16, "adamw8bit": 10, "prodigy": 24}
"""Per trained number: itself, its gradient, and what the optimizer remembers; fp32."""
_GRADIENT: Final = 4
CONTEXT: Final = 512 << 20
"""What a device's driver and libraries take on the side."""
SLACK: Final = 1.1
LOOKED_AT: Final = 8
SHORTER: Final = 60.0
"""Seconds of the windows that are proposed."""


@dataclass(frozen=True)
class LayerCost:
    """Bytes that a layer keeps: `fixed + patches * per_patch + states * per_state`."""

    per_patch: float
    per_state: float
    fixed: float

    def at(self, patches: int, states: int) -> float:
        return self.fixed + patches * self.per_patch + states * self.per_state


@dataclass(frozen=True)
class Estimate:
    """Bytes of a run at its peak.

    Attributes:
        weights: of the frozen decoder; `adapter`: with gradient and optimizer.
        kept: activations that wait for the backward pass; `working`: what a layer needs while it computes.
        side: of the device's libraries.
    """

    weights: int
    adapter: int
    kept: int
    working: int
    side: int

    @property
    def total(self) -> int:
        return int((self.weights + self.adapter + self.kept + self.working) * SLACK) + self.side

    @property
    def besides_weights(self) -> int:
        """What is still to be allocated once the decoder is on the device."""
        return self.total - self.weights

    def __str__(self) -> str:
        parts = {"decoder": self.weights, "adapter": self.adapter, "activations": self.kept + self.working}
        told = ", ".join(f"{name} {shown_size(value)}" for name, value in parts.items())
        return f"About {shown_size(self.total)} at the peak: {told}."


@dataclass(frozen=True)
class Work:
    """The largest batch that a run has: songs, latent frames of each, encoder states of each."""

    rows: int
    frames: int
    states: int

    @classmethod
    def of(cls, trainset: Trainset, songs: int, windows: bool) -> Work:
        entries = trainset.manifest.samples
        longest = sorted(range(len(entries)), key=lambda n: -entries[n].frames)[:LOOKED_AT]
        seen = [trainset.sample(n, 0 if windows else None) for n in longest]
        states = max(int(sample.conditions.states().shape[1]) for sample in seen)
        return cls(songs, max(len(sample.latents) for sample in seen), states)


@dataclass(frozen=True)
class Plan:
    """How a run fits into memory; decided when it begins.

    Attributes:
        every: how many layers are made again at once in the backward pass; 0 for none.
        windowed: whether steps see windows.
    """

    every: int
    windowed: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def layer_costs(network: LiveNetwork) -> dict[bool, LayerCost]:
    """What a layer keeps, by whether it attends within windows only."""
    config = network.decoder.config
    short, long = 2 * config.sliding_window, 4 * config.sliding_window
    kinds = {config.is_sliding(i): i for i in reversed(range(len(network.decoder.blocks)))}
    found = {}
    for band, layer in kinds.items():
        at = {(p, s): kept_bytes(network, layer, p, s) for p, s in ((short, 64), (long, 64), (short, 192))}
        per_patch = (at[long, 64] - at[short, 64]) / (long - short)
        per_state = (at[short, 192] - at[short, 64]) / 128
        found[band] = LayerCost(per_patch, per_state, at[short, 64] - per_patch * short - per_state * 64)
    return found


def kept_bytes(network: LiveNetwork, layer: int, patches: int, states: int) -> int:
    """Bytes that autograd keeps of one layer, counted once each; the weights and the layer's input are not its own."""
    config = network.decoder.config
    like = torch.zeros((), dtype=network.dtype, device=network.device)
    h = torch.zeros(1, patches, config.hidden_size).to(like).requires_grad_()
    told = torch.zeros(1, states, config.hidden_size).to(like)
    sizes: dict[int, int] = {}
    alive: list[Tensor] = []
    shared: set[int] = set()

    def note(tensor: Tensor) -> None:
        """Nothing goes back: a graph that had the tensors, or whose tensors were known here, would hold itself."""
        storage = tensor.untyped_storage()
        if storage._cdata not in shared and storage._cdata not in sizes:
            sizes[storage._cdata] = storage.nbytes()
            alive.append(tensor.detach())  # so that no later one lies at the same place

    with (
        seeded(0, network.device),
        torch.autocast(network.device.type, torch.bfloat16, enabled=network.dtype is torch.bfloat16),
    ):
        prepared = network.decoder.unconditioned(patches * config.patch_size, h)
        _, modulation = network.decoder.embed_time(torch.zeros(1).to(like), None, prepared)
        tensors = (h, told, modulation, prepared.scales, prepared.tables, *prepared.rope)
        if prepared.band is not None:
            shared.add(prepared.band.mask.untyped_storage()._cdata)
        shared |= {t.untyped_storage()._cdata for t in (*tensors, *network.decoder.parameters())}
        work = network._layers(range(layer, layer + 1), prepared, modulation)
        with saved_tensors_hooks(note, lambda nothing: nothing):
            work(h, told)
    return sum(sizes.values())


def estimate(network: LiveNetwork, optimizer: str, work: Work, every: int, costs: Mapping[bool, LayerCost]) -> Estimate:
    """What a run takes with layers made again `every` at once (0: none)."""
    config, size = network.decoder.config, network.dtype.itemsize
    patches = whole_windows(config, -(-work.frames // config.patch_size))
    layers = [
        work.rows * costs[config.is_sliding(i)].at(patches, work.states) for i in range(len(network.decoder.blocks))
    ]
    own = sum(p.numel() for p in network.parameters.values())
    frozen = sum(t.nbytes for t in (*network.decoder.parameters(), *network.decoder.buffers())) - 4 * own
    if every:
        groups = [sum(layers[i : i + every]) for i in range(0, len(layers), every)]
        kept = len(groups) * work.rows * patches * config.hidden_size * size + max(groups)
    else:
        kept = sum(layers)
    sizes = {
        "dim": config.hidden_size,
        "hidden": config.intermediate_size,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
    }
    working = 2 * layer_bytes(work.rows * patches, size, sizes, padding_tokens(config, work.rows))
    working += largest_whole(network.decoder, size)
    ends = work.rows * work.frames * (config.in_channels + 4 * config.audio_acoustic_hidden_dim) * 8
    side = 0 if devices.is_host(network.device) else CONTEXT
    return Estimate(int(frozen), own * STATE_BYTES[optimizer], int(kept), int(working + ends), side)


def disk_bytes(network: LiveNetwork, optimizer: str, averaged: bool) -> int:
    """Size of a checkpoint: the adapter, what the optimizer remembers, and the average."""
    own = sum(p.numel() for p in network.parameters.values())
    return own * (STATE_BYTES[optimizer] - _GRADIENT + (4 if averaged else 0))


def choose_plan(
    network: LiveNetwork, trainset: Trainset, settings: TrainSettings, windowed: Sequence[bool], free: int | None = None
) -> tuple[Plan, Estimate]:
    """How the run fits into what is free on the device, which already holds the decoder.

    Args:
        windowed: whether steps may see windows; the first answer that fits is taken.
        free: bytes, where they are not to be asked for.

    Raises:
        OutOfMemory: it does not fit; the message says what would.
    """
    fine, costs = settings.fine, layer_costs(network)
    free = devices.free_memory(network.device) if free is None else free
    every = {"none": [0], "checkpoint": [fine.checkpoint_every], "auto": [0, 1]}[fine.memory]
    for windows in windowed:
        work = Work.of(trainset, settings.training.batch, windows)
        for choice in every:
            found = estimate(network, fine.optimizer, work, choice, costs)
            if found.besides_weights <= free:
                return Plan(choice, windows), found
    raise OutOfMemory(
        f"Training takes about {shown_size(found.besides_weights)} besides the decoder, and {shown_size(free)} are "
        f"free on {network.device}; {_smaller(network, settings, work, costs, free)}."
    )


def _smaller(
    network: LiveNetwork, settings: TrainSettings, work: Work, costs: Mapping[bool, LayerCost], free: int
) -> str:
    """What would fit, the smallest change first."""
    window = min(work.frames, round(SHORTER * LATENT_RATE))
    short, optimizer, windows = (
        Work(1, window, work.states),
        settings.fine.optimizer,
        f"use windows of {SHORTER:g} seconds",
    )
    tries: Sequence[tuple[str, Work, str, str]] = (
        ("set memory to checkpoint", work, optimizer, ""),
        ("set batch to 1", Work(1, work.frames, work.states), optimizer, ""),
        (windows, short, optimizer, ""),
        (f"{windows} and the optimizer adamw8bit", short, "adamw8bit", ""),
        (f"{windows}, the optimizer adamw8bit and quantize int8", short, "adamw8bit", "int8"),
        (f"{windows}, the optimizer adamw8bit and quantize nf4", short, "adamw8bit", "nf4"),
    )
    for text, smaller, optimizer, form in tries:
        room = free + (saved_bytes(network.decoder, form) if form else 0)
        if estimate(network, optimizer, smaller, 1, costs).besides_weights <= room:
            return f"it would fit if you {text}"
    return "choose a smaller model or a lower rank, or close other programs"

"""One step of the DiT, beside diffusers' transformer with the same weights and inputs: in the same number format, and
where that is not fp32 on a processor, in fp32 too, as it is run there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import peers, runner, sizes
from acestep_core.vocabulary import LATENT_RATE

if TYPE_CHECKING:
    import torch

    from acestep_core.models.acestep import AceStepModel
    from acestep_core.models.dit import DiT

HELP = "seconds of one step of the DiT"
WORDS = 200
"""Encoder states of a song."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(sizes.DIT), peers="diffusers")
    parser.add_argument("--int8", action="store_true", help="beside the same weights rounded to eight bits")
    parser.add_argument("--guided", action="store_true", help="with the null branch, as guidance needs it")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    for size in options.size:
        model = sizes.random_model(size, device, dtype)
        peer = None if options.alone or not peers.has(peers.DIFFUSERS) else peers.diffusers_dit(model)
        for seconds, batch in runner.lengths(options):
            doers = step_of(model, peer, round(seconds * LATENT_RATE), batch, options.guided, options.int8)
            yield runner.Case(size, seconds, batch, doers, sizes.weight_bytes(model.decoder))


def step_of(
    model: AceStepModel, peer: Any, frames: int, batch: int, guided: bool, int8: bool = False
) -> dict[str, runner.Doer]:
    """One step on random inputs."""
    import torch

    from acestep_core.devices import is_host

    rows = batch * (1 + guided)
    like: dict[str, Any] = {"dtype": model.dtype, "device": model.device}
    x, context = torch.randn(rows, frames, 64, **like), torch.randn(rows, frames, 128, **like)
    states, t = torch.randn(batch, WORDS, model.config.encoder_dim, **like), torch.full((rows,), 0.5, **like)
    null = model.null_condition_emb.expand(batch, -1, -1)
    prepared = model.decoder.prepare(states, frames)
    if guided:
        prepared = prepared.joined(model.decoder.prepare(null, frames))
    doers: dict[str, runner.Doer] = {runner.OURS: lambda: model.decoder(x, t, context, prepared)}
    if int8:
        packed, exact = rounded(model.decoder), model.decoder(x, t, context, prepared)
        error = float((packed(x, t, context, prepared) - exact).norm() / exact.norm())

        def packed_step() -> runner.Facts:
            packed(x, t, context, prepared)
            return runner.Facts(error=error, note=f"its velocity differs by {error:.2%}")

        doers[f"{runner.OURS}, int8"] = packed_step
    if peer is None:
        return doers
    given = (x, t, t, torch.cat([states, null.expand_as(states)]) if guided else states, context)
    doers[peers.DIFFUSERS] = lambda: peer(*given)
    if is_host(model.device) and model.dtype != torch.float32:
        exact, exactly = deepcopy(peer).float(), [value.float() for value in given]
        doers[f"{peers.DIFFUSERS}, fp32"] = lambda: exact(*exactly)
    return doers


def rounded(decoder: DiT) -> DiT:
    """The same with linear layers of eight bits, as the number format int8 holds them."""
    from acestep_core.checkpoints.packing import eight_bits
    from acestep_core.models.linear import pack_layers

    decoder = deepcopy(decoder)
    pack_layers(decoder, lambda name: eight_bits(decoder.get_parameter(name)))
    return decoder


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("dit", cases, options)


table = runner.table

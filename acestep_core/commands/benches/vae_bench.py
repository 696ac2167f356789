"""The VAE from latents to sound or back, in tiles, beside diffusers' class with the same weights, whole and in its own
tiles.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import peers, runner, sizes
from acestep_core.vocabulary import LATENT_RATE

if TYPE_CHECKING:
    import torch

    from acestep_core.models.oobleck import OobleckVAE

HELP = "seconds of the VAE's decoder or encoder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(sizes.VAE), peers="diffusers")
    parser.add_argument("--encode", action="store_true", help="the encoder, from sound to latents")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    for size in options.size:
        vae = sizes.random_vae(size, device, dtype)
        same = not options.encode or sizes.VAE[size] == 128  # diffusers' encoder has one width only
        peer = peers.diffusers_vae(vae) if same and not options.alone and peers.has(peers.DIFFUSERS) else None
        half, way = (vae.encoder, encoding) if options.encode else (vae.decoder, decoding)
        for seconds, batch in runner.lengths(options):
            doers = way(vae, peer, batch, round(seconds * LATENT_RATE))
            yield runner.Case(size, seconds, batch, doers, sizes.weight_bytes(half))


def decoding(vae: OobleckVAE, peer: Any, batch: int, frames: int) -> dict[str, runner.Doer]:
    import torch

    from acestep_core.render.vae import decode

    latents = torch.randn(batch, frames, 64)
    theirs = _theirs(peer, lambda: peer.decode(latents.mT.to(vae.device, vae.dtype)))
    return {runner.OURS: lambda: decode(vae, latents), **theirs}


def encoding(vae: OobleckVAE, peer: Any, batch: int, frames: int) -> dict[str, runner.Doer]:
    import torch

    from acestep_core.render.vae import encode

    sound = torch.randn(batch, 2, frames * vae.config.hop)
    theirs = _theirs(peer, lambda: peer.encode(sound.to(vae.device, vae.dtype)))
    return {runner.OURS: lambda: encode(vae, sound), **theirs}


def _theirs(peer: Any, work: runner.Doer) -> dict[str, runner.Doer]:
    if peer is None:
        return {}
    return {
        peers.DIFFUSERS: lambda: (peer.disable_tiling(), work()),
        f"{peers.DIFFUSERS}, tiled": lambda: (peer.enable_tiling(), work()),
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("vae", cases, options)


table = runner.table

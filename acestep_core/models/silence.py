"""The silence latent of checkpoints that come without one: what the VAE makes of digital silence."""

from __future__ import annotations

import torch
from torch import Tensor

from acestep_core.models.memory import vae_encoding_bytes
from acestep_core.models.oobleck import OobleckVAE

FRAMES = 15000
_EDGE = 16  # frames the encoder's zero padding reaches into, with room to spare


@torch.inference_mode()
def encode_silence(vae: OobleckVAE, frames: int = FRAMES) -> Tensor:
    """`[1, frames, 64]` fp32: the first frames as encoded, which differ because the encoder sees the start, then the
    steady frame.
    """
    audio = torch.zeros(1, vae.config.audio_channels, 3 * _EDGE * vae.config.hop, device=vae.device, dtype=vae.dtype)
    latents = vae.encode(audio).transpose(1, 2).float().cpu()
    head, steady = latents[:, :_EDGE], latents[:, _EDGE : _EDGE + 1]
    return torch.cat([head, steady.expand(-1, frames - _EDGE, -1)], dim=1)


def silence_bytes(vae: OobleckVAE) -> int:
    """What `encode_silence` allocates."""
    return vae_encoding_bytes(vae.config, 3 * _EDGE, vae.dtype.itemsize)

"""What flows between nodes: the names of the types, and the two native ones turned into the library's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.vocabulary import LATENT_CHANNELS, SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

MODEL = "ACESTEP_MODEL"
LM = "ACESTEP_LM"
VAE = "ACESTEP_VAE"
SONG = "ACESTEP_SONG"
CODES = "ACESTEP_CODES"
TASK = "ACESTEP_TASK"
CONDITIONING = "ACESTEP_CONDITIONING"
GUIDANCE = "ACESTEP_GUIDANCE"
SAMPLING = "ACESTEP_SAMPLING"
TIMING = "ACESTEP_TIMING"
SCORES = "ACESTEP_SCORES"


def to_latent(latents: Tensor, **extra: Any) -> dict[str, Any]:
    """Library latents `[B, T, 64]` as ComfyUI's LATENT."""
    return {"samples": latents.transpose(1, 2).contiguous(), "type": "audio", **extra}


def from_latent(latent: dict[str, Any]) -> Tensor:
    """ComfyUI's LATENT as library latents `[B, T, 64]`.

    Raises:
        InvalidInput: it is not an audio latent of ACE-Step 1.5.
    """
    samples = latent.get("samples")
    if samples is None or samples.ndim != 3 or samples.shape[1] != LATENT_CHANNELS:
        shape = "nothing" if samples is None else list(samples.shape)
        raise InvalidInput(
            f"The latent must be an ACE-Step 1.5 one (batch, {LATENT_CHANNELS}, frames), not {shape}; "
            "connect the output of an ACE-Step sampler or encoder."
        )
    return samples.transpose(1, 2).float()


def to_audio(waveform: Tensor) -> dict[str, Any]:
    """A waveform `[B, 2, S]` at 48 kHz as ComfyUI's AUDIO."""
    return {"waveform": waveform.float().cpu(), "sample_rate": SAMPLE_RATE}


def conversion(audio: dict[str, Any]) -> str:
    """What `from_audio` changes, as a sentence; empty for nothing."""
    rate, channels = int(audio["sample_rate"]), audio["waveform"].shape[1]
    if rate == SAMPLE_RATE and channels == 2:
        return ""
    kind = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    return f"The recording ({rate} Hz, {kind}) was converted to {SAMPLE_RATE} Hz stereo."


def from_audio(audio: dict[str, Any] | None) -> Tensor:
    """ComfyUI's AUDIO as `[B, 2, S]` at 48 kHz.

    Raises:
        InvalidInput: nothing is connected, or it holds no audio.
    """
    import torch

    from acestep_core.io.audio import to_48k_stereo

    waveform = None if audio is None else audio.get("waveform")
    if audio is None or waveform is None or waveform.ndim != 3 or 0 in waveform.shape:
        raise InvalidInput("The audio input holds no audio; connect a node that loads or makes some.")
    return torch.stack([to_48k_stereo(item, int(audio["sample_rate"])) for item in waveform])

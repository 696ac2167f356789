"""After the models: checks of what they produced, and the finishing of the audio.

Order (as upstream): check latents, shift and rescale, decode, limit, repaint splice, normalise, fade, check audio.
No function changes its input, unless it is told to write there (`out`): ten minutes of audio are 230 MB, and every
step that makes a new tensor needs as much again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from acestep_core.errors import GenerationError, InvalidInput
from acestep_core.options import Finish
from acestep_core.vocabulary import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

SILENCE = 1e-6
"""A waveform whose samples all stay below this is silent."""


def finished(audio: Tensor, finish: Finish, out: Tensor | None = None) -> Tensor:
    """`audio` `[B, C, S]` at 48 kHz, each item brought to its level and faded on its own."""
    if finish.peak_db is not None:
        audio = normalize_peak(audio, finish.peak_db, out)
    return fade(audio, round(finish.fade_in * SAMPLE_RATE), round(finish.fade_out * SAMPLE_RATE), out)


def shift_rescale(latents: Tensor, shift: float = 0.0, rescale: float = 1.0) -> Tensor:
    """`latents * rescale + shift`, applied before decoding."""
    return latents if shift == 0.0 and rescale == 1.0 else latents * rescale + shift


def limit_peak(audio: Tensor, out: Tensor | None = None) -> Tensor:
    """Divides each item of `audio` `[B, C, S]` whose peak is above 1 by that peak."""
    import torch

    peak = _peak(audio)
    if out is audio and bool((peak <= 1.0).all()):
        return audio
    return torch.div(audio, peak.clamp(min=1.0), out=out)


def normalize_peak(audio: Tensor, peak_db: float = -1.0, out: Tensor | None = None) -> Tensor:
    """Scales each item of `audio` `[B, C, S]` so that its peak is `peak_db` dBFS; silent items stay as they are."""
    import torch

    peak = _peak(audio)
    gain = 10.0 ** (peak_db / 20.0) / peak.clamp(min=SILENCE)
    return torch.mul(audio, gain.where(peak >= SILENCE, 1.0), out=out)


def fade(audio: Tensor, fade_in: int, fade_out: int, out: Tensor | None = None) -> Tensor:
    """Linear fades over the first and last samples of `audio` `[..., S]`, ends included; they may overlap."""
    import torch

    if fade_in <= 0 and fade_out <= 0:
        return audio
    length = audio.shape[-1]
    fade_in, fade_out = min(fade_in, length), min(fade_out, length)
    if fade_in + fade_out > length:  # some samples are under both
        both = torch.ones(length, dtype=audio.dtype, device=audio.device)
        return torch.mul(audio, fade(fade(both, fade_in, 0), 0, fade_out), out=out)
    faded = audio.clone() if out is None else out.copy_(audio)
    if fade_in > 0:
        faded[..., :fade_in] *= torch.linspace(0.0, 1.0, fade_in, dtype=audio.dtype, device=audio.device)
    if fade_out > 0:
        faded[..., length - fade_out :] *= torch.linspace(1.0, 0.0, fade_out, dtype=audio.dtype, device=audio.device)
    return faded


def check_latents(latents: Tensor) -> None:
    """Refuses sampled latents `[B, T, 64]` that no decoder could turn into music.

    Raises:
        GenerationError: an item is not finite, or all zero.
    """
    for number, empty in _unusable(latents):
        if not empty:
            raise GenerationError(
                f"Item {number} came out with non-finite latents; the number format overflowed or the weights are "
                "damaged, so use bfloat16 or float32 instead of float16 and verify the checkpoint."
            )
        raise GenerationError(
            f"Item {number} came out all zero; the weights are probably empty or of another model, "
            "so verify the checkpoint."
        )


def check_given(latents: Tensor) -> None:
    """Refuses latents `[B, T, 64]` from anywhere that hold nothing to decode. Models did not make them, or made them
    well (`check_latents`), so the weights are not to blame.

    Raises:
        InvalidInput: an item is not finite, or all zero.
    """
    for number, empty in _unusable(latents):
        if not empty:
            raise InvalidInput(
                f"Song {number} of the latents holds values that are not finite; the node that made or changed them "
                "overflowed, so look at its settings and its number format."
            )
        raise InvalidInput(
            f"Song {number} of the latents is all zero, as an empty latent is, or a song taken away from "
            "itself; connect latents that a sampler or an encoder made."
        )


def _unusable(latents: Tensor) -> Iterator[tuple[int, bool]]:
    """The number of each item that holds no music, and whether it is all zero; if not, it is not finite."""
    for number, item in enumerate(latents, 1):
        if not item.isfinite().all():
            yield number, False
        elif not item.any():
            yield number, True


def check_audio(audio: Tensor) -> None:
    """Refuses decoded audio `[B, C, S]` that cannot be a song.

    Raises:
        GenerationError: an item is not finite, or silent.
    """
    for index, peak in enumerate(_peak(audio).flatten().tolist() if audio.numel() else [0.0] * len(audio)):
        if not math.isfinite(peak):
            raise GenerationError(
                f"Item {index + 1} decoded to non-finite audio; run the VAE in bfloat16 or float32 "
                "and verify its weights."
            )
        if peak < SILENCE:
            raise GenerationError(
                f"Item {index + 1} decoded to silence; either the latents are of a silent recording, or the VAE or the "
                "silence latent is the wrong file, so verify the checkpoint."
            )


def _peak(audio: Tensor) -> Tensor:
    """The largest magnitude of each item, `[B, 1, 1]`; not finite where a sample is not."""
    import torch

    # Not abs().amax(), nor whole items of cut songs, which makes copies; along axes it takes eight times as long.
    ends = [torch.stack(torch.aminmax(channel)) for item in audio for channel in item]
    return torch.stack(ends).abs().view(*audio.shape[:2], -1).amax(dim=(1, 2))[:, None, None]

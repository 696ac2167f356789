"""Starting from latents instead of noise: where the first state lies, and what of the latents stays.

The arithmetic is ComfyUI's, so a run may go on from what one of its samplers left, and the other way round: a state at
flow time t is `t * noise + (1 - t) * latents`, and latents in which noise is left are handed on divided by `1 - t`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_core.declared import options_of
from acestep_core.errors import InvalidInput
from acestep_core.options import Start
from acestep_core.records.song_record import FileRecord
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.task import padded
from acestep_core.vocabulary import HOP, LATENT_RATE


@dataclass(frozen=True, eq=False)
class StartLatents:
    """Latents that a run starts from.

    Attributes:
        latents: `[B, T, 64]` fp32, one row for each song or one for all.
        file: what the record says of them.
        mask: `[B, T]` or `[1, T]` fp32 from 0 to 1, how much of each frame is made anew; None for all of it.
        add_noise: whether they are noised to where the run begins.
    """

    latents: Tensor
    file: FileRecord
    mask: Tensor | None = None
    add_noise: bool = True

    @property
    def seconds(self) -> float:
        return self.latents.shape[1] / LATENT_RATE

    def rows(self, start: int, stop: int) -> StartLatents:
        """Those of some songs of the batch."""
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[start:stop]
        return replace(self, latents=self.latents if len(self.latents) == 1 else self.latents[start:stop], mask=mask)

    def check(self, songs: int, frames: int, samples: int) -> None:
        """Refuses latents that are not as long as the songs, which take `frames` to sample and are cut to `samples`."""
        if self.latents.shape[1] not in (frames, math.ceil(samples / HOP)):
            raise InvalidInput(
                f"The latent is {self.seconds:g} s long and the song {samples / HOP / LATENT_RATE:g} s; make "
                "them equally long."
            )
        if len(self.latents) not in (1, songs):
            raise InvalidInput(f"The latent holds {len(self.latents)} songs, and {songs} are made; make them agree.")
        if self.mask is not None and len(self.mask) not in (1, songs):
            raise InvalidInput(
                f"The noise mask has {len(self.mask)} rows for {songs} songs; give one, or one for each."
            )

    def laid_out(self, frames: int, silence: Tensor, device: torch.device) -> StartLatents:
        """The same on its device, filled up with silence `[1, N, 64]` to `frames`."""
        missing = frames - self.latents.shape[1]
        mask = None if self.mask is None else F.pad(self.mask, (0, missing), value=1.0).to(device)
        latents = self.latents
        if missing:
            latents = torch.cat([padded(row, silence.cpu(), frames) for row in latents.split(1)])
        return replace(self, latents=latents.to(device, torch.float32), mask=mask)

    def state(self, noise: Tensor, t: float) -> Tensor:
        """Where a run that enters at flow time `t` begins, `[B, T, 64]`, for its noise of that shape."""
        kept = (1 - t) * self.latents
        return t * noise + kept if self.add_noise else kept.expand_as(noise)

    def kept(self, x: Tensor, noise: Tensor, t: float) -> Tensor:
        """The state at flow time `t` with what the mask spares back in its place."""
        if self.mask is None:
            return x
        mask = self.mask.unsqueeze(-1)
        return mask * x + (1 - mask) * self.state(noise, t)


def check_start(begin: StartLatents | None, start: Start, told: Conditioning) -> None:
    """Refuses a beginning that the run cannot have."""
    if begin is None:
        for entry in options_of(Start):
            if entry.name in ("denoise", "start_step", "add_noise") and getattr(start, entry.name) != entry.default:
                raise InvalidInput(
                    f"{entry.flat} needs a latent to start from; give one, or leave it at {entry.default}."
                )
    elif told.morph is not None or not told.starts_from_noise:
        raise InvalidInput(
            "This task starts from its recording already; leave out the latent, or choose a task that starts from "
            "noise (a cover with noise strength 0)."
        )


def mask_of(told: str | Sequence | Tensor, frames: int) -> Tensor:
    """A noise mask `[1 or B, frames]` fp32.

    Args:
        told: the parts to make anew in seconds, such as `10-20, 35-40`; or numbers from 0 (stays) to 1 (is made anew)
            along the song, in one row or one for each song, which are stretched to the frames.

    Raises:
        InvalidInput: it is neither.
    """
    if isinstance(told, str):
        mask = torch.zeros(1, frames)
        for part in filter(str.strip, told.replace(";", ",").split(",")):
            first, last = _span(part)
            mask[:, round(first * LATENT_RATE) : round(last * LATENT_RATE)] = 1
        if not mask.any():
            raise InvalidInput(f"The noise mask {told!r:.60} names no part of the song; write seconds such as 10-20.")
        return mask
    try:
        values = torch.as_tensor(told, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput("A noise mask is text such as 10-20, or numbers along the song.") from error
    values = values.reshape(1, -1) if values.ndim < 2 else values.flatten(1, -2).mean(1) if values.ndim > 2 else values
    if values.numel() == 0 or not bool(((values >= 0) & (values <= 1)).all()):
        raise InvalidInput("The numbers of a noise mask must lie between 0, what stays, and 1, what is made anew.")
    if values.shape[1] != frames:
        values = F.interpolate(values[:, None], size=frames, mode="linear")[:, 0]
    return values


def _span(part: str) -> tuple[float, float]:
    first, _, last = part.strip().partition("-")
    try:
        span = float(first), float(last)
    except ValueError:
        span = 0.0, 0.0
    if not 0 <= span[0] < span[1] < math.inf:
        raise InvalidInput(f"{part.strip()!r:.40} is no part of a song; write it in seconds such as 10-20.")
    return span

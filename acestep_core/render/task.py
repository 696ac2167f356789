"""A task as one value that conditioning, sampling and decoding read.

A `Task` knows no model. It holds the source's latents and what to keep of them; silence and code hints, which a
checkpoint supplies, are passed in where they are needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.options import CHUNK_MASKS, Morph, TaskOptions
from acestep_core.records.song_record import FileRecord
from acestep_core.render.repaint import Region, RepaintSettings, Splice, region_mask, soft_mask


@dataclass(frozen=True, eq=False)
class Task:
    """One song's task.

    Attributes:
        name: text2music, cover, cover_nofsq, repaint, extend, lego, extract or complete.
        instruction: first line of the text prompt.
        frames: T, latent frames to sample.
        samples: length of the result at 48 kHz; decoding cuts there.
        source: latents of the source on its canvas, `[1, <= T, 64]`; None for silence.
        codes: semantic codes that replace the source as hints.
        regions: what is made anew; empty for everything.
        chunk_mask: what the DiT is told about the regions. `ones` (default): nothing, as upstream's release of April
            2026 does for every task in its default mode, so what the published checkpoints were heard with; `window`: 1
            inside, 0 outside; `twos`: 2 everywhere, upstream's later meaning of "decide yourself".
        repaint: how closely the outside is held while sampling; None without regions.
        splice: puts the result into the source's audio; None to keep the decoded audio.
        cover_strength: share of the steps that see the source; the rest sees the text alone.
        cover_noise_strength: how near to the source sampling starts; 0 is pure noise.
        prompt_seconds: length the prompt states; None to state the song's.
        references: latents of reference clips, each `[1, 750, 64]`; empty for silence.
        morph: what the source is, to be moved from there to the song (flow-edit); None for no morph.
        tracks: the tracks that the instruction names.
        options: what was asked for, in the user's terms; None for a task made by hand.
        files: the recordings it was made from; remarks: what is wrong with them, a sentence each.
    """

    name: str
    instruction: str
    frames: int
    samples: int
    source: Tensor | None = None
    codes: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()
    chunk_mask: str = "ones"
    repaint: RepaintSettings | None = None
    splice: Splice | None = None
    cover_strength: float = 1.0
    cover_noise_strength: float = 0.0
    prompt_seconds: float | None = None
    references: tuple[Tensor, ...] = ()
    morph: Morph | None = None
    tracks: tuple[str, ...] = ()
    options: TaskOptions | None = None
    files: tuple[FileRecord, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.chunk_mask not in CHUNK_MASKS:
            raise InvalidInput(f"Unknown chunk mask {self.chunk_mask!r}; choose one of {', '.join(CHUNK_MASKS)}.")
        for name, value in (("Cover strength", self.cover_strength), ("Cover noise", self.cover_noise_strength)):
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name} must be between 0 and 1, not {value}.")

    @property
    def is_cover(self) -> bool:
        """Whether the DiT sees semantic hints (of the codes, or of the source) instead of the source itself."""
        return not self.regions and (self.name == "cover" or bool(self.codes))

    @property
    def switches(self) -> bool:
        """Whether a second condition, without the source, takes over during sampling."""
        return self.cover_strength < 1

    def mask(self) -> Tensor | None:
        """Bool `[1, T]`, True where music is made anew; None where that is everywhere."""
        masks = [region_mask(region.frames(self.frames), self.frames) for region in self.regions]
        mask = torch.stack(masks).any(0) if masks else None
        return None if mask is None or bool(mask.all()) else mask

    def soft_mask(self) -> Tensor | None:
        """fp32 `[1, T]`, how much of the made latents the final blend takes; None where there is nothing to blend."""
        if self.mask() is None or self.repaint is None or self.repaint.crossfade_frames == 0:
            return None
        width = self.repaint.crossfade_frames
        soft = [soft_mask(region_mask(region.frames(self.frames), self.frames), width) for region in self.regions]
        return torch.stack(soft).amax(0)

    def clean(self, silence: Tensor) -> Tensor:
        """The source, whole and padded with silence, `[1, T, 64]`.

        Args:
            silence: the checkpoint's silence latents, `[1, N, 64]`.
        """
        if self.source is None:
            return silence_frames(silence, self.frames)
        return padded(self.source[:, : self.frames], silence, self.frames)

    def source_latents(self, silence: Tensor, hints: Tensor | None = None) -> Tensor:
        """What stands for the source before hints replace it, `[1, T, 64]`: also where a cover's noise starts from.

        Args:
            silence: the checkpoint's silence latents, `[1, N, 64]`.
            hints: detokenised `codes`, `[1, 5n, 64]`; needed when the task has codes.
        """
        if self.codes:
            if hints is None:
                raise ValueError("a task with codes needs their latents")
            return padded(hints[:, : self.frames], silence, self.frames)
        latents = self.clean(silence)
        if self.source is None or self.name == "lego":
            return latents  # lego plays along with what is in the region
        quiet = silence_frames(silence, self.frames).to(latents)
        for region in self.regions:
            first, last = region.frames(self.frames)
            latents = torch.cat([latents[:, :first], quiet[:, first:last], latents[:, last:]], dim=1)
        return latents

    def chunk_mask_values(self) -> Tensor:
        """fp32 `[1, T]`, repeated over 64 channels by the caller."""
        if self.chunk_mask == "twos":
            return torch.full((1, self.frames), 2.0)
        mask = self.mask() if self.chunk_mask == "window" else None
        return torch.ones(1, self.frames) if mask is None else mask.float()


def silence_frames(silence: Tensor, frames: int, start: int = 0) -> Tensor:
    """`[1, frames, 64]` of the checkpoint's silence `[1, N, 64]`, repeated where it is too short."""
    repeats = math.ceil((start + frames) / silence.shape[1])
    return (
        silence.repeat(1, repeats, 1)[:, start : start + frames] if repeats > 1 else silence[:, start : start + frames]
    )


def padded(latents: Tensor, silence: Tensor, frames: int) -> Tensor:
    """`[1, t, 64]` followed by the beginning of silence, `[1, frames, 64]`."""
    missing = frames - latents.shape[1]
    if missing <= 0:
        return latents
    return torch.cat([latents, silence_frames(silence, missing).to(latents)], dim=1)

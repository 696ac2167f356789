"""Flow-edit: morphs a recording from one description towards another, without inverting it to noise.

Source: FlowEdit, Kulikov et al. 2024 (arXiv:2412.08629), as upstream adopted it after April 2026 for base and sft
checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from acestep_core.errors import InvalidInput


@dataclass(frozen=True)
class FlowEdit:
    """What the recording is, and how far to leave it.

    Attributes:
        source_caption, source_lyrics: describe the recording as it is.
        start, end: share of the steps at which editing begins and ends. Before `start` nothing happens, which keeps
            more of the recording; after `end` the target is sampled freely, which keeps less.
        average: draws of noise per step; more is steadier and slower.
    """

    source_caption: str = ""
    source_lyrics: str = ""
    start: float = 0.0
    end: float = 1.0
    average: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise InvalidInput(f"The editing window must rise within 0 to 1, not go from {self.start} to {self.end}.")
        if not 1 <= self.average <= 16:
            raise InvalidInput(f"Draws per step must be from 1 to 16, not {self.average}.")

    def steps(self, count: int) -> tuple[int, int]:
        """First step that edits and first that samples freely, of `count`."""
        return int(count * self.start), int(count * self.end)


def pair(edited: Tensor, source: Tensor, noise: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The source noised to `t`, and the edited recording moved by as much, `[B, T, 64]` each."""
    noised = (1 - t) * source + t * noise
    return noised, edited + noised - source

"""Flow-edit: morphs a recording from one description towards another, without inverting it to noise.

Source: FlowEdit, Kulikov et al. 2024 (arXiv:2412.08629), as upstream adopted it after April 2026 for base and sft
checkpoints.
"""

from __future__ import annotations

from torch import Tensor

from acestep_core.options import Morph


def window(edit: Morph, count: int) -> tuple[int, int]:
    """First step that edits and first that samples freely, of `count`. Before the first nothing happens, which keeps
    more of the recording; from the second on the target is sampled freely, which keeps less.
    """
    return int(count * edit.start), int(count * edit.end)


def pair(edited: Tensor, source: Tensor, noise: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """The source noised to `t`, and the edited recording moved by as much, `[B, T, 64]` each."""
    noised = (1 - t) * source + t * noise
    return noised, edited + noised - source

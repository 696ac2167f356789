"""Batches padded as upstream does, which this library never does: valid rows first, padding after them."""

from __future__ import annotations

import torch
from torch import Tensor

from acestep_core.models.conditioner import ConditionEncoder


def encode_padded(
    encoder: ConditionEncoder,
    text: Tensor,
    text_mask: Tensor,
    lyrics: Tensor,
    lyric_mask: Tensor,
    references: Tensor,
    order: Tensor,
) -> tuple[Tensor, Tensor]:
    """Encodes a right-padded batch.

    Args:
        text, lyrics: `[B, L, text_dim]`, masks `[B, L]`.
        references: `[N, T, 64]` of all items; `order` `[N]` says which item each belongs to.

    Returns:
        States `[B, S, D]` and mask `[B, S]`.
    """
    timbre, timbre_mask = unpack_by_item(encoder.timbre_encoder(references), order)
    h, mask = pack_sequences(encoder.lyric_encoder(lyrics, lyric_mask), timbre, lyric_mask, timbre_mask)
    return pack_sequences(h, encoder.text_projector(text), mask, text_mask)


def unpack_by_item(vectors: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, D]` -> `[B, most per item, D]` and its mask, keeping the order within each item; unused slots are zero."""
    counts = torch.bincount(order)
    mask = torch.arange(int(counts.max()), device=order.device)[None, :] < counts[:, None]
    out = vectors.new_zeros(*mask.shape, vectors.shape[-1])
    out[mask] = vectors[torch.argsort(order, stable=True)]
    return out, mask


def pack_sequences(first: Tensor, second: Tensor, first_mask: Tensor, second_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Concatenates `[B, L1, D]` and `[B, L2, D]` and moves valid rows to the front, keeping their order."""
    mask = torch.cat([first_mask.int(), second_mask.int()], dim=1)
    index = mask.argsort(dim=1, descending=True, stable=True)
    h = torch.cat([first, second], dim=1)
    packed = h.gather(1, index.unsqueeze(-1).expand_as(h))
    return packed, torch.arange(h.shape[1], device=h.device)[None, :] < mask.sum(1, keepdim=True)

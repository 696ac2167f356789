"""Cross-attention of the heads that know where lyrics are sung.

Only the chosen heads are computed, from the decoder's own queries and keys, in fp32, a block of frames at a time, and
the decoder stops after the last layer needed. Sources: upstream's head map for the 2B decoder, that of the published XL
config.json, and upstream's way of asking the decoder about a finished song.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from acestep_core.errors import AlignmentError
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT

HeadMap = Mapping[int, tuple[int, ...]]
"""Layer -> heads of that layer."""

HEADS_2B: HeadMap = {2: (6,), 3: (10, 11), 4: (3,), 5: (8, 9), 6: (8,)}
HEADS_XL: HeadMap = {3: (18, 27), 4: (22,), 5: (5, 6, 7), 6: (2, 12, 13), 7: (20, 21)}
BLOCK = 256
"""Frames whose attention over the whole condition exists at one time."""


def alignment_heads(config: AceStepConfig) -> HeadMap:
    """The heads to look at: those the checkpoint names in its config, else those of the published decoders, 2B or XL
    (single files hold no config).

    Raises:
        AlignmentError: no heads are known for this decoder, or the config names some that it does not have.
    """
    heads: HeadMap = dict(config.lyric_alignment_layers_config)
    shape = (config.num_hidden_layers, config.num_attention_heads)
    if not heads:
        published: dict[tuple[bool, int, int], HeadMap] = {(False, 24, 16): HEADS_2B, (True, 32, 32): HEADS_XL}
        heads = published.get((config.is_xl, *shape), {})
        if not heads:
            raise AlignmentError(
                f"No lyric alignment heads are known for a decoder of {shape[0]} layers with {shape[1]} heads; "
                "add lyric_alignment_layers_config to the checkpoint's config.json, or use a published checkpoint."
            )
    return check_heads(heads, config)


def check_heads(heads: HeadMap, config: AceStepConfig) -> HeadMap:
    """Returns `heads` if the decoder has all of them and there is at least one; raises AlignmentError otherwise."""
    layers, per_layer = config.num_hidden_layers, config.num_attention_heads
    for layer, chosen in heads.items():
        for head in chosen:
            if not (0 <= layer < layers and 0 <= head < per_layer):
                raise AlignmentError(
                    f"There is no head {head} in layer {layer}: this decoder has {layers} layers with {per_layer} "
                    "heads; correct lyric_alignment_layers_config in the checkpoint's config.json."
                )
    if not any(heads.values()):
        raise AlignmentError("The map of lyric alignment heads names no head; name at least one.")
    return heads


def query_latents(latents: Tensor, noise: Tensor, t: float) -> Tensor:
    """The point at time `t` between clean `latents` and `noise`, both `[B, T, 64]`; t = 1 is noise alone."""
    return t * noise + (1 - t) * latents


def capture(
    decoder: DiT, x: Tensor, t: float, context: Tensor, states: Tensor, heads: HeadMap, span: slice = slice(None)
) -> Iterator[Tensor]:
    """Attention weights of a song's chosen heads, one after the other by layer: `[tokens, frames]` fp32.

    Weights are the share of each frame's attention, over the whole condition, that falls on the tokens of `span`. A
    frame is one patch of two latent frames (80 ms). Use it inside `torch.inference_mode()`.

    Args:
        decoder: the DiT.
        x: noisy latents `[1, T, 64]`.
        t: their time.
        context: source latents and chunk mask `[1, T, 128]`.
        states: condition encoder output `[1, S, D]`.
        heads: which heads, see `alignment_heads`.
        span: which positions of the condition, for example the lyric tokens.
    """
    prepared = decoder.prepare(states, x.shape[1])
    _, modulation = decoder.embed_time(x.new_full((1,), t), None, prepared)
    h = decoder.embed(x, context)
    for i in range(max(heads) + 1):
        queries: list[Tensor] = []
        band = prepared.band if decoder.config.is_sliding(i) else None
        h = decoder.layers[i](h, modulation, prepared, i, band, queries.append if i in heads else None)
        for q in queries:
            keys = prepared.groups[0].keys[i]
            for head in heads[i]:
                yield attention_weights(q[0, head], keys[0, head * keys.shape[1] // q.shape[1]], span)
        del queries


def attention_weights(q: Tensor, k: Tensor, span: slice = slice(None), block: int = BLOCK) -> Tensor:
    """Softmax weights of queries `[F, D]` over keys `[S, D]`, those of the keys in `span` only: `[keys, F]` fp32."""
    k = k.float() * q.shape[-1] ** -0.5
    weights = k.new_empty(len(range(*span.indices(len(k)))), len(q))
    for start in range(0, len(q), block):
        chosen = (q[start : start + block].float() @ k.T).softmax(-1)[:, span]
        weights[:, start : start + block] = chosen.T
    return weights

"""What the built-in model hears of a reference: whether there are drums in it, and whether there is a melody.

The timbre encoder's first frame says it, as in the real model of this size. Layer 0 finds the strikes of drums, of
melody and of anything in every frame, but for frames with values far below 0, which no song has: there another sound,
or one that was cut, is read as noise. Layers 1 and 2 have a head for each of them, which looks at the frames of its
window that have one, so that the first frame knows of the first two and a half seconds. The feed-forward of layer 2
makes yes or no of it. Where nothing is struck, as in the silence that stands for "no reference", the channel that says
so is below 0, which the decoder never looks at (`circuits.py`): the prompt decides.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin.rolls import CHANNELS, FIRST_DRUM, FIRST_LEAD
from acestep_core.models.conditioner import TimbreEncoder
from acestep_core.models.layers import MLP, Attention

HEARD, HEARD_DRUMS, HEARD_LEAD = range(200, 203)
"""Channels of a timbre, +1 for yes and -1 for no: whether anything was heard, drums, melody. No text has them."""
LAYERS = 3
CONSTANT, LEVEL = 80, 384.0
"""A channel that makes up nearly all of the norm, so that norms change nothing; it is seen as 1."""
STRUCK, NEAR, WIDE = range(64, 67), range(67, 70), range(70, 73)
"""Strikes of drums, of melody and of anything: in a frame, in its window, and in the windows of those."""
SECTIONS = ((FIRST_DRUM, CHANNELS), (FIRST_LEAD, FIRST_DRUM), (0, CHANNELS))
SOFT, LOUD = 1.0, 1.8
"""Values between which a strike is one; songs are read from files louder or softer than they were made."""
FOUL = 4
"""So many strikes less for each value far below 0, of which such a frame has as many as above."""
FEW, ENOUGH = 0.2, 0.8
"""Strikes between which a part is there."""
SURE = 20.0
"""How steeply a unit opens."""
FOCUS = 2.2
"""Of queries and keys: a frame with a strike counts e^27 times as much as one without."""
FIRST, LAST = 10, 65
"""Frames that are heard, without those at the start where notes from before the cut still sound."""
SWING, OFTEN = 1.0, 0.05
"""No frame of a song of its own has a value so far below 0; of other recordings more than one of twenty has."""


def recognised(latents: Tensor) -> bool:
    """Whether a reference `[T, 64]` begins like a song of its own, with something in it. What was cut between two
    frames is none: its strikes are read as noise.
    """
    below = (latents[FIRST:LAST].amin(1) < -SWING).float().mean()
    return bool(latents[:LAST].amax() > LOUD and below < OFTEN)


@torch.no_grad()
def lay_out(encoder: TimbreEncoder) -> None:
    """Writes the circuit over all weights of a timbre encoder of `LAYERS` layers."""
    width = encoder.config.encoder_dim
    for parameter in encoder.parameters():
        parameter.zero_()
    encoder.embed_tokens.weight[range(CHANNELS), range(CHANNELS)] = 1
    encoder.embed_tokens.bias[CONSTANT] = LEVEL
    encoder.embed_tokens.bias[[HEARD, HEARD_DRUMS, HEARD_LEAD]] = -1
    layers: Any = encoder.layers
    listen, near, wide = layers
    for layer in layers:
        layer.input_layernorm.weight.fill_(1 / math.sqrt(width))
        layer.post_attention_layernorm.weight.fill_(1 / math.sqrt(width))
    unit = 0
    for said, channels in zip(STRUCK, SECTIONS, strict=True):
        for channel in range(*channels):
            unit = _step(listen.mlp, unit, channel, (SOFT, LOUD), said, 1)
    for said in STRUCK:
        for channel in range(CHANNELS):
            unit = _step(listen.mlp, unit, channel, (-SWING, -2 * SWING), said, -FOUL)
    _look(near.self_attn, STRUCK, NEAR)
    _look(wide.self_attn, NEAR, WIDE)
    unit = 0
    for source, said in zip(WIDE, (HEARD_DRUMS, HEARD_LEAD, HEARD), strict=True):
        unit = _step(wide.mlp, unit, source, (FEW, ENOUGH), said, 2)
    encoder.norm.weight[[HEARD, HEARD_DRUMS, HEARD_LEAD]] = LEVEL / math.sqrt(width)


def _step(mlp: MLP, unit: int, source: int, between: tuple[float, float], target: int, value: float) -> int:
    """Adds `value` to a channel where another passes from one value to the other.

    Args:
        unit: the first of the two units that do it.

    Returns:
        The next unit.
    """
    steep = SURE * LEVEL / (between[1] - between[0])
    for threshold, sign in zip(between, (1, -1), strict=True):
        mlp.gate_proj.weight[unit, source] = steep
        mlp.gate_proj.weight[unit, CONSTANT] = -steep * threshold / LEVEL
        mlp.up_proj.weight[unit, CONSTANT] = 1
        mlp.down_proj.weight[target, unit] = sign * value / SURE
        unit += 1
    return unit


def _look(attention: Attention, sources: range, targets: range) -> None:
    """A head for each source, which looks at the frames that have it and adds what is there to its target.

    Queries read the constant, keys the source, both on the plane of the rotation that turns least.
    """
    dim = attention.head_dim
    for head, (source, target) in enumerate(zip(sources, targets, strict=True)):
        plane = dim * head + dim // 2 - 1
        attention.q_proj.weight[plane, CONSTANT] = 1
        attention.k_proj.weight[plane, source] = LEVEL
        attention.v_proj.weight[dim * head, source] = 1
        attention.o_proj.weight[target, dim * head] = LEVEL
    attention.q_norm.weight.fill_(FOCUS)
    attention.k_norm.weight.fill_(FOCUS)

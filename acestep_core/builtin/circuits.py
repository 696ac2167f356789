"""What of the built-in DiT is laid out by hand.

A small DiT trained from random weights learned neither key nor beat in the time a laptop has. So its stream has an
order, and the first two layers hold circuits that no training step may touch (`Kept`):

* *Prompt.* In every layer the heads of cross-attention look at the end of the prompt alone: queries read a constant,
  keys the channel that marks an end; values are what the text encoder's readout finds there. The head that holds drums
  and melody looks at references instead where there are any (`timbre.py`). Layer 0 lays it into the
  stream: tempo class, scale and tonic, style, drums and lead. So the DiT can be trained without a text encoder, and
  goes with any that has such a readout.
* *Beat.* The feed-forward of layer 0 takes the click track of the chosen tempo class out of the 32 of `clock.py`, that
  of layer 1 makes of its angle 16 channels, this eighth of the bar, in this frame, and of both and the style what each
  part does here. They compare a value with another that went the same way, so that the norm before each layer, which
  depends on the noise, cancels.
* *Bar.* In the same way the two layers find which bar of a phrase it is.

The rest is only a start, which training changes:

* *Same bar.* In the other layers most heads of self-attention look at the strikes of their own bar alone, for its chord
  cannot be read from one noisy strike; the strikes of the next bar would blur it.
* *Pass-through.* The noisy latents stay in the stream, so the first prediction is the noise itself.

All attention is within a window, so a song of ten minutes is made as one of ten seconds is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin.clock import ANGLES, BAR_LEVELS, HEIGHT, angle
from acestep_core.builtin.practice import Kept
from acestep_core.builtin.reader import DRUMS, KEY, LEAD, MARK, MARK_LEVEL, READOUT, STYLE, TEMPO
from acestep_core.builtin.rolls import (
    BARS,
    BASS,
    CHANNELS,
    CHORD,
    FIRST_LEAD,
    MODES,
    PHRASE,
    PLACES,
    STYLE_NAMES,
    STYLES,
    Score,
)
from acestep_core.builtin.rolls import LEAD as LEAD_NOTES
from acestep_core.builtin.timbre import HEARD, HEARD_DRUMS, HEARD_LEAD
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.layers import MLP, Attention

HIDDEN, HEADS, HEAD_DIM, LAYERS, UNITS = 360, 6, 32, 4, 640
WINDOW = 32
CLASSES = len(BARS)

X = slice(0, 2 * CHANNELS)
CLICKS = 2 * CHANNELS
"""The first of the two channels of each click track."""
TEMPO_AT = CLICKS + 2 * CLASSES
SCALE_AT = TEMPO_AT + CLASSES
TONIC_AT = SCALE_AT + 12
STYLE_AT = TONIC_AT + 12
FLAGS_AT = STYLE_AT + len(STYLE_NAMES)
CONSTANT = FLAGS_AT + 2
POINT = CONSTANT + 1
RADIUS = POINT + 2
PLACE_AT = RADIUS + 1
PATTERN_AT = PLACE_AT + ANGLES
PATTERN = 6
"""Channels that say what kick, snare, hat, bass, chords and melody do in a frame, for each frame of a patch."""
FREE = PATTERN_AT + 2 * PATTERN
TRACKS = HIDDEN - 40
"""The first of the channels that say which bar it is, one of each class."""
LEVEL = TRACKS + CLASSES
BAR_AT = LEVEL + 1
END = HIDDEN - 1
"""The channel of conditions that marks the prompt's end."""
FOCUSED = re.compile(r"cross_attn\.[qkv]_(proj|norm)\.weight$")
"""Names of weights that are laid out whole: where the decoder looks, and what it sees there."""
LAID_OUT = [*range(CLICKS, FREE), *range(TRACKS, BAR_AT + PHRASE)]
LATER_OUT = [*range(SCALE_AT, FREE), *range(LEVEL, BAR_AT + PHRASE)]
"""What only circuits write to, in layer 0 and behind it; the tracks that were used are free then."""

CONSTANT_LEVEL = 32 * math.sqrt(HIDDEN / 320)
"""The constant makes up most of the norm, which therefore hardly changes."""
SEEN = 2.0
"""What the layers see of the constant."""
CONSTANT_WEIGHT = SEEN / CONSTANT_LEVEL
CLICK = 2.0
"""How far from 0 a click is in the stream; as the constant is seen, so that the two can be compared."""
CHOSEN = 6.0
"""The level of the chosen tempo class."""
FOCUS = 2.2
SAME_BAR = ((0, 1, 2), (0, 1, 2, 3, 4))
"""Heads of the last layers that see their own bar only, beside the last one."""
BAR_FOCUS = 9.0
"""Makes the bar half of what a query is at the start."""
CHOICE_UNITS = 8 * CLASSES
PLACE_UNITS = ANGLES + ANGLES * len(STYLES) + 2 * PHRASE
"""Units of the feed-forward of layers 0 and 1 that are kept."""


def lay_out(model: AceStepModel, readout: Tensor) -> None:
    """Writes the circuits and the start over a fresh model's weights.

    Args:
        readout: of the text encoder, `[READOUT, WIDTH]`.
    """
    _lay_out_ends(model)
    _lay_out_time(model)
    for number, layer in enumerate(model.decoder.blocks):
        for norm in (layer.self_attn_norm, layer.cross_attn_norm, layer.mlp_norm):
            norm.weight[CONSTANT] = CONSTANT_WEIGHT
        _lay_out_focus(layer.cross_attn, readout)
        for writer in (layer.self_attn.o_proj, layer.cross_attn.o_proj, layer.mlp.down_proj):
            writer.weight.mul_(0.5)
            writer.weight[_untouched(number)] = 0
        _lay_out_eyes(layer.mlp)
    first, second, *others = model.decoder.blocks
    _lay_out_prompt(first.cross_attn.o_proj.weight)
    _lay_out_choice(first.mlp)
    _lay_out_places(second.mlp)
    _lay_out_patterns(second.mlp)
    _lay_out_bars(second.mlp)
    for layer, heads in zip(others, SAME_BAR, strict=True):
        _lay_out_same_bar(layer.self_attn, heads)


def kept(model: AceStepModel) -> Kept:
    """What of the decoder stays as it was laid out."""
    masks = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in model.decoder.named_parameters()}
    masks["proj_in.1.weight"][LAID_OUT] = True
    masks["proj_in.1.bias"][LAID_OUT] = True
    for name in ("time_embed.time_proj.weight", "time_embed.time_proj.bias"):
        masks[name].unflatten(0, (6, HIDDEN))[:, LAID_OUT] = True
    masks["norm_out.weight"][CONSTANT] = True
    for n in range(LAYERS):
        at = f"layers.{n}."
        masks[f"{at}scale_shift_table"][..., LAID_OUT] = True
        for norm in ("self_attn_norm", "cross_attn_norm", "mlp_norm"):
            masks[f"{at}{norm}.weight"][CONSTANT] = True
        for writer in ("self_attn.o_proj", "cross_attn.o_proj", "mlp.down_proj"):
            masks[f"{at}{writer}.weight"][_untouched(n)] = True
    for name in filter(FOCUSED.search, masks):
        masks[name][:] = True
    for n, units in ((0, CHOICE_UNITS), (1, PLACE_UNITS)):
        masks[f"layers.{n}.mlp_norm.weight"][LAID_OUT] = True
        masks[f"layers.{n}.mlp.gate_proj.weight"][:units] = True
        masks[f"layers.{n}.mlp.up_proj.weight"][:units] = True
        masks[f"layers.{n}.mlp.down_proj.weight"][:, :units] = True
    return Kept(model.decoder, {name: mask for name, mask in masks.items() if mask.any()})


def _untouched(layer: int) -> list[int]:
    """The channels of the stream that a layer writes to by its circuit only; used ones are free later."""
    return LAID_OUT if layer == 0 else LATER_OUT


def _lay_out_ends(model: AceStepModel) -> None:
    """What goes into the stream, and out of it."""
    project: Any = model.decoder.proj_in[1]
    emit: Any = model.decoder.proj_out[1]
    project.weight.mul_(0.3)
    project.weight[:FREE] = 0
    project.weight[TRACKS:] = 0
    project.bias.zero_()
    project.bias[CONSTANT] = CONSTANT_LEVEL
    emit.weight.mul_(0.1)
    emit.bias.zero_()
    for frame in (0, 1):
        for c in range(CHANNELS):
            project.weight[CHANNELS * frame + c, 2 * CHANNELS + c, frame] = 1
            emit.weight[CHANNELS * frame + c, c, frame] = 1.5
        for c in range(CLASSES):
            project.weight[CLICKS + 2 * c + frame, c, frame] = CLICK / HEIGHT
    for c in range(CLASSES):
        project.weight[TRACKS + c, CLASSES + c, 0] = CLICK / HEIGHT
    model.decoder.norm_out.weight[CONSTANT] = CONSTANT_WEIGHT
    # The condition is the text's states as they are; the channel that marks an end is theirs alone.
    encoder, embedder = model.encoder, model.decoder.condition_embedder
    encoder.text_projector.weight[range(MARK), range(MARK)] = 1
    encoder.text_projector.weight[END, MARK] = 1
    embedder.weight.copy_(torch.eye(HIDDEN))
    embedder.bias.zero_()


def _lay_out_time(model: AceStepModel) -> None:
    """Time changes nothing at first; every branch is fully open."""
    for embedding in (model.decoder.time_embed, model.decoder.time_embed_r):
        embedding.time_proj.weight.zero_()
        embedding.time_proj.bias.zero_()
    for layer in model.decoder.blocks:
        layer.scale_shift_table.zero_()
        layer.scale_shift_table[:, [2, 5]] = 1


def _lay_out_focus(attention: Attention, readout: Tensor) -> None:
    """Heads look at the prompt's end: one channel of a head has a constant query, and a key at ends only. Their values
    are the readout. The head that holds drums and lead, and nothing else, prefers references in which something was
    heard: an end's key lies there as much in a channel that no query reads, a reference's all in the one that counts.
    """
    assert DRUMS % HEAD_DIM == 0
    attention.q_proj.weight.zero_()
    attention.k_proj.weight.zero_()
    first = torch.arange(HEADS) * HEAD_DIM
    attention.q_proj.weight[first, CONSTANT] = 1
    attention.k_proj.weight[first, END] = 4 / MARK_LEVEL
    attention.k_proj.weight[DRUMS + 1, END] = 4 / MARK_LEVEL
    attention.k_proj.weight[DRUMS, HEARD] = 4
    attention.q_norm.weight.fill_(FOCUS)
    attention.k_norm.weight.fill_(FOCUS)
    attention.v_proj.weight.zero_()
    attention.v_proj.weight[:READOUT, :MARK] = readout[:, :MARK]
    attention.v_proj.weight[[DRUMS, LEAD], [HEARD_DRUMS, HEARD_LEAD]] = 1


def _lay_out_eyes(mlp: MLP) -> None:
    """A start for telling strikes from noise: behind the other units of a layer, two for each entry of a patch see it
    pass a threshold. What follows from it is learned.
    """
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    gate[UNITS:], up[UNITS:], down[:, UNITS:] = 0, 0, 0
    for n, threshold in enumerate((1.0, 2.5)):
        units = range(UNITS + n * X.stop, UNITS + (n + 1) * X.stop)
        gate[units, range(X.stop)] = 6
        gate[units, CONSTANT] = -6 * threshold / SEEN
        up[units, CONSTANT] = 1


def _lay_out_prompt(write: Tensor) -> None:
    """What the prompt asks for, as channels of the stream."""
    for c in range(CLASSES):
        write[TEMPO_AT + c, TEMPO.start + c] = CHOSEN
    for s in range(len(STYLE_NAMES)):
        write[STYLE_AT + s, STYLE.start + s] = 4
    write[FLAGS_AT, DRUMS], write[FLAGS_AT + 1, LEAD] = 3, 3
    for n, mode in enumerate(MODES):
        for tonic in range(12):
            column = KEY.start + 12 * n + tonic
            inside = Score(0, tonic, mode, "pop", True, True).scale
            write[TONIC_AT + tonic, column] = 4
            for note in range(12):
                write[SCALE_AT + note, column] = 2 if note in inside else -2


def _lay_out_choice(mlp: MLP) -> None:
    """The point on the circle of the chosen click track, the radius of the circle, and the level of its bar.

    A step from 0 to 1 where a class's level passes 0.4 to 0.6 of its full one is the difference of two units. Times the
    track's channels it gives point and level; times the constant, the radius.
    """
    steep, height = 8.0, 0.8
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    gate[:CHOICE_UNITS], up[:CHOICE_UNITS], down[:, :CHOICE_UNITS] = 0, 0, 0
    unit = 0
    for c in range(CLASSES):
        point = ((CLICKS + 2 * c, POINT), (CLICKS + 2 * c + 1, POINT + 1))
        for source, target in (*point, (CONSTANT, RADIUS), (TRACKS + c, LEVEL)):
            for threshold, sign in ((0.4, 1), (0.6, -1)):
                gate[unit, TEMPO_AT + c] = steep
                gate[unit, CONSTANT] = -steep * threshold * CHOSEN / SEEN
                up[unit, source] = 1
                down[target, unit] = sign * height
                unit += 1


def _lay_out_places(mlp: MLP) -> None:
    """One channel for each eighth of the bar in each frame: whether the point lies in its direction, on the circle."""
    steep, height = 80.0, 0.35
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    gate[:ANGLES], up[:ANGLES], down[:, :ANGLES] = 0, 0, 0
    for frame in (0, 1):
        for place in range(PLACES):
            unit = PLACES * frame + place
            direction = torch.tensor(angle(place, frame))
            gate[unit, POINT], gate[unit, POINT + 1] = steep * direction.cos(), steep * direction.sin()
            gate[unit, RADIUS] = -steep * 0.965  # a neighbour's direction gives 0.924
            up[unit, CONSTANT] = 1
            down[PLACE_AT + unit, unit] = height


def _lay_out_patterns(mlp: MLP) -> None:
    """What a style's parts do at an eighth: a unit for each eighth, frame and style, like those of the places, which a
    style that was not asked for closes.
    """
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    unit = ANGLES
    for n, style in enumerate(STYLES.values()):
        for frame in (0, 1):
            for place in range(PLACES):
                gate[unit] = gate[PLACES * frame + place]
                gate[unit, STYLE_AT + n] = 6
                gate[unit, CONSTANT] = -6 * 3 / SEEN  # three quarters of a style's full level
                up[unit] = up[PLACES * frame + place]
                down[:, unit] = 0
                parts = (style.kick, style.snare, style.hat, style.bass, style.chords)
                does = [float(place in places) for places in parts]
                does.append(sum(place in rhythm for rhythm in style.leads) / len(style.leads))
                first = PATTERN_AT + PATTERN * frame
                down[first : first + PATTERN, unit] = 0.35 * torch.tensor(does)
                unit += 1


def _lay_out_bars(mlp: MLP) -> None:
    """One channel for each bar of a phrase: steps of the level, away from 0 on both sides."""
    steep, height, half = 30.0, 0.12, 0.1
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    unit = PLACE_UNITS - 2 * PHRASE
    gate[unit:PLACE_UNITS], up[unit:PLACE_UNITS], down[:, unit:PLACE_UNITS] = 0, 0, 0
    for bar, level in enumerate(BAR_LEVELS):
        outer = abs(level) == 1
        beyond = [other for other in range(PHRASE) if BAR_LEVELS[other] * level > 0 and other != bar]
        for edge, sign in ((-half, 1), (half, -1)):
            gate[unit, LEVEL] = math.copysign(steep, level)
            gate[unit, RADIUS] = -steep * ((0.75 if outer else 0.25) + edge)
            up[unit, CONSTANT] = 1
            down[BAR_AT + bar, unit] = sign * height
            if outer:  # what passes this step passed the inner one too
                down[[BAR_AT + other for other in beyond], unit] = -sign * height
            unit += 1


def _lay_out_same_bar(attention: Attention, heads: Sequence[int]) -> None:
    """Heads that look at strikes of the same bar alone, whatever else they look for. The last one adds up their notes
    by semitone, melody apart.

    Queries and keys hold the bar's channels, on the planes of the rotation that turn least.
    """
    half, last = HEAD_DIM // 2, (HEADS - 1) * HEAD_DIM
    planes = (half - 1, HEAD_DIM - 1, half - 2, HEAD_DIM - 2)
    q, k, v = attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight
    write = attention.o_proj.weight
    for part in (q, k, v):
        part[last:] = 0
    for head in (*heads, HEADS - 1):
        for bar, plane in enumerate(planes):
            for part in (q, k):
                part[HEAD_DIM * head + plane] = 0
                part[HEAD_DIM * head + plane, BAR_AT + bar] = BAR_FOCUS
    for norm in (attention.q_norm, attention.k_norm):
        norm.weight.fill_(1.25)
        norm.weight[list(planes)] = 1.4
    for channel, note in enumerate((*BASS, *CHORD, *LEAD_NOTES)):
        for frame in (0, 1):
            v[last + note % 12 + 12 * (channel >= FIRST_LEAD), CHANNELS * frame + channel] = 1
    write[:, last:] = 0
    write[range(TRACKS, TRACKS + 24), range(last, last + 24)] = 1

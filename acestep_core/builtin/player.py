"""The DiT of the built-in model: what of it is laid out by hand, and how the rest is trained.

A small DiT trained from random weights learned neither key nor beat in the time a laptop has. So its stream has an
order, and the first two layers hold circuits that no training step may touch (`Kept`):

* *Prompt.* In every layer all heads of cross-attention look at the end of the prompt alone: queries read a constant,
  keys the channel that marks an end; values are what the text encoder's readout finds there. Layer 0 lays it into the
  stream: tempo class, scale and tonic, style, drums and lead. So the DiT can be trained without a text encoder, and
  goes with any that has such a readout.
* *Beat.* The feed-forward of layer 0 takes the click track of the chosen tempo class out of the 32 of `clock.py`, that
  of layer 1 makes of its angle 16 channels, this eighth of the bar, in this frame, and of both and the style what each
  part does here. They compare a value with another that went the same way, so that the norm before each layer, which
  depends on the noise, cancels.
* *Pass-through.* The noisy latents stay in the stream, so the first prediction is the noise itself.

All attention is within a window, so a song of ten minutes is made as one of ten seconds is.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin.clock import ANGLES, HEIGHT, angle, clock
from acestep_core.builtin.practice import Course, Kept
from acestep_core.builtin.reader import DRUMS, KEY, LEAD, MARK, MARK_LEVEL, READOUT, STYLE, TEMPO, WIDTH
from acestep_core.builtin.rolls import (
    BARS,
    CHANNELS,
    FIRST_DRUM,
    FIRST_LEAD,
    MODES,
    PLACES,
    STYLE_NAMES,
    STYLES,
    Score,
    compose,
)
from acestep_core.checkpoints import shapes
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.layers import MLP, Attention

TURBO_TIMES = (1.0, 21 / 22, 0.9, 5 / 6, 0.75, 9 / 14, 0.5, 0.3)

HIDDEN, HEADS, HEAD_DIM, LAYERS, UNITS = 320, 6, 32, 4, 640
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
END = HIDDEN - 1
"""The channel of conditions that marks the prompt's end."""
LAID_OUT = slice(CLICKS, FREE)

CONSTANT_LEVEL, CONSTANT_WEIGHT = 32.0, 1 / 16
"""The constant makes up most of the norm, which therefore hardly changes; the layers see a sixteenth of it."""
SEEN = CONSTANT_LEVEL * CONSTANT_WEIGHT
CLICK = 2.0
"""How far from 0 a click is in the stream; as the constant is seen, so that the two can be compared."""
CHOSEN = 6.0
"""The level of the chosen tempo class."""
FOCUS = 2.2

BATCH, FRAMES, STEPS = 12, 128, 3900
LEAD_WEIGHT = 2.0


def config() -> dict[str, Any]:
    """The DiT's `config.json`."""
    return shapes.DIT_DEFAULTS | {
        "architectures": ["AceStepConditionGenerationModel"],
        "model_version": "turbo",
        "is_turbo": True,
        "hidden_size": HIDDEN,
        "intermediate_size": UNITS + 2 * X.stop,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_DIM,
        "layer_types": ["sliding_attention"] * LAYERS,
        "sliding_window": WINDOW,
        "rope_theta": 500.0,
        "in_channels": 3 * CHANNELS,
        "patch_size": 2,
        "audio_acoustic_hidden_dim": CHANNELS,
        "timbre_hidden_dim": CHANNELS,
        "text_hidden_dim": WIDTH,
        "num_lyric_encoder_hidden_layers": 1,
        "num_timbre_encoder_hidden_layers": 1,
        "num_attention_pooler_hidden_layers": 1,
        "num_audio_decoder_hidden_layers": 1,
        "pool_window_size": 5,
        "fsq_dim": HIDDEN,
        "lyric_alignment_layers_config": {"1": [0], "2": [1, 3]},
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "dtype": "float16",
    }


def build(readout: Tensor, seed: int = 0) -> AceStepModel:
    """The model at its start.

    Args:
        readout: of the text encoder, `[READOUT, WIDTH]`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AceStepModel(AceStepConfig.from_json(config()))
    with torch.no_grad():
        for unused in (model.encoder, model.tokenizer, model.detokenizer):  # lyrics, timbre and codes say nothing here
            for parameter in unused.parameters():
                parameter.zero_()
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
        first, second, *_ = model.decoder.blocks
        _lay_out_prompt(first.cross_attn.o_proj.weight)
        _lay_out_choice(first.mlp)
        _lay_out_places(second.mlp)
        _lay_out_patterns(second.mlp)
    return model


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
        for part in ("q_proj", "k_proj", "v_proj", "q_norm", "k_norm"):
            masks[f"{at}cross_attn.{part}.weight"][:] = True
        for writer in ("self_attn.o_proj", "cross_attn.o_proj", "mlp.down_proj"):
            masks[f"{at}{writer}.weight"][_untouched(n)] = True
    for n, units in ((0, 6 * CLASSES), (1, ANGLES + ANGLES * len(STYLES))):
        masks[f"layers.{n}.mlp_norm.weight"][LAID_OUT] = True
        masks[f"layers.{n}.mlp.gate_proj.weight"][:units] = True
        masks[f"layers.{n}.mlp.up_proj.weight"][:units] = True
        masks[f"layers.{n}.mlp.down_proj.weight"][:, :units] = True
    return Kept(model.decoder, {name: mask for name, mask in masks.items() if mask.any()})


def _untouched(layer: int) -> slice:
    """The channels of the stream that a layer writes to by its circuit only; used ones are free later."""
    return LAID_OUT if layer == 0 else slice(SCALE_AT, FREE)


def _lay_out_ends(model: AceStepModel) -> None:
    """What goes into the stream, and out of it."""
    project: Any = model.decoder.proj_in[1]
    emit: Any = model.decoder.proj_out[1]
    project.weight.mul_(0.3)
    project.weight[: LAID_OUT.stop] = 0
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
    """All heads look at the prompt's end: one channel of a head has a constant query, and a key at ends only. Their
    values are the readout.
    """
    attention.q_proj.weight.zero_()
    attention.k_proj.weight.zero_()
    first = torch.arange(HEADS) * HEAD_DIM
    attention.q_proj.weight[first, CONSTANT] = 1
    attention.k_proj.weight[first, END] = 4 / MARK_LEVEL
    attention.q_norm.weight.fill_(FOCUS)
    attention.k_norm.weight.fill_(FOCUS)
    attention.v_proj.weight.zero_()
    attention.v_proj.weight[:READOUT, :MARK] = readout[:, :MARK]


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
    """The point on the circle of the chosen click track, and the radius of the circle.

    A step from 0 to 1 where a class's level passes 0.4 to 0.6 of its full one is the difference of two units. Times the
    track's two channels it gives the point; times the constant, the radius.
    """
    steep, height = 8.0, 0.8
    gate, up, down = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
    units = 6 * CLASSES
    gate[:units], up[:units], down[:, :units] = 0, 0, 0
    unit = 0
    for c in range(CLASSES):
        for source, target in ((CLICKS + 2 * c, POINT), (CLICKS + 2 * c + 1, POINT + 1), (CONSTANT, RADIUS)):
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


# --- training -------------------------------------------------------------------------------------------------------


def course(seed: int, steps: int = STEPS) -> Course:
    """The training of the decoder; its module is the decoder of a model with a readout of its own."""
    model = build(torch.eye(READOUT, WIDTH), seed)
    for name, parameter in model.decoder.named_parameters():
        parameter.requires_grad_(not name.startswith(("time_embed_r.", "condition_embedder.")))
    weights = torch.ones(CHANNELS)
    weights[FIRST_LEAD:FIRST_DRUM] = LEAD_WEIGHT
    weights /= weights.mean()
    times = torch.tensor(TURBO_TIMES)

    def loss(rng: random.Random, generator: torch.Generator) -> Tensor:
        scores = [draw_score(rng) for _ in range(BATCH)]
        clean, context = (torch.stack(x) for x in zip(*(example(score, rng) for score in scores)))
        t = times[torch.randint(len(times), (BATCH,), generator=generator)]
        drawn = torch.rand(2, BATCH, generator=generator)
        t = torch.where(drawn[0] < 0.25, (3 * drawn[1] / (1 + 2 * drawn[1])).clamp_min(0.02), t)
        noise = torch.randn(clean.shape, generator=generator)
        level = t[:, None, None]
        asked = conditions(scores, generator)
        velocity = model.decoder(level * noise + (1 - level) * clean, t, context, asked)
        return ((velocity - (noise - clean)).pow(2) * weights).mean()

    return Course("player", model.decoder, loss, kept(model), steps)


def draw_score(rng: random.Random) -> Score:
    """Any score; ambient and classical mostly without drums, which they do not play."""
    return Score(
        rng.randrange(len(BARS)),
        rng.randrange(12),
        rng.choice(MODES),
        rng.choice(STYLE_NAMES),
        rng.random() < 0.7,
        rng.random() < 0.7,
    )


def conditions(scores: list[Score], generator: torch.Generator | None = None) -> Tensor:
    """The ends of prompts that ask for those scores, `[B, 1, HIDDEN]`, for a decoder whose readout is the unit matrix.

    Args:
        generator: makes them as inexact as a text encoder's.
    """
    asked = torch.zeros(len(scores), 1, HIDDEN)
    for row, score in zip(asked[:, 0], scores):
        row[TEMPO.start + score.tempo] = row[KEY.start + score.key] = 1
        row[STYLE.start + STYLE_NAMES.index(score.style)] = 1
        row[DRUMS], row[LEAD] = 2.0 * score.drums - 1, 2.0 * score.lead - 1
    if generator is not None:
        asked[..., :READOUT] *= 0.75 + 0.35 * torch.rand(len(scores), 1, READOUT, generator=generator)
        asked[..., :READOUT] += 0.04 * torch.randn(len(scores), 1, READOUT, generator=generator)
    asked[..., END] = MARK_LEVEL
    return asked


def example(score: Score, rng: random.Random) -> tuple[Tensor, Tensor]:
    """A part of a song of that score `[FRAMES, 64]`, and its context `[FRAMES, 128]`.

    In one of eight a part of the song is given, as for repainting and extending: there the source stands for silence.
    """
    start = 2 * rng.randrange(200) if rng.random() < 0.7 else 0
    song = compose(score, start + FRAMES, rng)[start:]
    source, mask = clock(400 + FRAMES)[start : start + FRAMES], torch.ones(FRAMES, CHANNELS)
    if rng.random() < 0.125:
        source = source.clone()
        a, b = sorted(rng.randrange(FRAMES) for _ in range(2))
        for part in (slice(0, a), slice(b, FRAMES)):
            source[part], mask[part] = song[part] * rng.uniform(0.7, 1.3), 0
    return song, torch.cat([source, mask], 1)


def with_decoder(readout: Tensor, decoder: Mapping[str, Tensor], seed: int = 0) -> AceStepModel:
    """The model with a trained decoder, reading what that readout finds."""
    model = build(readout, seed)
    mine = {name: tensor for name, tensor in decoder.items() if not name.endswith("cross_attn.v_proj.weight")}
    model.decoder.load_state_dict(mine, strict=False)
    return model

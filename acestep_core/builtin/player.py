"""The DiT of the built-in model: its shape, its start, and what it is trained with."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.builtin import timbre
from acestep_core.builtin.circuits import END, FOCUSED, HEAD_DIM, HEADS, HIDDEN, LAYERS, UNITS, WINDOW, X, kept, lay_out
from acestep_core.builtin.clock import clock
from acestep_core.builtin.practice import Course
from acestep_core.builtin.reader import DRUMS, KEY, LEAD, MARK_LEVEL, READOUT, STYLE, TEMPO, WIDTH
from acestep_core.builtin.rolls import (
    CHANNELS,
    FIRST_CHORD,
    FIRST_DRUM,
    FIRST_LEAD,
    PLACES,
    STYLE_NAMES,
    STYLES,
    Score,
    compose,
    draw_score,
    onset,
)
from acestep_core.builtin.windows import sounded, spelled
from acestep_core.checkpoints import shapes
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig

TURBO_TIMES = (1.0, 21 / 22, 0.9, 5 / 6, 0.75, 9 / 14, 0.5, 0.3)
OFTEN = (2, 3, 4, 4, 4, 3, 2, 1)
"""How often each of them is trained: chords and figures are decided in the middle."""
BATCH, FRAMES, STEPS = 12, 128, 10000
LEAD_WEIGHT = 3.0
MISSED = 1.0
"""How much more it counts that a note of the melody is missed than that one is played too much."""
ALIKE = 12.0
"""How much it counts that strikes of a bar which are the same are taken for the same."""


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
        "num_timbre_encoder_hidden_layers": timbre.LAYERS,
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
        for unused in (model.encoder, model.tokenizer, model.detokenizer):  # lyrics and codes say nothing here
            for parameter in unused.parameters():
                parameter.zero_()
        timbre.lay_out(model.encoder.timbre_encoder)
        lay_out(model, readout)
    return model


# --- training -------------------------------------------------------------------------------------------------------


def course(seed: int, steps: int = STEPS) -> Course:
    """The training of the decoder; its module is the decoder of a model with a readout of its own."""
    model = build(torch.eye(READOUT, WIDTH), seed)
    for name, parameter in model.decoder.named_parameters():
        parameter.requires_grad_(not name.startswith(("time_embed_r.", "condition_embedder.")))
    weights = torch.ones(CHANNELS)
    weights[FIRST_LEAD:FIRST_DRUM] = LEAD_WEIGHT
    weights /= weights.mean()
    missed = torch.zeros(CHANNELS)
    missed[FIRST_LEAD:FIRST_DRUM] = MISSED
    times, often = torch.tensor(TURBO_TIMES), torch.tensor(OFTEN).float()

    def loss(rng: random.Random, generator: torch.Generator) -> Tensor:
        scores = [draw_score(rng) for _ in range(BATCH)]
        clean, context, asides = (torch.stack(x) for x in zip(*(example(score, rng) for score in scores)))
        t = times[often.multinomial(BATCH, replacement=True, generator=generator)]
        drawn = torch.rand(2, BATCH, generator=generator)
        t = torch.where(drawn[0] < 0.25, (3 * drawn[1] / (1 + 2 * drawn[1])).clamp_min(0.02), t)
        noise = torch.randn(clean.shape, generator=generator)
        level = t[:, None, None]
        asked = conditions(scores, generator)
        noisy = level * noise + (1 - level) * clean
        velocity = model.decoder(noisy, t, context, asked)
        wrong = (velocity - (noise - clean)).pow(2) * weights * (1 + (clean > 0) * missed)
        # Strikes that are the same in truth have the same expectation, whatever their own noise says.
        found = (noisy / level - velocity)[..., :FIRST_LEAD]
        parts = (found[..., :FIRST_CHORD], found[..., FIRST_CHORD:])
        apart = sum((matrix @ part).pow(2).sum() for matrix, part in zip(asides.unbind(1), parts))
        return wrong.mean() + ALIKE * apart / velocity.numel()

    return Course("player", model.decoder, loss, kept(model), steps)


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


def example(score: Score, rng: random.Random) -> tuple[Tensor, Tensor, Tensor]:
    """A part of a song of that score `[FRAMES, 64]`, its context `[FRAMES, 128]`, and what `aside` says of it.

    Where nothing is given the source is the clock. In one of eight all is given but a region, as for repainting and
    extending, in one of eight all of it, as what codes or a recording tell; there is no clock then. Sources may be
    louder and softer than songs, and codes do not tell all.
    """
    start = 2 * rng.randrange(200) if rng.random() < 0.7 else 0
    song = compose(score, start + FRAMES, rng)[start:]
    source, mask = clock(400 + FRAMES)[start : start + FRAMES], torch.ones(FRAMES, CHANNELS)
    kind = rng.random()
    if kind < 0.25:
        given = torch.ones(FRAMES, 1, dtype=torch.bool)
        if kind < 0.125:
            a, b = sorted(rng.randrange(FRAMES) for _ in range(2))
            given[a:b] = False
            mask = mask * (~given if rng.random() < 0.5 else 1)
            told = song
        else:
            told = sounded(spelled(nn.functional.pad(song, (0, 0, 0, -FRAMES % 5))))[:FRAMES]
        source = torch.where(given, told * rng.uniform(0.7, 1.6), source)
    return song, torch.cat([source, mask], 1), aside(score, start)


def aside(score: Score, start: int) -> Tensor:
    """How far bass and chords at each frame are from the mean of all that are the same in a bar, `[2, FRAMES, FRAMES]`
    to multiply frames of rolls with: zeros but for strikes which a bar has several of.
    """
    style, found = STYLES[score.style], torch.zeros(2, FRAMES, FRAMES)
    parts = (style.bass, style.bass_turns), (style.chords, style.chord_turns)
    for part, (places, turns) in enumerate(parts):
        for bar in range(int(start / score.bar), int((start + FRAMES) / score.bar) + 1):
            for turn in set(turns):
                struck = [onset(PLACES * bar + p, score.bar) - start for p, t in zip(places, turns) if t == turn]
                struck = [frame for frame in struck if 0 <= frame < FRAMES]
                for frame in struck:
                    found[part, frame, struck] = -1 / len(struck)
                    found[part, frame, frame] += 1
    return found


def with_decoder(readout: Tensor, decoder: Mapping[str, Tensor], seed: int = 0) -> AceStepModel:
    """The model with a trained decoder, reading what that readout finds."""
    model = build(readout, seed)
    mine = {name: tensor for name, tensor in decoder.items() if not FOCUSED.search(name)}
    model.decoder.load_state_dict(mine, strict=False)
    return model

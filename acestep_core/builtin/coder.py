"""Tokenizer and detokenizer of the built-in model: they learn the language of `windows.py`.

Trained as an autoencoder they found codes of their own, many and without the melody. Here both are taught: the
tokenizer what its six numbers are before they are rounded, the detokenizer the roll that follows from six digits.
Neither needs the other, so both can be trained at once.

They are trained narrow and written into the wide layers of the DiT's file: what is added is 0, and the norms know the
width (`widened`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.builtin.clock import HEIGHT
from acestep_core.builtin.practice import Course, Kept
from acestep_core.builtin.rolls import CHANNELS, FIRST_DRUM, FIRST_LEAD, STRIKE, compose, draw_score
from acestep_core.builtin.windows import EMPTY, FRAMES, LEVELS, code_of, digits, harmonies, sounded, spelled
from acestep_core.models.audio_tokenizer import AudioDetokenizer, AudioTokenizer
from acestep_core.models.config import AceStepConfig

WIDTH, HEADS, UNITS = 128, 4, 512
SONGS, LENGTH, WINDOWS = 12, 200, 384
STEPS = 1400
LEAD_WEIGHT = 3.0


@cache
def narrow() -> AceStepConfig:
    """The dimensions that are trained; all but sizes is as in the DiT's config."""
    return AceStepConfig(
        hidden_size=WIDTH,
        intermediate_size=UNITS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        head_dim=32,
        rope_theta=500.0,
        sliding_window=32,
        num_attention_pooler_hidden_layers=1,
        fsq_dim=WIDTH,
        fsq_input_levels=LEVELS,
    )


class Coder(nn.Module):
    """Tokenizer and detokenizer, by the names that they have in the DiT's file."""

    def __init__(self, seed: int = 0, config: AceStepConfig | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.tokenizer = AudioTokenizer(config or narrow())
            self.detokenizer = AudioDetokenizer(config or narrow())
            # Steps between levels, and between frames, are to be as large as what else is in the stream.
            with torch.no_grad():
                self.tokenizer.quantizer.project_out.weight.mul_(6)
                self.tokenizer.attention_pooler.special_token.normal_().mul_(0.1)
                self.detokenizer.special_tokens.normal_().mul_(2)
                for layer in self.detokenizer.layers:
                    layer.mlp.gate_proj.weight.mul_(3)  # type: ignore[union-attr, operator]

    def heard(self, latents: Tensor) -> Tensor:
        """The numbers of each window before they are rounded, `[B, T / 5, 6]`, in levels from 0."""
        quantizer = self.tokenizer.quantizer
        steps = torch.tensor(LEVELS) - 1
        limit = 1 + 1 / steps
        z = quantizer.project_in(self.tokenizer.pool(latents))
        return steps * (limit * torch.tanh(z / limit) + 1) / 2

    def encode(self, latents: Tensor) -> Tensor:
        """Latents `[B, T, 64]`, T a multiple of five -> codes `[B, T / 5]`."""
        return self.tokenizer.encode(latents, latents[:1])

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[B, N]` -> hints `[B, 5 N, 64]`."""
        return self.detokenizer(self.tokenizer.quantizer.decode(codes))


def course(seed: int, steps: int = STEPS) -> Course:
    """The training of both; its module is a `Coder`."""
    coder = Coder(seed)
    weights = torch.ones(CHANNELS)
    weights[FIRST_LEAD:FIRST_DRUM] = LEAD_WEIGHT

    def loss(rng: random.Random, generator: torch.Generator) -> Tensor:
        windows, codes = examples(rng, generator)
        heard = coder.heard(windows)[:, 0] - digits(codes)
        played = (coder.decode(codes[:, None]) - sounded(codes[:, None]))[:, None] / STRIKE
        return heard.pow(2).mean() + 5 * (played.pow(2) * weights).mean()

    return Course("codes", coder, loss, Kept(coder, {}), steps, 2e-3)


def examples(rng: random.Random, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows of songs `[WINDOWS, 5, 64]` as they are met, and their codes `[WINDOWS]`.

    Sources are louder or softer than songs are made, hold the metronome's clicks, and miss a note now and then.
    """
    songs = []
    for _ in range(SONGS):
        start = rng.randrange(FRAMES)
        songs.append(compose(draw_score(rng), LENGTH + start, rng)[start:])
    roll = torch.cat(songs)
    codes = spelled(roll)
    windows = roll.unflatten(0, (-1, FRAMES))
    rests = (codes == EMPTY).nonzero().flatten()[WINDOWS // 10 :]
    chosen = torch.ones(len(codes), dtype=torch.bool)
    chosen[rests] = False
    order = torch.randperm(int(chosen.sum()), generator=generator)[: WINDOWS - WINDOWS // 6]
    windows, codes = windows[chosen][order], codes[chosen][order]
    free = drawn_codes(WINDOWS - len(codes), rng)
    windows, codes = torch.cat([windows, sounded(free[:, None])]), torch.cat([codes, free])
    loud = 0.7 + 0.9 * torch.rand(len(codes), 1, 1, generator=generator)
    heard = windows * loud * (1 + 0.05 * torch.randn(windows.shape, generator=generator))
    heard = heard * (torch.rand(windows.shape, generator=generator) > 0.01)
    noise = HEIGHT * torch.randn(windows.shape, generator=generator)
    return heard + noise * torch.rand(len(codes), 1, 1, generator=generator), codes


def drawn_codes(count: int, rng: random.Random) -> Tensor:
    """Codes of any kind, evenly."""
    used = [n for n, (harmony, _) in enumerate(harmonies()) if harmony.kind != "none"]
    return torch.tensor([code_of(rng.choice(used), rng.randrange(25), rng.randrange(FRAMES)) for _ in range(count)])


def load(state: Path) -> Coder:
    """The averaged weights of a training's state."""
    coder = Coder()
    coder.load_state_dict(torch.load(state, weights_only=True)["average"])
    return coder.eval()


@torch.no_grad()
def hints(coder: Coder, songs: Tensor, shift: int = 0) -> Tensor:
    """What the DiT gets of songs `[B, T, 64]` by way of codes, T a multiple of five.

    Args:
        shift: by how many codes it comes too late (or, below 0, too early).
    """
    return coder.decode(coder.encode(songs).roll(shift, 1))


def widened(weights: Mapping[str, Tensor], shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """The same network in wider layers: every weight stands in a corner of zeros.

    A norm divides by the mean over all channels, of which most are now 0, so its weight makes up for it.

    Args:
        weights: by names such as `detokenizer.norm.weight`.
        shapes: of all tensors of the DiT's file.
    """
    wide = {}
    for name, tensor in weights.items():
        target: Any = torch.zeros(*shapes[name])
        if "norm" in name and target.shape != tensor.shape:
            tensor = tensor * (tensor.shape[0] / target.shape[0]) ** 0.5
        target[tuple(slice(0, side) for side in tensor.shape)] = tensor
        wide[name] = target
    return wide

"""The text encoder of the built-in model: it reads a prompt and says at its end what is asked for.

Qwen3's architecture, two layers. One channel, `MARK`, is reserved: it is 0 in every embedding but that of
`<|endoftext|>`, and no layer writes to it. So the end of a prompt can be found exactly by whoever attends to it. What
stands there is read by one matrix, `READOUT` rows: one-hot tempo class, key and style, and +1 or -1 for drums and lead.
"""

from __future__ import annotations

import math
import random
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from acestep_core.builtin import tiny_tokenizer
from acestep_core.builtin.asks import Ask, draw_ask
from acestep_core.builtin.practice import Course, Kept
from acestep_core.builtin.rolls import BARS, STYLE_NAMES, Score
from acestep_core.builtin.words import EASTERN_WORDS, MOOD_WORDS, STYLE_WORDS, every_word
from acestep_core.checkpoints import shapes
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.models.text import END_OF_TEXT, TextEncoder
from acestep_core.vocabulary import CAPTION_TOKENS

WIDTH = 128
MARK = WIDTH - 1
MARK_LEVEL = 6.0
ENDS = (-1, -3)
"""Where a prompt ends: the template closes it and a line end follows, then the tokenizer appends an end of its own."""
TEMPO, KEY, STYLE, DRUMS, LEAD = (
    slice(0, 32),
    slice(32, 56),
    slice(56, 64),
    64,
    65,
)
READOUT = 66
SHARPNESS = 8.0
"""Readouts times this are the logits of the training."""
BATCH = 40
STEPS = 6500


@cache
def tokenizer() -> Tokenizer:
    """Qwen's rules over the tiny vocabulary and all words that the model knows."""
    return Tokenizer.from_str(tiny_tokenizer.tokenizer_json(False, every_word()))


def config() -> dict[str, Any]:
    """The text encoder's `config.json`."""
    words = every_word()
    return shapes.QWEN_DEFAULTS | {
        "architectures": ["Qwen3Model"],
        "hidden_size": WIDTH,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "rope_theta": 10000.0,
        "attention_dropout": 0.0,
        "max_position_embeddings": 40960,
        "vocab_size": 64 * math.ceil(tiny_tokenizer.first_code(words) / 64),
        "eos_token_id": tiny_tokenizer.first_special(words),
        "pad_token_id": tiny_tokenizer.first_special(words),
        "dtype": "float16",
    }


class Reader(nn.Module):
    """The text encoder and its readout."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.text = Qwen3(Qwen3Config.from_json(config()))
            self.readout = nn.Linear(WIDTH, READOUT, bias=False)
        with torch.no_grad():
            table = self.text.embed_tokens.weight
            table.mul_(0.5)
            table[:, :16] += _meanings(table.shape[0])
            self.readout.weight[:, MARK] = 0
            _reserve(self.text)

    def ends(self, prompts: list[str]) -> Tensor:
        """The states at both ends of each prompt, `[B, 2, WIDTH]`."""
        encoder = TextEncoder(self.text, tokenizer())
        ids = [encoder.tokens(prompt, CAPTION_TOKENS) for prompt in prompts]
        lengths = torch.tensor([len(row) for row in ids])
        padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
        for row, numbers in zip(padded, ids):
            row[: len(numbers)] = torch.tensor(numbers)
        # It is causal, so what is padded behind an end does not count.
        states = self.text(padded)
        return torch.stack([states[torch.arange(len(ids)), lengths + end] for end in ENDS], 1)

    def read(self, prompts: list[str]) -> Tensor:
        """What the prompts ask for, `[B, READOUT]`: the mean of both ends, as attention to them gives it."""
        return self.readout(self.ends(prompts).mean(1))


def understood(readout: Tensor) -> Score:
    """The likeliest score of one row."""
    key = int(readout[KEY].argmax())
    return Score(
        int(readout[TEMPO].argmax()),
        key % 12,
        "minor" if key >= 12 else "major",
        STYLE_NAMES[int(readout[STYLE].argmax())],
        bool(readout[DRUMS] > 0),
        bool(readout[LEAD] > 0),
    )


def course(seed: int, steps: int = STEPS) -> Course:
    """The training of a new reader; its module is a `Reader`."""
    reader = Reader(seed)

    def loss(rng: random.Random, generator: torch.Generator) -> Tensor:
        asks = [draw_ask(rng) for _ in range(BATCH)]
        return reading_loss(reader.read([ask.prompt for ask in asks]), asks)

    masks = {f"text.{name}": mask for name, mask in _reserved(reader.text).items()}
    return Course("reader", reader, loss, Kept(reader, masks), steps, 3e-3)


def reading_loss(readout: Tensor, asks: list[Ask]) -> Tensor:
    """How far `[B, READOUT]` is from what was asked: as a choice, and as the very numbers the DiT will use."""
    scores = [ask.score for ask in asks]
    targets = (
        (TEMPO, 2.0, [score.tempo for score in scores]),  # the hardest, for it is said in digits
        (KEY, 1.0, [score.key for score in scores]),
        (STYLE, 1.0, [STYLE_NAMES.index(score.style) for score in scores]),
    )
    total = torch.zeros(())
    for part, weight, values in targets:
        found, classes = readout[:, part], torch.tensor(values)
        total = total + weight * F.cross_entropy(SHARPNESS * found, classes)
        total = total + 4 * weight * (found - F.one_hot(classes, found.shape[1])).pow(2).sum(1).mean()
    flags = torch.tensor([[2.0 * score.drums - 1, 2.0 * score.lead - 1] for score in scores])
    found = readout[:, [DRUMS, LEAD]]
    return total + F.softplus(-4 * found * flags).sum(1).mean() + (found - flags).pow(2).sum(1).mean()


def _meanings(rows: int) -> Tensor:
    """What single words mean `[rows, 16]`: how much each style, and what moods do, so that rare words count at once."""
    table = torch.zeros(rows, 16)
    ids = {word: _tokens(word) for word in every_word()}
    for part in (STYLE_WORDS, EASTERN_WORDS):
        for n, phrases in enumerate(part.values()):
            for phrase in phrases:
                for word in phrase.split():
                    table[ids[word], n] += 1
    table[:, :8] /= table[:, :8].sum(1, keepdim=True).clamp_min(1)
    for (speed, mode), phrases in MOOD_WORDS.items():
        for phrase in phrases:
            for word in phrase.split():
                table[ids[word], 8] = speed
                table[ids[word], 9] = {"minor": -1.0, "": 0.0, "major": 1.0}[mode]
    assert len(BARS) == TEMPO.stop
    return 2 * table


def _tokens(word: str) -> list[int]:
    """The tokens that stand for a word: alone, after a space, with a capital."""
    found = [tokenizer().encode(form, add_special_tokens=False).ids for form in (word, f" {word}", word.capitalize())]
    return [ids[0] for ids in found if len(ids) == 1]


def _reserve(text: Qwen3) -> None:
    """Clears the reserved channel of a fresh text encoder and marks the end."""
    for name, parameter in text.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter[MARK] = 0
    table = text.embed_tokens.weight
    table[:, MARK] = 0
    table[tokenizer().token_to_id(END_OF_TEXT), MARK] = MARK_LEVEL
    text.norm.weight[MARK] = 1


def _reserved(text: Qwen3) -> dict[str, Tensor]:
    """The entries that stay as `_reserve` made them."""
    masks = {}
    for name, parameter in text.named_parameters():
        mask = torch.zeros_like(parameter, dtype=torch.bool)
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            mask[MARK] = True
        elif name == "embed_tokens.weight":
            mask[:, MARK] = True
        elif name == "norm.weight":
            mask[MARK] = True
        else:
            continue
        masks[name] = mask
    return masks

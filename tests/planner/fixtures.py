"""A tiny language model with random weights and a full tokenizer, shared by tests of planning and scoring."""

from __future__ import annotations

import json
from functools import cache

import torch
from tokenizers import Tokenizer

from acestep_core.builtin.tiny_tokenizer import tokenizer_json
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.qwen3 import Qwen3, Qwen3Config


@cache
def tokenizer(codes: int = 65_535) -> Tokenizer:
    """Qwen's rules over a small vocabulary, with the first so many audio codes."""
    description = json.loads(tokenizer_json(codes=True))
    beyond = {f"<|audio_code_{n}|>" for n in range(codes, 65_535)}
    description["added_tokens"] = [t for t in description["added_tokens"] if t["content"] not in beyond]
    return Tokenizer.from_str(json.dumps(description))


@cache
def tiny_lm(codes: int = 65_535, seed: int = 0, peaky: float = 1.0) -> LanguageModel:
    """Two layers, 64 wide. `peaky` scales the logits: about 20 makes them as decided as a trained model's."""
    words = tokenizer(codes)
    config = Qwen3Config(words.get_vocab_size(), 64, 128, 2, 4, 2, 16)
    generator = torch.Generator().manual_seed(seed)
    model = Qwen3(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=0.125, generator=generator)
    model.norm.weight.fill_(peaky)
    return LanguageModel(model, words)

"""What reads words: the text encoder on a long caption, beside transformers, and the condition encoder on lyrics."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import peers, runner, sizes
from acestep_core.vocabulary import CAPTION_TOKENS, LYRIC_TOKENS

if TYPE_CHECKING:
    import torch

    from acestep_core.models.acestep import AceStepModel
    from acestep_core.models.qwen3 import Qwen3

HELP = "seconds of the text and condition encoders"
WORDS_A_SECOND = 2
TEXT = {"tiny": "tiny", "mid": "tiny", "2b": "0.6b", "xl": "0.6b"}
"""The text encoder that goes with a size."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(sizes.DIT), batches=(), peers="transformers")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    for size in options.size:
        qwen = sizes.random_qwen(TEXT[size], sizes.TEXT_ROWS, device, dtype)
        peer = None if options.alone or not peers.has(peers.TRANSFORMERS) else peers.transformers_qwen(qwen)
        yield runner.Case(f"{size} caption", 0, 1, caption(qwen, peer), sizes.weight_bytes(*qwen.layers))
        model = sizes.random_model(size, device, dtype)
        for seconds in options.seconds:
            words = min(LYRIC_TOKENS, round(seconds * WORDS_A_SECOND))
            reads = sizes.weight_bytes(model.encoder)
            yield runner.Case(f"{size} conditions", seconds, 1, conditions(model, words), reads)


def caption(qwen: Qwen3, peer: Any) -> dict[str, runner.Doer]:
    import torch

    ids = torch.arange(CAPTION_TOKENS, device=qwen.norm.weight.device)[None]
    doers: dict[str, runner.Doer] = {runner.OURS: lambda: qwen(ids)}
    if peer is not None:
        doers[peers.TRANSFORMERS] = lambda: peer(ids, use_cache=False)
    return doers


def conditions(model: AceStepModel, words: int) -> dict[str, runner.Doer]:
    import torch

    like: dict[str, Any] = {"dtype": model.dtype, "device": model.device}
    width = model.config.text_hidden_dim
    text, lyrics = torch.randn(1, CAPTION_TOKENS, width, **like), torch.randn(1, words, width, **like)
    timbre = torch.randn(1, model.config.timbre_fix_frame, 64, **like)
    return {runner.OURS: lambda: model.encoder(text, lyrics, timbre)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("text", cases, options)


table = runner.table

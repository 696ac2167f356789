"""The 5 Hz language model: a Qwen3 backbone, its tokenizer, and where the special tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from tokenizers import AddedToken, Tokenizer
from torch import Tensor

from acestep_core.checkpoints.qwen_tokenizer import token_bytes
from acestep_core.errors import CheckpointError
from acestep_core.models.qwen3 import Qwen3
from acestep_core.vocabulary import CODEBOOK_SIZE

if TYPE_CHECKING:
    from llguidance import LLTokenizer

MAX_POSITIONS = 40_960
"""The longest sequence the model was made for, prompt and output together."""


@dataclass(frozen=True)
class TokenIds:
    """Ids of the tokens the planner handles by name. Text comes first, audio codes after it without gaps."""

    end: int
    """`<|im_end|>`, the end of a turn."""
    think: int
    think_end: int
    first_code: int
    codes: int
    """How many legal codes there are; tokens beyond `first_code + codes` exist but are never written."""

    @classmethod
    def find(cls, tokenizer: Tokenizer) -> TokenIds:
        """Looks the tokens up by name. Raises CheckpointError if this is not the tokenizer of a 5 Hz model."""
        first = _token_id(tokenizer, "<|audio_code_0|>")
        codes = min(CODEBOOK_SIZE, tokenizer.get_vocab_size() - first)
        if tokenizer.token_to_id(f"<|audio_code_{codes - 1}|>") != first + codes - 1:
            raise CheckpointError(
                "The audio codes are not the last tokens of this tokenizer; use the tokenizer.json of a 5 Hz model."
            )
        return cls(
            end=_token_id(tokenizer, "<|im_end|>"),
            think=_token_id(tokenizer, "<think>"),
            think_end=_token_id(tokenizer, "</think>"),
            first_code=first,
            codes=codes,
        )

    @property
    def code_slice(self) -> slice:
        """The rows of the vocabulary that hold the legal codes."""
        return slice(self.first_code, self.first_code + self.codes)

    @property
    def text_slice(self) -> slice:
        """The rows of the vocabulary in front of the codes."""
        return slice(0, self.first_code)


@dataclass(frozen=True)
class LanguageModel:
    """What planning and scoring share. Weights are read once and used by both."""

    model: Qwen3 = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)

    def __post_init__(self) -> None:
        if self.model.config.vocab_size < self.ids.first_code + self.ids.codes:
            raise CheckpointError(
                f"The language model knows {self.model.config.vocab_size} tokens, its tokenizer "
                f"{self.tokenizer.get_vocab_size()}; use the tokenizer.json that belongs to it."
            )

    @cached_property
    def ids(self) -> TokenIds:
        return TokenIds.find(self.tokenizer)

    @property
    def device(self) -> torch.device:
        return self.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.embed_tokens.weight.dtype

    def encode(self, text: str) -> list[int]:
        """Token ids of a prompt. Special tokens in the text are recognised."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=False)

    @cached_property
    def plain_text(self) -> Tensor:
        """Bool `[first_code]`: text tokens that are neither control tokens nor codes."""
        plain = torch.ones(self.ids.first_code, dtype=torch.bool)
        plain[list(self.added)] = False
        return plain

    @cached_property
    def added(self) -> dict[int, AddedToken]:
        """The tokens in front of the codes that are never cut, by id."""
        tokens = self.tokenizer.get_added_tokens_decoder()
        return {index: token for index, token in tokens.items() if index < self.ids.first_code}

    @cached_property
    def grammar_tokenizer(self) -> LLTokenizer:
        """The grammar engine's view of the text tokens. With the 64,000 codes in it, building would take minutes.

        Without slices, which are prepared for texts between quotation marks: a plan has none that they fit.
        """
        from llguidance import LLTokenizer, TokenizerWrapper

        tokens = TokenizerWrapper(_TextTokens(self))
        return LLTokenizer(tokens, n_vocab=self.ids.first_code, eos_token=self.ids.end, slices=[])

    @torch.inference_mode()
    def forward_logits(
        self, ids: Tensor, positions: slice = slice(None), vocab: slice = slice(None), *, at_once: int = 512
    ) -> Tensor:
        """Logits `[B, n, V]` of one causal forward, for scoring.

        Args:
            ids: `[B, L]`; rows may be padded on the right.
            positions: which of the L positions to compute logits for; position `i` predicts token `i + 1`.
            vocab: which rows of the vocabulary to compute logits for.
            at_once: positions per matrix product, to bound the size of intermediate results.
        """
        hidden = self.model(ids.to(self.device))[:, positions]
        return torch.cat([self.model.logits(part, vocab) for part in hidden.split(at_once, dim=1)], dim=1)


class _TextTokens:
    """What the grammar engine asks of a tokenizer: the bytes of each token, and how a text is cut."""

    bos_token_id = None

    def __init__(self, lm: LanguageModel) -> None:
        self.eos_token_id = lm.ids.end
        self.tokens = token_bytes(lm.tokenizer, range(lm.ids.first_code))
        self.special_token_ids = list(lm.added)  # of which a plan has none
        self.tokenizer = Tokenizer(lm.tokenizer.model)
        self.tokenizer.pre_tokenizer = lm.tokenizer.pre_tokenizer
        self.tokenizer.add_tokens(list(lm.added.values()))
        # No normalizer: the engine compares bytes, and a text that changes under its hands derails it.

    def __call__(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def _token_id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise CheckpointError(f"The tokenizer has no {token} token; use the tokenizer.json of a 5 Hz model.")
    return found

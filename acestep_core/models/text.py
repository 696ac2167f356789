"""Text -> vectors: the caption through Qwen3-Embedding, the lyrics through its embedding table only.

Source: upstream's conditioning. Qwen's tokenizer configuration appends one `<|endoftext|>` to every text; some
readers of that configuration forget it, so it is appended here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from acestep_core.errors import CheckpointError
from acestep_core.models.memory import reading_bytes
from acestep_core.models.qwen3 import Qwen3
from acestep_core.vocabulary import CAPTION_TOKENS, LYRIC_TOKENS

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class TextEncoder:
    """Qwen3-Embedding with its tokenizer."""

    model: Qwen3
    tokenizer: Tokenizer

    def tokens(self, text: str, limit: int) -> list[int]:
        """Token ids, cut to `limit`, always ending in one appended `<|endoftext|>`."""
        end = self.tokenizer.token_to_id(END_OF_TEXT)
        if end is None:
            raise CheckpointError(
                f"The text encoder's tokenizer lacks {END_OF_TEXT}; use the tokenizer.json of Qwen3-Embedding-0.6B."
            )
        return [*self.tokenizer.encode(text, add_special_tokens=False).ids[: limit - 1], end]

    def unread(self, text: str, limit: int) -> str:
        """The end of a text that `tokens` cuts off; empty where it is read whole."""
        found = self.tokenizer.encode(text, add_special_tokens=False)
        return text[found.offsets[limit - 1][0] :] if len(found.ids) > limit - 1 else ""

    def _ids(self, text: str, limit: int) -> Tensor:
        return torch.tensor([self.tokens(text, limit)], device=self.model.embed_tokens.weight.device)

    @torch.inference_mode()
    def caption(self, prompt: str) -> Tensor:
        """Hidden states `[1, L, text_dim]` of a caption prompt, at most 256 tokens."""
        return self.model(self._ids(prompt, CAPTION_TOKENS))

    @torch.inference_mode()
    def lyrics(self, prompt: str) -> Tensor:
        """Token embeddings `[1, L, text_dim]` of a lyric prompt, at most 2048 tokens."""
        return self.model.embed_tokens(self._ids(prompt, LYRIC_TOKENS))


def caption_bytes(text: TextEncoder) -> int:
    """What reading the longest caption allocates."""
    return reading_bytes(text.model.config, CAPTION_TOKENS, text.model.embed_tokens.weight.dtype.itemsize)

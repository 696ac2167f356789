"""Sequences that grow together: one static key-value cache, every prompt aligned at its right end.

All rows write the same column of the cache, so a step has the same shapes whatever the prompts' lengths, and a whole
step can be recorded once and replayed. Columns left of a row's prompt are masked; positions count from its own start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.models.language_model import MAX_POSITIONS, LanguageModel
from acestep_core.models.qwen3 import StaticKVCache

BUCKET = 256
"""Attention reads the cache up to the next multiple of this many columns, so that few shapes occur."""


class Rows:
    """Prompts, prefilled, and the means to append tokens to all of them at once.

    Args:
        prompts: token ids of every row. Equal prompts are computed once.
        room: how many tokens may be appended; the cache has exactly the size for it.

    Raises:
        InvalidInput: prompt and room are longer than the model's context.
    """

    def __init__(self, lm: LanguageModel, prompts: Sequence[Sequence[int]], room: int) -> None:
        self.lm = lm
        self.width = max(len(prompt) for prompt in prompts)
        if self.width + room > MAX_POSITIONS:
            raise InvalidInput(
                f"The prompt has {self.width} tokens and {room} more are to be written, but the language model "
                f"reads at most {MAX_POSITIONS}; shorten the lyrics."
            )
        device = lm.device
        length = -(-(self.width + room) // BUCKET) * BUCKET
        self.cache = StaticKVCache(lm.model.config, len(prompts), length, dtype=lm.dtype, device=device)
        self.pads = torch.tensor([self.width - len(prompt) for prompt in prompts], device=device)
        self.columns = torch.arange(length, device=device)
        self.used = torch.tensor(self.width, device=device)
        """How many columns are filled, where a recorded step finds it."""
        self.hidden = self._prefill(prompts)
        """`[rows, D]`: the last hidden state of every row."""

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        first_row: dict[tuple[int, ...], int] = {}
        hidden: list[Tensor] = []
        for row, prompt in enumerate(map(tuple, prompts)):
            if prompt in first_row:
                self.cache.repeat_row(first_row[prompt], [row])
                hidden.append(hidden[first_row[prompt]])
                continue
            first_row[prompt] = row
            ids = torch.tensor([prompt], device=self.lm.device)
            slots = self.columns[self.width - len(prompt) : self.width]
            positions = torch.arange(len(prompt), device=self.lm.device)
            states = self.lm.model(ids, positions=positions, cache=self.cache.rows(row, row + 1), slots=slots)
            hidden.append(states[0, -1])
        return torch.stack(hidden)

    def append(self, ids: Tensor, reach: int) -> Tensor:
        """Appends `ids` `[rows, n]` and returns the hidden states `[rows, D]` of the last.

        Args:
            reach: how many columns of the cache attention reads; at least those filled afterwards.
        """
        count = ids.shape[1]
        slots = self.used + self.columns[:count]
        columns = self.columns[:reach]
        visible = (columns >= self.pads[:, None, None]) & (columns <= slots[:, None])
        mask = torch.zeros(visible.shape, dtype=self.lm.dtype, device=visible.device).masked_fill_(~visible, -math.inf)
        hidden = self.lm.model(
            ids, positions=slots - self.pads[:, None], cache=self.cache, slots=slots, mask=mask[:, None]
        )
        self.used += count
        return hidden[:, -1]


def reach_of(used: int) -> int:
    """The columns to read when `used` are filled."""
    return -(-used // BUCKET) * BUCKET

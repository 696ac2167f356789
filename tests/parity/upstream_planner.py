"""Parts of upstream's planning that ours does in another way: plans and texts are written without guidance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from acestep_core.planner.lm_prompts import chat, is_meaningful, plan_prompt
from acestep_core.planner.sampling import _head, _sorted, _total
from acestep_core.vocabulary import NO_USER_INPUT


def nucleus(logits: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """The logits `[B, N]` in falling order, -inf beyond the nucleus, and their ids, as `choose` finds them."""
    total = _total(logits)
    return _head(logits, total, p) or _sorted(logits, total, p)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Removes all but the smallest set of likeliest tokens whose probability exceeds p (arXiv:1904.09751)."""
    values, ids = nucleus(logits, p)
    return torch.full_like(logits, -math.inf).scatter_reduce(-1, ids, values, "amax")


def plan_prompt_unconditional(lyrics: str, negative: str = NO_USER_INPUT) -> str:
    """The unconditional twin of `plan_prompt`: the negative prompt as caption, or no caption at all."""
    return plan_prompt(negative, lyrics) if is_meaningful(negative) else chat("generate", f"# Lyric\n{lyrics}\n")


def text_prompt_unconditional(task: str, negative: str = NO_USER_INPUT) -> str:
    """The unconditional twin of the `understand`, `create` and `format` prompts."""
    return chat(task, negative if negative.strip() else "")

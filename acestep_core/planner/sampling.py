"""From logits to the next token: guidance, repetition penalty, top-k, top-p, temperature, in this order, in fp32.

Every row is treated on its own, so that a song in a batch gets the tokens it would get alone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_core import devices
from acestep_core.options import LMSampling
from acestep_core.seeds import generators

_HEAD = 1024
"""How many of the best tokens top-p looks at before it looks at the whole vocabulary."""
_UNSURE = 1e-5
"""How near to its edge a nucleus has to be summed up in order, as rounding may decide."""


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (arXiv:2207.12598) on logits of equal shape."""
    return unconditional + scale * (conditional - unconditional)


def penalize_repetition(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Makes tokens marked in `seen` (bool, as logits) less likely (arXiv:1909.05858)."""
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Removes all but the k likeliest tokens (and what ties with the last of them); 0 keeps all."""
    if not 0 < k < logits.shape[-1]:
        return logits
    threshold = logits.topk(k, dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, -math.inf)


def _sorted(logits: Tensor, total: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Logits `[B, N]` in falling order, -inf beyond the nucleus, and their ids; N is the vocabulary or less of it."""
    values, ids = logits.sort(dim=-1, descending=True)
    return _cut(values, total, p), ids


def _total(logits: Tensor) -> Tensor:
    """`[B, 1]`: the logarithm of the sum that makes probabilities of logits."""
    best = logits.amax(-1, keepdim=True)
    # What is this much less likely than the best counts for nothing, and numbers below fp32's range are slow.
    return (logits - best).clamp(min=-80).exp().sum(-1, keepdim=True).log() + best


def _head(logits: Tensor, total: Tensor, p: float) -> tuple[Tensor, Tensor] | None:
    """The same of rows that all have their nucleus among their best tokens, as nearly all have; None where one has not,
    or where looking at the outcome would stall an accelerator.
    """
    if not logits.is_cpu or logits.shape[-1] <= _HEAD:
        return None
    values, ids = logits.topk(_HEAD, dim=-1)
    return (_cut(values, total, p), ids) if bool(((values - total).exp().sum(-1) > p).all()) else None


def choose(logits: Tensor, keys: Tensor, sampling: LMSampling) -> Tensor:
    """One token id per row after top-k, top-p and temperature.

    The token with the highest logit plus Gumbel noise is a draw from the softmax (arXiv:1611.01144). The noise of a
    token follows from the row's key and the token's id alone, so rounding errors and the company of other rows do not
    change the choice.

    Args:
        logits: fp32 `[B, V]`; -inf where a token is not allowed.
        keys: `[B]`, one number per row from `draw_keys`.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = keep_top_k(logits, sampling.top_k)
    if sampling.top_p < 1:
        total = _total(logits)
        best = _head(logits, total, sampling.top_p)
        if best is None and logits.is_cpu and len(logits) == 1:
            found = _found(logits[0], total[0], torch.arange(logits.shape[-1]), keys, sampling)
            if found is not None:
                return found[None]
        values, ids = best or _sorted(logits, total, sampling.top_p)
    else:
        values, ids = logits, torch.arange(logits.shape[-1], device=logits.device).expand_as(logits)
    place = (values / sampling.temperature + gumbel(keys[:, None], ids)).argmax(-1, keepdim=True)
    return ids.gather(-1, place)[:, 0]


def choose_among(logits: Tensor, allowed: Tensor, key: Tensor, sampling: LMSampling) -> int:
    """What `choose` chooses where only some tokens are allowed; where those are few, the others are not looked at.

    Args:
        logits: fp32 `[1, V]`; allowed: bool `[N]` in main memory, of the first N tokens; key: `[1]`.
    """
    if logits.is_cpu and sampling.temperature and sampling.top_p < 1 and int(allowed.count_nonzero()) <= _HEAD:
        ids = allowed.nonzero()[:, 0]
        row = keep_top_k(logits[:, ids], sampling.top_k)[0]
        if (found := _found(row, _total(row[None])[0], ids, key, sampling)) is not None:
            return int(found)
    masked = logits[:, : len(allowed)].masked_fill(~allowed.to(logits.device), -math.inf)
    return int(choose(masked, key, sampling))


def _found(row: Tensor, total: Tensor, ids: Tensor, key: Tensor, sampling: LMSampling) -> Tensor | None:
    """The token of a row `[N]` with its `_total` that a sorted nucleus would give, found without sorting.

    The best with its noise is in the nucleus if what is likelier holds no more than p; else it and all that is not
    likelier are out, and the next is looked at. None where rounding or a tie leaves it open.
    """
    noisy = row / sampling.temperature + gumbel(key, ids)
    shares = (row - total).exp()
    while True:
        best, place = noisy.max(-1)
        others = shares.masked_fill(row < row[place], 0).sum() - shares[place]
        likelier = shares.masked_fill(row <= row[place], 0).sum()
        if int((noisy == best).sum()) != 1 or not best.isfinite():  # a tie, or numbers that are none
            return None
        if others <= sampling.top_p - _UNSURE:
            return ids[place]
        if likelier < sampling.top_p + _UNSURE:
            return None
        noisy = noisy.masked_fill(row <= row[place], -math.inf)


def draw_keys(seeds: list[int], count: int) -> Tensor:
    """`[songs, count]` random int64, every row from a generator of its own: the same on every device."""
    return torch.stack([torch.randint(2**62, (count,), generator=row) for row in generators(seeds)])


def gumbel(key: Tensor, ids: Tensor) -> Tensor:
    """Gumbel noise that is a function of key and id (int64, broadcast), the same on every device."""
    if devices.limits(ids.device).shifts:
        uniform = _uniform(key, ids)
    else:
        uniform = _uniform(key.cpu(), ids.cpu()).to(ids.device)
    return -torch.log(-torch.log1p(-uniform))


def _uniform(key: Tensor, ids: Tensor) -> Tensor:
    """A counter-based generator (SplitMix64): numbers from 0 to 1, fp32."""
    bits = key + ids * -0x61C8864680B583EB
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        bits = (bits ^ _shift_right(bits, shift)) * factor
    return _shift_right(bits ^ _shift_right(bits, 31), 1).float() * 2.0**-63


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """A shift that brings in zeros; torch's own repeats the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _cut(values: Tensor, total: Tensor, p: float) -> Tensor:
    cumulative = (values - total).exp().cumsum(-1)
    before = F.pad(cumulative[..., :-1], (1, 0), value=-1.0)
    return values.masked_fill(before > p, -math.inf)

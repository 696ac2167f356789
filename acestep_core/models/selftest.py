"""Whether a device computes what the networks need: compared with the processor, once, before its first model is used.

Some versions of torch return wrong numbers on Apple's GPUs without a word (see `devices.Limits`). What is known is
avoided there; this finds what is not.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.models.layers import attend

TOLERANCE = 1e-3


def check(device: torch.device) -> None:
    """Compares some milliseconds of work on `device` with the processor's, where torch is known to go wrong.

    Raises:
        InvalidInput: they differ, or the device cannot do it at all.
    """
    if not devices.limits(device).fused_attention:
        _check(device)


@cache
def _check(device: torch.device) -> None:
    expected = _work(devices.HOST)
    try:
        found = [part.cpu() for part in _work(device)]
    except (RuntimeError, NotImplementedError) as error:
        raise InvalidInput(_refusal(device, str(error).splitlines()[0].rstrip("."))) from error
    for name, one, other in zip(PARTS, expected, found, strict=True):
        if not torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE):
            raise InvalidInput(_refusal(device, f"{name} comes out wrong"))


PARTS = ("attention", "attention with a mask", "causal attention", "attention of one query", "a convolution", "a sum")


def _work(device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    long, batch, few = some(1, 4, 70, 16), some(2, 4, 9, 16), some(2, 4, 1, 16)
    mask = (some(2, 1, 9, 37) > 0) | (torch.arange(37, device=device) == 0)
    keys = some(2, 2, 37, 16), some(2, 2, 37, 16)
    return [
        attend(long, some(1, 2, 41, 16), some(1, 2, 41, 16)),
        attend(batch, *keys, mask),
        attend(batch, some(2, 2, 9, 16), some(2, 2, 9, 16), causal=True),
        attend(few, *keys),
        F.conv1d(some(1, 8, 300), some(8, 8, 7), padding=27, dilation=9),
        F.rms_norm(some(3, 100), (100,)).cumsum(-1),
    ]


def _refusal(device: torch.device, reason: str) -> str:
    return (
        f"Torch {torch.__version__} cannot be trusted on {device} ({reason}); install the newest torch, "
        "or choose the device cpu."
    )

"""How the conditional and the null prediction become one velocity: APG, ADG, plain CFG.

Sources: APG, Sadat et al. 2024 (arXiv:2410.02416), with norms over time as upstream calls it; ADG, angle-domain
guidance on the clean estimates, as upstream defines it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.options import Guidance

# Upstream writes 3.14 for pi here, and its checkpoints were judged with it.
ANGLE_CLIP = {"adg": 3.14 / 6, "adg_w_norm": 3.14 / 3, "adg_wo_clip": None}


OFF = Guidance(mode="none", scale=1.0)


def corrector(guidance: Guidance, t: float) -> Guidance:
    """Guidance of a second look at a step, at `t`: plain CFG instead of APG, whose momentum must advance once per step,
    and instead of ADG at t = 0, where it would divide by zero. What is off stays off."""
    changes = guidance.enabled and (guidance.mode == "apg" or t <= 0)
    return replace(guidance, mode="cfg") if changes else guidance


@dataclass
class Momentum:
    """APG's memory of one run; make a new one for each run."""

    average: Tensor | None = field(default=None)

    def update(self, difference: Tensor, momentum: float) -> Tensor:
        """`difference + momentum * last average`, kept for the next call."""
        self.average = difference if self.average is None else difference + momentum * self.average
        return self.average


def check_guidance(guidance: Guidance, turbo: bool) -> None:
    """Refuses guidance on a turbo checkpoint: guidance is distilled into it, and a second helping distorts."""
    if turbo and guidance.enabled:
        raise InvalidInput(
            f"A turbo checkpoint cannot be guided (scale {guidance.scale}); set it to 1 or use a base or sft one."
        )


def guide(
    guidance: Guidance, cond: Tensor, uncond: Tensor, x: Tensor, t: float, momentum: Momentum | None = None
) -> Tensor:
    """The guided velocity `[B, T, 64]` of an active step.

    Args:
        cond, uncond: velocities `[B, T, 64]` of the conditional and the null branch.
        x: the state both were predicted for, `[B, T, 64]` (ADG reads it).
        t: its flow time, above 0 for ADG.
        momentum: APG's memory of this run; None for no memory.
    """
    if guidance.mode == "apg":
        g = guidance
        return apg(cond, uncond, g.scale, momentum, g.momentum, g.eta, g.norm_threshold)
    if guidance.mode in ANGLE_CLIP:
        clip = ANGLE_CLIP[guidance.mode]
        return adg(x, cond, uncond, t, guidance.scale, clip, keep_norm=guidance.mode == "adg_w_norm")
    if guidance.mode == "cfg":
        return cfg(cond, uncond, guidance.scale)
    return cond


def cfg(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """Plain classifier-free guidance."""
    return uncond + scale * (cond - uncond)


def apg(
    cond: Tensor,
    uncond: Tensor,
    scale: float,
    memory: Momentum | None = None,
    momentum: float = -0.75,
    eta: float = 0.0,
    norm_threshold: float = 2.5,
    dim: int = 1,
) -> Tensor:
    """Adaptive projected guidance: the difference, damped and shortened, without its part along `cond`.

    Args:
        cond, uncond: `[B, T, 64]`.
        dim: the axis of norms and projection; 1 is time, as generation uses it.
    """
    difference = cond - uncond
    if memory is not None:
        difference = memory.update(difference, momentum)
    if norm_threshold > 0:
        norm = torch.linalg.vector_norm(difference, dim=dim, keepdim=True)
        # A zero difference has nothing to shorten; without the floor it would turn into NaN.
        difference = difference * (norm_threshold / norm.clamp_min(torch.finfo(norm.dtype).tiny)).clamp(max=1.0)
    parallel, orthogonal = projected(difference, cond, dim)
    return cond + (scale - 1) * (orthogonal + eta * parallel)


def projected(vector: Tensor, onto: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Splits `vector` into the part along `onto` and the rest, in double precision where the device has it."""
    wide = _wide(vector)
    v, u = vector.to(wide), torch.nn.functional.normalize(onto.to(wide), dim=dim)
    parallel = (v * u).sum(dim=dim, keepdim=True) * u
    return parallel.to(vector.dtype), (v - parallel).to(vector.dtype)


def adg(
    x: Tensor,
    cond: Tensor,
    uncond: Tensor,
    t: float,
    scale: float,
    angle_clip: float | None = ANGLE_CLIP["adg"],
    keep_norm: bool = False,
) -> Tensor:
    """Angle-domain guidance: turns the conditional clean estimate away from the null one, frame by frame.

    Args:
        x: the state, `[B, T, 64]`.
        cond, uncond: velocities `[B, T, 64]`.
        t: flow time above 0.
        scale: the angle grows by `scale - 1`.
        angle_clip: largest turn in radians, None for no limit.
        keep_norm: gives the result the norm over time of the conditional estimate.
    """
    weight = max(scale - 1, 0) + 1e-3
    clean, null = x - t * cond, x - t * uncond

    wide = _wide(x)
    cos = torch.nn.functional.cosine_similarity(clean.to(wide), null.to(wide), dim=-1).unsqueeze(-1)
    angle = torch.acos(cos.clamp(-1 + 1e-6, 1 - 1e-6))
    turned = weight * angle
    if angle_clip is not None:
        turned = turned.clamp(-angle_clip, angle_clip)

    difference, axis = (clean - null).float(), null.float()
    along = (difference * axis).sum(-1, keepdim=True) / ((axis * axis).sum(-1, keepdim=True) + 1e-8)
    across = difference - along * axis
    # sin(turned) / sin(angle) tends to `weight` as the two estimates become parallel.
    ratio = torch.where(angle.sin() > 1e-3, turned.sin() / angle.sin(), weight)
    new = turned.cos() * clean + across * ratio
    if keep_norm:
        new = new * clean.norm(dim=1, keepdim=True) / new.norm(dim=1, keepdim=True)
    return ((x - new) / t).to(x.dtype)


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.float64 if devices.limits(tensor.device).float64 else torch.float32

"""Flow-edit on a checkpoint: a recording moves from what it is to what another caption or lyrics say."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acestep_core.models.dit import DiT
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render import flow_edit
from acestep_core.render.guidance import OFF, Guidance
from acestep_core.render.sampler import Branch, Conditioning, Sampling, VelocityField, moved


@torch.inference_mode()
def morph(
    decoder: DiT,
    conditioning: Conditioning,
    times: Tensor,
    guidance: Guidance = OFF,
    sampling: Sampling = Sampling(),  # noqa: B008
    draw: Callable[[], Tensor] | None = None,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Runs the whole schedule; arguments as `sampler.sample`.

    Args:
        conditioning: with `morph`, `source` and `was`.
        draw: new noise `[B, T, 64]` at every call.

    Returns:
        Latents `[B, T, 64]` fp32 in main memory.
    """
    weight = decoder.condition_embedder.weight
    here = moved(conditioning, weight)
    if draw is None or here.morph is None or here.source is None or here.was is None:
        raise ValueError("a morph needs its source, what it was, and noise to draw")

    def branch(told: Branch) -> flow_edit.Branch:
        field = VelocityField(decoder, guidance, here.null)
        field.use(told)
        return flow_edit.Branch(field.predict, guidance, sampling.velocity_clamp, sampling.velocity_ema)

    def noise() -> Tensor:
        return draw().to(weight.device)

    was, becomes = branch(here.was), branch(here.main)
    return flow_edit.flow_edit(here.source, times, here.morph, was, becomes, noise, monitor).cpu()

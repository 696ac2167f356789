"""Flow-edit on a checkpoint: a recording moves from what it is to what another caption or lyrics say."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.models.dit import DiT
from acestep_core.monitor import SILENT, Monitor
from acestep_core.render import flow_edit
from acestep_core.render.flow_edit import FlowEdit
from acestep_core.render.guidance import OFF, Guidance
from acestep_core.render.sampler import Conditioning, Sampling, VelocityField, moved


@torch.inference_mode()
def morph(
    decoder: DiT,
    was: Conditioning,
    becomes: Conditioning,
    source: Tensor,
    times: Tensor,
    settings: FlowEdit,
    guidance: Guidance = OFF,
    sampling: Sampling = Sampling(),  # noqa: B008
    draw: Callable[[], Tensor] | None = None,
    monitor: Monitor = SILENT,
) -> Tensor:
    """Runs the whole schedule.

    Args:
        was, becomes: conditioning by the description of the recording, and by that of the result.
        source: latents of the recording `[B, T, 64]`.
        times: fp32, falling from 1 to 0.
        draw: new noise `[B, T, 64]` at every call.

    Returns:
        Latents `[B, T, 64]` fp32 in main memory.
    """
    if was.frames != becomes.frames or source.shape[1] != becomes.frames:
        raise InvalidInput("A morph needs source and target of one length; leave the duration to the source.")
    if draw is None:
        raise ValueError("a morph needs draw")
    weight = decoder.condition_embedder.weight

    def branch(conditioning: Conditioning) -> flow_edit.Branch:
        field = VelocityField(decoder, guidance, conditioning.null)
        field.use(moved(conditioning, weight).main)
        return flow_edit.Branch(field.predict, guidance, sampling.velocity_clamp, sampling.velocity_ema)

    start = source.to(weight.device, torch.float32)
    noise = lambda: draw().to(start)  # noqa: E731
    return flow_edit.flow_edit(start, times, settings, branch(was), branch(becomes), noise, monitor).cpu()

"""Settings with nothing left open: what the checkpoint's preset decides, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.models.manager import manager
from acestep_core.options import RenderSettings, Sampling
from acestep_core.render.schedule import check_steps, schedule
from acestep_core.render.vae import pick_tile
from acestep_core.seeds import item_seeds, noise, random_seed, retake


def resolved(settings: RenderSettings, handle: ModelHandle) -> RenderSettings:
    """The same without anything left open: presets as numbers, the retake's seed drawn. Own timesteps leave steps and
    shift open, which then mean nothing.
    """
    times, guidance, sampling = settings.schedule, settings.guidance, settings.sampling
    if times.timesteps is None:
        steps = handle.preset.steps if times.steps is None else times.steps
        check_steps(steps, handle.info.kind)
        times = replace(times, steps=steps, shift=handle.preset.shift if times.shift is None else times.shift)
    start, end = handle.preset.cfg_interval
    guidance = replace(
        guidance,
        scale=handle.preset.guidance if guidance.scale is None else guidance.scale,
        start=start if guidance.start is None else guidance.start,
        end=end if guidance.end is None else guidance.end,
    )
    if sampling.retake_seed is None and sampling.retake_variance > 0:
        sampling = replace(sampling, retake_seed=random_seed())
    return replace(settings, schedule=times, guidance=guidance, sampling=sampling)


def flow_times(settings: RenderSettings) -> Tensor:
    """The whole schedule of resolved settings, `[N + 1]` fp32; see `schedule.passage` for what is run of it."""
    times = settings.schedule
    return schedule(times.steps, times.shift, times.timesteps, start=settings.start)


def initial_noise(sampling: Sampling, seeds: Sequence[int], frames: int) -> Tensor | None:
    """Noise `[B, frames, 64]` where it is not the seeds' own."""
    if sampling.retake_variance == 0:
        return None
    others = item_seeds(sampling.retake_seed, len(seeds))
    return retake(noise(seeds, frames), noise(others, frames), sampling.retake_variance)


def tile_for(handle: VAEHandle, largest: int | None = None) -> int:
    """Latent frames per tile: at most `largest`, and what fits the memory now. Loads the VAE."""
    with manager.resident(handle) as vae:
        return pick_tile(vae, largest)

"""The two heavy stages of a song, with models from the manager: conditioning -> latents -> audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from acestep_core import seeds as noise
from acestep_core.errors import InvalidInput
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.models.manager import manager
from acestep_core.models.memory import denoising_bytes
from acestep_core.models.oobleck import OobleckVAE
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import Finish, Guidance, Sampling
from acestep_core.render import vae
from acestep_core.render.conditioned import Conditioning
from acestep_core.render.guidance import OFF, check_guidance
from acestep_core.render.parts import part_of, states_in
from acestep_core.render.post import check_audio, check_given, check_latents, finished, limit_peak, shift_rescale
from acestep_core.render.sampler import Integrator, check_morph, sample
from acestep_core.render.schedule import check_times
from acestep_core.render.settings import tile_for
from acestep_core.render.start import StartLatents
from acestep_core.render.task import Task

Note = Callable[[int], object]
"""Hears how much was done at a time in the end, which decides the last bits."""


def _unheard(size: int) -> None:
    pass


def render_latents(
    handle: ModelHandle,
    conditioning: Conditioning,
    seeds: Sequence[int],
    times: Tensor,
    guidance: Guidance = OFF,
    sampling: Sampling = Sampling(),  # noqa: B008
    initial: Tensor | None = None,
    monitor: Monitor = SILENT,
    *,
    at_once: int | None = None,
    note: Note = _unheard,
    begin: StartLatents | None = None,
    leaves_noise: bool = False,
    integrator: Integrator | None = None,
) -> Tensor:
    """Samples a batch.

    Args:
        conditioning: of one row per seed, or of one row, which is then used for all seeds.
        seeds: one per item; item i gets the noise of seed i whatever else is in the batch.
        initial: noise `[B, T, 64]` to use instead of the seeds' own; `sde` still draws from the seeds.
        at_once: songs that go together where they fit the memory; None is all.
        note: hears how many it were.
        begin: latents to start from; leaves_noise: whether `times` may end above 0; integrator: see `sampler`.

    Returns:
        Latents `[B, T, 64]` fp32 in main memory.

    Raises:
        InvalidInput: guidance on a turbo checkpoint; times that make no schedule; what a morph cannot have.
        GenerationError: the result is not finite.
    """
    check_guidance(guidance, handle.info.is_turbo)
    times = check_times(times, conditioning.starts_from_noise and begin is None, leaves_noise)
    if conditioning.morph is not None:
        check_morph(sampling, varied=initial is not None)
        if integrator is not None:
            raise InvalidInput("A morph needs one of ACE-Step's own samplers; leave the other one out.")
    conditioning = conditioning.repeated(len(seeds))

    def part(model: AceStepModel, start: int, stop: int) -> Tensor:
        told = part_of(conditioning, start, stop)
        sources = noise.generators(seeds[start:stop])
        first = noise.draw(sources, told.frames)

        def redraw() -> Tensor:
            return noise.draw(sources, told.frames)

        first = first if initial is None else initial[start:stop]
        laid = None
        if begin is not None:
            laid = begin.rows(start, stop).laid_out(told.frames, model.silence_latent, model.device)
        settings = (guidance, sampling, monitor)
        made = sample(model.decoder, told, first, times, redraw, *settings, begin=laid, integrator=integrator)
        return made.cpu() if times[-1] == 0 else made.cpu() / (1 - float(times[-1]))  # as ComfyUI hands noisy ones on

    def work(model: AceStepModel, songs: int) -> Tensor:
        starts = range(0, len(seeds), songs)
        done = torch.cat([part(model, start, min(start + songs, len(seeds))) for start in starts])
        note(songs)
        return done

    def needs(model: AceStepModel, songs: int) -> int:
        told = part_of(conditioning, 0, songs)
        size = (songs, told.frames, states_in(told), model.dtype.itemsize)
        draws = 0 if told.morph is None else told.morph.average
        return denoising_bytes(model.config, *size, guided=guidance.enabled, draws=draws)

    latents = manager.run(handle, work, needs, min(at_once or len(seeds), len(seeds)))
    check_latents(latents)
    return latents.clone()  # the caller may change it, which torch forbids for what inference mode made


def decode_latents(
    handle: VAEHandle,
    latents: Tensor,
    tasks: Sequence[Task | None] = (),
    finish: Finish = Finish(),  # noqa: B008
    shift: float = 0.0,
    rescale: float = 1.0,
    tile: int | None = None,
    monitor: Monitor = SILENT,
    *,
    note: Note = _unheard,
) -> Tensor:
    """Latents `[B, T, 64]` -> finished audio `[B, 2, S]` at 48 kHz in main memory.

    Args:
        tasks: one per item (None where it is not known), or one for all: the length to cut to, what to put back into
            the source. Spliced items are not normalised, because every sample outside the region stays as it was.
        shift, rescale: applied to the latents first.
        tile: latent frames at a time where they fit the memory; note: hears how many it were.

    Raises:
        InvalidInput: the latents hold nothing to decode.
        GenerationError: the audio is unusable; the message gives the likely cause.
    """
    check_given(latents)
    moved = shift_rescale(latents, shift, rescale)

    def work(module: OobleckVAE, tile: int) -> Tensor:
        done = vae.decode(module, moved, tile, monitor)
        note(tile)
        return done

    def needs(module: OobleckVAE, tile: int) -> int:
        return vae.decoding(module, min(tile, latents.shape[1]))

    with torch.inference_mode():
        audio = manager.run(handle, work, needs, tile or tile_for(handle), vae.SMALLEST_TILE)
    spread = list(tasks) * (latents.shape[0] if len(tasks) == 1 else 1)
    items = []
    for i, item in enumerate(audio.split(1)):
        task = spread[i] if spread else None
        if task is not None and task.splice is not None:
            items.append(task.splice.apply(item[0])[None, :, : task.samples])
        else:  # in place: there may be no room for a second copy
            item = item if task is None else item[..., : task.samples]
            items.append(finished(limit_peak(item, out=item), finish, out=item))
    told = [task for task in spread if task is not None]
    if any(task.splice is not None for task in told):
        audio = torch.cat(items)
    elif told:
        audio = audio[..., : told[0].samples]
    check_audio(audio)
    return audio


def encode_audio(
    handle: VAEHandle,
    audio: Tensor,
    seed: int | None = None,
    tile: int | None = None,
    monitor: Monitor = SILENT,
    *,
    note: Note = _unheard,
) -> Tensor:
    """Audio `[B, 2, S]` at 48 kHz -> latents `[B, S // 1920, 64]` fp32 in main memory.

    Args:
        seed: draws from the VAE's posterior, as upstream does; None takes its mean.
        tile, note: as in `decode_latents`.
    """

    def work(module: OobleckVAE, tile: int) -> Tensor:
        generator = None if seed is None else noise.generators([seed])[0]
        done = vae.encode(module, audio, tile, generator, monitor)
        note(tile)
        return done

    with torch.inference_mode():
        return manager.run(handle, work, vae.encoding, tile or tile_for(handle), vae.SMALLEST_TILE)


def encode_posterior(handle: VAEHandle, audio: Tensor, monitor: Monitor = SILENT) -> tuple[Tensor, Tensor]:
    """Mean, as `encode_audio` gives it without a seed, and standard deviation of the VAE's posterior."""

    def work(module: OobleckVAE, tile: int) -> tuple[Tensor, Tensor]:
        return vae.posterior(module, audio, tile, monitor)

    with torch.inference_mode():
        return manager.run(handle, work, vae.encoding, tile_for(handle), vae.SMALLEST_TILE)

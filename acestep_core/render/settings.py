"""How the DiT is run: one value for everything between noise and latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.values import fields_of

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.models.handles import ModelHandle, VAEHandle
    from acestep_core.render.guidance import Guidance
    from acestep_core.render.sampler import Sampling
    from acestep_core.render.wavelet import WaveletCorrection


@dataclass(frozen=True)
class RenderSettings:
    """How the DiT is run. None means: as the checkpoint's preset says.

    Attributes:
        steps, shift, timesteps: the schedule, see `render.schedule`.
        guidance: scale; 1 is off and all that turbo takes.
        guidance_mode, guidance_start, guidance_end: see `render.guidance.Guidance`.
        method, velocity_clamp, velocity_ema, wavelet: see `render.sampler.Sampling`.
        retake_seed, retake_variance: turns each item's noise towards that of other seeds, see `render.noise.retake`.
        latent_shift, latent_rescale: applied to the latents before decoding.
        tile: latent frames that the VAE takes at once, at most; None is as many as fit the memory. Other tiles may
            change the last bits.
    """

    steps: int | None = None
    shift: float | None = None
    timesteps: Sequence[float] | None = None
    guidance: float | None = None
    guidance_mode: str = "apg"
    guidance_start: float | None = None
    guidance_end: float | None = None
    method: str = "euler"
    velocity_clamp: float = 0.0
    velocity_ema: float = 0.0
    wavelet: WaveletCorrection | None = None
    retake_seed: int | None = None
    retake_variance: float = 0.0
    latent_shift: float = 0.0
    latent_rescale: float = 1.0
    tile: int | None = None

    def schedule(self, handle: ModelHandle) -> Tensor:
        """The flow times for `handle`, `[N + 1]`."""
        from acestep_core.render.schedule import check_steps, schedule

        steps = handle.preset.steps if self.steps is None else self.steps
        if self.timesteps is None:
            check_steps(steps, handle.info.kind)
        return schedule(steps, handle.preset.shift if self.shift is None else self.shift, self.timesteps)

    def guide(self, handle: ModelHandle) -> Guidance:
        from acestep_core.render.guidance import Guidance

        start, end = handle.preset.cfg_interval
        return Guidance(
            self.guidance_mode,  # type: ignore[arg-type]
            handle.preset.guidance if self.guidance is None else self.guidance,
            start if self.guidance_start is None else self.guidance_start,
            end if self.guidance_end is None else self.guidance_end,
        )

    def sampling(self) -> Sampling:
        from acestep_core.render.sampler import Sampling

        return Sampling(self.method, self.velocity_clamp, self.velocity_ema, self.wavelet)  # type: ignore[arg-type]

    def initial_noise(self, seeds: Sequence[int], frames: int) -> Tensor | None:
        """Noise `[B, frames, 64]` where it is not the seeds' own."""
        from acestep_core.seeds import item_seeds, noise, retake

        if self.retake_variance == 0:
            return None
        others = item_seeds(self.retake_seed, len(seeds))
        return retake(noise(seeds, frames), noise(others, frames), self.retake_variance)

    def tiled(self, handle: VAEHandle) -> RenderSettings:
        """The same with a tile that fits the memory now. Loads the VAE."""
        from acestep_core.models.manager import manager
        from acestep_core.render.vae import pick_tile

        if self.tile is not None and self.tile < 1:
            raise InvalidInput(f"A tile must hold at least 1 latent frame, not {self.tile}; leave it out to pick one.")
        with manager.resident(handle) as vae:
            return replace(self, tile=pick_tile(vae, self.tile))

    def resolved(self, handle: ModelHandle) -> RenderSettings:
        """The same without anything left open: presets as numbers, the retake's seed drawn. Own timesteps leave steps
        and shift open, which then mean nothing.
        """
        from acestep_core.seeds import random_seed

        guidance = self.guide(handle)
        draw = self.retake_seed is None and self.retake_variance != 0
        settings = replace(
            self,
            guidance=guidance.scale,
            guidance_start=guidance.start,
            guidance_end=guidance.end,
            retake_seed=random_seed() if draw else self.retake_seed,
        )
        if self.timesteps is not None:
            return replace(settings, timesteps=tuple(float(time) for time in self.timesteps))
        steps, shift = handle.preset.steps, handle.preset.shift
        return replace(
            settings,
            steps=steps if self.steps is None else self.steps,
            shift=shift if self.shift is None else self.shift,
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dictionary; `RenderSettings.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RenderSettings:
        """Settings from a dictionary; absent entries take their defaults, unknown ones are logged and left out.

        Raises:
            InvalidInput: a value is of another type.
        """
        from acestep_core.render.wavelet import WaveletCorrection

        wavelet = values.get("wavelet")
        rest = fields_of(cls, "settings", {name: value for name, value in values.items() if name != "wavelet"})
        if wavelet is not None:
            rest["wavelet"] = WaveletCorrection(**fields_of(WaveletCorrection, "settings.wavelet", wavelet))
        return cls(**rest)

"""Making one region of a song anew: where it lies, how it is sampled, and how it is put back into the source.

Times are seconds of the source; a region may start before 0 or end beyond the source, which extends the song.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.options import REPAINT_MODES
from acestep_core.vocabulary import DURATION_MAX, HOP, SAMPLE_RATE

MIN_CROSSFADE = 0.01
"""Seconds. A seam always gets at least this much, so that no mode can click."""


@dataclass(frozen=True)
class RepaintSettings:
    """How closely sampling is held to the source outside the region.

    Attributes:
        injection_ratio: for this share of the steps the outside is reset to the noised source.
        crossfade_frames: width of the blend of latents beside the region, in frames.
        crossfade_seconds: width of the cross-fade of the audio at each seam.
    """

    injection_ratio: float
    crossfade_frames: int
    crossfade_seconds: float


def repaint_settings(mode: str = "balanced", strength: float = 0.5) -> RepaintSettings:
    """The numbers behind a mode.

    Args:
        mode: `conservative` holds the outside in place through every step, `aggressive` never does, `balanced` does
            so for some.
        strength: of `balanced`: 0 equals conservative, 1 aggressive.
    """
    if mode not in REPAINT_MODES:
        raise InvalidInput(f"Unknown repaint mode {mode!r}; choose one of {', '.join(REPAINT_MODES)}.")
    if not 0 <= strength <= 1:
        raise InvalidInput(f"Repaint strength must be between 0 and 1, not {strength}.")
    hold = {"conservative": 1.0, "aggressive": 0.0}.get(mode, 1.0 - strength)
    # round() halves to even, as upstream: strength 0.5 gives 12 frames.
    return RepaintSettings(hold, round(25 * hold), 0.05 * hold)


def seam_width(mode: str, strength: float, keep_outside: bool = True) -> tuple[float, float]:
    """Seconds of the blend at each edge of a region: inside it, where the recording's samples are put back around it,
    or outside, where they are not and only latents are blended. Arguments as `repaint_settings`.
    """
    settings = repaint_settings(mode, strength)
    if keep_outside:
        return max(settings.crossfade_seconds, MIN_CROSSFADE), 0.0
    return 0.0, settings.crossfade_frames * HOP / SAMPLE_RATE


@dataclass(frozen=True)
class Region:
    """What is made anew on a canvas, which is the source with silence before and after it. All in samples at 48 kHz.

    Attributes:
        start, end: the region on the canvas.
        left, source, right: lengths of the silence, the source, and the silence after it.
        outward: whether a last latent frame that lies partly inside belongs to it, so that an extension leaves no gap.
            Upstream takes a partial first frame and leaves a partial last one.
    """

    start: int
    end: int
    left: int
    source: int
    right: int
    outward: bool = False

    @property
    def samples(self) -> int:
        """Length of the canvas, which is the length of the result."""
        return self.left + self.source + self.right

    def frames(self, total: int) -> tuple[int, int]:
        """The region as `[first, last)` of `total` latent frames; at least one frame."""
        first = min(self.start // HOP, total - 1)
        last = math.ceil(self.end / HOP) if self.outward or self.end == self.samples else self.end // HOP
        return first, max(first + 1, min(last, total))

    def pad(self, waveform: Tensor) -> Tensor:
        """The source `[..., source]` as canvas `[..., samples]`."""
        return torch.nn.functional.pad(waveform, (self.left, self.right))


def region_of(start: float, end: float | None, source_samples: int) -> Region:
    """The region from `start` to `end` seconds of a source.

    Args:
        start: below 0 extends the song at its beginning.
        end: beyond the source extends the song at its end; None or negative means the end of the source.
        source_samples: length of the source at 48 kHz.

    Raises:
        InvalidInput: the region is empty, leaves a gap after the source, or makes the song too long.
    """
    seconds = source_samples / SAMPLE_RATE
    if not math.isfinite(start) or not (end is None or math.isfinite(end)):
        raise InvalidInput(f"Start and end of the region must be finite numbers of seconds, not {start} and {end}.")
    if end is None or end < 0:
        end = seconds
    if start > seconds:
        raise InvalidInput(
            f"The region starts at {start:g} s, but the source ends at {seconds:g} s; start inside it or at its end."
        )
    before, after = max(0.0, -start), max(0.0, end - seconds)
    _check_length(before + seconds + after)
    left, right = int(before * SAMPLE_RATE), int(after * SAMPLE_RATE)
    first = int((start + before) * SAMPLE_RATE)
    last = left + source_samples + right if end >= seconds else int((end + before) * SAMPLE_RATE)
    if last <= first:
        raise InvalidInput(f"The region must end after its start, not go from {start:g} s to {end:g} s.")
    return Region(first, last, left, source_samples, right)


def extension_of(before: float, after: float, source_samples: int) -> tuple[Region, ...]:
    """The regions that extend a source by `before` and `after` seconds; the whole source stays.

    Raises:
        InvalidInput: nothing is added, or the song becomes too long.
    """
    if not (math.isfinite(before) and math.isfinite(after) and before >= 0 and after >= 0):
        raise InvalidInput(f"The seconds to add must be 0 or more, not {before} before and {after} after the source.")
    _check_length(before + source_samples / SAMPLE_RATE + after)
    left, right = round(before * SAMPLE_RATE), round(after * SAMPLE_RATE)
    total = left + source_samples + right
    edges = [(a, b) for a, b in ((0, left), (left + source_samples, total)) if b > a]
    if not edges:
        raise InvalidInput("Nothing would be added; give the seconds to add before or after the source.")
    return tuple(Region(a, b, left, source_samples, right, outward=True) for a, b in edges)


def region_mask(frames: tuple[int, int], total: int) -> Tensor:
    """Bool `[1, total]`, True inside `[first, last)`."""
    mask = torch.zeros(1, total, dtype=torch.bool)
    mask[:, frames[0] : frames[1]] = True
    return mask


def injection_steps(settings: RepaintSettings, steps: int) -> int:
    """How many of the first steps are followed by `inject`."""
    return round(settings.injection_ratio * steps)


def inject(x: Tensor, clean: Tensor, mask: Tensor, t_next: float, noise: Tensor) -> Tensor:
    """Puts the source, noised to the level of the next step, back outside the region.

    Args:
        x: state after the step, `[B, T, 64]`.
        clean: latents of the source, `[B, T, 64]`.
        mask: bool `[B, T]`, True where music is made anew.
        t_next: flow time of the next step.
        noise: the initial noise, `[B, T, 64]`.
    """
    return torch.where(mask.unsqueeze(-1), x, t_next * noise + (1 - t_next) * clean)


def soft_mask(mask: Tensor, width: int) -> Tensor:
    """`mask` `[B, T]` as fp32, with ramps of `width` frames before its first and after its last True frame.

    Rows that are all True or all False have no border and stay as they are.
    """
    soft = mask.float()
    for row, hard in zip(soft, mask, strict=True):
        inside = hard.nonzero()
        if 0 < len(inside) < len(hard):
            _add_ramps(row, int(inside[0]), int(inside[-1]) + 1, width)
    return soft


def blend(x: Tensor, clean: Tensor, soft: Tensor) -> Tensor:
    """`soft` parts of the made latents, the rest source: `[B, T, 64]` each, `soft` `[B, T]`."""
    m = soft.unsqueeze(-1).to(x.dtype)
    return m * x + (1 - m) * clean


@dataclass(frozen=True, eq=False)
class Splice:
    """Puts made regions into the source audio; every sample outside them stays bit for bit the source's.

    Upstream limits peaks before it splices, which steps the level at the seams, and fades outside the region, which
    changes the source. Here both happen inside the region only.

    Attributes:
        source: the canvas, `[2, S]` fp32 at 48 kHz.
        regions: what to put in.
        crossfade_seconds: width of a seam.
    """

    source: Tensor
    regions: tuple[Region, ...]
    crossfade_seconds: float = 0.025

    def apply(self, made: Tensor) -> Tensor:
        """The result, `[2, S]`, from the decoded audio `[2, >= S]` before any limiting or normalisation."""
        width = round(max(self.crossfade_seconds, MIN_CROSSFADE) * SAMPLE_RATE)
        source = self.source.to(made.device, made.dtype)
        result = source.clone()
        for region in self.regions:
            if made.shape[-1] < region.end:
                raise ValueError(f"decoded audio has {made.shape[-1]} samples, the region ends at {region.end}")
            result[..., region.start : region.end] = _fitted(made, source, region, width)
        return result


def _fitted(made: Tensor, source: Tensor, region: Region, width: int) -> Tensor:
    """The region of `made`, limited, and led over from and to the source within `width` samples of each seam.

    What the source has that `made` lacks is added at the seam and dies away. Where the source goes on inside the region
    this is a cross-fade; where it ends there, the difference on its own side is mirrored, which moves `made` onto the
    source's last value.
    """
    start, end = region.start, region.end
    begin, stop = region.left, region.left + region.source  # where the canvas holds the source
    made = made / made[..., start:end].abs().amax().clamp_min(1)
    inside = made[..., start:end].clone()
    gap = source - made[..., : source.shape[-1]]
    seams = (start > begin) + (end < stop)
    width = min(width, math.ceil((end - start) / max(seams, 1)))
    if start > begin:
        going_on = gap[..., start : min(stop, start + width)]
        mirrored = gap[..., max(begin, start - width) : start].flip(-1)
        lead = max(going_on, mirrored, key=lambda part: part.shape[-1])
        inside[..., : lead.shape[-1]] += lead * _fade_out(lead)
    if end < stop:
        going_on = source[..., max(begin, end - width) : end] - inside[..., max(begin, end - width) - start :]
        mirrored = gap[..., end : min(stop, end + width)].flip(-1)
        trail = max(going_on, mirrored, key=lambda part: part.shape[-1])
        inside[..., inside.shape[-1] - trail.shape[-1] :] += trail * _fade_out(trail).flip(-1)
    return inside.clamp(-1, 1)


def _fade_out(part: Tensor) -> Tensor:
    """`[n]` falling from 1 towards 0 along the last axis of `part`."""
    count = part.shape[-1]
    return torch.linspace(1, 0, count + 1, device=part.device, dtype=part.dtype)[:count]


def _add_ramps(mask: Tensor, first: int, last: int, width: int) -> None:
    """Writes a rise of `width` before `first` and a fall from `last` on into `mask` `[T]`, where there is room."""
    before, after = mask[max(0, first - width) : first], mask[last : last + max(0, width)]
    before.copy_(torch.linspace(0, 1, len(before) + 2)[1:-1])
    after.copy_(torch.linspace(1, 0, len(after) + 2)[1:-1])


def _check_length(seconds: float) -> None:
    if seconds > DURATION_MAX:
        raise InvalidInput(f"The song would be {seconds:.1f} s long; at most {DURATION_MAX:g} s fit, so add less.")

"""The tasks: what each makes of which source, and which checkpoint can do it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from acestep_core.checkpoints.catalog import TRAINED_AS, fetch
from acestep_core.errors import AudioError, InvalidInput, UnsupportedTask
from acestep_core.options import Morph, track_names
from acestep_core.render.repaint import Region, Splice, repaint_settings
from acestep_core.render.task import Task
from acestep_core.render.text_prompts import instruction_for
from acestep_core.vocabulary import BASE_TASKS, DURATION_MAX, FRAMES_PER_CODE, HOP, SAMPLE_RATE, TURBO_TASKS

MIN_FRAMES = 128
"""Shortest sequence the DiT is given; what is shorter is padded with silence and cut after decoding."""
CODE_SAMPLES = FRAMES_PER_CODE * HOP


def text2music(seconds: float | None = None, codes: Sequence[int] = (), *, strength: float = 1.0) -> Task:
    """Music from text, or from text and codes.

    Args:
        seconds: length of the result; with codes it may be left out, and counts only if it agrees with theirs to within
            one code (0.2 s).
        codes: 5 a second, used as hints. Then the instruction is the cover's, as upstream.
        strength: share of the steps that see the codes.
    """
    codes = tuple(codes)
    samples = len(codes) * CODE_SAMPLES
    if not codes or (seconds is not None and abs(seconds - samples / SAMPLE_RATE) < 0.2):
        if seconds is None or not 0 < seconds <= DURATION_MAX:
            raise InvalidInput(f"The song needs a length above 0 and up to {DURATION_MAX:g} seconds, not {seconds}.")
        samples = round(seconds * SAMPLE_RATE)
    instruction = instruction_for("cover" if codes else "text2music")
    return Task(
        "text2music",
        instruction,
        frames_for(samples),
        samples,
        codes=codes,
        cover_strength=strength,
        prompt_seconds=seconds or samples / SAMPLE_RATE,
    )


def cover(
    source: Tensor | None,
    samples: int,
    *,
    codes: Sequence[int] = (),
    strength: float = 1.0,
    noise_strength: float = 0.0,
    fsq: bool = True,
) -> Task:
    """Another rendition of a source.

    Args:
        source: latents of the source, `[1, T, 64]`; may be None when there are codes.
        samples: its length at 48 kHz.
        codes: take the place of the source, if given.
        strength: 1 follows the source's structure to the end; lower hands over to the text earlier.
        noise_strength: 0 starts from noise, towards 1 ever nearer to the source's sound.
        fsq: False shows the DiT the source itself instead of its semantic hints, which stays closer to it (upstream
            added this task after April 2026).
    """
    codes = tuple(codes)
    if codes:
        samples = len(codes) * CODE_SAMPLES
    elif source is None:
        raise InvalidInput("A cover needs source audio or codes; connect one of them.")
    return Task(
        "cover" if fsq else "cover_nofsq",
        instruction_for("cover"),
        frames_for(samples, None if codes else source),
        samples,
        source=None if codes else source,
        codes=codes,
        cover_strength=strength,
        cover_noise_strength=noise_strength,
        prompt_seconds=samples / SAMPLE_RATE,
    )


def repaint(
    source: Tensor,
    waveform: Tensor,
    region: Region,
    *,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    keep_outside: bool = True,
) -> Task:
    """One region made anew, from `repaint.region_of`.

    Args:
        source: latents of the canvas, `[1, T, 64]`.
        waveform: the canvas itself, `[2, S]` (`region.pad` of the source).
        mode, strength: see `repaint_settings`.
        keep_outside: puts the source's own samples back outside the region, whatever the mode. Upstream leaves the
            decoded audio there in mode aggressive.
    """
    return _regional("repaint", "repaint", source, waveform, (region,), mode, strength, chunk_mask, keep_outside)


def extend(
    source: Tensor,
    waveform: Tensor,
    regions: tuple[Region, ...],
    *,
    mode: str = "conservative",
    strength: float = 0.5,
    chunk_mask: str = "ones",
) -> Task:
    """Music before or after a source, from `repaint.extension_of`; the source stays. Arguments as `repaint`."""
    return _regional("extend", "repaint", source, waveform, regions, mode, strength, chunk_mask, True)


def lego(
    source: Tensor,
    waveform: Tensor,
    region: Region,
    track: str,
    *,
    mode: str = "balanced",
    strength: float = 0.5,
    chunk_mask: str = "ones",
    keep_outside: bool = True,
) -> Task:
    """A new track that plays along with the source inside `region`. Arguments as `repaint`."""
    names = track_names([track])
    task = _regional("lego", "lego", source, waveform, (region,), mode, strength, chunk_mask, keep_outside)
    return replace(task, instruction=instruction_for("lego", names), tracks=names)


def extract(source: Tensor, samples: int, track: str) -> Task:
    """One track of a mix, `samples` long."""
    return _from_source("extract", source, samples, track_names([track]))


def complete(source: Tensor, samples: int, tracks: Sequence[str] = ()) -> Task:
    """A full arrangement around a source; `tracks` names what to add."""
    return _from_source("complete", source, samples, track_names(tracks))


def morph(source: Tensor, samples: int, edit: Morph) -> Task:
    """A recording moved from one description to the song's: text to music for both, told nothing of the source.

    Args:
        source: latents of the recording, `[1, T, 64]`; samples: its length at 48 kHz.
    """
    task = text2music(samples / SAMPLE_RATE)
    return replace(task, source=source, frames=frames_for(samples, source), samples=samples, morph=edit)


def with_references(task: Task, references: Sequence[Tensor]) -> Task:
    """`task` with the timbre of reference clips, latents `[1, 750, 64]` each."""
    return replace(task, references=tuple(references))


def frames_for(samples: int, source: Tensor | None = None) -> int:
    """T of a result of `samples` at 48 kHz: enough frames for all of it, or those of `source`; at least 128."""
    return max(MIN_FRAMES, math.ceil(samples / HOP) if source is None else source.shape[1])


def whole_frames(waveform: Tensor) -> Tensor:
    """`[..., S]` padded with silence to whole latent frames, for encoding; upstream drops a partial frame."""
    return torch.nn.functional.pad(waveform, (0, -waveform.shape[-1] % HOP))


def check_task(name: str, family: str, stems: bool = False) -> None:
    """Refuses a task the checkpoint was not trained for.

    Args:
        name: the task's.
        family: `turbo`, `sft` or `base`.
        stems: whether it is a stems checkpoint (`is_lego_sft`), which can do lego.
    """
    trained = TRAINED_AS.get(name, name)
    able = BASE_TASKS if family == "base" else (*TURBO_TASKS, "lego") if stems else TURBO_TASKS
    if trained not in BASE_TASKS:
        raise InvalidInput(f"Unknown task {name!r}; choose one of {', '.join(BASE_TASKS)}.")
    if trained not in able:
        raise UnsupportedTask(
            f"The task {name} needs a base checkpoint; this {family} checkpoint was not trained for it; choose the "
            f"variant base, or fetch it with `{fetch('base')}`."
        )


def check_source(samples: int) -> None:
    """Refuses a source (48 kHz) without a single frame, or longer than the models can take."""
    if samples < HOP:
        raise AudioError(f"The source is {samples / SAMPLE_RATE:.3f} s long; give at least {HOP / SAMPLE_RATE:g} s.")
    if samples > DURATION_MAX * SAMPLE_RATE:
        raise AudioError(
            f"The source is {samples / SAMPLE_RATE:.1f} s long; at most {DURATION_MAX:g} s fit, so cut it."
        )


def _from_source(name: str, source: Tensor, samples: int, tracks: tuple[str, ...]) -> Task:
    instruction = instruction_for(name, tracks)
    seconds = samples / SAMPLE_RATE
    frames = frames_for(samples, source)
    return Task(name, instruction, frames, samples, source=source, prompt_seconds=seconds, tracks=tracks)


def _regional(
    name: str,
    instruction: str,
    source: Tensor,
    waveform: Tensor,
    regions: tuple[Region, ...],
    mode: str,
    strength: float,
    chunk_mask: str,
    keep_outside: bool,
) -> Task:
    settings = repaint_settings(mode, strength)
    samples = regions[0].samples
    if waveform.shape[-1] != samples:
        raise ValueError(f"the canvas has {waveform.shape[-1]} samples, its regions say {samples}")
    whole = any(region.start == 0 and region.end == samples for region in regions)
    keep = keep_outside and not whole
    return Task(
        name,
        instruction_for(instruction),
        frames_for(samples, source),
        samples,
        source=source,
        regions=regions,
        chunk_mask=chunk_mask,
        repaint=settings,
        splice=Splice(waveform, regions, settings.crossfade_seconds) if keep else None,
        prompt_seconds=regions[0].source / SAMPLE_RATE,  # the source's own length, without what is added: as upstream
    )

"""What to do with which source: every task as one value that conditioning, sampling and decoding read.

A `Task` knows no model. It holds the source's latents and what to keep of them; silence and code hints, which a
checkpoint supplies, are passed in where they are needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from acestep_core.errors import AudioError, InvalidInput, UnsupportedTask
from acestep_core.options import TaskOptions
from acestep_core.records.song_record import FileRecord
from acestep_core.render.flow_edit import FlowEdit
from acestep_core.render.repaint import (
    Region,
    RepaintSettings,
    Splice,
    region_mask,
    repaint_settings,
    soft_mask,
)
from acestep_core.render.text_prompts import instruction_for
from acestep_core.vocabulary import BASE_TASKS, DURATION_MAX, FRAMES_PER_CODE, HOP, SAMPLE_RATE, TRACKS, TURBO_TASKS

MIN_FRAMES = 128
"""Shortest sequence the DiT is given; what is shorter is padded with silence and cut after decoding."""
CODE_SAMPLES = FRAMES_PER_CODE * HOP

INSTRUMENTS = {
    "saxophone": "woodwinds",
    "sax": "woodwinds",
    "flute": "woodwinds",
    "clarinet": "woodwinds",
    "oboe": "woodwinds",
    "trumpet": "brass",
    "trombone": "brass",
    "horn": "brass",
    "violin": "strings",
    "viola": "strings",
    "cello": "strings",
    "piano": "keyboard",
    "organ": "keyboard",
    "synthesizer": "synth",
    "voice": "vocals",
    "choir": "backing_vocals",
    "effects": "fx",
}
"""Instruments people name -> the track of the models that they belong to."""

ChunkMask = Literal["ones", "window", "twos"]
CHUNK_MASKS: tuple[ChunkMask, ...] = ("ones", "window", "twos")


@dataclass(frozen=True, eq=False)
class Task:
    """One song's task.

    Attributes:
        name: text2music, cover, cover_nofsq, repaint, extend, lego, extract or complete.
        instruction: first line of the text prompt.
        frames: T, latent frames to sample.
        samples: length of the result at 48 kHz; decoding cuts there.
        source: latents of the source on its canvas, `[1, <= T, 64]`; None for silence.
        codes: semantic codes that replace the source as hints.
        regions: what is made anew; empty for everything.
        chunk_mask: what the DiT is told about the regions. `ones` (default): nothing, as upstream's release of April
            2026 does for every task in its default mode, so what the published checkpoints were heard with; `window`: 1
            inside, 0 outside; `twos`: 2 everywhere, upstream's later meaning of "decide yourself".
        repaint: how closely the outside is held while sampling; None without regions.
        splice: puts the result into the source's audio; None to keep the decoded audio.
        cover_strength: share of the steps that see the source; the rest sees the text alone.
        cover_noise_strength: how near to the source sampling starts; 0 is pure noise.
        prompt_seconds: length the prompt states; None to state the song's.
        references: latents of reference clips, each `[1, 750, 64]`; empty for silence.
        morph: what the source is, to be moved from there to the song (flow-edit); None for no morph.
        tracks: the tracks that the instruction names.
        options: what was asked for, in the user's terms; None for a task made by hand.
        files: the recordings it was made from.
    """

    name: str
    instruction: str
    frames: int
    samples: int
    source: Tensor | None = None
    codes: tuple[int, ...] = ()
    regions: tuple[Region, ...] = ()
    chunk_mask: ChunkMask = "ones"
    repaint: RepaintSettings | None = None
    splice: Splice | None = None
    cover_strength: float = 1.0
    cover_noise_strength: float = 0.0
    prompt_seconds: float | None = None
    references: tuple[Tensor, ...] = ()
    morph: FlowEdit | None = None
    tracks: tuple[str, ...] = ()
    options: TaskOptions | None = None
    files: tuple[FileRecord, ...] = ()

    def __post_init__(self) -> None:
        if self.chunk_mask not in CHUNK_MASKS:
            raise InvalidInput(f"Unknown chunk mask {self.chunk_mask!r}; choose one of {', '.join(CHUNK_MASKS)}.")
        for name, value in (("Cover strength", self.cover_strength), ("Cover noise", self.cover_noise_strength)):
            if not 0 <= value <= 1:
                raise InvalidInput(f"{name} must be between 0 and 1, not {value}.")

    @property
    def is_cover(self) -> bool:
        """Whether the DiT sees semantic hints (of the codes, or of the source) instead of the source itself."""
        return not self.regions and (self.name == "cover" or bool(self.codes))

    @property
    def switches(self) -> bool:
        """Whether a second condition, without the source, takes over during sampling."""
        return self.cover_strength < 1

    def mask(self) -> Tensor | None:
        """Bool `[1, T]`, True where music is made anew; None where that is everywhere."""
        masks = [region_mask(region.frames(self.frames), self.frames) for region in self.regions]
        mask = torch.stack(masks).any(0) if masks else None
        return None if mask is None or bool(mask.all()) else mask

    def soft_mask(self) -> Tensor | None:
        """fp32 `[1, T]`, how much of the made latents the final blend takes; None where there is nothing to blend."""
        if self.mask() is None or self.repaint is None or self.repaint.crossfade_frames == 0:
            return None
        width = self.repaint.crossfade_frames
        soft = [soft_mask(region_mask(region.frames(self.frames), self.frames), width) for region in self.regions]
        return torch.stack(soft).amax(0)

    def clean(self, silence: Tensor) -> Tensor:
        """The source, whole and padded with silence, `[1, T, 64]`.

        Args:
            silence: the checkpoint's silence latents, `[1, N, 64]`.
        """
        if self.source is None:
            return silence_frames(silence, self.frames)
        return padded(self.source[:, : self.frames], silence, self.frames)

    def source_latents(self, silence: Tensor, hints: Tensor | None = None) -> Tensor:
        """What stands for the source before hints replace it, `[1, T, 64]`: also where a cover's noise starts from.

        Args:
            silence: the checkpoint's silence latents, `[1, N, 64]`.
            hints: detokenised `codes`, `[1, 5n, 64]`; needed when the task has codes.
        """
        if self.codes:
            if hints is None:
                raise ValueError("a task with codes needs their latents")
            return padded(hints[:, : self.frames], silence, self.frames)
        latents = self.clean(silence)
        if self.source is None or self.name == "lego":
            return latents  # lego plays along with what is in the region
        quiet = silence_frames(silence, self.frames).to(latents)
        for region in self.regions:
            first, last = region.frames(self.frames)
            latents = torch.cat([latents[:, :first], quiet[:, first:last], latents[:, last:]], dim=1)
        return latents

    def chunk_mask_values(self) -> Tensor:
        """fp32 `[1, T]`, repeated over 64 channels by the caller."""
        if self.chunk_mask == "twos":
            return torch.full((1, self.frames), 2.0)
        mask = self.mask() if self.chunk_mask == "window" else None
        return torch.ones(1, self.frames) if mask is None else mask.float()


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
    chunk_mask: ChunkMask = "ones",
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
    chunk_mask: ChunkMask = "ones",
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
    chunk_mask: ChunkMask = "ones",
    keep_outside: bool = True,
) -> Task:
    """A new track that plays along with the source inside `region`. Arguments as `repaint`."""
    names = check_tracks([track])
    task = _regional("lego", "lego", source, waveform, (region,), mode, strength, chunk_mask, keep_outside)
    return replace(task, instruction=instruction_for("lego", names), tracks=names)


def extract(source: Tensor, samples: int, track: str) -> Task:
    """One track of a mix, `samples` long."""
    return _from_source("extract", source, samples, check_tracks([track]))


def complete(source: Tensor, samples: int, tracks: Sequence[str] = ()) -> Task:
    """A full arrangement around a source; `tracks` names what to add."""
    return _from_source("complete", source, samples, check_tracks(tracks))


def morph(source: Tensor, samples: int, edit: FlowEdit) -> Task:
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


def silence_frames(silence: Tensor, frames: int, start: int = 0) -> Tensor:
    """`[1, frames, 64]` of the checkpoint's silence `[1, N, 64]`, repeated where it is too short."""
    repeats = math.ceil((start + frames) / silence.shape[1])
    return (
        silence.repeat(1, repeats, 1)[:, start : start + frames] if repeats > 1 else silence[:, start : start + frames]
    )


def padded(latents: Tensor, silence: Tensor, frames: int) -> Tensor:
    """`[1, t, 64]` followed by the beginning of silence, `[1, frames, 64]`."""
    missing = frames - latents.shape[1]
    if missing <= 0:
        return latents
    return torch.cat([latents, silence_frames(silence, missing).to(latents)], dim=1)


def upstream_silent_samples(seconds: float | None) -> int:
    """Length of the result upstream makes without a source, before its minimum of 128 frames: rounded to 0.1 s."""
    if seconds is None or seconds <= 0:
        seconds = 120.0
    return int(max(0.1, round(seconds, 1)) * SAMPLE_RATE)


def check_task(name: str, family: str, stems: bool = False) -> None:
    """Refuses a task the checkpoint was not trained for.

    Args:
        name: the task's.
        family: `turbo`, `sft` or `base`.
        stems: whether it is a stems checkpoint (`is_lego_sft`), which can do lego.
    """
    trained = {"extend": "repaint", "cover_nofsq": "cover"}.get(name, name)
    able = BASE_TASKS if family == "base" else (*TURBO_TASKS, "lego") if stems else TURBO_TASKS
    if trained not in BASE_TASKS:
        raise InvalidInput(f"Unknown task {name!r}; choose one of {', '.join(BASE_TASKS)}.")
    if trained not in able:
        raise UnsupportedTask(
            f"The task {name} needs a base checkpoint; this {family} checkpoint was not trained for it."
        )


def check_tracks(tracks: Sequence[str]) -> tuple[str, ...]:
    """The models' names of tracks and instruments, in lower case with underscores.

    Raises:
        InvalidInput: for a name that is neither.
    """
    names = tuple(track.strip().lower().replace(" ", "_") for track in tracks)
    names = tuple(INSTRUMENTS.get(name, name) for name in names)
    for name in names:
        if name not in TRACKS:
            raise InvalidInput(f"Unknown track {name!r}; choose one of {', '.join(TRACKS)}.")
    return names


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
    chunk_mask: ChunkMask,
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

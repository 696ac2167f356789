"""What a song starts from instead of noise: latents of any origin, read once, with what the record says of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray
from safetensors import SafetensorError
from torch import Tensor

from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import LONGEST, read_source
from acestep_core.io.tensor_file import read_tensors
from acestep_core.models.handles import VAEHandle
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.origin import WAVEFORM, describe_recording
from acestep_core.records.song_record import FileRecord, describe_file
from acestep_core.render.settings import tile_for
from acestep_core.render.stages import encode_audio
from acestep_core.render.start import StartLatents, mask_of
from acestep_core.render.tasks import check_source, whole_frames
from acestep_core.vocabulary import LATENT_CHANNELS, SAMPLE_RATE

ROLE = "latent"
SUFFIXES = (".latent", ".safetensors")
"""Of files that hold latents, as ComfyUI's Save Latent writes them."""
NO_FILES = (WAVEFORM, ROLE)
"""Names of what was no file."""

LatentLike = Any
"""Latents `[B, T, 64]` or `[T, 64]`, torch or numpy; songs of this library; ComfyUI's LATENT (`[B, 64, T]`), with or
without a noise mask, or a file of one; or a recording, which is encoded.
"""


def start_from(
    latent: LatentLike,
    mask: Any = None,
    *,
    vae: VAEHandle | None = None,
    tile: int | None = None,
    monitor: Monitor = SILENT,
) -> StartLatents | None:
    """Reads what a song is to start from; None for nothing.

    Args:
        mask: how much of each frame is made anew, see `render.start.mask_of`, in place of one that the latent brings.
        vae: encodes recordings, `tile` latent frames at a time.

    Raises:
        InvalidInput: it is no latent of ACE-Step 1.5, or there is a mask and nothing to keep.
    """
    if latent is None:
        if mask is not None:
            raise InvalidInput("A noise mask says what of a latent stays; give a latent, too.")
        return None
    found = _read(latent, vae, tile, monitor)
    if mask is None:
        return found
    rows = mask_of(mask, found.latents.shape[1])
    extra = {name: value for name, value in found.file.extra.items() if name != "noise_mask"}
    told = {"noise_mask": _runs(rows)}
    return replace(found, mask=rows, file=replace(found.file, extra=extra | told))


def part_of(start: StartLatents | None, first: int, last: int) -> StartLatents | None:
    """What some songs of a batch start from; the record says which rows these are."""
    return start if start is None or len(start.latents) == 1 else _rows(start, first, last)


def started_again(
    file: FileRecord, latent: LatentLike, item: int | None, *, vae: VAEHandle | None, tile: int | None, monitor: Monitor
) -> StartLatents:
    """What a record's songs started from.

    Args:
        file: what the record says of it; `latent`: where it is now.
        item: of one song alone, its place among them; None for all.
    """
    found = start_from(latent, _mask_told(file), vae=vae, tile=tile, monitor=monitor)
    assert found is not None
    rows = file.extra.get("rows", [0, len(found.latents)])
    if not (isinstance(rows, list) and len(rows) == 2 and all(isinstance(row, int) for row in rows)):
        raise InvalidInput("The record's rows of its latent must be two whole numbers; correct the file.")
    first, last = rows if item is None else (rows[0] + item, rows[0] + item + 1)
    whole = len(found.latents) == 1 or (item is None and "rows" not in file.extra)
    return found if whole else _rows(found, first, last)


def _rows(start: StartLatents, first: int, last: int) -> StartLatents:
    file = replace(start.file, extra={**start.file.extra, "rows": [first, last]})
    return replace(start.rows(first, last), file=file)


def _mask_told(file: FileRecord) -> Tensor | None:
    """The noise mask in the record of a latent."""
    runs = file.extra.get("noise_mask")
    if runs is None:
        return None
    try:
        rows = [[float(value) for count, value in row for _ in range(count)] for row in runs]
        return mask_of(rows, len(rows[0]))
    except (TypeError, ValueError, IndexError) as error:
        raise InvalidInput(
            "The record's noise_mask must hold pairs of a count and a number; correct the file."
        ) from error


def _read(latent: LatentLike, vae: VAEHandle | None, tile: int | None, monitor: Monitor) -> StartLatents:
    if isinstance(latent, StartLatents):
        return latent
    if isinstance(latent, str | Path) and Path(latent).suffix.lower() in SUFFIXES:
        return StartLatents(_of_file(Path(latent)), describe_file(ROLE, Path(latent)))
    if isinstance(latent, Mapping) and "samples" in latent:
        found = _in_memory(from_native(latent["samples"]))
        return start_from(found, latent.get("noise_mask")) or found
    if isinstance(latent, Tensor | ndarray):
        latent = torch.as_tensor(latent)
        return _in_memory(latent[None] if latent.ndim == 2 else latent)
    if isinstance(getattr(latent, "latents", None), Tensor):
        return _in_memory(latent.latents)
    return _encoded(latent, vae, tile, monitor)


def _encoded(recording: Any, vae: VAEHandle | None, tile: int | None, monitor: Monitor) -> StartLatents:
    if vae is None:
        raise InvalidInput("A recording to start from must be encoded; give a VAE, too.")
    wave = read_source(recording).waveform
    check_source(wave.shape[-1])
    tiles: list[int] = []
    whole = whole_frames(wave)[None]
    latents = encode_audio(vae, whole, tile=tile or tile_for(vae), monitor=monitor, note=tiles.append)
    known = recording if isinstance(recording, str | Path) else (wave, SAMPLE_RATE)
    return StartLatents(latents, describe_recording(ROLE, known, encode_tile=tiles[-1]))


def described(latent: LatentLike) -> FileRecord:
    """What a record says of a latent, without encoding anything."""
    if isinstance(latent, str | Path):
        return describe_file(ROLE, Path(latent))
    if isinstance(latent, Mapping | Tensor | ndarray) or hasattr(latent, "latents"):
        return _read(latent, None, None, SILENT).file
    return describe_recording(ROLE, (read_source(latent, limit=LONGEST).waveform, SAMPLE_RATE))


def _in_memory(latents: Tensor) -> StartLatents:
    if latents.ndim != 3 or latents.shape[2] != LATENT_CHANNELS or 0 in latents.shape:
        raise InvalidInput(
            f"A latent to start from must be one of ACE-Step 1.5 (batch, frames, {LATENT_CHANNELS}), not "
            f"{list(latents.shape)}; encode a recording, or sample one."
        )
    plain = latents.detach().to("cpu", torch.float32).contiguous()
    if not bool(plain.isfinite().all()):
        raise InvalidInput("The latent to start from holds numbers that are not finite; make it anew.")
    return StartLatents(plain, FileRecord(ROLE, ROLE, hashlib.sha256(plain.numpy().tobytes()).hexdigest()))


def from_native(samples: Any) -> Tensor:
    """ComfyUI's `[B, 64, T]` as `[B, T, 64]`.

    Raises:
        InvalidInput: it is not an audio latent of ACE-Step 1.5.
    """
    if not isinstance(samples, Tensor) or samples.ndim != 3 or samples.shape[1] != LATENT_CHANNELS:
        what = "nothing" if samples is None else type(samples).__name__
        shape = list(samples.shape) if isinstance(samples, Tensor) else what
        raise InvalidInput(
            f"The latent must be an ACE-Step 1.5 one (batch, {LATENT_CHANNELS}, frames), not {shape}; "
            "connect the output of an ACE-Step sampler or encoder."
        )
    return samples.transpose(1, 2)


def _of_file(path: Path) -> Tensor:
    try:
        tensors = read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"The latent {path.name} cannot be read; save it anew, or correct the name.") from error
    if "latent_tensor" not in tensors:
        raise InvalidInput(f"{path.name} holds no latent; choose a file that Save Latent wrote.")
    return _in_memory(from_native(tensors["latent_tensor"])).latents


def _runs(mask: Tensor) -> list[list[list[float]]]:
    """Rows of a mask as `[count, value]` of equal neighbours."""
    return [[[len(list(run)), value] for value, run in groupby(row)] for row in mask.tolist()]

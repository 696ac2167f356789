"""Latents of recordings, kept on disk under what they were made from, so that nothing is encoded twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from acestep_core.devices import pick_device
from acestep_core.errors import AudioError, DatasetError, GenerationError
from acestep_core.io.recordings import load_recording
from acestep_core.io.stamps import file_stamp
from acestep_core.io.tensor_file import open_tensors
from acestep_core.models.acestep import tokenizing_bytes
from acestep_core.models.handles import Handle, ModelHandle, VAEHandle
from acestep_core.models.manager import manager
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.fingerprints import sha256_of
from acestep_core.records.song_record import describe_file
from acestep_core.render.reference import reference_clip
from acestep_core.render.stages import encode_audio, encode_posterior
from acestep_core.seeds import generators
from acestep_core.train.dataset import Sample
from acestep_core.train.scan import SHORTEST
from acestep_core.train.trainset import write_tensors
from acestep_core.vocabulary import LATENT_CHANNELS, SAMPLE_RATE

LATENTS = "latents"
CODES = "codes"
_REFERENCE = "-reference"
_PEAK = 10 ** (-1 / 20)
"""Of full scale: -1 dB."""


@dataclass(frozen=True)
class Encoded:
    """A file of latents: T frames, and what was said when the recording was read."""

    name: str
    frames: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class LatentStore:
    """The latents of recordings in a folder.

    Attributes:
        max_seconds: of each recording; the rest is not read.
        loudness: `none`, or `peak` for -1 dB.
        known: SHA-256 of recordings by path, size and time of change, so that unchanged ones are not read again.
        written: names of the files that were made now.
    """

    folder: Path
    vae: VAEHandle
    max_seconds: float
    loudness: str = "none"
    known: dict[tuple[str, int, int], str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)

    @cached_property
    def key(self) -> str:
        """Of everything but the recording."""
        return short_hash(weights_hash(self.vae, "vae"), dtype_of(self.vae), self.max_seconds, self.loudness)

    def made(self, sample: Sample, monitor: Monitor = SILENT) -> Encoded:
        """The latents of a sample, made now if they are not there.

        Raises:
            AudioError: the recording is gone, cannot be read, or is too short.
        """
        name = f"{LATENTS}/{self._stem(sample)}.safetensors"
        found = self._look(name)
        if found is None:
            waveform, remarks = self._sound(sample)
            mean, std = (x[0] for x in encode_posterior(self.vae, waveform[None], monitor))
            if not bool(torch.isfinite(mean).all() and torch.isfinite(std).all()):
                raise GenerationError(f"The VAE makes no numbers of {sample.filename}; use fp32, or another recording.")
            write_tensors(self.folder / name, {"mean": mean, "std": std}, {"name": sample.filename, "remarks": remarks})
            self.written.add(name)
            found = Encoded(name, len(mean), tuple(remarks))
        return found

    def mean(self, encoded: Encoded) -> Tensor:
        """`[T, 64]` fp32."""
        with open_tensors(self.folder / encoded.name) as file:
            return file.get_tensor("mean")

    def reference(self, sample: Sample, monitor: Monitor = SILENT) -> Tensor:
        """Latents `[1, 750, 64]` of thirty seconds of the recording, as `render.reference` chooses them."""
        path = self.folder / LATENTS / f"{self._stem(sample)}{_REFERENCE}.safetensors"
        if not path.is_file():
            clip = reference_clip(self._sound(sample)[0], *generators([0]))
            write_tensors(
                path, {"mean": encode_audio(self.vae, clip[None], monitor=monitor)}, {"name": sample.filename}
            )
        with open_tensors(path) as file:
            return file.get_tensor("mean")

    def codes(self, sample: Sample, encoded: Encoded, model: ModelHandle, monitor: Monitor = SILENT) -> tuple[int, ...]:
        """Semantic codes of a sample, five a second."""
        key = short_hash(self.key, weights_hash(model, "dit"), dtype_of(model))
        path = self.folder / CODES / f"{self.content(sample)[:16]}-{key}.safetensors"
        if not path.is_file():
            monitor.check()
            with (
                torch.inference_mode(),
                manager.resident(model.bare, lambda m: tokenizing_bytes(m, encoded.frames)) as module,
            ):
                codes = module.codes(self.mean(encoded)[None].to(module.device, module.dtype))[0]
            write_tensors(path, {"codes": codes.to(torch.int32)}, {"name": sample.filename})
        with open_tensors(path) as file:
            return tuple(file.get_tensor("codes").tolist())

    def content(self, sample: Sample) -> str:
        """SHA-256 of the recording as it is now."""
        path = Path(sample.audio_path)
        try:
            key = file_stamp(path)
            if key not in self.known:
                self.known[key] = sha256_of(path)
        except OSError as error:
            raise AudioError(f"There is no recording {sample.audio_path!r} any more; put it back.") from error
        return self.known[key]

    def _stem(self, sample: Sample) -> str:
        return f"{self.content(sample)[:16]}-{self.key}"

    def _look(self, name: str) -> Encoded | None:
        about, shapes = header_of(self.folder / name)
        shape = shapes.get("mean", ())
        if len(shape) != 2 or shape[1] != LATENT_CHANNELS or shapes.get("std") != shape:
            return None
        return Encoded(name, shape[0], tuple(about.get("remarks", ())))

    def _sound(self, sample: Sample) -> tuple[Tensor, list[str]]:
        recording = load_recording(Path(sample.audio_path), end=self.max_seconds, limit=None)
        waveform = recording.waveform
        seconds = waveform.shape[1] / SAMPLE_RATE
        if seconds < SHORTEST:
            raise AudioError(f"{sample.filename} is {seconds:.2f} s long; at least {SHORTEST:g} s are needed.")
        peak = float(waveform.abs().amax())
        if self.loudness == "peak" and peak > 0:
            waveform = waveform * (_PEAK / peak)
        return waveform, list(recording.remarks)


def header_of(path: Path) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """What `write_tensors` was told about a file, and the shapes in it; empty where there is no such file."""
    try:
        with open_tensors(path) as file:
            about = json.loads((file.metadata() or {}).get("acestep_nodes", "{}"))
            return about, {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError):
        return {}, {}


def short_hash(*parts: object) -> str:
    """Sixteen hexadecimal digits of plain values."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def weights_hash(handle: Handle, role: str) -> str:
    return describe_file(role, handle.path).sha256


def dtype_of(handle: Handle) -> str:
    """The number format that the weights really have where they run."""
    return str(handle.format_on(pick_device(handle.device)))


def check_share(failed: int, total: int, first: str, keep_going: bool, stage: str) -> None:
    """Refuses to go on where nothing, or less than half, of a dataset can be used.

    Raises:
        DatasetError: so it is; the message holds the first reason.
    """
    if failed == total:
        raise DatasetError(f"{stage} failed for all {total} samples; the first reason: {first}")
    if 2 * failed > total and not keep_going:
        raise DatasetError(
            f"{stage} failed for {failed} of {total} samples; mend them, exclude them, or use keep going; "
            f"the first reason: {first}"
        )


def without_progress(monitor: Monitor) -> Monitor:
    """Hears a cancel, and says nothing: for the steps of one sample."""
    return Monitor(cancelled=monitor.cancelled)


def orphans(folder: Path, used: Sequence[str]) -> list[Path]:
    """Files of tensors that no song of a trainset needs any more.

    What was heard of a recording, its reference and its codes, stays as long as the recording is used.
    """
    wanted = {folder / name for name in used}
    latents = {path.stem for path in wanted if path.parent.name == LATENTS}
    recordings = {stem.partition("-")[0] for stem in latents}

    def needed(path: Path) -> bool:
        room, name = path.parent.name, path.stem
        heard = room == LATENTS and name.removesuffix(_REFERENCE) in latents
        return path in wanted or heard or (room == CODES and name.partition("-")[0] in recordings)

    return sorted(path for path in folder.glob("*/**/*.safetensors") if not needed(path))

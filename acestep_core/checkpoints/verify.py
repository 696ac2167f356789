"""Checks models on disk: names and shapes of every tensor, values, the silence latent, and checksums where they are
known.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from acestep_core.checkpoints import catalog
from acestep_core.checkpoints.find import LABELS, ModelEntry, find_tokenizer, is_toy, scan
from acestep_core.checkpoints.layouts import (
    FILE_LAYOUTS,
    DitFiles,
    QwenFiles,
    VaeFiles,
    open_dit,
    open_lm,
    open_text_encoder,
    open_vae,
)
from acestep_core.checkpoints.weights import Weights, read_json
from acestep_core.errors import CheckpointError
from acestep_core.io.text import read_text
from acestep_core.monitor import SILENT, Monitor

HASH_FILE = "hashes.json"
PART_SUFFIX = ".part"
SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 22
SPOTS, SPOT_WIDTH = 16, 512  # values looked at per tensor: a few pages each, so that a check does not read everything


@dataclass(frozen=True)
class Part:
    """What was found about one model. It is usable if `problems` is empty; `notes` are worth knowing."""

    entry: ModelEntry
    tensors: int = 0
    parameters: int = 0
    dtypes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """The models under a path, and the files whose checksums were compared."""

    path: Path
    parts: tuple[Part, ...]
    hashed: int = 0
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems and not any(part.problems for part in self.parts)


def check(
    path: Path,
    variant: str | None = None,
    hashes: bool = True,
    monitor: Monitor = SILENT,
    found: Callable[[Part], object] = lambda part: None,
) -> Report:
    """Opens every model under `path` as a load would, and looks into its tensors.

    Args:
        path: a checkpoints folder, a model folder or a weights file.
        variant: what a ComfyUI file is, to check it as that.
        hashes: also read every file whose checksum is known: from `hashes.json`, or from what Hugging Face's tools
            leave beside a download.
        found: is told of each model, before whole files are read for their checksums.

    Raises:
        CheckpointError: nothing there is a model of ACE-Step 1.5.
    """
    path = Path(path).expanduser()
    entries = list(scan(path)) if path.exists() else []
    if not entries:
        raise CheckpointError(
            f"There is no ACE-Step 1.5 model at {path}; correct the path, or run `{catalog.fetch('main')}`."
        )
    parts = []
    for done, entry in enumerate(entries):
        monitor.tick("checking models", done, len(entries))
        parts.append(_check_entry(entry, variant))
        found(parts[-1])
    problems = [f"{file} is an unfinished download; run `{catalog.fetch('')}` again." for file in _unfinished(path)]
    monitor.tick("checking models", len(entries), len(entries))
    known = known_hashes(path if path.is_dir() else path.parent) if hashes else {}
    problems += _compare(known, monitor)
    return Report(path, tuple(parts), len(known), tuple(problems))


def sha256(path: Path, monitor: Monitor = SILENT) -> str:
    """The checksum of a file, in hexadecimal."""
    digest, size, done = hashlib.sha256(), path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            monitor.tick(f"checksum of {path.name}", done, size)
    return digest.hexdigest()


def known_hashes(folder: Path) -> dict[Path, str]:
    """The files below `folder` (or two folders deep) whose checksum was recorded when they were downloaded."""
    known: dict[Path, str] = {}
    for record in [folder / HASH_FILE, *folder.glob(f"*/{HASH_FILE}")]:
        if record.is_file():
            known |= {record.parent / name: str(value) for name, value in read_json(record).items()}
    # `hf download --local-dir` notes the etag of each file, which is the SHA-256 of large ones.
    cache = Path(".cache") / "huggingface" / "download"
    for base in [folder, *(child for child in folder.iterdir() if child.is_dir())]:
        for record in sorted((base / cache).rglob("*.metadata")) if (base / cache).is_dir() else []:
            name = record.relative_to(base / cache).as_posix().removesuffix(".metadata")
            lines = read_text(record, CheckpointError).splitlines()
            if len(lines) > 1 and SHA256.fullmatch(lines[1].strip()):
                known.setdefault(base / name, lines[1].strip())
    # In its cache, files are links to blobs that are named by it.
    for file in (file for suffix in FILE_LAYOUTS for file in folder.glob(f"*{suffix}")):
        if file.is_symlink() and SHA256.fullmatch(file.resolve().name):
            known.setdefault(file, file.resolve().name)
    return {file: value for file, value in known.items() if file.is_file()}


def _compare(known: Mapping[Path, str], monitor: Monitor) -> Iterator[str]:
    for file, expected in known.items():
        if sha256(file, monitor) != expected:
            yield f"{file} differs from what was published; delete it and run `{catalog.fetch('')}` again."


def _check_entry(entry: ModelEntry, variant: str | None) -> Part:
    notes = []
    try:
        files: DitFiles | VaeFiles | QwenFiles
        if entry.kind == "dit":
            # What a single file is changes neither names nor shapes, so any answer serves for this check.
            unsure = entry.layout in FILE_LAYOUTS.values() and (variant or entry.variant) is None
            files = open_dit(entry.path, "turbo" if unsure else variant)
            if unsure:
                notes.append("cannot say whether it is turbo, base or SFT: name the variant when loading")
            if files.silence is None:
                notes.append("has no silence latent: it is encoded with the VAE when loading")
        elif entry.kind == "vae":
            files = open_vae(entry.path)
        else:
            files = open_text_encoder(entry.path) if entry.kind == "text_encoder" else open_lm(entry.path)
            find_tokenizer(files)
    except CheckpointError as error:
        return Part(entry, problems=(str(error),))
    infos = files.tensors.infos.values()
    return Part(
        entry,
        len(files.tensors),
        sum(info.numel for info in infos),
        tuple(sorted({info.dtype for info in infos})),
        tuple(_bad_values(files.tensors, entry)),
        tuple(notes),
    )


def _bad_values(tensors: Weights, entry: ModelEntry) -> Iterator[str]:
    """Tensors with values that are not finite, or that are all zero where no trained weight is; a few spots of each."""
    bad, empty, written = [], [], is_toy(entry.path)  # what is written down by hand may be zero
    for name, tensor in tensors.items():
        flat = tensor.flatten()
        step = max(SPOT_WIDTH, flat.numel() // SPOTS)
        spots = [flat[start : start + SPOT_WIDTH].float() for start in range(0, flat.numel(), step)]
        if not all(spot.isfinite().all() for spot in spots):
            bad.append(name)
        elif tensor.ndim > 1 and not written and not any(spot.any() for spot in spots):
            empty.append(name)
    for names, what in ((bad, "values that are not finite"), (empty, "only zeros")):
        if names:
            yield (
                f"{len(names)} tensor{'s'[: len(names) > 1]} of the {LABELS[entry.kind]} in {entry.path} hold {what} "
                f"({', '.join(names[:3])}{', …' if len(names) > 3 else ''}); delete the file and download it again."
            )


def _unfinished(path: Path) -> list[Path]:
    return sorted(path.rglob(f"*{PART_SUFFIX}")) if path.is_dir() else []

"""Files of tensors, read and written. The same tensors with the same words are the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from acestep_core.io.mapping import maps_files

_SIZE = 8
"""Bytes before the header, which say how long it is."""


def open_tensors(path: Path) -> Any:
    """A safetensors file in a `with` block: `get_tensor` maps a tensor where the system is good at it, or reads it."""
    return safe_open(path, framework="pt", device="cpu", backend="mmap" if maps_files() else "pread")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, read and not mapped, so that the file may be replaced while they live."""
    with safe_open(path, framework="pt", device="cpu", backend="pread") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


def save_tensors(tensors: Mapping[str, Tensor], path: Path, words: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file; whole or not at all is the affair of who names `path`, see `acestep_core.io.atomic`.

    Args:
        tensors: on any device; they are stored as they are.
        words: what the header tells besides. safetensors puts them there in another order each time, so they are put
            in order afterwards, which takes as many bytes.
    """
    path.touch()
    mode = path.stat().st_mode
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, dict(words or {}) or None)
    path.chmod(mode)  # which safetensors makes its owner's alone
    if words and len(words) > 1:
        with path.open("r+b") as file:
            size = int.from_bytes(file.read(_SIZE), "little")
            header = json.loads(file.read(size))
            ordered = {
                name: dict(sorted(told.items())) if name == "__metadata__" else told for name, told in header.items()
            }
            file.seek(_SIZE)
            file.write(json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode().ljust(size))

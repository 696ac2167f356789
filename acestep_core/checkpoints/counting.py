"""How many values a model is, and which files hold them. The files' size does not say: they may pack values, or hold
other models too.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from acestep_core.checkpoints.layouts import (
    DitFiles,
    QwenFiles,
    VaeFiles,
    open_dit,
    open_lm,
    open_text_encoder,
    open_vae,
)
from acestep_core.io.stamps import file_stamp


def value_count(role: str, path: Path, variant: str | None = None) -> int:
    """The values of the weights of one role at a path, alike for the same model in every layout.

    Args:
        role: `dit`, `vae`, `text` or `lm`.
        variant: what a DiT is, as for `open_dit`.

    Raises:
        CheckpointError: there is no such model at the path.
    """
    files = [*path.glob("*"), *path.glob("*/*.safetensors")] if path.is_dir() else [path]
    return _counted(role, path, variant, tuple(sorted(file_stamp(file) for file in files if file.is_file())))


def weight_files(role: str, path: Path, variant: str | None = None) -> tuple[Path, ...]:
    """The files that hold the weights of one role at a path; arguments and errors as of `value_count`."""
    return tuple(dict.fromkeys(info.path for info in opened(role, path, variant).tensors.infos.values()))


@lru_cache(maxsize=64)
def _counted(role: str, path: Path, variant: str | None, stamps: tuple[tuple[str, int, int], ...]) -> int:
    return sum(info.numel for info in opened(role, path, variant).tensors.infos.values())


def opened(role: str, path: Path, variant: str | None) -> DitFiles | VaeFiles | QwenFiles:
    """The files of one role at a path; arguments and errors as of `value_count`."""
    match role:
        case "dit":
            return open_dit(path, variant)
        case "vae":
            return open_vae(path)
        case "text":
            return open_text_encoder(path)
        case _:
            return open_lm(path)

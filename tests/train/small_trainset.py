"""A trainset without a model: random tensors in the layout that preprocessing writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from acestep_core.train.trainset import Manifest, TrainEntry, Trainset, window_frames, windows, write_tensors


def random_trainset(
    folder: Path, frames: Sequence[int], width: int = 64, *, length: str = "auto", window_seconds: float = 60.0
) -> Trainset:
    """One song for each of `frames`, in latent frames; `width` is D."""
    torch.manual_seed(0)
    write_tensors(
        folder / "conditions/x/shared.safetensors",
        {"silence": torch.randn(750, 64), "lyrics.none": torch.randn(5, width)},
        {},
    )
    entries = []
    for n, count in enumerate(frames):
        latents, conditions = f"latents/{n}.safetensors", f"conditions/x/{n}.safetensors"
        starts = (0,) if length == "full" else windows(count, window_frames(window_seconds))
        captions = {f"caption.{k}{end}": torch.randn(9, width) for k in range(2) for end in ("", ".window")}
        rest = {"lyrics": torch.randn(7, width), "timbre.silence": torch.randn(1, width)}
        digests = (
            write_tensors(
                folder / latents, {"mean": torch.randn(count, 64), "std": torch.rand(count, 64).mul(0.1)}, {}
            ),
            write_tensors(folder / conditions, {**captions, **rest}, {}),
        )
        entries.append(TrainEntry(str(n), f"{n}.wav", latents, conditions, digests, count, windows=starts))
    Manifest(
        {"name": "random"}, {"variant": "turbo"}, {"length": length, "window_seconds": window_seconds}, tuple(entries)
    ).save(folder)
    return Trainset.open(folder)

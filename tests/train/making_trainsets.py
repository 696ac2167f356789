"""Trainsets on disk for the tests of training: random sound and conditions, of a checkpoint's widths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from acestep_core.train.trainset import Manifest, TrainEntry, Trainset, window_frames, windows, write_tensors

WIDTH = 64


def write_trainset(
    folder: Path,
    frames: Sequence[int] = (150, 150, 150),
    *,
    length: str = "full",
    window_seconds: float = 5.12,
    repeats: Sequence[int] = (),
    width: int = WIDTH,
    noise: float = 0.02,
    seed: int = 0,
) -> Trainset:
    """Songs of so many latent frames each. Their sound is slow waves, so that there is something to learn."""
    random = torch.Generator().manual_seed(seed)
    silence = {
        "silence": torch.randn(200, 64, generator=random) * 0.1,
        "lyrics.none": torch.randn(3, width, generator=random),
    }
    write_tensors(folder / "conditions/encoders/shared.safetensors", silence, {})
    entries = []
    for number, count in enumerate(frames):
        waves = torch.linspace(0, 3 + number, count)[:, None] + torch.rand(64, generator=random) * 6
        sound = {"mean": 1.5 * torch.sin(waves), "std": torch.full((count, 64), noise)}
        starts = windows(count, window_frames(window_seconds)) if length != "full" else (0,)
        told = {
            "caption.0": torch.randn(5 + number, width, generator=random),
            "caption.1": torch.randn(4, width, generator=random),
            "caption.0.window": torch.randn(5 + number, width, generator=random),
            "lyrics": torch.randn(7, width, generator=random),
            "timbre.silence": torch.randn(1, width, generator=random),
        }
        files = (f"latents/{number}.safetensors", f"conditions/encoders/{number}.safetensors")
        hashes = tuple(write_tensors(folder / f, tensors, {}) for f, tensors in zip(files, (sound, told), strict=True))
        repeat = repeats[number] if repeats else 1
        entries.append(
            TrainEntry(f"{number:08x}", f"song{number}.wav", *files, hashes, count, repeat, 0.3, windows=starts)
        )
    settings = {"length": length, "window_seconds": window_seconds}
    Manifest({"name": "waves", "custom_tag": "wavy"}, {}, settings, tuple(entries)).save(folder)
    return Trainset.open(folder)

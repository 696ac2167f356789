"""What the example workflows open by name: a recording, a folder of songs, a dataset and a trainset."""

from __future__ import annotations

from pathlib import Path

import torch

from acestep_core.io.audio import write_audio
from acestep_core.train.dataset_file import save_dataset
from acestep_core.train.scan import scan
from tests.train.recordings import write_tone
from tests.train.small_trainset import random_trainset

QUICK = {
    "duration": 10.0, "steps": 2, "after": 4.0, "before": 2.0, "max_duration": 12.0, "epochs": 2, "test_every": 1,
}  # fmt: skip
"""Makes a test of an hour's music."""


def lay_recording(folder: Path) -> Path:
    """Writes the recordings, six seconds long and as FLAC whatever they are called; returns their folder."""
    time = torch.arange(6 * 48_000) / 48_000
    for name in ("acestep_example_song", "acestep_example_voice"):
        write_audio(folder / f"{name}.flac", (torch.sin(2 * torch.pi * 220 * time) * 0.4).expand(2, -1))
    (folder / "acestep_example_song.flac").rename(folder / "acestep_example_song.mp3")
    return folder


def lay_dataset(inputs: Path, outputs: Path) -> None:
    """Writes two songs below a host's input folder, and a dataset and a trainset below its output folder."""
    for number in range(2):
        write_tone(inputs / "my_songs" / f"{number}.wav", 2.0, 110 * (number + 1))
    (outputs / "datasets").mkdir(parents=True, exist_ok=True)
    save_dataset(scan(inputs / "my_songs"), outputs / "datasets" / "my_dataset.json")
    random_trainset(outputs / "trainsets" / "my_dataset", [200])

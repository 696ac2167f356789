"""Songs into files of each format, with their checks, beside soundfile's encoder alone."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner
from acestep_core.io.formats import FORMATS
from acestep_core.vocabulary import SAMPLE_RATE

if TYPE_CHECKING:
    import torch

HELP = "seconds of encoding a song"
ALONE = "soundfile alone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(FORMATS), seconds=(30, 240), peers="soundfile alone")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    with tempfile.TemporaryDirectory() as folder:
        for size in options.size:
            for seconds, batch in runner.lengths(options):
                doers = writing(Path(folder) / "song", size, seconds, batch)
                if options.alone:
                    del doers[ALONE]
                yield runner.Case(size, seconds, batch, doers)


def writing(target: Path, format: str, seconds: float, batch: int) -> dict[str, runner.Doer]:
    import soundfile
    import torch

    from acestep_core.io.audio import write_audio

    form, times = FORMATS[format], torch.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    noise = torch.randn(2, len(times), generator=torch.Generator().manual_seed(0))
    song = 0.3 * torch.sin(1400 * times) + 0.05 * noise  # encoders work less on what is simple

    def ours() -> None:
        for _ in range(batch):
            write_audio(target, song, SAMPLE_RATE, format)

    def alone() -> None:
        for _ in range(batch):
            with soundfile.SoundFile(target, "w", SAMPLE_RATE, 2, form.subtype, format=form.container) as file:
                for block in song.split(1 << 16, dim=-1):
                    file.write(block.T.numpy())

    return {runner.OURS: ours, ALONE: alone}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("save", cases, options)


table = runner.table

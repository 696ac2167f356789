"""A checkpoint of random weights from disk into memory, beside reading its file once.

The file is in the system's cache: what is measured is what loading adds to the disk.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner, sizes

if TYPE_CHECKING:
    import torch

HELP = "seconds of loading a checkpoint"
READ = "reading the file"
_PIECE = 1 << 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(sizes.DIT), seconds=(), batches=(), peers="reading the file")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    for size in options.size:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "acestep-v15-base"
            write(folder, size)
            file = folder / "model.safetensors"
            doers = loading(folder, device, dtype)
            if not options.alone:
                doers[READ] = partial(read, file)
            yield runner.Case(size, 0, 1, doers, file.stat().st_size)


def write(folder: Path, size: str) -> None:
    """A checkpoint in upstream's layout, bf16 as those that are published."""
    import torch

    from acestep_core.checkpoints import shapes
    from acestep_core.checkpoints.writing import write_upstream_dit

    model = sizes.random_model(size, torch.device("cpu"), torch.bfloat16)
    known = {key: value for key, value in asdict(model.config).items() if value not in (None, ())}
    config = shapes.DIT_DEFAULTS | known | {"model_version": "base"}
    write_upstream_dit(config, model.state_dict(), torch.ones(1, 15_000, 64), folder)


def loading(folder: Path, device: torch.device, dtype: torch.dtype) -> dict[str, runner.Doer]:
    from acestep_core.models.handles import ModelHandle
    from acestep_core.models.loading import How, load_model

    handle, how = ModelHandle(folder, variant="base"), How(dtype, device, mapped=True)
    return {runner.OURS: lambda: load_model(handle, how)[0].to(device)}


def read(file: Path) -> None:
    with file.open("rb") as stream:
        while stream.read(_PIECE):
            pass


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("load", cases, options)


table = runner.table

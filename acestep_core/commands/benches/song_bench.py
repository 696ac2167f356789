"""Whole songs with a checkpoint of random weights, by stage, and what of a song is spent outside of networks."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner, sizes

if TYPE_CHECKING:
    import torch

    from acestep_core.pipeline.opening import Models

HELP = "seconds of whole songs, by stage"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, ("tiny", "mid"), seconds=(30, 120))
    parser.add_argument("--think", action="store_true", help="the language model plans and writes codes first")


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    from acestep_core.devices import dtype_name
    from acestep_core.pipeline.opening import open_models

    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), size)
            models = open_models(folder, "turbo", dtype=dtype_name(dtype), device=str(device))
            for seconds, batch in runner.lengths(options):
                song = partial(one_song, models, seconds, batch, options.think, device)
                yield runner.Case(size, seconds, batch, {runner.OURS: song})


def build(folder: Path, size: str) -> None:
    """The tiny checkpoint, with a DiT and a VAE of the size."""
    from acestep_core.builtin import tiny
    from acestep_core.checkpoints import catalog, shapes
    from acestep_core.checkpoints.writing import write_json, write_tensors

    tiny.build_tiny(folder, variants=("turbo",))
    if size == "tiny":
        return
    turbo = catalog.variant_named("turbo")
    config = tiny.dit_config(turbo) | sizes.DIT[size]
    config |= {"layer_types": shapes.layer_types(config["num_hidden_layers"])}
    vae = tiny.VAE | {"encoder_hidden_size": 8, "decoder_channels": sizes.VAE[size]}
    write_json(folder / turbo.folder / "config.json", config)
    write_tensors(folder / turbo.folder / "model.safetensors", tiny.dit_tensors(config, 0, "bench"))
    write_json(folder / catalog.VAE / "config.json", vae)
    write_tensors(folder / catalog.VAE / "diffusion_pytorch_model.safetensors", tiny.vae_tensors(vae, 0))


def one_song(models: Models, seconds: float, batch: int, think: bool, device: torch.device) -> runner.Facts:
    """Makes it, and says where the time went: wall time of each stage, and the share outside of networks."""
    from acestep_core.pipeline.generation import generate

    start = runner.clock(device)
    with inside(models, device) as spent:
        made = generate("calm piano", lyrics="[Verse]\nhello", duration=seconds, seed=0, batch=batch, think=think,
                        models=models, progress=False)  # fmt: skip
    whole = runner.clock(device) - start
    outside = max(0.0, 1 - sum(spent.values()) / whole)
    stages = ", ".join(f"{name} {value:.2f} s" for name, value in made.seconds.items())
    return runner.Facts(stages=dict(made.seconds), outside=outside, note=f"{stages}; {outside:.1%} outside of networks")


@contextmanager
def inside(models: Models, device: torch.device) -> Iterator[dict[str, float]]:
    """Seconds that each network takes within the block."""
    from acestep_core.models.manager import manager

    spent: dict[str, float] = {}
    with ExitStack() as stack:
        model = stack.enter_context(manager.resident(models.model))
        vae = stack.enter_context(manager.resident(models.vae))
        watched: dict[str, list[Any]] = {
            "dit": [model.decoder, *model.encoder.children(), model.tokenizer, model.detokenizer],
            "vae": [vae.decoder, vae.encoder],
        }
        if models.model.text is not None:
            watched["text"] = [stack.enter_context(manager.resident(models.model.text)).model]
        if models.lm is not None:
            watched["lm"] = [stack.enter_context(manager.resident(models.lm)).model]
        for role, modules in watched.items():
            for module in modules:
                for hook in _hooks(role, module, spent, device):
                    stack.callback(hook)
        yield spent


def _hooks(role: str, module: Any, spent: dict[str, float], device: torch.device) -> list[Callable[[], None]]:
    """Adds the time of the module's calls to `spent`; returns what takes the hooks off again."""
    starts: list[float] = []

    def before(*_: object) -> None:
        starts.append(runner.clock(device))

    def after(*_: object) -> None:
        spent[role] = spent.get(role, 0.0) + runner.clock(device) - starts.pop()

    return [module.register_forward_pre_hook(before).remove, module.register_forward_hook(after).remove]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("song", cases, options)


table = runner.table

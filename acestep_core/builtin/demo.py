"""The built-in model as a checkpoint: training of its parts, and files in upstream's layout.

It is a toy: a piano roll player in the real architecture, with the real layout, names and classes. There is no
language model in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin import codec, player, reader, tiny_tokenizer
from acestep_core.builtin.clock import clock
from acestep_core.builtin.practice import Progress, train
from acestep_core.builtin.words import every_word
from acestep_core.checkpoints import catalog, shapes
from acestep_core.checkpoints.find import TINY_MARK, TOY, toy_mark
from acestep_core.checkpoints.qwen_tokenizer import tokenizer_config
from acestep_core.checkpoints.writing import write_json, write_silence, write_tensors
from acestep_core.monitor import SILENT, Monitor

DEMO_VERSION = 1
SHIPPED = Path(__file__).parent / "weights"
"""Where the package holds the finished model."""
TASKS = ("text2music", "repaint", "extend")
"""What it can do; its codes say nothing, so that covers would lose the beat."""
SILENCE_FRAMES = 15000
TRAINING = "training"
"""The folder beside the models that holds the state of the training; it may be removed when all is done."""


@dataclass(frozen=True)
class Built:
    """How far a checkpoint is: steps and processor seconds of both trained parts, and their losses."""

    reader: Progress
    player: Progress

    @property
    def finished(self) -> bool:
        return self.reader.done >= reader.STEPS and self.player.done >= player.STEPS


def build_demo(dest: Path, seed: int = 0, until: float | None = None, monitor: Monitor = SILENT) -> Built:
    """Trains where the last run stopped and writes the checkpoint `dest` as it then is.

    Args:
        until: `time.monotonic()` at which training stops; None trains to the end.
    """
    state = dest / TRAINING
    reading = reader.course(seed)
    read = train(reading, state, seed, until, monitor)
    playing = player.course(seed)
    played = train(playing, state, seed, until, monitor)
    built = Built(read, played)
    write_demo(dest, built, seed)
    return built


def write_demo(dest: Path, built: Built, seed: int = 0) -> None:
    """All files of the checkpoint, fp16, from what was trained so far."""
    write_json(dest / TINY_MARK, {TOY: DEMO_VERSION, "seed": seed, "unfinished": True})
    _write_vae(dest / catalog.VAE)
    _write_reader(dest / catalog.TEXT_ENCODER, built.reader.weights)
    _write_player(dest / catalog.variant_named("turbo").folder, built, seed)
    story = {
        name: {"steps": part.done, "processor_seconds": round(part.seconds), "losses": list(part.losses)}
        for name, part in (("reader", built.reader), ("player", built.player))
    }
    write_json(dest / TINY_MARK, {TOY: DEMO_VERSION, "seed": seed, "silence": "holds a metronome", **story})


def is_demo(folder: Path) -> bool:
    """Whether a whole built-in model lies there."""
    mark = toy_mark(folder)
    return mark is not None and mark[TOY] == DEMO_VERSION and "unfinished" not in mark


def _half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


def _write_vae(folder: Path) -> None:
    write_json(folder / "config.json", codec.config())
    write_tensors(folder / "diffusion_pytorch_model.safetensors", _half(codec.weight_normed(codec.build_codec())))


def _write_reader(folder: Path, weights: dict[str, Tensor]) -> None:
    text = {name.removeprefix("text."): tensor for name, tensor in weights.items() if name.startswith("text.")}
    write_json(folder / "config.json", reader.config())
    write_tensors(folder / "model.safetensors", _half(text))
    tokenizer = tiny_tokenizer.tokenizer_json(False, every_word())
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_json(folder / "tokenizer_config.json", tokenizer_config(False))


def _write_player(folder: Path, built: Built, seed: int) -> None:
    config: dict[str, Any] = player.config()
    model = player.with_decoder(built.reader.weights["readout.weight"], built.player.weights, seed)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name in shapes.dit_shapes(config)}
    write_json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", _half(tensors))
    with torch.no_grad():
        write_silence(folder / "silence_latent.pt", clock(SILENCE_FRAMES)[None].half())

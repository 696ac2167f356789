"""The built-in model as a checkpoint: training of its parts, and files in upstream's layout.

It is a toy: a piano roll player in the real architecture, with the real layout, names and classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin import codec, coder, player, reader, thinker, tiny_tokenizer
from acestep_core.builtin.clock import clock
from acestep_core.builtin.practice import Progress
from acestep_core.builtin.training import STEPS, text_weights, train_all
from acestep_core.builtin.words import every_word
from acestep_core.checkpoints import catalog, shapes
from acestep_core.checkpoints.find import TINY_MARK, TOY, toy_mark
from acestep_core.checkpoints.qwen_tokenizer import tokenizer_config
from acestep_core.checkpoints.writing import write_json, write_silence, write_tensors
from acestep_core.monitor import SILENT, Monitor

DEMO_VERSION = 1
SHIPPED = Path(__file__).parent / "weights"
"""Where the package holds the finished model."""
TASKS = ("text2music", "repaint", "extend", "cover")
"""What it can do, with songs of its own; it hears no others."""
SILENCE_FRAMES = 15000
TRAINING = "training"
"""The folder beside the models that holds the state of the training; it may be removed when all is done."""


@dataclass(frozen=True)
class Built:
    """How far a checkpoint is: steps and processor seconds of the trained parts, and their losses."""

    reader: Progress
    codes: Progress
    player: Progress
    thinker: Progress

    @property
    def finished(self) -> bool:
        return all(part.done >= part.steps for part in self.parts.values())

    @property
    def parts(self) -> dict[str, Progress]:
        """By the names of their modules."""
        return {name: getattr(self, name) for name in STEPS}


def build_demo(
    dest: Path,
    seed: int = 0,
    until: float | None = None,
    monitor: Monitor = SILENT,
    steps: Mapping[str, int] = STEPS,
) -> Built:
    """Trains where the last run stopped and writes the checkpoint `dest` as it then is; see `train_all`."""
    built = Built(**train_all(dest / TRAINING, seed, until, monitor, steps))
    write_demo(dest, built, seed)
    return built


def write_demo(dest: Path, built: Built, seed: int = 0) -> None:
    """All files of the checkpoint, fp16, from what was trained so far; a language model only where it was trained."""
    write_json(dest / TINY_MARK, {TOY: DEMO_VERSION, "seed": seed, "unfinished": True})
    _write_vae(dest / catalog.VAE)
    _write_reader(dest / catalog.TEXT_ENCODER, built.reader.weights)
    if built.thinker.done:
        _write_thinker(dest / catalog.LANGUAGE_MODELS[0], built)
    _write_player(dest / catalog.variant_named("turbo").folder, built, seed)
    story = {
        name: {"steps": part.done, "processor_seconds": round(part.seconds), "losses": list(part.losses)}
        for name, part in built.parts.items()
        if part.done
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
    _write_qwen(folder, reader.config(), text_weights(weights), codes=False)


def _write_thinker(folder: Path, built: Built) -> None:
    model = thinker.Thinker(text_weights(built.reader.weights))
    model.load_state_dict(built.thinker.weights)
    _write_qwen(folder, thinker.config(), thinker.tensors(model), codes=True)


def _write_qwen(folder: Path, config: dict[str, Any], weights: dict[str, Tensor], codes: bool) -> None:
    write_json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", _half(weights))
    tokenizer = tiny_tokenizer.tokenizer_json(codes, every_word())
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    write_json(folder / "tokenizer_config.json", tokenizer_config(codes))


def _write_player(folder: Path, built: Built, seed: int) -> None:
    config: dict[str, Any] = player.config()
    model = player.with_decoder(built.reader.weights["readout.weight"], built.player.weights, seed)
    wanted = shapes.dit_shapes(config)
    tensors = {name: tensor for name, tensor in model.state_dict().items() if name in wanted}
    tensors |= coder.widened(built.codes.weights, wanted)
    write_json(folder / "config.json", config)
    write_tensors(folder / "model.safetensors", _half(tensors))
    with torch.no_grad():
        write_silence(folder / "silence_latent.pt", clock(SILENCE_FRAMES)[None].half())

"""Songs of tasks made by hand, by the same steps as the front door, and adapters of random numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from acestep_core.models.handles import Models
from acestep_core.options import Finish, RenderSettings
from acestep_core.pipeline.generation import Generation
from acestep_core.pipeline.sampling import sampled
from acestep_core.pipeline.steps import conditioned, decoded
from acestep_core.render.task import Task
from acestep_core.song.description import Song


def render(
    song: Song, tasks: Sequence[Task], seed: int, models: Models, settings: RenderSettings | None = None
) -> Generation:
    settings = settings or RenderSettings()
    what = conditioned(models.model, song, tasks)
    latents, made = sampled(models.model, what, seed, len(tasks), settings)
    done = decoded(models.vae, latents, made, settings.decode, Finish())
    assert done.made is not None
    return Generation.of(done.made, done.audio, latents)


def write_lora(folder: Path, dit: Path, seed: int) -> None:
    """An adapter for every self-attention of a checkpoint."""
    random, tensors = torch.Generator().manual_seed(seed), {}
    with safe_open(dit / "model.safetensors", "pt") as weights:
        for key in weights.keys():  # noqa: SIM118
            if key.startswith("decoder.") and "self_attn" in key and key.endswith("_proj.weight"):
                out, into = weights.get_slice(key).get_shape()
                module = f"base_model.model.{key.removeprefix('decoder.').removesuffix('.weight')}"
                tensors[f"{module}.lora_A.weight"] = torch.randn(4, into, generator=random) * 0.2
                tensors[f"{module}.lora_B.weight"] = torch.randn(out, 4, generator=random) * 0.2
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 4}))

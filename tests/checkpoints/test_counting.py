"""A model is as large in one layout as in another, whatever lies beside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.counting import value_count
from acestep_core.checkpoints.layouts import open_dit
from acestep_core.errors import CheckpointError

ALL_IN_ONE = "comfyui/checkpoints/ace_step_1.5_turbo_aio.safetensors"
PLACES = {
    "dit": ("acestep-v15-turbo", "{diffusers}", "comfyui/diffusion_models/acestep_v1.5_turbo.safetensors"),
    "vae": ("vae", "{diffusers}/vae", "comfyui/vae/ace_1.5_vae.safetensors"),
    "text": (
        "Qwen3-Embedding-0.6B",
        "{diffusers}/text_encoder",
        "comfyui/text_encoders/qwen_0.6b_ace15.safetensors",
    ),
    "lm": ("acestep-5Hz-lm-0.6B", "comfyui/text_encoders/qwen_1.7b_ace15.safetensors"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    dest = tmp_path_factory.mktemp("counted") / "checkpoints"
    return build_tiny(dest, variants=("turbo",), layouts=("diffusers", "comfyui"))


@pytest.mark.parametrize("role", PLACES)
def test_a_model_has_as_many_values_in_every_layout(root, role):
    places = [place.format(diffusers="diffusers/acestep-v15-turbo-diffusers") for place in PLACES[role]]
    counts = {place: value_count(role, root / place, "turbo") for place in (*places, ALL_IN_ONE)}
    assert len(set(counts.values())) == 1, counts


def test_it_has_those_of_its_tensors(root):
    tensors = open_dit(root / "acestep-v15-turbo").tensors
    assert value_count("dit", root / "acestep-v15-turbo") == sum(tensors[name].numel() for name in tensors)


def test_a_file_in_the_place_of_another_is_counted_anew(root, tmp_path):
    place = tmp_path / "model.safetensors"
    shutil.copy(root / PLACES["text"][-1], place)
    first = value_count("text", place)
    shutil.copy(root / PLACES["lm"][-1], place)
    os.utime(place, ns=(1, 1))
    assert value_count("lm", place) != first
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        value_count("lm", tmp_path / "absent")

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints import configs
from acestep_core.checkpoints.find import list_models
from acestep_core.checkpoints.layouts import open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.errors import CheckpointError

OPENERS: dict[str, Callable[[Path], Any]] = {
    "acestep-v15-turbo": open_dit,
    "vae": open_vae,
    "Qwen3-Embedding-0.6B": open_text_encoder,
    "acestep-5Hz-lm-0.6B": open_lm,
}
DIFFUSERS = ("transformer", "condition_encoder", "audio_tokenizer")

WRONG: list[tuple[str, Any]] = [
    *(("num_hidden_layers", value) for value in (10**9, -1, 0, 1.5, "24", [24], {}, True, float("nan"), 1e400)),
    ("hidden_size", 2**40),
    ("intermediate_size", "wide"),
    ("num_attention_heads", 0),
    ("head_dim", 0),
    ("rms_norm_eps", "1e-6"),
    ("rope_theta", -1),
]
VAE_WRONG: list[tuple[str, Any]] = [
    ("downsampling_ratios", 1920),
    ("downsampling_ratios", [2, 4, "4", 6, 10]),
    ("downsampling_ratios", [1] * 10**4),
    ("channel_multiples", [10**9] * 5),
    ("channel_multiples", [1]),
    ("encoder_hidden_size", 10**9),
    ("decoder_channels", None),
    ("audio_channels", 10**6),
]


def changed(source: Path, target: Path, **values: Any) -> Path:
    """A copy of a model folder whose config says something else."""
    shutil.copytree(source, target)
    file = target / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")
    return target


@pytest.mark.parametrize("name", ["acestep-v15-turbo", "Qwen3-Embedding-0.6B", "acestep-5Hz-lm-0.6B"])
@pytest.mark.parametrize(("key", "value"), WRONG, ids=str)
def test_a_value_that_cannot_be_is_refused_by_name(tiny_root: Path, tmp_path: Path, name: str, key: str, value: Any):
    folder = changed(tiny_root / name, tmp_path / name, **{key: value})
    with pytest.raises(CheckpointError, match=rf"gives {key} as .*, but it must be .*\.$"):
        OPENERS[name](folder)


@pytest.mark.parametrize(("key", "value"), VAE_WRONG, ids=lambda value: str(value)[:30])
def test_the_vae_s_too(tiny_root: Path, tmp_path: Path, key: str, value: Any):
    with pytest.raises(CheckpointError, match=key):
        open_vae(changed(tiny_root / "vae", tmp_path / "vae", **{key: value}))


@pytest.mark.parametrize("component", DIFFUSERS)
def test_and_those_of_diffusers(all_layouts: Path, tmp_path: Path, component: str):
    whole = next(path.parent for path in all_layouts.glob("diffusers/*/transformer"))
    shutil.copytree(whole, tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / component)
    key = {"audio_tokenizer": "fsq_dim", "condition_encoder": "num_lyric_encoder_hidden_layers"}.get(
        component, "num_hidden_layers"
    )
    changed(whole / component, tmp_path / "d" / component, **{key: 10**9})
    with pytest.raises(CheckpointError, match=f"gives {key} as"):
        open_dit(tmp_path / "d")
    shutil.rmtree(tmp_path / "d" / component)
    changed(whole / component, tmp_path / "d" / component, **{key: None})
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        open_dit(tmp_path / "d")


def test_heads_must_divide(tiny_root: Path, tmp_path: Path):
    folder = changed(tiny_root / "acestep-v15-turbo", tmp_path / "m", num_attention_heads=3, num_key_value_heads=2)
    with pytest.raises(CheckpointError, match="3 query heads for 2 key heads"):
        open_dit(folder)


def test_a_listing_names_it_and_goes_on(tiny_root: Path, tmp_path: Path):
    changed(tiny_root / "acestep-v15-turbo", tmp_path / "acestep-v15-turbo", num_hidden_layers=10**9)
    changed(tiny_root / "Qwen3-Embedding-0.6B", tmp_path / "q", vocab_size="many")
    shutil.copytree(tiny_root / "vae", tmp_path / "vae")
    entries = {entry.kind: entry.problem for entry in list_models([tmp_path])}
    assert "num_hidden_layers" in str(entries["dit"]) and entries["vae"] is None


def test_names_of_layers_are_no_less_bounded(all_layouts: Path, tmp_path: Path):
    """A file without a config counts its layers by their names."""
    source = all_layouts / "comfyui" / "diffusion_models"
    tensors = load_file(next(source.glob("*turbo*")))
    for name in ("decoder.layers.999999999.x", "decoder.layers.9999.x", f"decoder.layers.{'9' * 5000}.x"):
        save_file({**tensors, name: torch.zeros(1)}, tmp_path / "x.safetensors")
        with pytest.raises(CheckpointError):
            open_dit(tmp_path / "x.safetensors", "turbo")
    vae = load_file(next((all_layouts / "comfyui" / "vae").glob("*.safetensors")))
    for name in ("encoder.layers.999999999.x", "encoder.layers.x", "encoder.layers"):
        save_file({**vae, name: torch.zeros(1)}, tmp_path / "v.safetensors")
        with pytest.raises(CheckpointError):
            open_vae(tmp_path / "v.safetensors")


@pytest.mark.parametrize("shape", [(), (0,)])
def test_shapes_that_no_model_has_are_refused(all_layouts: Path, tmp_path: Path, shape: tuple[int, ...]):
    tensors = load_file(next((all_layouts / "comfyui" / "diffusion_models").glob("*turbo*")))
    for name in ("decoder.layers.0.self_attn.q_norm.weight", "decoder.proj_in.1.weight"):
        save_file({**tensors, name: torch.zeros(shape)}, tmp_path / "x.safetensors")
        with pytest.raises(CheckpointError, match="in the shape"):
            open_dit(tmp_path / "x.safetensors", "turbo")


def test_whole_numbers_may_be_written_with_a_point_and_nulls_are_absent():
    read = configs.checked({"hidden_size": 2048.0, "rope_theta": 1000000, "fsq_dim": None, "mine": "x"}, Path("c"))
    assert read == {"hidden_size": 2048, "rope_theta": 1e6, "mine": "x"}
    assert type(read["hidden_size"]) is int and type(read["rope_theta"]) is float


@pytest.mark.parametrize("name", OPENERS)
def test_a_config_with_a_byte_order_mark_is_read(tiny_root: Path, tmp_path: Path, name: str):
    folder = changed(tiny_root / name, tmp_path / name)
    text = (folder / "config.json").read_text(encoding="utf-8")
    (folder / "config.json").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    assert OPENERS[name](folder).config == OPENERS[name](tiny_root / name).config
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(CheckpointError, match="cannot be read as JSON"):
        OPENERS[name](folder)

"""Modules from files of other number formats: what is loaded is what the files stand for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.builtin.tiny import build_tiny
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle
from acestep_core.models.loading import How, load_model, load_qwen
from tests.checkpoints.test_weights import CONVENTIONS, fp8


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny files as ComfyUI has them."""
    return build_tiny(tmp_path_factory.mktemp("n"), variants=["turbo"], layouts=["upstream", "comfyui"]) / "comfyui"


def rewritten(source: Path, target: Path, convention: str) -> tuple[Path, Path]:
    """A file in fp8, and one of what that stands for."""
    stored = load_file(source)
    if convention == "fp8":
        small = {n: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for n, t in stored.items()}
        plain = {name: tensor.to(stored[name].dtype) for name, tensor in small.items()}
    else:
        small, plain = fp8(stored, convention), {}
        for name in stored:
            scale = small.get(name.removesuffix("weight") + CONVENTIONS[convention][0])
            plain[name] = small[name] if scale is None else small[name].float() * scale
    paths = target / "small" / source.name, target / "plain" / source.name
    for path, tensors in zip(paths, (small, plain)):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)
    return paths


@pytest.mark.parametrize("convention", ["fp8", *CONVENTIONS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_fp8_files_are_loaded_as_what_they_stand_for(
    native: Path, tmp_path: Path, convention: str, dtype: torch.dtype
) -> None:
    small, plain = rewritten(native / "diffusion_models" / "acestep_v1.5_turbo.safetensors", tmp_path, convention)
    one, other = (load_model(ModelHandle(path), How(dtype, None, True))[0].state_dict() for path in (small, plain))
    assert one.keys() == other.keys()
    assert all(one[name].dtype == dtype and one[name].equal(other[name]) for name in other)
    assert small.stat().st_size < 0.8 * plain.stat().st_size


@pytest.mark.parametrize("name", ["qwen_0.6b_ace15", "qwen_1.7b_ace15"])
def test_fp8_language_models_and_text_encoders(native: Path, tmp_path: Path, name: str) -> None:
    small, plain = rewritten(native / "text_encoders" / f"{name}.safetensors", tmp_path, "comfy_quant")
    kind = TextHandle if "0.6b" in name else LMHandle
    words = native.parent / "Qwen3-Embedding-0.6B" / "tokenizer.json"
    one, other = (
        load_qwen(kind(path, tokenizer=words), How(torch.float32, None, True))[0].state_dict()
        for path in (small, plain)
    )
    assert all(one[key].equal(other[key]) for key in other)

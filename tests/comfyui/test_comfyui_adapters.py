"""ComfyUI's own loader gives an exported adapter the effect that it had in training."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.models.manager import manager
from acestep_core.train.checkpoints import RunFolder
from acestep_core.train.export import export
from acestep_core.train.network import LiveNetwork
from acestep_core.train.settings import AdapterOptions
from tests.comfyui.comfy_server import python_of

SCRIPT = """
import sys
weights, adapter, out, strength = sys.argv[1:]
sys.argv[1:] = ["--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.lora, comfy.lora_convert, comfy.model_base, comfy.utils
from safetensors.torch import save_file
base = comfy.utils.load_torch_file(weights)

class Bare(comfy.model_base.ACEStep15):
    def __init__(self):
        pass
    def state_dict(self, *args, **kwargs):
        return base

class Config:
    unet_config = {}

bare = Bare()
object.__setattr__(bare, "model_config", Config())
keys = comfy.lora.model_lora_keys_unet(bare, {})
found = comfy.lora.load_lora(comfy.lora_convert.convert_lora(comfy.utils.load_torch_file(adapter)), keys)
changed = {}
for key, patch in found.items():
    patches = [(float(strength), patch, 1.0, None, None)]
    changed[key] = comfy.lora.calculate_weight(patches, base[key].clone(), key).contiguous()
save_file(changed, out)
"""
ADAPTERS = {
    "lora": {"kind": "lora", "alpha": 6.0},
    "rslora": {"kind": "rslora", "alpha": 6.0},
    "lokr": {"kind": "lokr", "alpha": 3.0, "rank": 2},
    "lokr of products": {"kind": "lokr", "alpha": 3.0, "rank": 2, "decompose_both": True},
    "dora": {"kind": "dora", "alpha": 6.0},
}


@pytest.fixture(scope="module")
def checkout() -> Path:
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("COMFYUI_DIR names no ComfyUI checkout (and COMFYUI_PYTHON no interpreter for it)")
    return Path(folder).expanduser().resolve()


CASES = [*((name, form, 1.0) for name in ADAPTERS for form in ("single", "kohya") if (name, form) != ("dora", "kohya"))]
"""ComfyUI scales a DoRA by lengths of its own; the single file is written for that, kohya's names say the true ones."""


@pytest.mark.parametrize(("name", "format", "strength"), [*CASES, ("lora", "single", 0.6), ("dora", "single", 0.6)])
def test_the_same_weights(name, format, strength, checkout, tiny_base, tmp_path) -> None:
    random = torch.Generator().manual_seed(2)
    with manager.private(tiny_base.model) as model:
        before = {f"diffusion_model.decoder.{n}": p.clone() for n, p in model.decoder.named_parameters()}
        network = LiveNetwork(
            model, AdapterOptions(**{"rank": 4, "targets": "attention+mlp", **ADAPTERS[name]}), seed=1
        )
        with torch.no_grad():
            for parameter in network.parameters.values():
                parameter += 0.05 * torch.randn(parameter.shape, generator=random)
        run = RunFolder(tmp_path / "run")
        run.folder.mkdir()
        adapter = run.finish(network.config, network.state(), {})
        trained = {}
        for n, layer in network.decoder.named_modules():
            if hasattr(layer, "get_delta_weight"):
                weight = layer.get_base_layer().weight
                layer.merge()  # as PEFT itself says
                key = f"diffusion_model.decoder.{n}.weight"
                trained[key] = torch.lerp(before[key], weight.detach(), strength)
    save_file(before, tmp_path / "base.safetensors")
    done = export(adapter, tmp_path / "out.safetensors", format, model=tiny_base.model)
    files = [str(tmp_path / "base.safetensors"), str(done.path), str(tmp_path / "changed.safetensors")]
    command = [python_of(checkout), "-c", SCRIPT, *files, str(strength)]
    ended = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "not loaded" not in ended.stderr
    changed = load_file(files[2])
    assert changed.keys() == trained.keys()
    for key, weight in trained.items():
        effect = float((weight - before[key]).abs().max())
        assert effect > 1e-3
        torch.testing.assert_close(changed[key], weight, rtol=0, atol=1e-5)

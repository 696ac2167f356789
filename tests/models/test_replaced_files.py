"""A model is loaded again once any of the files it was read from has changed, in every layout."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from acestep_core.builtin.tiny import build_tiny
from acestep_core.io.mapping import maps_files
from acestep_core.models.adapter_file import read_adapter
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.manager import ModelManager
from tests.capabilities import needs_proc

DIFFUSERS, SPLIT = "diffusers/acestep-v15-turbo-diffusers", "comfyui/diffusion_models"
TURBO, LM, TEXT = "acestep-v15-turbo", "acestep-5Hz-lm-1.7B", "Qwen3-Embedding-0.6B"
FILE = f"{SPLIT}/acestep_v1.5_turbo.safetensors"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    return build_tiny(
        tmp_path_factory.mktemp("all") / "checkpoints", variants=("turbo",), layouts=("diffusers", "comfyui")
    )


def handles(root):
    vae = VAEHandle(root / "vae")
    lm = next(root.glob("acestep-5Hz-lm-*"))
    return {
        "upstream dit": ModelHandle(root / TURBO),
        "diffusers dit": ModelHandle(root / DIFFUSERS),
        "comfyui dit": ModelHandle(root / FILE, vae=vae),
        "upstream vae": vae,
        "diffusers vae": VAEHandle(root / DIFFUSERS),
        "upstream text": TextHandle(root / TEXT),
        "diffusers text": TextHandle(root / DIFFUSERS),
        "lm": LMHandle(lm),
        "comfyui vae": VAEHandle(root / "comfyui/vae/ace_1.5_vae.safetensors"),
    }


FILES = [
    ("upstream dit", f"{TURBO}/model.safetensors"),
    ("upstream dit", f"{TURBO}/config.json"),
    ("upstream dit", f"{TURBO}/silence_latent.pt"),
    ("diffusers dit", f"{DIFFUSERS}/transformer/*.safetensors"),
    ("diffusers dit", f"{DIFFUSERS}/condition_encoder/*.safetensors"),
    ("diffusers dit", f"{DIFFUSERS}/audio_tokenizer/*.safetensors"),
    ("diffusers dit", f"{DIFFUSERS}/audio_token_detokenizer/*.safetensors"),
    ("diffusers dit", f"{DIFFUSERS}/transformer/config.json"),
    ("comfyui dit", FILE),
    ("comfyui dit", "vae/*.safetensors"),  # its silence was encoded by this VAE
    ("upstream vae", "vae/*.safetensors"),
    ("diffusers vae", f"{DIFFUSERS}/vae/*.safetensors"),
    ("comfyui vae", "comfyui/vae/ace_1.5_vae.safetensors"),
    ("upstream text", f"{TEXT}/tokenizer.json"),
    ("diffusers text", f"{DIFFUSERS}/text_encoder/*.safetensors"),
    ("diffusers text", f"{DIFFUSERS}/tokenizer/tokenizer.json"),
    ("lm", "acestep-5Hz-lm-*/*.safetensors"),
]


@pytest.mark.parametrize(("model", "file"), FILES)
def test_every_file_that_was_read_counts(layouts, tmp_path, model, file):
    root = shutil.copytree(layouts, tmp_path / "all", copy_function=os.link)
    own, handle = ModelManager(), handles(root)[model]
    with own.resident(handle) as first:
        pass
    with own.resident(handle) as second:
        assert second is first
    (changed,) = root.glob(file)
    stat = changed.stat()
    copy = changed.with_name("new")
    shutil.copyfile(changed, copy)  # the hard links of other tests keep what they have
    os.utime(copy, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    copy.replace(changed)
    with own.resident(handle) as third:
        assert third is not first
    assert len([line for line in own.loaded() if line.split()[1] == handle.path.name]) == 1, "the old one is gone"


def test_a_silence_latent_put_beside_a_comfyui_file_is_noticed(layouts, tmp_path):
    root = shutil.copytree(layouts, tmp_path / "all", copy_function=os.link)
    own, handle = ModelManager(), handles(root)["comfyui dit"]
    with own.resident(handle) as first:
        pass
    shutil.copyfile(root / TURBO / "silence_latent.pt", root / SPLIT / "silence_latent.pt")
    with own.resident(handle) as second:
        assert second is not first


def test_a_model_that_is_replaced_while_in_use_stays_until_it_is_done(layouts, tmp_path):
    root = shutil.copytree(layouts, tmp_path / "all", copy_function=os.link)
    own, handle = ModelManager(), handles(root)["diffusers dit"]
    removed = []
    own.placement.remove = lambda entry: removed.append(entry.module)
    with own.resident(handle) as first:
        (file,) = (root / DIFFUSERS / "transformer").glob("*.safetensors")
        os.utime(file, ns=(0, 1))
        with own.resident(handle) as second:
            assert second is not first and not removed
    assert removed == [first]


@needs_proc
@pytest.mark.parametrize("mapped", [True, False])
def test_nothing_stays_mapped_where_files_are_read(layouts, mapped):
    """Windows cannot replace a mapped file, and has ended processes that mapped large ones."""
    gc.collect()  # models of other tests
    models = ModelManager()
    models.mapped = mapped
    for handle in handles(layouts).values():
        with models.resident(handle):
            pass
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    assert any(str(layouts) in line for line in maps.splitlines()) == (mapped and maps_files())


@needs_proc
def test_an_adapter_is_never_mapped(tmp_path):
    """A training or an export may replace its file while a song is made with it, on every system."""
    file = tmp_path / "style.safetensors"
    layer = "base_model.model.layers.0.self_attn.q_proj"
    save_file({f"{layer}.lora_A.weight": torch.ones(4, 64), f"{layer}.lora_B.weight": torch.ones(64, 4)}, file)
    adapter = read_adapter(file)
    assert str(file) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert adapter.layers

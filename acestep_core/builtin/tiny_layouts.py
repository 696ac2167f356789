"""The tiny checkpoint in the other two layouts, as others publish them."""

from __future__ import annotations

import shutil
from pathlib import Path

from acestep_core.checkpoints import catalog, keymaps
from acestep_core.checkpoints.layouts import open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.checkpoints.writing import qwen_for_comfyui, vae_for_comfyui, write_diffusers_dit, write_tensors

SPLIT_NAMES = {"text_encoder": "qwen_0.6b_ace15.safetensors", "lm": "qwen_1.7b_ace15.safetensors"}


def write_diffusers(root: Path, dit_folder: str, dest: Path) -> None:
    """The upstream checkpoint `root/dit_folder`, with its VAE and text encoder, as one diffusers folder."""
    files = open_dit(root / dit_folder)
    if files.silence is None:
        raise ValueError("an upstream checkpoint always has its silence latent")
    write_diffusers_dit(files, files.silence, dest)
    shutil.copytree(root / catalog.VAE, dest / "vae", dirs_exist_ok=True)
    for name, target in (("config.json", "text_encoder"), ("model.safetensors", "text_encoder"), ("", "tokenizer")):
        (dest / target).mkdir(parents=True, exist_ok=True)
        source = root / catalog.TEXT_ENCODER
        for file in [source / name] if name else source.glob("tokenizer*.json"):
            shutil.copyfile(file, dest / target / file.name)


def write_comfyui(root: Path, dit_folder: str, lm_folder: str, dest: Path) -> None:
    """The same weights as ComfyUI's `models` folder holds them: split files, and an all-in-one checkpoint."""
    dit = dict(open_dit(root / dit_folder).tensors)
    vae = vae_for_comfyui(open_vae(root / catalog.VAE))
    text = qwen_for_comfyui(open_text_encoder(root).tensors)
    lm = qwen_for_comfyui(open_lm(root / lm_folder).tensors)

    short = dit_folder.removeprefix("acestep-v15-").replace("-", "_")
    write_tensors(dest / "diffusion_models" / f"acestep_v1.5_{short}.safetensors", dit)
    write_tensors(dest / "vae" / "ace_1.5_vae.safetensors", vae)
    write_tensors(dest / "text_encoders" / SPLIT_NAMES["text_encoder"], text)
    write_tensors(dest / "text_encoders" / SPLIT_NAMES["lm"], lm)
    prefixes = (keymaps.COMFYUI_DIT[0], keymaps.COMFYUI_VAE[0], keymaps.COMFYUI_TEXT_ENCODER[0], keymaps.COMFYUI_LM[0])
    everything = {f"{p}{name}": t for p, part in zip(prefixes, (dit, vae, text, lm)) for name, t in part.items()}
    write_tensors(dest / "checkpoints" / f"ace_step_1.5_{short}_aio.safetensors", everything)

"""Writes models as GGUF files, as other programs do, with the format's own package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from acestep_core.checkpoints import catalog, keymaps
from acestep_core.checkpoints.layouts import DitFiles, QwenFiles, open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.checkpoints.qwen_tokenizer import SPECIAL_TOKENS, read_words

FLOATS = {"F32": torch.float32, "F16": torch.float16}


def write_gguf(
    path: Path, arch: str, tensors: Mapping[str, Tensor], kind: str = "Q8_0", metadata: Mapping[str, Any] | None = None
) -> Path:
    """One file. Matrices whose rows are whole blocks become `kind`, other matrices BF16, and vectors F32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, arch)
    for key, value in (metadata or {}).items():
        if isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_string(key, value)
    for name, tensor in tensors.items():
        stored = stored_as(name, tensor, kind)
        data = gguf.quants.quantize(tensor.float().contiguous().numpy(), gguf.GGMLQuantizationType[stored])
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[stored])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored_as(name: str, tensor: Tensor, kind: str) -> str:
    if tensor.ndim < 2 or name == keymaps.SILENCE:
        return "F32"
    kept = tensor.ndim > 2 or name.endswith(keymaps.OUTER_ONES[:2])
    values = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][0]
    return "BF16" if kept or tensor.shape[-1] % values else kind


def meant(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """What the tensors of a file stand for, fp32, by the format's own package."""
    found = {}
    for name, tensor in tensors.items():
        stored = gguf.GGMLQuantizationType[stored_as(name, tensor, kind)]
        data = gguf.quants.quantize(tensor.float().contiguous().numpy(), stored)
        found[name] = torch.from_numpy(np.array(gguf.quants.dequantize(data, stored))).view(tensor.shape)
    return found


def without_outer_ones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As ggml's own writer leaves them out."""
    found = {}
    for name, tensor in tensors.items():
        while tensor.ndim > 1 and tensor.shape[0] == 1:
            tensor = tensor[0]
        found[name] = tensor
    return found


def as_acestep_cpp(root: Path, dest: Path, dit_folder: str = "acestep-v15-turbo", kind: str = "Q8_0") -> Path:
    """The upstream checkpoint in `root` as acestep.cpp's converter and quantiser write it, in one folder."""
    dit = open_dit(root / dit_folder)
    assert dit.silence is not None
    tensors = {**dit.tensors, keymaps.SILENCE: dit.silence[0]}
    vae, text, lm = open_vae(root), open_text_encoder(root), open_lm(root / catalog.LANGUAGE_MODELS[0])
    lm_tensors = {f"model.{name}": tensor for name, tensor in lm.tensors.items()}
    write_gguf(dest / f"{dit_folder}-{kind}.gguf", "acestep-dit", without_outer_ones(tensors), kind, said(dit))
    write_gguf(dest / "vae-BF16.gguf", "acestep-vae", vae.tensors, "BF16", {CONFIG: json.dumps(vae.config)})
    write_gguf(dest / f"Qwen3-Embedding-0.6B-{kind}.gguf", "acestep-text-enc", text.tensors, kind, said(text))
    write_gguf(dest / f"acestep-5Hz-lm-0.6B-{kind}.gguf", "acestep-lm", lm_tensors, kind, said(lm))
    return dest


CONFIG = "acestep.config_json"


def said(files: DitFiles | QwenFiles) -> dict[str, Any]:
    """The metadata of acestep.cpp: the config, and the words of a tokenizer without the added tokens."""
    found: dict[str, Any] = {CONFIG: json.dumps(files.config)}
    if isinstance(files, DitFiles):
        return found
    assert files.tokenizer_file is not None
    words = read_words(files.tokenizer_file)
    listed = sorted((n, word) for word, n in words.vocabulary.items() if word not in SPECIAL_TOKENS)
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in words.merges]
    return found | {"tokenizer.ggml.tokens": [word for _, word in listed], "tokenizer.ggml.merges": merges}


def llama_name(name: str) -> str:
    """llama.cpp's name of a tensor of Qwen3."""
    outer = {ours: theirs for theirs, ours in keymaps.LLAMA.items()}
    inner = {ours: theirs for theirs, ours in keymaps.LLAMA_BLOCK.items()}
    layer = name.removesuffix(".weight")
    if not layer.startswith("layers."):
        return f"{outer[layer]}.weight"
    _, number, part = layer.split(".", 2)
    return f"blk.{number}.{inner[part]}.weight"

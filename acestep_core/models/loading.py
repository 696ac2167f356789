"""From a handle to a module in main memory: open the files, build on the meta device, make the tensors its parameters,
mapped from the files or read, packed or unpacked. Each loader also tells what it has read, see `read_from`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import nn

from acestep_core import devices
from acestep_core.checkpoints.find import find_tokenizer
from acestep_core.checkpoints.layouts import (
    SILENCE_FILE,
    DitFiles,
    QwenFiles,
    VaeFiles,
    open_dit,
    open_lm,
    open_text_encoder,
    open_vae,
)
from acestep_core.checkpoints.packing import HALVES, Packed, eight_bits, fits_eight_bits
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.weights import Weights, assign
from acestep_core.errors import InvalidInput
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.linear import laid_out, pack
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm
from acestep_core.models.qwen3 import Qwen3, Qwen3Config

Module = TypeVar("Module", bound=nn.Module)


Read = tuple[Path, ...]


@dataclass(frozen=True)
class How:
    """How to load.

    Attributes:
        dtype: the number format to compute in.
        device: where that will be; None where weights must not stay packed, because they are to be changed.
        mapped: whether files may stay mapped.
        eight_bits: whether linear layers are rounded to eight bits, if they are not packed already.
    """

    dtype: torch.dtype
    device: torch.device | None
    mapped: bool
    eight_bits: bool = False


def stays_packed(role: str, device: torch.device, dtype: torch.dtype, tensors: Weights) -> bool:
    """Whether weights that a file packs stay so in memory. The one rule; songs are the same either way.

    A graphics card unpacks a layer in a fraction of the time it computes with it, and half or a quarter of the memory
    is left for songs. A language model reads all its weights for each token, and a processor unpacks slowly; there
    packed weights stay only where unpacked ones would fill more than half of the memory.

    Args:
        role: `dit`, `text` or `lm`.
        device: where it computes, and `dtype`, in what format.
        tensors: its weights.
    """
    packed, able = [info for info in tensors.infos.values() if info.packed], devices.limits(device)
    if not packed or not able.unpacks or not (able.float8 or tensors.format != "fp8"):
        return False
    unpacked = sum(info.numel for info in packed) * dtype.itemsize
    if role == "lm" or devices.is_host(device):
        return unpacked > devices.total_memory(device) // 2
    return True


def stays_narrow(device: torch.device, dtype: torch.dtype, tensors: Weights) -> bool:
    """Whether weights of sixteen bits stay so where fp32 is computed, because as fp32 they would fill more than half of
    the memory. Songs are the same either way.
    """
    wide = sum(info.numel for info in tensors.infos.values() if info.dtype in HALVES) * dtype.itemsize
    return dtype is torch.float32 and devices.limits(device).unpacks and wide > devices.total_memory(device) // 2


def load_model(handle: ModelHandle, how: How) -> tuple[AceStepModel, Read]:
    """DiT, encoder, audio tokenizer and detokenizer; `silence_latent` stays empty where the files hold none."""
    files = open_dit(handle.path, handle.variant)
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig.from_json(files.config))
    _fill(model, files, how, "dit")
    model.silence_latent = torch.zeros(1, 0, model.config.audio_acoustic_hidden_dim)
    if files.silence is not None:
        model.silence_latent = files.silence.float()
    return _ready(model), read_from(files)


def load_vae(handle: VAEHandle, how: How) -> tuple[OobleckVAE, Read]:
    files = open_vae(handle.path)
    with torch.device("meta"):
        vae = OobleckVAE(OobleckConfig.from_json(files.config))
    assign(vae, fold_weight_norm(_source(files, how)), files.source, how.dtype)
    return _ready(vae), read_from(files)


def load_qwen(handle: TextHandle | LMHandle, how: How) -> tuple[Qwen3, Tokenizer, Read]:
    """A Qwen3 model and its tokenizer."""
    is_lm = isinstance(handle, LMHandle)
    files = open_lm(handle.path) if is_lm else open_text_encoder(handle.path)
    words = handle.tokenizer or find_tokenizer(files)
    tokenizer = load_tokenizer(words, files.config["vocab_size"])
    with torch.device("meta"):
        model = Qwen3(Qwen3Config.from_json(files.config))
    _fill(model, files, how, "lm" if is_lm else "text")
    return _ready(model), tokenizer, (*read_from(files), words)


def _source(files: DitFiles | VaeFiles | QwenFiles, how: How) -> Weights:
    """The tensors, mapped from their files or read into memory of their own."""
    return (files.tensors if how.mapped else files.tensors.unmapped()).unpacked(how.dtype)


def _fill(module: nn.Module, files: DitFiles | QwenFiles, how: How, role: str) -> None:
    """Makes the tensors of the files the parameters of `module`."""
    tensors = _source(files, how)
    if how.device is not None:
        tensors = pack(module, tensors, _packing(role, how.device, how, tensors))
    assign(module, laid_out(module, tensors, how.dtype), files.source, how.dtype)


def _packing(role: str, device: torch.device, how: How, tensors: Weights) -> Callable[[str], Packed | None]:
    """What tells a weight as it is to be held, packed, or None where it is computed with as it is.

    Raises:
        InvalidInput: the device cannot do what is asked for.
    """
    if how.eight_bits and not devices.limits(device).unpacks:
        raise InvalidInput(f"{device} cannot compute with weights of eight bits; choose the number format auto.")
    kept = how.eight_bits or stays_packed(role, device, how.dtype, tensors)
    narrow = stays_narrow(device, how.dtype, tensors)

    def packed(name: str) -> Packed | None:
        info = tensors.infos[name]
        if (info.packed and kept) or (info.dtype in HALVES and narrow and not how.eight_bits):
            return tensors.packed(name)
        return eight_bits(tensors[name]) if how.eight_bits and fits_eight_bits(info.shape) else None

    return packed


def read_from(files: DitFiles | VaeFiles | QwenFiles) -> Read:
    """Where opened weights come from: single files, and folders all of whose own files count (configs, shard lists,
    the silence latent lie there).
    """
    weights = {info.path for info in files.tensors.infos.values()}
    if files.source.is_dir():
        return tuple(sorted({files.source, *(path.parent for path in weights)}))
    return tuple(sorted({*weights, files.source.parent / SILENCE_FILE}))


def _ready(module: Module) -> Module:
    return module.eval().requires_grad_(False)

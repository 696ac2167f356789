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
from acestep_core.checkpoints.counting import opened
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
from acestep_core.checkpoints.packing import EIGHT_BITS, HALVES, Packed, blank, eight_bits, fits_eight_bits
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.weights import Weights, assign
from acestep_core.errors import InvalidInput
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.handles import Handle, LMHandle, ModelHandle, TextHandle, VAEHandle
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
        memory: bytes that the device has; None asks it.
    """

    dtype: torch.dtype
    device: torch.device | None
    mapped: bool
    eight_bits: bool = False
    memory: int | None = None


def stays_packed(
    role: str, device: torch.device, dtype: torch.dtype, tensors: Weights, memory: int | None = None
) -> bool:
    """Whether weights that a file packs stay so in memory. The one rule; songs are the same either way.

    A graphics card unpacks a layer in a fraction of the time it computes with it, and half or a quarter of the memory
    is left for songs. A language model reads all its weights for each token, and a processor unpacks slowly; there
    packed weights stay only where unpacked ones would fill more than half of the memory.

    Args:
        role: `dit`, `text` or `lm`.
        device: where it computes, and `dtype`, in what format.
        tensors: its weights.
        memory: bytes that the device has; None asks it.
    """
    packed = [info for info in tensors.infos.values() if info.packed]
    if not packed or not _can_unpack(device, tensors):
        return False
    unpacked = sum(info.numel for info in packed) * dtype.itemsize
    if role == "lm" or devices.is_host(device):
        return unpacked > (memory or devices.total_memory(device)) // 2
    return True


def _can_unpack(device: torch.device, tensors: Weights) -> bool:
    able = devices.limits(device)
    return able.unpacks and (able.float8 or tensors.format != "fp8")


def stays_narrow(device: torch.device, dtype: torch.dtype, tensors: Weights, memory: int | None = None) -> bool:
    """Whether weights of sixteen bits stay so where fp32 is computed, because as fp32 they would fill more than half of
    the memory. Songs are the same either way.
    """
    wide = sum(info.numel for info in tensors.infos.values() if info.dtype in HALVES) * dtype.itemsize
    if dtype is not torch.float32 or not devices.limits(device).unpacks:
        return False
    return wide > (memory or devices.total_memory(device)) // 2


def outline(handle: Handle, how: How) -> nn.Module:
    """The module as it would be loaded, on the meta device; only headers are read."""
    files = opened(handle.role, handle.path, handle.variant if isinstance(handle, ModelHandle) else None)
    module: nn.Module
    with torch.device("meta"):
        match files:
            case VaeFiles():
                return _ready(OobleckVAE(OobleckConfig.from_json(files.config)).to(how.dtype))
            case DitFiles():
                module = AceStepModel(AceStepConfig.from_json(files.config))
            case QwenFiles():
                module = Qwen3(Qwen3Config.from_json(files.config))
        if how.device is not None:
            held = _held_as(handle.role, how.device, how, files.tensors)
            infos = files.tensors.infos
            pack(module, files.tensors, lambda name: blank(held(name), infos[name].shape))
    return _ready(module.to(how.dtype))


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
        held, source = _held_as(role, how.device, how, tensors), tensors

        def packed(name: str) -> Packed | None:
            form = held(name)
            if form is None or form == source.infos[name].dtype:
                return None if form is None else source.packed(name)
            return eight_bits(source[name])

        tensors = pack(module, tensors, packed)
    assign(module, laid_out(module, tensors, how.dtype), files.source, how.dtype)


def _held_as(role: str, device: torch.device, how: How, tensors: Weights) -> Callable[[str], str | None]:
    """What tells in which packed type a weight is to be held; None where it is computed with as it is.

    Raises:
        InvalidInput: the device cannot do what is asked for.
    """
    if how.eight_bits and not devices.limits(device).unpacks:
        raise InvalidInput(f"{device} cannot compute with weights of eight bits; choose the number format auto.")
    kept = stays_packed(role, device, how.dtype, tensors, how.memory)
    kept |= how.eight_bits and _can_unpack(device, tensors)
    narrow = stays_narrow(device, how.dtype, tensors, how.memory)

    def held(name: str) -> str | None:
        info = tensors.infos[name]
        if (info.packed and kept) or (info.dtype in HALVES and narrow and not how.eight_bits):
            return info.dtype
        return EIGHT_BITS if how.eight_bits and fits_eight_bits(info.shape) else None

    return held


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

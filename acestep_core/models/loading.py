"""From a handle to a module in main memory: open the files, build on the meta device, make the tensors its parameters,
mapped from the files or read. Each loader also tells what it has read, see `read_from`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer
from torch import nn

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
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.weights import Weights, assign
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.oobleck import OobleckConfig, OobleckVAE, fold_weight_norm
from acestep_core.models.qwen3 import Qwen3, Qwen3Config

Module = TypeVar("Module", bound=nn.Module)


Read = tuple[Path, ...]


def load_model(handle: ModelHandle, dtype: torch.dtype, mapped: bool) -> tuple[AceStepModel, Read]:
    """DiT, encoder, audio tokenizer and detokenizer; `silence_latent` stays empty where the files hold none."""
    files = open_dit(handle.path, handle.variant)
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig.from_json(files.config))
    assign(model, _source(files, mapped), files.source, dtype)
    model.silence_latent = torch.zeros(1, 0, model.config.audio_acoustic_hidden_dim)
    if files.silence is not None:
        model.silence_latent = files.silence.float()
    return _ready(model), read_from(files)


def load_vae(handle: VAEHandle, dtype: torch.dtype, mapped: bool) -> tuple[OobleckVAE, Read]:
    files = open_vae(handle.path)
    with torch.device("meta"):
        vae = OobleckVAE(OobleckConfig.from_json(files.config))
    assign(vae, fold_weight_norm(_source(files, mapped)), files.source, dtype)
    return _ready(vae), read_from(files)


def load_qwen(handle: TextHandle | LMHandle, dtype: torch.dtype, mapped: bool) -> tuple[Qwen3, Tokenizer, Read]:
    """A Qwen3 model and its tokenizer."""
    is_lm = isinstance(handle, LMHandle)
    files = open_lm(handle.path) if is_lm else open_text_encoder(handle.path)
    words = handle.tokenizer or find_tokenizer(files)
    tokenizer = load_tokenizer(words, files.config["vocab_size"])
    with torch.device("meta"):
        model = Qwen3(Qwen3Config.from_json(files.config))
    assign(model, _source(files, mapped), files.source, dtype)
    return _ready(model), tokenizer, (*read_from(files), words)


def _source(files: DitFiles | VaeFiles | QwenFiles, mapped: bool) -> Weights:
    """The tensors, mapped from their files or read into memory of their own."""
    return files.tensors if mapped else files.tensors.unmapped()


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

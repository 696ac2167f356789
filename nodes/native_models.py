"""ComfyUI's MODEL, CLIP and VAE lent to the library: its patchers stay the owners of the weights, their changes and
their place, and our networks look at the same memory while they run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from acestep_core.checkpoints.find import find_tokenizer
from acestep_core.checkpoints.keymaps import qwen_name
from acestep_core.checkpoints.layouts import QwenFiles
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.weights import DERIVED, Weights
from acestep_core.errors import InvalidInput
from acestep_core.models.handles import LMHandle, ModelHandle, TextHandle, VAEHandle
from acestep_core.models.lent import LentOobleck, lent_lm, lent_model, lent_text, variant_of
from acestep_core.models.manager import manager
from acestep_core.models.oobleck import OobleckConfig
from acestep_core.models.silence import encode_silence, silence_bytes

from . import models

NOT_ACESTEP = "This {} is not of ACE-Step 1.5; connect one that ComfyUI loaded from an ACE-Step 1.5 file."
EXPANDED = torch.float32
"""The format in which ComfyUI's own text encoders compute, whatever they are stored in."""


def handles_of(model: Any, clip: Any, vae: Any, variant: str | None) -> tuple[ModelHandle, VAEHandle, LMHandle | None]:
    """Handles of what ComfyUI has loaded.

    Args:
        variant: what the model is, where its file's name does not say.

    Raises:
        InvalidInput: one of them is no model of ACE-Step 1.5, or its weights are packed.
        CheckpointError: it is not clear which variant it is.
    """
    device = str(model.load_device)
    lent_vae = VAEHandle(_path(getattr(vae, "patcher", None), "VAE"), device=device, lent=LentVAE(vae))
    parts = getattr(clip, "cond_stage_model", None)
    if not hasattr(parts, "qwen3_06b"):
        raise InvalidInput(NOT_ACESTEP.format("CLIP"))
    source = _path(clip.patcher, "CLIP")
    text = TextHandle(source, device=device, lent=LentQwen(clip, "qwen3_06b", source))
    named = getattr(parts, "lm_model", None)
    lm = LMHandle(source, device=device, lent=LentQwen(clip, named, source)) if named else None
    lender = LentModel(model, _path(model, "MODEL"), variant, lent_vae)
    handle = ModelHandle(
        lender.source, lender.format, device, lender.variant, text, lent_vae, shift=lender.shift, lent=lender
    )
    return handle, lent_vae, lm


class Patched:
    """What stands in a `ModelPatcher`, brought to its device with all its changes for as long as it is used."""

    def __init__(self, patcher: Any) -> None:
        self.patcher = patcher

    def loaded(self, needed: int) -> None:
        memory = sys.modules["comfy.model_management"]
        if self.patcher.is_dynamic():  # its weights come to the device piece by piece, which only its own layers know
            self.patcher = self.patcher.clone(disable_dynamic=True)
        memory.load_models_gpu([self.patcher], memory_required=needed, force_full_load=True)

    def tensors(self, module: nn.Module, rename: Callable[[str], str | None]) -> dict[str, Tensor]:
        """The floating point tensors of a part, by upstream's names."""
        found = {}
        for name, tensor in module.state_dict().items():
            ours = rename(name)
            if ours is None or ours.endswith(DERIVED):
                continue
            if type(tensor.data) is not Tensor or tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
                raise InvalidInput(
                    f"These weights are packed ({tensor.dtype}), which only ComfyUI's own nodes can use; load the file "
                    "with Load ACE-Step, or a bf16 one."
                )
            found[ours] = tensor.detach()
        return found


def expanded(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The tensors in the format that is computed in: the same ones where they have it already."""
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


class LentModel(Patched):
    """A MODEL as `AceStepModel`."""

    def __init__(self, patcher: Any, source: Path, variant: str | None, vae: VAEHandle) -> None:
        super().__init__(patcher)
        known = sys.modules["comfy.model_base"]
        if not isinstance(getattr(patcher, "model", None), known.ACEStep15):
            raise InvalidInput(NOT_ACESTEP.format("MODEL"))
        self.source, self.vae = source, vae
        self.variant = variant_of(self.weights(), source, variant).name
        self.format = str(patcher.model.get_dtype_inference()).removeprefix("torch.")
        self.format = {"bfloat16": "bf16", "float32": "fp32"}.get(self.format, "auto")
        sampling = patcher.get_model_object("model_sampling")
        self.shift = float(sampling.shift) if hasattr(sampling, "shift") else None

    def weights(self) -> dict[str, Tensor]:
        model = self.patcher.model.diffusion_model
        return self.tensors(model, lambda name: name)

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        silence = _silence(self.vae)
        with torch.inference_mode(False):
            estimate = lent_model(_meta(self.weights()), self.source, self.variant, silence)
            self.loaded(working(estimate))
            tensors = expanded(self.weights(), self.patcher.model.get_dtype_inference())
            model = lent_model(tensors, self.source, self.variant, silence.to(self.patcher.load_device))
        yield model


class LentQwen(Patched):
    """A part of a CLIP as text encoder or language model."""

    def __init__(self, clip: Any, part: str, source: Path) -> None:
        super().__init__(clip.patcher)
        self.part, self.source = part, source

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        with torch.inference_mode(False):
            tensors = self.weights()
            made = lent_text if self.part == "qwen3_06b" else lent_lm
            rows = len(tensors["embed_tokens.weight"])
            files = QwenFiles({"vocab_size": rows}, Weights({}), None, self.source)
            tokenizer = load_tokenizer(find_tokenizer(files, models.roots()), rows)
            self.loaded(working(made(_meta(tensors), self.source, tokenizer)))
            product = made(expanded(self.weights(), EXPANDED), self.source, tokenizer)
        yield product

    def weights(self) -> dict[str, Tensor]:
        return self.tensors(getattr(self.patcher.model, self.part).transformer, qwen_name)


class LentVAE(Patched):
    """A VAE as `OobleckVAE`. ComfyUI's own layers compute: ours would need their weights in another form."""

    def __init__(self, vae: Any) -> None:
        if type(getattr(vae, "first_stage_model", None)).__name__ != "AudioOobleckVAE":
            raise InvalidInput(NOT_ACESTEP.format("VAE"))
        super().__init__(vae.patcher)
        self.vae = vae

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        module = self.vae.first_stage_model
        width = module.decoder.layers[-2].in_channels
        config = OobleckConfig(decoder_channels=width, encoder_hidden_size=width)
        made = LentOobleck(module, config, torch.device(self.vae.device), self.vae.vae_dtype)
        self.loaded(working(made))
        yield made


def _silence(vae: VAEHandle) -> Tensor:
    """What the VAE makes of silence, as for any file of ComfyUI, which holds none."""
    assert isinstance(vae.lent, LentVAE)
    known = getattr(vae.lent, "silence", None)
    if known is None:
        with manager.resident(vae, silence_bytes) as module, torch.inference_mode():
            known = encode_silence(module)
        with torch.inference_mode(False):
            vae.lent.silence = known = known.clone()
    return known


def _meta(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def _path(patcher: Any, kind: str) -> Path:
    """The file that a patcher was loaded from, as far as it says; else only a name."""
    init = getattr(patcher, "cached_patcher_init", None)
    given = init[1][0] if init is not None and init[1] else kind
    given = given[0] if isinstance(given, list | tuple) else given
    return Path(given) if isinstance(given, str) else Path(kind)

"""A loaded `AceStepPipeline` of diffusers lent to the library: it stays the owner of its weights, and our networks look
at the same memory while they run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from acestep_core.checkpoints import catalog, keymaps
from acestep_core.checkpoints.layouts import SILENCE_FRAMES, diffusers_config, is_xl
from acestep_core.checkpoints.weights import DERIVED
from acestep_core.errors import InvalidInput
from acestep_core.models.handles import ModelHandle, TextHandle, VAEHandle
from acestep_core.models.lent import LentOobleck, lent_model, lent_text
from acestep_core.models.oobleck import OobleckConfig

PARTS = (*keymaps.COMPONENTS.values(), "vae", "text_encoder", "tokenizer")
_FORMATS = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}


def is_pipeline(value: object) -> bool:
    """Whether something is a loaded pipeline of diffusers' rather than a path."""
    return all(hasattr(value, part) for part in ("transformer", "condition_encoder", "vae"))


def handles_of_pipeline(pipeline: Any, variant: str | None = None) -> ModelHandle:
    """The handle of a pipeline's model, with those of its text encoder and VAE.

    Args:
        pipeline: a diffusers `AceStepPipeline`; `variant`: what it is, where neither config nor name say.

    Raises:
        InvalidInput: a part is missing, is not in memory, or carries adapters of its own.
        CheckpointError: it is not clear which variant it is.
    """
    for part in PARTS:
        if getattr(pipeline, part, None) is None:
            raise InvalidInput(
                f"This pipeline has no {part}; load the whole folder with AceStepPipeline.from_pretrained, or give "
                "its path."
            )
    configs = {part: dict(getattr(pipeline, part).config) for part in keymaps.COMPONENTS.values()}
    config = diffusers_config(configs)
    path = Path(getattr(pipeline, "name_or_path", None) or configs["transformer"].get("_name_or_path") or "pipeline")
    name = path.parent.name if path.name == "transformer" else path.name
    chosen = catalog.classify(config, is_xl(config), name, variant)
    lender, lent_text_encoder, vae = PipelineModel(pipeline, path, chosen.name), PipelineText(pipeline), pipeline.vae
    lender.tensors()
    return ModelHandle(
        path,
        _FORMATS.get(pipeline.transformer.dtype, "auto"),
        str(pipeline.transformer.device),
        chosen.name,
        TextHandle(path, device=str(pipeline.text_encoder.device), lent=lent_text_encoder),
        VAEHandle(path, device=str(vae.device), lent=PipelineVAE(pipeline)),
        lent=lender,
    )


class PipelineModel:
    """Transformer, condition encoder, audio tokenizer and detokenizer as `AceStepModel`."""

    def __init__(self, pipeline: Any, source: Path, variant: str) -> None:
        self.pipeline, self.source, self.variant = pipeline, source, variant

    def tensors(self) -> dict[str, Tensor]:
        """All weights by upstream's names."""
        found = {}
        for part in keymaps.COMPONENTS.values():
            for name, tensor in _weights(getattr(self.pipeline, part)).items():
                if name != keymaps.SILENCE and not name.endswith(DERIVED):
                    found[keymaps.dit_from_diffusers(part, name)] = tensor
        return found

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        silence = self.pipeline.condition_encoder.silence_latent
        if silence.shape[1] != SILENCE_FRAMES or not silence.any():
            raise InvalidInput("This pipeline has no silence latent; load it from a folder that `models check` passes.")
        with torch.inference_mode(False):
            model = lent_model(self.tensors(), self.source, self.variant, silence.detach().float())
        yield model


class PipelineText:
    """The text encoder with its tokenizer."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        # A copy, because transformers sets cutting and padding on its own whenever it is used.
        self.tokenizer = Tokenizer.from_str(pipeline.tokenizer.backend_tokenizer.to_str())
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        found = {keymaps.qwen_name(name): tensor for name, tensor in _weights(self.pipeline.text_encoder).items()}
        with torch.inference_mode(False):
            tensors = {name: tensor for name, tensor in found.items() if name and not name.endswith(DERIVED)}
            text = lent_text(tensors, Path("text_encoder"), self.tokenizer)
        yield text


class PipelineVAE:
    """The VAE, whose own layers compute: ours would need their weights in another form."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    @contextmanager
    def resident(self, working: Callable[[Any], int]) -> Iterator[Any]:
        vae = self.pipeline.vae
        yield LentOobleck(vae, OobleckConfig.from_json(dict(vae.config)), vae.device, vae.dtype)


def _weights(module: nn.Module) -> dict[str, Tensor]:
    tensors = module.state_dict()
    if any("lora_" in name for name in tensors):
        raise InvalidInput(
            "This pipeline has LoRAs of its own; call its fuse_lora() and unload_lora_weights() first, or give the "
            "adapter to `models.with_adapter`."
        )
    if any(tensor.is_meta for tensor in tensors.values()):
        raise InvalidInput(
            "This pipeline sends its weights away after each step; load it without sequential offload, or give its "
            "path."
        )
    return {name: tensor.detach() for name, tensor in tensors.items()}

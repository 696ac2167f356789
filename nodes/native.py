"""Bridges between ComfyUI's own models and ours, so that both kinds of nodes stand in one graph."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput

from . import inputs, models, wires
from .host import ComfyUI, host
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import ModelHandle, VAEHandle
    from acestep_core.pipeline.steps import Conditioned

_CATEGORY = "ACE-Step/load"


class ACEStepFromNative:
    TITLE = "ACE-Step from Native"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Uses models that ComfyUI's own nodes have loaded and patched, without holding them twice."
    SEARCH_ALIASES: ClassVar = ["bridge", "unet", "dual clip", "native lora", "checkpoint simple"]
    RETURN_TYPES = (wires.MODEL, wires.VAE, wires.LM)
    RETURN_NAMES = ("model", "vae", "lm")
    OUTPUT_TOOLTIPS = (
        "The model, with LoRA and schedule shift of ComfyUI's nodes.",
        "The VAE.",
        "The language model of the CLIP; nothing where it has none.",
    )
    FUNCTION = "lend"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire("MODEL", "An ACE-Step 1.5 model, LoRA and model sampling nodes included."),
                "clip": inputs.wire("CLIP", "Its text encoder, with or without the language model."),
                "vae": inputs.wire("VAE", "Its VAE."),
            },
            "optional": {
                "variant": inputs.choice(
                    models.VARIANT_CHOICES, models.AUTO, "Which kind it is, where the name of its file does not say."
                ),
            },
        }

    def lend(self, model: Any, clip: Any, vae: Any, variant: str = models.AUTO) -> Told:
        _needs_comfyui("ACE-Step from Native", "load the files with Load ACE-Step")
        from .native_models import handles_of

        found = handles_of(model, clip, vae, None if variant == models.AUTO else variant)
        return told(found, f"Using {found[0].path.name} as {found[0].variant}")


class ACEStepToNative:
    TITLE = "Native from ACE-Step"
    CATEGORY = _CATEGORY
    DESCRIPTION = "Lets KSampler, LoRA loaders and other nodes of ComfyUI work on ACE-Step's tasks."
    SEARCH_ALIASES: ClassVar = ["bridge", "ksampler", "to model", "sampler custom", "native"]
    RETURN_TYPES = ("MODEL", "VAE", "CONDITIONING", "LATENT")
    RETURN_NAMES = ("model", "vae", "conditioning", "latent")
    OUTPUT_TOOLTIPS = (
        "For KSampler, LoRA loaders and model sampling nodes.",
        "For VAE Decode Audio and VAE Encode Audio.",
        "The positive; for the negative send it through Conditioning Zero Out.",
        "As long as the song; for repaint with the recording and a noise mask.",
    )
    FUNCTION = "lend"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.wire(wires.MODEL, "The model, without a LoRA of ours."),
                "vae": inputs.wire(wires.VAE, "The VAE."),
                "conditioning": inputs.wire(wires.CONDITIONING, "What to follow: song and task."),
            },
        }

    def lend(self, model: ModelHandle, vae: VAEHandle, conditioning: Conditioned) -> tuple[Any, ...]:
        _needs_comfyui("Native from ACE-Step", "use ACE-Step Sampler and Decode")
        from .native_out import native_conditioning, native_latent, native_model, native_vae

        native = native_conditioning(conditioning)
        host().take_models()
        return native_model(model), native_vae(vae), native, native_latent(conditioning.conditioning)


def _needs_comfyui(node: str, instead: str) -> None:
    if not isinstance(host(), ComfyUI):
        raise InvalidInput(
            f"{node} works with models of ComfyUI, which is not here; run the graph there, or {instead}."
        )
    if "comfy.ldm.ace.ace_step15" not in sys.modules:
        raise InvalidInput(
            f"{node} needs ComfyUI 0.12 or newer, whose own nodes know ACE-Step 1.5; update ComfyUI, or {instead}."
        )

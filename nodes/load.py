"""Choosing models. What comes out is a handle: weights are read when a stage first needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.options import INT8, NUMBER_FORMATS, WEIGHT_FORMATS

from . import inputs, models, wires
from .host import host
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import Handle, ModelHandle

_DTYPE_TIP = "Number format. 'auto' takes bf16 where the device is fast at it, fp32 elsewhere."
_WEIGHTS_TIP = f"{_DTYPE_TIP} 'int8' holds the weights in half of the memory, a little less exact."
_DEVICE_TIP = "Where it runs. 'auto' takes the graphics card if there is one."
_TOY_NOTE = "The built-in toy model plays simple piano rolls. Put real models into models/acestep."
_TINY_NOTE = "The tiny test model has random weights: its sound means nothing. Put real ones into models/acestep."


class ACEStepModelLoader:
    TITLE = "Load ACE-Step Model"
    CATEGORY = "ACE-Step/load"
    DESCRIPTION = "Chooses an ACE-Step 1.5 checkpoint: DiT, condition encoder, audio tokenizer and text encoder."
    SEARCH_ALIASES: ClassVar = ["checkpoint", "dit", "turbo", "base", "sft", "xl", "diffusion model"]
    RETURN_TYPES = (wires.MODEL,)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The model; its weights are read when a stage first needs them.",)
    FUNCTION = "load"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": inputs.choice(
                    models.choices("dit"),
                    models.AUTO,
                    "The checkpoint. 'auto' takes the first one found, or the built-in toy if there is none.",
                ),
            },
            "optional": {
                "variant": inputs.choice(
                    models.VARIANT_CHOICES,
                    models.AUTO,
                    "Which kind it is, for ComfyUI files that cannot say; with model 'auto', which kind to look for.",
                ),
                "dtype": inputs.choice(WEIGHT_FORMATS, models.AUTO, _WEIGHTS_TIP, advanced=True),
                "device": inputs.choice(models.device_choices(), models.AUTO, _DEVICE_TIP, advanced=True),
            },
        }

    @classmethod
    def IS_CHANGED(cls, model: str, variant: str = "auto", dtype: str = "auto", device: str = "auto") -> Any:
        return _stamp(model, variant)

    def load(self, model: str, variant: str = "auto", dtype: str = "auto", device: str = "auto") -> Told:
        from acestep_core.pipeline.opening import model_handle

        handle = model_handle(_asked(model), _asked(variant), dtype, _device(device), models.roots())
        return _announced(handle, dtype=dtype, device=device)


class ACEStepVAELoader:
    TITLE = "Load ACE-Step VAE"
    CATEGORY = "ACE-Step/load"
    DESCRIPTION = "Chooses the VAE that turns latents into 48 kHz stereo and back."
    SEARCH_ALIASES: ClassVar = ["vae", "oobleck", "autoencoder"]
    RETURN_TYPES = (wires.VAE,)
    RETURN_NAMES = ("vae",)
    OUTPUT_TOOLTIPS = ("The VAE; its weights are read when a stage first needs them.",)
    FUNCTION = "load"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "vae": inputs.choice(
                    models.choices("vae"),
                    models.AUTO,
                    "The VAE. 'auto' takes the first one found, or the built-in one.",
                ),
            },
            "optional": {
                "dtype": inputs.choice(NUMBER_FORMATS, models.AUTO, _DTYPE_TIP, advanced=True),
                "device": inputs.choice(models.device_choices(), models.AUTO, _DEVICE_TIP, advanced=True),
            },
        }

    @classmethod
    def IS_CHANGED(cls, vae: str, dtype: str = "auto", device: str = "auto") -> Any:
        return _stamp(vae)

    def load(self, vae: str, dtype: str = "auto", device: str = "auto") -> Told:
        from acestep_core.pipeline.opening import vae_handle

        handle = vae_handle(_asked(vae), dtype, _device(device), models.roots())
        return _announced(handle, dtype=dtype, device=device)


class ACEStepLMLoader:
    TITLE = "Load ACE-Step Language Model"
    CATEGORY = "ACE-Step/load"
    DESCRIPTION = "Chooses the language model that plans songs and writes audio codes."
    SEARCH_ALIASES: ClassVar = ["llm", "planner", "5hz lm", "language model", "qwen"]
    RETURN_TYPES = (wires.LM,)
    RETURN_NAMES = ("lm",)
    OUTPUT_TOOLTIPS = ("The language model; its weights are read when a stage first needs them.",)
    FUNCTION = "load"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lm": inputs.choice(
                    models.choices("lm"),
                    models.AUTO,
                    "The language model: 0.6B, 1.7B or 4B. 'auto' takes the first one found, or the built-in one.",
                ),
            },
            "optional": {
                "dtype": inputs.choice(WEIGHT_FORMATS, models.AUTO, _WEIGHTS_TIP, advanced=True),
                "device": inputs.choice(models.device_choices(), models.AUTO, _DEVICE_TIP, advanced=True),
            },
        }

    @classmethod
    def IS_CHANGED(cls, lm: str, dtype: str = "auto", device: str = "auto") -> Any:
        return _stamp(lm)

    def load(self, lm: str, dtype: str = "auto", device: str = "auto") -> Told:
        from acestep_core.pipeline.opening import lm_handle

        handle = lm_handle(_asked(lm), dtype, _device(device), models.roots())
        return _announced(handle, dtype=dtype, device=device)


class ACEStepLoader:
    TITLE = "Load ACE-Step"
    CATEGORY = "ACE-Step/load"
    DESCRIPTION = "Chooses model, VAE and language model at once, by how much memory the graphics card has."
    SEARCH_ALIASES: ClassVar = ["checkpoint", "all in one", "preset", "vram", "load model"]
    RETURN_TYPES = (wires.MODEL, wires.VAE, wires.LM)
    RETURN_NAMES = ("model", "vae", "lm")
    OUTPUT_TOOLTIPS = ("The model.", "The VAE.", "The language model; nothing where the preset has none.")
    FUNCTION = "load"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "preset": inputs.choice(
                    models.TIER_CHOICES,
                    "auto",
                    "Memory of the graphics card. 'auto' takes what is found, or the built-in toy.",
                ),
            },
            "optional": {
                "dtype": inputs.choice(WEIGHT_FORMATS, models.AUTO, _WEIGHTS_TIP, advanced=True),
                "device": inputs.choice(models.device_choices(), models.AUTO, _DEVICE_TIP, advanced=True),
            },
        }

    @classmethod
    def IS_CHANGED(cls, preset: str, dtype: str = "auto", device: str = "auto") -> Any:
        return _stamp(models.AUTO)

    def load(self, preset: str, dtype: str = "auto", device: str = "auto") -> Told:
        from acestep_core.models.ahead import read_ahead
        from acestep_core.pipeline.opening import open_models

        opened = open_models(dtype=dtype, device=_device(device), tier=preset, roots=models.roots())
        read_ahead([opened.model.text, opened.model, opened.vae, opened.lm])  # which may have nothing to do
        handles = (opened.model, opened.vae, opened.lm)
        return _announced(*handles, dtype=dtype, device=device, remarks=opened.remarks)


class ACEStepLoRALoader:
    TITLE = "Load ACE-Step LoRA"
    CATEGORY = "ACE-Step/load"
    DESCRIPTION = "Adds LoRAs, DoRAs, LoKrs or LoHas to a model: up to four, and more in a chain."
    SEARCH_ALIASES: ClassVar = ["lora", "lokr", "dora", "adapter", "peft", "lora stack"]
    RETURN_TYPES = (wires.MODEL,)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The model with the adapters.",)
    FUNCTION = "load"
    HAS_INTERMEDIATE_OUTPUT = True
    SLOTS = 4

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        first, *others = range(1, cls.SLOTS + 1)
        return {
            "required": {"model": inputs.wire(wires.MODEL, "The model to change."), **cls._slot("")},
            "optional": {
                "enabled": inputs.switch(True, "Off leaves the model alone, to hear the difference."),
                "loras": inputs.integer(first, first, cls.SLOTS, "How many of them this node adds."),
                **{name: declared for n in others for name, declared in cls._slot(f"_{n}", n).items()},
            },
        }

    @classmethod
    def _slot(cls, end: str, number: int = 1) -> dict[str, inputs.Declaration]:
        more = inputs.counting(loras=range(number, cls.SLOTS + 1)) if number > 1 else {}
        file, as_trained = "A file or PEFT folder below models/loras.", "1 is as trained, 0 leaves the model alone."
        return {
            f"lora{end}": inputs.choice(models.lora_choices(), models.NO_LORA, file, **more),
            f"strength{end}": inputs.number(1.0, -2.0, 2.0, 0.05, as_trained, **more),
        }

    @classmethod
    def IS_CHANGED(cls, lora: str, loras: int = 1, **widgets: Any) -> Any:
        """Other files under the same name are another adapter."""
        return "".join(models.lora_stamp(name) for name, _ in _slots(lora, 1.0, loras, widgets))

    def load(
        self, model: ModelHandle, lora: str, strength: float, enabled: bool = True, loras: int = 1, **widgets: Any
    ) -> Told:
        from acestep_core.models.adapters import inspect_adapter

        remarks = []
        for name, part in _slots(lora, strength, loras, widgets) if enabled else ():
            if name != models.NO_LORA and part != 0:
                path = models.lora_path(name)
                remarks.append(str(inspect_adapter(path, model)))
                model = model.with_adapter(path, part)
        return told((model,), *remarks) if remarks else (model,)


def _slots(lora: str, strength: float, loras: int, widgets: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The name and strength of each adapter that a node adds; graphs saved before there were several hold the first."""
    others = [n for n in range(2, ACEStepLoRALoader.SLOTS + 1) if n <= loras]  # a wire may send any number
    return [
        (lora, strength),
        *((widgets.get(f"lora_{n}", models.NO_LORA), widgets.get(f"strength_{n}", 1.0)) for n in others),
    ]


def _announced(first: Handle, *others: Handle | None, dtype: str, device: str, remarks: Sequence[str] = ()) -> Told:
    """Hands models on, and says what was taken, as what, and which wish of the host's was not followed."""
    unfollowed: list[str] = []
    handles = [handle and _as_started(handle, dtype, device, unfollowed) for handle in (first, *others)]
    variant = getattr(first, "variant", None)
    used = f"Using {first.path.name}{f' as {variant}' if variant else ''}"
    said = " ".join(remarks) or (_TOY_NOTE if first.toy else _TINY_NOTE if first.tiny else used)
    return told(tuple(handles), *dict.fromkeys((said, *unfollowed)))


def _as_started(handle: Handle, dtype: str, device: str, unfollowed: list[str]) -> Handle:
    """The handle and its parts in the number formats and on the devices that the host was started with, where the node
    leaves them open.
    """
    more: dict[str, Any] = {}
    if models.AUTO == dtype == handle.dtype or (handle.dtype == INT8 and not handle.eight_bits):  # a VAE has no int8
        more["dtype"], remark = host().precision(handle.role)
        unfollowed += [remark] if remark else []
    if device == models.AUTO:
        more["device"] = host().device(handle.role)
    parts = {name: getattr(handle, name, None) for name in ("text", "vae")}
    more |= {name: _as_started(part, dtype, device, unfollowed) for name, part in parts.items() if part is not None}
    return replace(handle, **more)


def _asked(choice: str) -> str | None:
    return None if choice == models.AUTO else choice


def _device(choice: str) -> str:
    return host().device() if choice == models.AUTO else choice


def _stamp(*given: str) -> str:
    """Changes when other models lie there, so that what 'auto' took before is not kept any longer than it should."""
    known = models.found().entries if models.AUTO in given else ()
    return str([(str(entry.path), entry.variant, entry.problem) for entry in known])

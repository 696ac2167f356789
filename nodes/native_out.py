"""Our handles and conditioning as ComfyUI's MODEL, VAE, CONDITIONING and LATENT."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from acestep_core.errors import InvalidInput
from acestep_core.models.handles import ModelHandle, VAEHandle
from acestep_core.models.manager import manager
from acestep_core.render.stages import encode_audio
from acestep_core.render.vae import decode
from acestep_core.vocabulary import HOP, LATENT_CHANNELS, SAMPLE_RATE

from .host import monitor
from .native_models import LentModel, LentVAE

if TYPE_CHECKING:
    from acestep_core.pipeline.steps import Conditioned
    from acestep_core.render.conditioned import Branch, Conditioning

CONTEXT = "acestep_context"
"""Under this name our CONDITIONING carries what the decoder sees of a source, `[B, T, 128]`."""
KEY = "acestep"
SOON = 1e-4
"""What lies between the end of one share of the steps and the beginning of the next."""


class Denoiser(nn.Module):
    """ComfyUI's own network for ACE-Step 1.5 without its encoders, which our conditioning has gone through already."""

    def __init__(self, device: Any = None, operations: Any = None, dtype: Any = None, **config: Any) -> None:
        super().__init__()
        network = sys.modules["comfy.ldm.ace.ace_step15"].AceStepDiTModel
        self.decoder = network(**config, dtype=dtype, device=device, operations=operations)
        width = config["condition_dim"]
        self.null_condition_emb = nn.Parameter(torch.empty(1, 1, width, dtype=dtype, device=device))
        self.dtype = dtype

    def forward(self, *told: Any, **more: Any) -> Tensor:
        raise InvalidInput(
            "This MODEL follows the CONDITIONING of Native from ACE-Step; connect that, or load the model with "
            "ComfyUI's own loader."
        )


def native_model(handle: ModelHandle) -> Any:
    """A MODEL that follows our conditioning, over the weights that the library or ComfyUI holds already."""
    if handle.adapters:
        raise InvalidInput("ComfyUI applies its own LoRA; connect the model without it, and its Load LoRA after this.")
    patcher = handle.lent.patcher.clone() if isinstance(handle.lent, LentModel) else _patcher(handle)
    kind = sys.modules["comfy.patcher_extension"].WrappersMP.APPLY_MODEL
    patcher.add_wrapper_with_key(kind, KEY, _applied)
    return patcher


def _patcher(handle: ModelHandle) -> Any:
    memory, base = sys.modules["comfy.model_management"], sys.modules["comfy.model_base"]
    model, tensors = manager.shared(handle)
    config, dtype = model.config, model.dtype
    layers = config.num_hidden_layers
    network = {
        "in_channels": config.in_channels,
        "hidden_size": config.hidden_size,
        "num_layers": layers,
        "num_heads": config.num_attention_heads,
        "num_kv_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size,
        "patch_size": config.patch_size,
        "audio_acoustic_hidden_dim": config.audio_acoustic_hidden_dim,
        "condition_dim": config.encoder_dim,
        "layer_types": ["sliding_attention" if config.is_sliding(i) else "full_attention" for i in range(layers)],
        "sliding_window": config.sliding_window,
        "rms_norm_eps": config.rms_norm_eps,
    }

    class Model(base.ACEStep15):  # type: ignore[misc, name-defined]
        def __init__(self, told: Any) -> None:
            base.BaseModel.__init__(self, told, base.ModelType.FLOW, torch.device("meta"), unet_model=Denoiser)

    told = sys.modules["comfy.supported_models"].ACEStep15({**network, "dtype": dtype})
    told.sampling_settings = {**told.sampling_settings, "shift": handle.preset.shift}
    with torch.inference_mode(False):
        made = Model(told)
        names = [name for name in tensors if name.startswith("decoder.") or name == "null_condition_emb"]
        shared = {name: nn.Parameter(tensors[name], requires_grad=False) for name in names}
        network_made = made.diffusion_model
        for rope in [network_made.decoder]:  # its tables are no weights, and stand on the meta device yet
            rope.rotary_emb = type(rope.rotary_emb)(config.head_dim, base=config.rope_theta, dtype=dtype, device="cpu")
        missing = network_made.load_state_dict(shared, strict=False, assign=True).missing_keys
    if missing:
        raise InvalidInput(f"ComfyUI's network for ACE-Step 1.5 is another one here ({missing[0]}); update the pack.")
    core = sys.modules["comfy.model_patcher"].ModelPatcher
    made.device = memory.unet_offload_device()
    return core(made, memory.get_torch_device(), memory.unet_offload_device())


def _applied(
    executor: Any,
    x: Tensor,
    t: Tensor,
    c_concat: Any = None,
    c_crossattn: Tensor | None = None,
    control: Any = None,
    transformer_options: Any = None,
    **told: Any,
) -> Tensor:
    """What stands around `BaseModel.apply_model`: our conditioning goes straight to the decoder."""
    context = told.get(CONTEXT)
    if context is None or c_crossattn is None:
        return executor(x, t, c_concat, c_crossattn, control, transformer_options or {}, **told)
    model = executor.class_obj
    dtype, cast = model.get_dtype_inference(), sys.modules["comfy.model_management"].cast_to
    states = c_crossattn.to(x.device, dtype)
    if told.get("replace_with_null_embeds"):
        states = cast(model.diffusion_model.null_condition_emb, dtype, x.device).expand_as(states)
    times = model.model_sampling.timestep(t).float()
    velocity = model.diffusion_model.decoder(
        hidden_states=x.to(dtype).movedim(-1, -2),
        timestep=times,
        timestep_r=times,
        attention_mask=None,
        encoder_hidden_states=states,
        encoder_attention_mask=None,
        context_latents=context.to(x.device, dtype),
    )
    return model.model_sampling.calculate_denoised(t, velocity.movedim(-1, -2).float(), x)


def native_conditioning(what: Conditioned) -> list[list[Any]]:
    """CONDITIONING for `native_model`; where a task hands over to the text alone, one entry for each share of steps."""
    told = what.conditioning
    if told.morph is not None:
        raise InvalidInput("A morph samples its own way, which ComfyUI's samplers do not know; use ACE-Step Sampler.")
    if told.plain is None:
        return [_entry(told.main)]
    share = told.cover_strength
    first = _entry(told.main, start_percent=0.0, end_percent=max(0.0, share - SOON))
    rest = _entry(told.plain, start_percent=max(0.0, share - SOON / 2), end_percent=1.0)
    return [rest] if share == 0 else [first, rest]


def _entry(branch: Branch, **when: float) -> list[Any]:
    if len(branch.states) > 1:
        raise InvalidInput(
            "The songs of this batch are told in texts of different length, which ComfyUI's samplers do not take; "
            "make them one by one."
        )
    conds = sys.modules["comfy.conds"]
    states = branch.states[0].float().cpu().contiguous()
    extra = {CONTEXT: conds.CONDRegular(branch.context.float().cpu().contiguous())}
    return [states, {"model_conds": extra, "conditioning_lyrics": states[:, :1], **when}]


def native_latent(told: Conditioning) -> dict[str, Any]:
    """LATENT to sample from: as long as the song, and what of a recording is to stay under its noise mask."""
    if told.hold is not None:
        samples, mask = told.hold.clean, told.hold.region.float()[:, None]
        return {"samples": samples.mT.float().cpu().contiguous(), "type": "audio", "noise_mask": mask.cpu()}
    if told.source is not None:
        return {"samples": told.source.mT.float().cpu().contiguous(), "type": "audio"}
    return {"samples": torch.zeros(told.batch, LATENT_CHANNELS, told.frames), "type": "audio"}


class NativeVAE:
    """A VAE for ComfyUI's audio nodes, which works through the library."""

    audio_sample_rate = SAMPLE_RATE
    latent_channels = LATENT_CHANNELS
    latent_dim = 1
    output_channels = 2

    def __init__(self, handle: VAEHandle) -> None:
        self.handle = handle

    def decode(self, samples: Tensor, vae_options: Any = None) -> Tensor:
        """`[B, 64, T]` -> `[B, S, 2]`."""
        with manager.resident(self.handle) as module, torch.inference_mode():
            return decode(module, samples.mT.float(), monitor=monitor()).movedim(1, -1)

    def decode_tiled(self, samples: Tensor, **tiles: Any) -> Tensor:
        return self.decode(samples)  # always in tiles, and exact

    def encode(self, audio: Tensor) -> Tensor:
        """`[B, S, 2]` -> `[B, 64, T]`."""
        waves = audio.movedim(-1, 1).float()
        waves = waves.expand(-1, 2, -1) if waves.shape[1] == 1 else waves[:, :2]
        return encode_audio(self.handle, waves, monitor=monitor()).mT.contiguous()

    def encode_tiled(self, audio: Tensor, **tiles: Any) -> Tensor:
        return self.encode(audio)

    def spacial_compression_decode(self) -> int:
        return HOP

    def spacial_compression_encode(self) -> int:
        return HOP


def native_vae(handle: VAEHandle) -> Any:
    return handle.lent.vae if isinstance(handle.lent, LentVAE) else NativeVAE(handle)

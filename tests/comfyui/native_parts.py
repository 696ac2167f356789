"""Run by ComfyUI's interpreter: ComfyUI's own classes at small sizes over shared files, and a node of ours called.

Of the command line it reads the folders of ComfyUI and of the pack, and one to write into.
"""

import asyncio
import functools
import sys
from pathlib import Path

comfyui, pack, place = map(Path, sys.argv[1:4])
more = sys.argv[4:]
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [str(comfyui), str(pack)]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.lora_convert  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.text_encoders.ace15 as ace15  # noqa: E402
import comfy.utils  # noqa: E402
import comfy_extras.nodes_post_processing  # noqa: E402, F401
import folder_paths  # noqa: E402, F401
import torch  # noqa: E402

import nodes  # noqa: E402
from acestep_core.builtin import tiny  # noqa: E402
from acestep_core.checkpoints.qwen_tokenizer import LM_ROWS, TEXT_ROWS  # noqa: E402
from acestep_core.host.graph.packs import load_pack  # noqa: E402

asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
NATIVE = nodes.NODE_CLASS_MAPPINGS
torch.set_grad_enabled(False)
CLASSES = load_pack(pack).classes
wires = sys.modules[CLASSES["ACEStepSampler"].__module__.rpartition(".")[0] + ".wires"]

# --- shared files: what ComfyUI's classes fix (16 heads, 8 key heads, three times the width) at a small width ---------

HEADS = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 16, "intermediate_size": 192}
DEPTH = {"num_lyric_encoder_hidden_layers": 2, "num_timbre_encoder_hidden_layers": 2}
tiny.DIT.update(HEADS | DEPTH)
tiny.VAE["encoder_hidden_size"] = 8
tiny.build_tiny(place / "made", variants=["turbo"], layouts=["comfyui"])
files = place / "made" / "comfyui"
unet = next((files / "diffusion_models").glob("*.safetensors"))
vae_file = next((files / "vae").glob("*.safetensors"))


def out(node_id, /, **given):
    node = CLASSES[node_id]()
    with torch.inference_mode():
        result = getattr(node, node.FUNCTION)(**given)
    return result["result"] if isinstance(result, dict) else result


def tiny_clip():
    """A CLIP of text encoder and language model over Qwen's whole vocabulary."""
    llama = comfy.text_encoders.llama
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    small = {name: tiny.QWEN[name] for name in names}
    for part in ("Qwen3_06B_ACE15_Config", "Qwen3_2B_ACE15_lm_Config"):
        getattr(llama, part).head_dim = tiny.QWEN["head_dim"]
        setattr(llama, part, functools.partial(getattr(llama, part), **small))
    target = comfy.supported_models.supported_models_base.ClipTarget(
        ace15.ACE15Tokenizer, ace15.te(lm_model="qwen3_2b")
    )
    clip = comfy.sd.CLIP(target)
    for name, rows in (("qwen3_06b", TEXT_ROWS[0]), ("qwen3_2b", LM_ROWS)):
        tensors = tiny.qwen_tensors({**tiny.QWEN, "vocab_size": rows}, 0, name)
        getattr(clip.cond_stage_model, name).load_sd({f"model.{key}": tensor for key, tensor in tensors.items()})
    return clip


def tiny_model(file=None, width=64, layers=4):
    """A MODEL of a file with 16 heads of 16 channels."""
    sd = comfy.utils.load_torch_file(str(file or unet))
    config = {
        **{
            "hidden_size": width,
            "text_hidden_dim": 64,
            "num_dit_layers": layers,
            "num_heads": 16,
            "num_kv_heads": 8,
            "head_dim": 16,
        },
        **{
            "intermediate_size": 3 * width,
            "fsq_dim": width,
            "num_lyric_layers": 2,
            "num_timbre_layers": 2,
            "audio_model": "ace1.5",
        },
        **{
            "encoder_hidden_size": width,
            "encoder_intermediate_size": 3 * width,
            "encoder_num_heads": 16,
            "dtype": torch.float32,
        },
    }
    told = comfy.supported_models.ACEStep15(config)
    model = told.get_model(sd, "")
    model.load_model_weights(sd, "")
    patcher = comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    patcher.cached_patcher_init = (None, (str(place / "acestep_v1.5_turbo.safetensors"), {}))
    return patcher


def tiny_vae(file=None):
    whole = comfy.sd.AudioOobleckVAE
    comfy.sd.AudioOobleckVAE = functools.partial(whole, channels=8)
    try:
        return comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(file or vae_file)), dtype=torch.float32)
    finally:
        comfy.sd.AudioOobleckVAE = whole

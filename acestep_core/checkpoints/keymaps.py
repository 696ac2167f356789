"""The names one and the same tensor has in the layouts, as tables that are read in both directions.

* upstream: one `model.safetensors` for the DiT and its encoders; a diffusers `AutoencoderOobleck` as VAE; Qwen3
  without a prefix.
* diffusers: a folder per component, attention projections renamed.
* ComfyUI: upstream names below a prefix; the VAE with stable-audio-tools' numbered layers; Qwen3 below `model.`.

GGUF files keep the names of what they were made from; only llama.cpp's tools give Qwen3 names of their own. Some of
their tools leave out outer axes of length 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Shape = tuple[int, ...]

# --- DiT: upstream <-> diffusers ------------------------------------------------------------------------------------

# upstream prefix -> diffusers folder
COMPONENTS = {
    "decoder.": "transformer",
    "encoder.": "condition_encoder",
    "tokenizer.": "audio_tokenizer",
    "detokenizer.": "audio_token_detokenizer",
}
# These stand at the top level upstream and inside the condition encoder in diffusers.
TOP_LEVEL = ("null_condition_emb",)
SILENCE = "silence_latent"  # a buffer of diffusers' condition encoder; a file of its own upstream

# The two names that differ in the decoder. The detokenizer's `proj_out` is a plain Linear and keeps its name.
DECODER_NAMES = {"proj_in.1.": "proj_in_conv.", "proj_out.1.": "proj_out_conv."}
# Parts of an attention block, in every component.
ATTENTION_NAMES = {
    "q_proj.": "to_q.",
    "k_proj.": "to_k.",
    "v_proj.": "to_v.",
    "o_proj.": "to_out.0.",
    "q_norm.": "norm_q.",
    "k_norm.": "norm_k.",
}
ATTENTION_BLOCKS = (".self_attn.", ".cross_attn.")


def dit_to_diffusers(name: str) -> tuple[str, str]:
    """Upstream name -> (diffusers folder, name inside it)."""
    if name in TOP_LEVEL:
        return "condition_encoder", name
    for prefix, component in COMPONENTS.items():
        if name.startswith(prefix):
            return component, _rename(component, name[len(prefix) :], forward=True)
    raise KeyError(name)


def dit_from_diffusers(component: str, name: str) -> str:
    """(diffusers folder, name inside it) -> upstream name."""
    if component == "condition_encoder" and name in TOP_LEVEL:
        return name
    prefix = next(prefix for prefix, folder in COMPONENTS.items() if folder == component)
    return prefix + _rename(component, name, forward=False)


def _rename(component: str, name: str, forward: bool) -> str:
    if component == "transformer":
        name = _swap_head(name, _direction(DECODER_NAMES, forward))
    for block in ATTENTION_BLOCKS:
        before, found, after = name.partition(block)
        if found:
            return before + block + _swap_head(after, _direction(ATTENTION_NAMES, forward))
    return name


def _direction(table: Mapping[str, str], forward: bool) -> Mapping[str, str]:
    return table if forward else {new: old for old, new in table.items()}


def _swap_head(name: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        if name.startswith(old):
            return new + name[len(old) :]
    return name


# --- VAE: diffusers <-> stable-audio-tools (ComfyUI) ----------------------------------------------------------------

_LAYER = re.compile(r"encoder\.layers\.(\d{1,2})\.")

# The layers in the order stable-audio-tools numbers them.
RESIDUAL_UNIT = ("snake1", "conv1", "snake2", "conv2")
ENCODER_BLOCK = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
DECODER_BLOCK = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
# Two spellings of weight normalisation; diffusers uses the first.
WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def oobleck_layers(blocks: int) -> dict[str, str]:
    """Every layer of a VAE with `blocks` blocks a side: diffusers name -> stable-audio-tools name."""
    table = {}
    for side, parts in (("encoder", ENCODER_BLOCK), ("decoder", DECODER_BLOCK)):
        table[f"{side}.conv1"] = f"{side}.layers.0"
        table[f"{side}.snake1"] = f"{side}.layers.{blocks + 1}"
        table[f"{side}.conv2"] = f"{side}.layers.{blocks + 2}"
        for block in range(blocks):
            for i, part in enumerate(parts):
                ours, theirs = f"{side}.block.{block}.{part}", f"{side}.layers.{block + 1}.layers.{i}"
                if part.startswith("res_unit"):
                    table |= {f"{ours}.{layer}": f"{theirs}.layers.{j}" for j, layer in enumerate(RESIDUAL_UNIT)}
                else:
                    table[ours] = theirs
    return table


def vae_names(names: list[str]) -> dict[str, str]:
    """Names from either tool, in either spelling of weight norm -> diffusers names. Unknown layers stay as they are."""
    numbers = (_LAYER.match(name) for name in names)
    blocks = max((int(number[1]) for number in numbers if number), default=2) - 2
    layers = {theirs: ours for ours, theirs in oobleck_layers(blocks).items()}
    spelling = {new: old for old, new in WEIGHT_NORM.items()}
    table = {}
    for name in names:
        short = next((name.removesuffix(long) + old for long, old in spelling.items() if name.endswith(long)), name)
        layer, _, leaf = short.rpartition(".")
        table[name] = f"{layers.get(layer, layer)}.{leaf}"
    return table


def vae_to_sat(names: list[str], blocks: int) -> dict[str, str]:
    """diffusers names -> stable-audio-tools names (new spelling of weight norm, as ComfyUI saves)."""
    layers = oobleck_layers(blocks)
    table = {}
    for name in names:
        layer, _, leaf = name.rpartition(".")
        table[name] = f"{layers[layer]}.{WEIGHT_NORM.get(leaf, leaf)}"
    return table


def is_snake(name: str) -> bool:
    """Whether a VAE tensor is a Snake parameter: `[1, C, 1]` in diffusers, `[C]` in stable-audio-tools."""
    return name.endswith((".alpha", ".beta"))


def snake_shape(name: str, shape: Shape) -> Shape:
    """The diffusers shape of a VAE tensor."""
    return (1, *shape, 1) if is_snake(name) and len(shape) == 1 else shape


# --- ComfyUI prefixes -----------------------------------------------------------------------------------------------

COMFYUI_DIT = ("model.diffusion_model.", "diffusion_model.", "")
COMFYUI_VAE = ("vae.", "first_stage_model.", "")
COMFYUI_TEXT_ENCODER = ("text_encoders.qwen3_06b.transformer.", "")
COMFYUI_LM = ("text_encoders.qwen3_2b.transformer.", "text_encoders.qwen3_4b.transformer.", "")

# One tensor that only this kind of model has, below the prefix.
DIT_MARK = "encoder.lyric_encoder.layers.0.input_layernorm.weight"
SAT_VAE_MARK = "decoder.layers.1.layers.0.beta"
DIFFUSERS_VAE_MARK = "decoder.block.0.snake1.beta"
HEAD = "lm_head.weight"
QWEN_MARKS = ("model.layers.0.self_attn.q_norm.weight", "layers.0.self_attn.q_norm.weight")


def qwen_name(name: str) -> str | None:
    """A Qwen3 name without `model.`; None for the output head, which is tied to the embedding."""
    name = name.removeprefix("model.")
    return None if name == HEAD else name


# --- GGUF -----------------------------------------------------------------------------------------------------------

# llama.cpp's names of Qwen3's tensors, which it stores as they are.
LLAMA = {"token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head"}
LLAMA_BLOCK = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_LLAMA_LAYER = re.compile(r"blk\.(\d{1,4})\.(\w+)\.weight")
# Parameters that begin with an axis of length 1.
OUTER_ONES = ("scale_shift_table", "null_condition_emb", "special_token", "special_tokens")


def from_llama(name: str) -> str:
    """A tensor of Qwen3 under llama.cpp's name -> its own; other names stay as they are."""
    if (found := _LLAMA_LAYER.fullmatch(name)) and found[2] in LLAMA_BLOCK:
        return f"layers.{found[1]}.{LLAMA_BLOCK[found[2]]}.weight"
    layer = name.removesuffix(".weight")
    return f"{LLAMA[layer]}.weight" if layer in LLAMA and layer != name else name


def with_outer_ones(name: str, shape: Shape) -> Shape:
    """The shape of a tensor with the outer axes that a GGUF file may lack."""
    if name.endswith(OUTER_ONES):
        return (1,) * (3 - len(shape)) + shape
    if is_snake(name) and len(shape) == 2:
        return (1, *shape)
    return shape

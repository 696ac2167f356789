from __future__ import annotations

import math

import pytest
import torch

from acestep_core.errors import AdapterError
from acestep_core.models import lora
from acestep_core.models.adapter_file import Scaling

LAYER = "layers.3.self_attn.q_proj"
OUT = "layers.3.cross_attn.o_proj"
NAMES = lora.LayerNames([LAYER, OUT, "layers.3.mlp.gate_proj", "time_embed.linear_1", "condition_embedder"])

KEYS = {
    "base_model.model.layers.3.self_attn.q_proj.lora_A.weight": (LAYER, "down"),
    "base_model.model.layers.3.self_attn.q_proj.lora_B.default.weight": (LAYER, "up"),
    "base_model.model.layers.3.self_attn.q_proj.lora_magnitude_vector": (LAYER, "magnitude"),
    "base_model.model.layers.3.self_attn.q_proj.lora_magnitude_vector.default.weight": (LAYER, "magnitude"),
    "base_model.model.decoder.layers.3.self_attn.q_proj.lora_A.weight": (LAYER, "down"),
    "transformer.layers.3.self_attn.to_q.lora_A.weight": (LAYER, "down"),
    "transformer.layers.3.cross_attn.to_out.0.lora_B.weight": (OUT, "up"),
    "transformer.layers.3.self_attn.to_q.lora.down.weight": (LAYER, "down"),
    "transformer.layers.3.self_attn.to_q_lora.up.weight": (LAYER, "up"),
    "diffusion_model.decoder.layers.3.self_attn.q_proj.lora_up.weight": (LAYER, "up"),
    "diffusion_model.decoder.layers.3.self_attn.q_proj.alpha": (LAYER, "alpha"),
    "model.diffusion_model.decoder.layers.3.self_attn.q_proj.lora_A.weight": (LAYER, "down"),
    "lora_unet_decoder_layers_3_self_attn_q_proj.lora_down.weight": (LAYER, "down"),
    "lora_unet_layers_3_cross_attn_o_proj.alpha": (OUT, "alpha"),
    "lycoris_layers_3_self_attn_q_proj.lokr_w1": (LAYER, "lokr_w1"),
    "lycoris_layers_3_self_attn_q_proj.lokr_w2_a": (LAYER, "lokr_w2_a"),
    "lycoris_decoder_layers_3_mlp_gate_proj.dora_scale": ("layers.3.mlp.gate_proj", "magnitude"),
    "base_model.model.layers.3.self_attn.q_proj.lokr_w2_b.default": (LAYER, "lokr_w2_b"),
    "decoder.time_embed.linear_1.diff": ("time_embed.linear_1", "diff"),
    "condition_embedder.lora_A.weight": ("condition_embedder", "down"),
}


@pytest.mark.parametrize("key", KEYS)
def test_every_style_of_name_is_understood(key):
    layer, part = lora.split_name(key)
    assert (NAMES.find(layer), part) == KEYS[key]


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.encoder.lyric_encoder.layers.3.self_attn.q_proj.lora_A.weight",
        "lora_te_layers_3_self_attn_q_proj.lora_down.weight",
        "lora_unet_layers_99_self_attn_q_proj.lora_down.weight",
    ],
)
def test_other_models_layers_are_not_taken_for_ours(key):
    assert NAMES.find(lora.split_name(key)[0]) is None


@pytest.mark.parametrize("key", ["layers.3.norm.weight", "x.lora_B.bias", "step", "lora_A.weight"])
def test_what_is_no_part_of_an_adapter(key):
    assert lora.split_name(key) is None


def test_scale_comes_from_the_file_first():
    scaling = Scaling(alpha=16.0)
    assert scaling.scale(LAYER, 8) == 2.0
    assert scaling.scale(LAYER, 8, own_alpha=4.0) == 0.5
    assert Scaling().scale(LAYER, 8) == 1.0
    assert Scaling(alpha=16.0, root=True).scale(LAYER, 4) == 8.0


def test_patterns_pick_layers_as_peft_does():
    config = {"lora_alpha": 8, "alpha_pattern": {"self_attn.q_proj": 32, "^layers\\.1\\..*": 1}, "use_rslora": False}
    scaling = Scaling.from_config(config)
    assert scaling.scale(LAYER, 8) == 4.0
    assert scaling.scale(OUT, 8) == 1.0
    assert scaling.scale("layers.1.mlp.up_proj", 8) == 0.125


def parts(rank, out=24, into=16, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {"down": torch.randn(rank, into, generator=g), "up": torch.randn(out, rank, generator=g)}


def test_low_rank_equals_its_weight_and_sums_join():
    x = torch.randn(2, 5, 16)
    a, b = lora.low_rank(parts(4), 0.5), lora.low_rank(parts(7, seed=1), 2.0)
    assert a.shape == (24, 16)
    torch.testing.assert_close(a(x), x @ a.weight().T)
    torch.testing.assert_close(a.weight(), 0.5 * parts(4)["up"] @ parts(4)["down"])
    torch.testing.assert_close(lora.joined([a, b])(x), a(x) + b(x))
    half = a.scaled(-0.25, torch.zeros((), dtype=torch.bfloat16))
    assert half(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(half.weight(), -0.25 * a.weight(), rtol=0.02, atol=0.02)


def test_matrices_that_do_not_fit_are_refused():
    down = torch.zeros(4, 16)
    for broken in (
        {"down": down},
        {"down": down, "up": torch.zeros(24, 5)},
        {"down": torch.zeros(0, 16), "up": torch.zeros(24, 0)},
        {"down": torch.zeros(()), "up": torch.zeros(24)},
        {"down": down, "up": torch.zeros(24, 4), "mid": torch.zeros(4, 5, 2)},
    ):
        with pytest.raises(AdapterError):
            lora.low_rank(broken, 1.0)


def test_root_scale_is_alpha_over_the_root_of_the_rank():
    assert Scaling(alpha=3.0, root=True).scale(LAYER, 7) == pytest.approx(3 / math.sqrt(7))

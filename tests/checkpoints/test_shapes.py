"""The tables of names and shapes against what the real classes have."""

from __future__ import annotations

import math

import pytest
import torch

from acestep_core.builtin.tiny import DIT, QWEN, VAE, XL
from acestep_core.checkpoints import keymaps, shapes
from acestep_core.errors import CheckpointError
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from tests.golden_data import manifest

REAL = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "fsq_dim": 2048,
}
REAL_XL = REAL | {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "encoder_hidden_size": 2048,
    "encoder_intermediate_size": 6144,
    "encoder_num_attention_heads": 16,
    "encoder_num_key_value_heads": 8,
}
REAL_VAE = VAE | {"encoder_hidden_size": 128, "decoder_channels": 128}


def module_shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("entry", manifest()["weights"], ids=lambda entry: entry["id"])
def test_reference_models_have_exactly_these_tensors(entry):
    assert shapes.dit_shapes(entry["config"]) == {name: tuple(shape) for name, shape in entry["keys"].items()}


@pytest.mark.parametrize("config", [DIT, DIT | XL, REAL, REAL_XL], ids=["tiny", "tiny-xl", "2B", "XL"])
def test_our_model_has_exactly_these_tensors(config):
    with torch.device("meta"):
        model = AceStepModel(AceStepConfig.from_json(config))
    assert module_shapes(model) == shapes.dit_shapes(config)


@pytest.mark.parametrize(("config", "tensors", "parameters"), [(REAL, 677, 2.394e9), (REAL_XL, 829, 4.987e9)])
def test_published_sizes(config, tensors, parameters):
    table = shapes.dit_shapes(config)
    assert len(table) == tensors
    assert sum(map(math.prod, table.values())) == pytest.approx(parameters, rel=1e-3)


@pytest.mark.parametrize("config", [REAL_VAE, VAE | {"encoder_hidden_size": 128}], ids=["real", "tiny"])
def test_diffusers_vae_has_exactly_these_tensors(config):
    from diffusers import AutoencoderOobleck

    with torch.device("meta"):
        vae = AutoencoderOobleck(**{key: value for key, value in config.items() if not key.startswith("_")})
    assert module_shapes(vae) == shapes.vae_shapes(config)


def test_transformers_qwen3_has_exactly_these_tensors():
    from transformers import Qwen3Config as TheirConfig
    from transformers import Qwen3Model

    config = QWEN | {"vocab_size": 99}
    with torch.device("meta"):
        theirs = Qwen3Model(TheirConfig(**config))
        ours = Qwen3(Qwen3Config.from_json(config))
    assert module_shapes(theirs) == shapes.qwen_shapes(config) == module_shapes(ours)


@pytest.mark.parametrize("config", [DIT, DIT | XL, shapes.DIT_DEFAULTS | REAL, shapes.DIT_DEFAULTS | REAL_XL])
def test_dit_config_comes_back_from_shapes(config):
    found = shapes.dit_config(shapes.dit_shapes(config), "file")
    unseen = {"layer_types": None, "lyric_alignment_layers_config": None}
    assert AceStepConfig.from_json(found | unseen) == AceStepConfig.from_json(config | unseen)


def test_qwen_config_comes_back_from_shapes():
    config = QWEN | {"vocab_size": 99}
    assert Qwen3Config.from_json(shapes.qwen_config(shapes.qwen_shapes(config), "file")) == Qwen3Config.from_json(
        config
    )


@pytest.mark.parametrize("config", [REAL_VAE, VAE | {"encoder_hidden_size": 8}])
def test_vae_config_comes_back_from_shapes(config):
    found = shapes.vae_config(shapes.vae_shapes(config), "file")
    assert found == {key: value for key, value in config.items() if not key.startswith("_")}


def test_a_lacking_tensor_is_named():
    table = shapes.dit_shapes(DIT)
    del table["encoder.text_projector.weight"]
    with pytest.raises(CheckpointError, match=r"my-file lacks the tensor encoder\.text_projector\.weight"):
        shapes.dit_config(table, "my-file")


def test_another_vae_is_refused():
    stable_audio = REAL_VAE | {"downsampling_ratios": [2, 4, 4, 8, 8]}
    with pytest.raises(CheckpointError, match="hop of 2048"):
        shapes.vae_config(shapes.vae_shapes(stable_audio), "file")


@pytest.mark.parametrize("config", [DIT, DIT | XL], ids=["2B", "XL"])
def test_dit_names_go_to_diffusers_and_back(config):
    from diffusers import AceStepTransformer1DModel
    from diffusers.pipelines.ace_step.modeling_ace_step import (
        AceStepAudioTokenDetokenizer,
        AceStepAudioTokenizer,
        AceStepConditionEncoder,
    )

    from acestep_core.checkpoints.writing import component_config

    config = config | {"is_turbo": True}
    classes = {
        "transformer": AceStepTransformer1DModel,
        "condition_encoder": AceStepConditionEncoder,
        "audio_tokenizer": AceStepAudioTokenizer,
        "audio_token_detokenizer": AceStepAudioTokenDetokenizer,
    }
    mapped: dict[str, dict[str, tuple[int, ...]]] = {component: {} for component in classes}
    for name, shape in shapes.dit_shapes(config).items():
        component, key = keymaps.dit_to_diffusers(name)
        assert keymaps.dit_from_diffusers(component, key) == name
        mapped[component][key] = shape
    mapped["condition_encoder"][keymaps.SILENCE] = (1, 15000, 64)
    for component, cls in classes.items():
        with torch.device("meta"):
            module = cls.from_config(component_config(config, component))
        assert module_shapes(module) == mapped[component]


def test_names_outside_the_model_are_not_mapped():
    with pytest.raises(KeyError):
        keymaps.dit_to_diffusers("optimizer.state")


def test_detokenizer_output_keeps_its_name():
    assert keymaps.dit_to_diffusers("detokenizer.proj_out.weight") == ("audio_token_detokenizer", "proj_out.weight")


def test_vae_names_go_to_stable_audio_tools_and_back():
    names = list(shapes.vae_shapes(REAL_VAE))
    table = keymaps.vae_to_sat(names, blocks=5)
    assert len(set(table.values())) == len(names)
    back = keymaps.vae_names(list(table.values()))
    assert [back[table[name]] for name in names] == names
    # ComfyUI recognises the VAE, and its 48 kHz kind, by these two.
    assert keymaps.SAT_VAE_MARK in table.values()
    assert table["decoder.block.1.conv_t1.weight_v"] == "decoder.layers.2.layers.1.parametrizations.weight.original1"


def test_both_spellings_of_weight_norm_are_read():
    names = ["encoder.layers.0.weight_g", "encoder.layers.0.parametrizations.weight.original1", "encoder.layers.7.bias"]
    assert list(keymaps.vae_names(names).values()) == [
        "encoder.conv1.weight_g",
        "encoder.conv1.weight_v",
        "encoder.conv2.bias",
    ]
    assert keymaps.vae_names(["encoder.conv1.parametrizations.weight.original0"]) == {
        "encoder.conv1.parametrizations.weight.original0": "encoder.conv1.weight_g"
    }

"""A trained adapter on the decoder: names, shapes and the changed velocity."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from acestep_core.models.adapters import applied, linear_shapes
from acestep_core.models.handles import AdapterHandle
from acestep_core.models.lora import LayerNames, split_name
from tests.golden_data import case, case_ids, load_json, load_tensors, manifest, tolerance
from tests.parity.reference_models import reference_model


@pytest.mark.parametrize("case_id", case_ids("K_training/lora_forward"))
def test_velocity_with_adapter(case_id, tmp_path):
    entry = case(case_id)
    data, settings = load_tensors(entry["file"]), entry["settings"]
    save_file(
        {name.removeprefix("lora."): value for name, value in data.items() if name.startswith("lora.")},
        tmp_path / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": settings["r"], "lora_alpha": settings["alpha"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))

    decoder = reference_model(settings["weights"]).decoder
    inputs = (data["hidden_states"], data["timestep"], data["context_latents"], data["encoder_hidden_states"])
    before = decoder(*inputs)
    with applied(decoder, [AdapterHandle(tmp_path)]):
        adapted = decoder(*inputs)
    torch.testing.assert_close(adapted, data["velocity_with_lora"], **tolerance(entry))
    torch.testing.assert_close(before, data["velocity_without"], **tolerance(entry))
    assert torch.equal(decoder(*inputs), before), "nothing stays behind"


@pytest.mark.parametrize("case_id", case_ids("K_training/lora_keys"))
def test_names_and_shapes(case_id):
    for name, model in load_json(case(case_id)["file"])["models"].items():
        weights = next(entry["file"] for entry in manifest()["weights"] if model["model_code"] in entry["used_by"])
        shapes = linear_shapes(reference_model(weights).decoder)
        names = LayerNames(shapes)
        for key, shape in model["keys"].items():
            layer, part = split_name(key)
            out, into = shapes[names.find(layer)]
            assert (shape[1] == into) if part == "down" else (part == "up" and shape[0] == out), (name, key)

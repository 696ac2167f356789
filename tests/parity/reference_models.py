"""Builds our networks from the reference weights."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import torch

from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.dit import DiT
from tests.golden_data import load_tensors, weights_entry


@cache
def reference_model(weights: str) -> AceStepModel:
    """The model of a manifest weights file such as `weights/turbo.safetensors`, loaded strictly."""
    entry = weights_entry(weights)
    model = AceStepModel(AceStepConfig.from_json(entry["config"]))
    model.load_state_dict(load_tensors(entry["file"]), strict=True)
    return model.eval().requires_grad_(False)


def of_its_own(model: AceStepModel) -> Any:
    """What a trainer needs of a model, with a decoder of its own: the shared one stays as it is."""
    decoder = DiT(model.config)
    decoder.load_state_dict(model.decoder.state_dict())
    return SimpleNamespace(
        decoder=decoder.requires_grad_(False),
        null_condition_emb=model.null_condition_emb,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )

"""Builds our networks from the reference weights."""

from __future__ import annotations

from functools import cache

from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from tests.golden_data import load_tensors, weights_entry


@cache
def reference_model(weights: str) -> AceStepModel:
    """The model of a manifest weights file such as `weights/turbo.safetensors`, loaded strictly."""
    entry = weights_entry(weights)
    model = AceStepModel(AceStepConfig.from_json(entry["config"]))
    model.load_state_dict(load_tensors(entry["file"]), strict=True)
    return model.eval().requires_grad_(False)

"""Finds, opens, checks and downloads checkpoints. Importing it loads neither torch nor any file."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "VARIANTS": "catalog",
    "Preset": "catalog",
    "Variant": "catalog",
    "DitFiles": "layouts",
    "QwenFiles": "layouts",
    "VaeFiles": "layouts",
    "open_dit": "layouts",
    "open_lm": "layouts",
    "open_text_encoder": "layouts",
    "open_vae": "layouts",
    "Choice": "choose",
    "choose": "choose",
    "Found": "find",
    "ModelEntry": "find",
    "find_checkpoint": "find",
    "find_models": "find",
    "is_tiny": "find",
    "is_toy": "find",
    "find_tokenizer": "find",
    "list_models": "find",
    "search_roots": "find",
    "assign": "weights",
    "check": "verify",
    "download": "download",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"acestep_core.checkpoints.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'acestep_core.checkpoints' has no attribute {name!r}")

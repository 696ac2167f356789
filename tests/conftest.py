"""Fixtures that all tests share. One thread: tiny models are slower with more, and results stay the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly built tiny checkpoints folder in upstream's layout."""
    from acestep_core.builtin.tiny import build_tiny

    root = tmp_path_factory.mktemp("tiny") / "checkpoints"
    build_tiny(root)
    return root


@pytest.fixture(scope="session")
def tiny_models(tiny_root: Path):
    """Handles of the tiny turbo checkpoint with its VAE and language model."""
    from acestep_core.pipeline.opening import open_models

    return open_models(tiny_root, "turbo")


@pytest.fixture(scope="session")
def tiny_base(tiny_root: Path):
    """Handles of the tiny base checkpoint."""
    from acestep_core.pipeline.opening import open_models

    return open_models(tiny_root, "base")

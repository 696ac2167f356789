"""Fixtures that all tests share. One thread: tiny models are slower with more, and results stay the same everywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def all_layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Turbo and XL turbo as upstream, diffusers and ComfyUI hold them. Tests must not write into it."""
    from acestep_core.builtin.tiny import build_tiny

    root = tmp_path_factory.mktemp("layouts") / "checkpoints"
    return build_tiny(root, variants=("turbo", "xl-turbo"), layouts=("diffusers", "comfyui"))


@pytest.fixture
def install(tiny_root: Path, all_layouts: Path) -> Callable[..., Path]:
    """Puts models into a folder as if they were real: copies of the tiny ones, without the mark of these.

    Names are upstream's folders, or paths below ComfyUI's `models`; `=` after one says under which other name.
    """

    def source(name: str) -> Path:
        if name.startswith("acestep-5Hz-lm"):
            return tiny_root / "acestep-5Hz-lm-0.6B"
        return tiny_root / name if (tiny_root / name).is_dir() else all_layouts / "comfyui" / name

    def put(root: Path, *names: str) -> Path:
        for name in names:
            name, _, other = name.partition("=")
            target = root / (other or name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source(name).is_dir():
                shutil.copytree(source(name), target, copy_function=os.link)
            else:
                os.link(source(name), target)
        return root

    return put

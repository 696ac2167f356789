"""ComfyUI's own ACE-Step files on a first run: nothing but those, and ComfyUI's copy of Qwen's words."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.qwen_tokenizer import LM_ROWS, TEXT_ROWS
from acestep_core.host.client.client import HostClient
from acestep_core.host.queue.results import Result
from acestep_core.io.audio import read_audio
from tests.comfyui.comfy_server import Comfy, python_of, started
from tests.comfyui.test_comfyui_workflows import WORKFLOWS, quick

EMBEDDING = "model.embed_tokens.weight"


def native_files(base: Path, extra: Path) -> None:
    """Tiny networks under the published names, in ComfyUI's names of tensors, over Qwen3's whole vocabulary."""
    made = build_tiny(base / "made", variants=["turbo"], layouts=["comfyui"]) / "comfyui"
    for folder in ("diffusion_models", "vae", "text_encoders"):
        shutil.copytree(made / folder, base / "models" / folder, dirs_exist_ok=True)
    shutil.rmtree(base / "made")
    draws = torch.Generator().manual_seed(0)
    for name, rows in (("qwen_0.6b_ace15", TEXT_ROWS[0]), ("qwen_1.7b_ace15", LM_ROWS)):
        file = base / "models" / "text_encoders" / f"{name}.safetensors"
        tensors = {key: tensor.clone() for key, tensor in load_file(file).items()}
        tensors[EMBEDDING] = torch.randn(rows, tensors[EMBEDDING].shape[1], generator=draws).to(tensors[EMBEDDING])
        save_file(tensors, file)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comfy]:
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("COMFYUI_DIR names no ComfyUI checkout (and COMFYUI_PYTHON no interpreter for it)")
    main = Path(folder).expanduser().resolve() / "main.py"
    with started(main, python_of(main.parent), tmp_path_factory.mktemp("native"), native_files) as comfy:
        yield comfy


@pytest.mark.parametrize("name", ["turbo", "think_text2music"])
def test_a_workflow_runs_on_the_first_press(name: str, native: Comfy, tmp_path: Path) -> None:
    """The models lie below a base directory, and the words beside ComfyUI's code."""

    async def press() -> Result:
        async with HostClient(native.url) as client:
            workflow = quick(await client.load(WORKFLOWS / "api" / f"{name}.json"))
            return await client.run(workflow, tmp_path)

    result = asyncio.run(press())
    songs = [path for path in result.paths if path.suffix in (".wav", ".flac")]
    assert songs and all(read_audio(path)[0].abs().max() > 0 for path in songs)
    said = [text for texts in result.texts.values() for text in texts]
    assert any("Using acestep_v1.5_turbo.safetensors as turbo" in text for text in said), said

"""ComfyUI's own ACE-Step files on a first run: nothing but those, and ComfyUI's copy of Qwen's words."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.builtin import tiny
from acestep_core.checkpoints.keymaps import COMFYUI_LM, COMFYUI_TEXT_ENCODER
from acestep_core.checkpoints.qwen_tokenizer import LM_ROWS, TEXT_ROWS
from acestep_core.checkpoints.shapes import layer_types
from acestep_core.errors import AceStepError
from acestep_core.host.client.client import HostClient
from acestep_core.host.client.sources import Sources
from acestep_core.host.queue.results import Result
from acestep_core.io.audio import read_audio
from tests.comfyui.comfy_server import Comfy, checkout, python_of, started
from tests.comfyui.test_comfyui_workflows import NAMES, WORKFLOWS, quick
from tests.workflows.material import lay_dataset, lay_recording

EMBEDDING = "model.embed_tokens.weight"
SPLIT, WHOLE = "acestep_v1.5_turbo.safetensors", "ace_step_1.5_turbo_aio.safetensors"
KINDS = {"split": (SPLIT, ("diffusion_models", "vae", "text_encoders")), "all-in-one": (WHOLE, ("checkpoints",))}
"""The file of the model, and the folders that its parts lie in."""
LACK_BASE = ("add_track", "base_guidance", "compare", "complete", "extract_stems", "extract_track", "morph")
"""Cannot be made with turbo, which is all there is."""
LAYERS = 24
HEADS = {"num_attention_heads": 16, "num_key_value_heads": 8}
PUBLISHED = {"num_hidden_layers": LAYERS, "layer_types": layer_types(LAYERS), **HEADS}
"""The depth and the heads of the published decoder, which tell where it follows the lyrics."""


def native_files(folders: tuple[str, ...], base: Path, extra: Path) -> None:
    """Tiny networks under the published names, in ComfyUI's names of tensors, over Qwen3's whole vocabulary."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PUBLISHED.items():
            patch.setitem(tiny.DIT, name, value)
        made = tiny.build_tiny(base / "made", variants=["turbo"], layouts=["comfyui"]) / "comfyui"
    for folder in folders:
        shutil.copytree(made / folder, base / "models" / folder, dirs_exist_ok=True)
    shutil.rmtree(base / "made")
    for file in (base / "models").rglob("*.safetensors"):
        _whole_vocabulary(file)


def _whole_vocabulary(file: Path) -> None:
    """Rows for every token of Qwen3, and for the codes where it is the language model."""
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    rows = {COMFYUI_TEXT_ENCODER[0]: TEXT_ROWS[0], COMFYUI_LM[0]: LM_ROWS}
    rows[""] = TEXT_ROWS[0] if "0.6b" in file.name else LM_ROWS
    draws = torch.Generator().manual_seed(0)
    for prefix, count in rows.items():
        name = f"{prefix}{EMBEDDING}"
        if name in tensors:
            tensors[name] = torch.randn(count, tensors[name].shape[1], generator=draws).to(tensors[name])
    save_file(tensors, file)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_recording(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module", params=KINDS)
def native(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Comfy, str]]:
    """A ComfyUI with one kind of files, and how the model's is called."""
    main = checkout()
    name, folders = KINDS[request.param]
    fill = partial(native_files, folders)
    with started(main, python_of(main.parent), tmp_path_factory.mktemp("native"), fill) as comfy:
        lay_dataset(comfy.base / "input", comfy.base / "output")
        yield comfy, name


async def press(comfy: Comfy, workflow: str, recording: Path, output: Path) -> Result:
    async with HostClient(comfy.url) as client:
        opened = quick(await client.load(WORKFLOWS / "api" / f"{workflow}.json"))
        return await client.run(await client.prepare(opened, Sources((recording,))), output)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_press(name: str, native: tuple[Comfy, str], recording: Path, tmp_path: Path) -> None:
    """It makes what it is there for, of the user's own files and with a word on which; or one sentence says what is
    missing.
    """
    comfy, model = native
    if name in LACK_BASE:
        with pytest.raises(
            AceStepError, match=r"There is no base model in .*, only turbo; .* models download base`\.$"
        ):
            asyncio.run(press(comfy, name, recording, tmp_path))
        return
    result = asyncio.run(press(comfy, name, recording, tmp_path))
    said = [text for texts in result.texts.values() for text in texts]
    songs = [path for path in result.paths if path.suffix in (".wav", ".flac")]
    assert songs or said
    assert all(read_audio(path)[0].abs().max() > 0 for path in songs)
    assert not any("tiny" in text for text in said), said
    if songs:
        used = "Using " if name == "round_trip" else f"Using {model} as turbo"  # that one has no DiT
        assert any(used in text for text in said), said

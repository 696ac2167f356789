"""XL as ComfyUI holds it: one file for the network, which says neither what it is nor where it follows the lyrics."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from acestep_core.builtin import tiny
from acestep_core.checkpoints.find import find_models
from acestep_core.checkpoints.layouts import layout_of, open_dit
from acestep_core.checkpoints.shapes import layer_types
from acestep_core.judge.attention import HEADS_XL, alignment_heads
from acestep_core.judge.lyric_timing import listen_to_batch
from acestep_core.models.config import AceStepConfig
from acestep_core.pipeline.opening import open_models
from acestep_core.render.conditioning import condition
from acestep_core.render.tasks import text2music
from acestep_core.seeds import noise
from acestep_core.song.description import Song

LAYERS, HEADS, KEY_HEADS = 32, 32, 8
WIDTHS = {"hidden_size": 2560, "intermediate_size": 9728, "head_dim": 128}
ENCODER = {"encoder_hidden_size": 2048, "encoder_intermediate_size": 6144}
"""Of the published XL, which is built here with each width divided by 32."""
NAMES = {
    "acestep_v1.5_xl_turbo.safetensors": "xl-turbo",
    "acestep_v1.5_xl_turbo_bf16.safetensors": "xl-turbo",
    "acestep_v1.5_xl_base.safetensors": "xl-base",
    "acestep_v1.5_xl_base_bf16.safetensors": "xl-base",
    "acestep_v1.5_xl_sft.safetensors": "xl-sft",
    "acestep_v1.5_xl_sft_bf16.safetensors": "xl-sft",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI's models folder with XL alone, under each published name."""
    small = {name: width // 32 for name, width in (WIDTHS | ENCODER).items()}
    deep = {"num_hidden_layers": LAYERS, "layer_types": layer_types(LAYERS), "head_dim": small.pop("head_dim")}
    heads = {"num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS}
    encoder = {"encoder_num_attention_heads": 16, "encoder_num_key_value_heads": 8}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (deep | {"fsq_dim": small["encoder_hidden_size"]}).items():
            patch.setitem(tiny.DIT, name, value)
        for name, value in (small | heads | encoder).items():
            patch.setitem(tiny.XL, name, value)
        made = tiny.build_tiny(tmp_path_factory.mktemp("xl"), variants=["xl-turbo"], layouts=["comfyui"]) / "comfyui"
    shutil.rmtree(made / "checkpoints")
    (file,) = (made / "diffusion_models").iterdir()
    for name in NAMES:
        if name != file.name:
            shutil.copyfile(file, made / "diffusion_models" / name)
    return made


@pytest.mark.parametrize(("name", "variant"), NAMES.items())
def test_a_published_name_says_which_xl_it_is(name: str, variant: str, folder: Path) -> None:
    path = folder / "diffusion_models" / name
    files = open_dit(path)
    assert layout_of(path) == "comfyui" and files.variant.name == variant and files.variant.xl
    config = AceStepConfig.from_json(files.config)
    assert config.is_xl and config.is_turbo is (variant == "xl-turbo")
    assert (config.num_hidden_layers, config.num_attention_heads, config.num_key_value_heads) == (
        LAYERS,
        HEADS,
        KEY_HEADS,
    )
    assert (config.hidden_size, config.encoder_dim, config.head_dim) == (80, 64, 4), "heads wider than the network"
    assert alignment_heads(config) == HEADS_XL


def test_they_are_found_as_xl(folder: Path) -> None:
    found = {
        entry.path.name: (entry.variant, entry.size) for entry in find_models([folder]).entries if entry.kind == "dit"
    }
    assert found == {name: (variant, "XL") for name, variant in NAMES.items()}


def test_lyrics_are_timed_with_xls_own_heads(folder: Path) -> None:
    """All of it from ComfyUI's files: the network runs, and the heads that are looked at are those of XL."""
    model = open_models(roots=[folder], name="acestep_v1.5_xl_base.safetensors").model
    assert model.variant == "xl-base"
    told = condition(model, [Song("calm", "[Verse]\nhello world\nsing along", duration=10)], [text2music(10.0)])
    (sung,) = listen_to_batch(model, noise([1], told.frames), told)
    assert [line.text for line in sung.lyrics.lines] == ["[Verse]", "hello world", "sing along"]
    assert sung.score is not None and torch.isfinite(torch.tensor([line.start for line in sung.lyrics.lines])).all()

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.catalog import LAYOUTS
from acestep_core.checkpoints.layouts import layout_of, open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.errors import CheckpointError
from acestep_core.models.convert import convert
from acestep_core.pipeline.opening import open_models

TURBO, XL = "acestep-v15-turbo", "acestep-v15-xl-turbo"
VISIBLE = {
    "upstream": ["Qwen3-Embedding-0.6B", "acestep-5Hz-lm-0.6B", "acestep-v15-turbo", "vae"],
    "diffusers": ["acestep-5Hz-lm-0.6B", "acestep-v15-turbo-diffusers"],
    "comfyui": ["diffusion_models", "text_encoders", "vae"],
}


@pytest.fixture(scope="module")
def turbo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's layout, with what a published checkpoint has besides: a stems flag, keys of other programs."""
    root = build_tiny(tmp_path_factory.mktemp("convert") / "checkpoints", variants=["turbo"])
    config = json.loads((root / TURBO / "config.json").read_text())
    kept = {"auto_map": {"AutoModel": "modeling.Model"}, "is_lego_sft": True, "timestep_mu": -0.1}
    (root / TURBO / "config.json").write_text(json.dumps(config | kept))
    (root / "acestep-5Hz-lm-0.6B" / "merges.txt").write_text("#version: 0.2\n")
    return root


def weights_of(folder: Path) -> dict[str, Mapping[str, torch.Tensor]]:
    """All tensors below a folder of models, in upstream's names."""
    models = open_models(folder)
    assert models.lm is not None
    text = models.model.text.path
    opened = open_dit(models.model.path)
    assert opened.silence is not None
    return {
        "dit": opened.tensors,
        "silence": {"silence": opened.silence},
        "vae": open_vae(models.vae.path).tensors,
        "text": open_text_encoder(text).tensors,
        "lm": open_lm(models.lm.path).tensors,
    }


def assert_same(found: Path, expected: Path) -> None:
    for kind, tensors in weights_of(expected).items():
        there = weights_of(found)[kind]
        assert there.keys() == tensors.keys(), kind
        for name, tensor in tensors.items():
            assert there[name].dtype == tensor.dtype and torch.equal(there[name], tensor), (kind, name)
    ours, theirs = open_models(found), open_models(expected)
    assert open_dit(ours.model.path).config == open_dit(theirs.model.path).config
    assert open_vae(ours.vae.path).config == open_vae(theirs.vae.path).config
    assert ours.model.variant == theirs.model.variant


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("way", list(permutations(LAYOUTS)), ids="-".join)
def test_through_all_layouts_and_back_nothing_is_lost(turbo: Path, tmp_path: Path, way: tuple[str, ...]):
    place = turbo
    for layout in way:
        place, source = tmp_path / layout, place
        convert(source, place, layout)
        assert sorted(path.name for path in place.iterdir()) == VISIBLE[layout]
        assert_same(place, turbo)
    convert(place, tmp_path / "back", "upstream")
    assert_same(tmp_path / "back", turbo)
    names = ("tokenizer.json", "tokenizer_config.json")
    for folder in ("Qwen3-Embedding-0.6B", "acestep-5Hz-lm-0.6B"):
        for name in names:
            assert (tmp_path / "back" / folder / name).read_bytes() == (turbo / folder / name).read_bytes()
    assert (tmp_path / "back" / "acestep-5Hz-lm-0.6B" / "merges.txt").is_file(), "as all files of a tokenizer"
    silence = "silence_latent.pt"
    assert (tmp_path / "back" / TURBO / silence).read_bytes() == (turbo / TURBO / silence).read_bytes()


def test_converted_twice_is_the_same_file(turbo: Path, tmp_path: Path):
    for name in ("a", "b"):
        convert(turbo, tmp_path / name, "comfyui")
    assert files_below(tmp_path / "a") == files_below(tmp_path / "b")


def test_files_of_comfyui_alone_become_the_other_layouts(tmp_path: Path):
    """They have neither config, nor silence, nor tokenizer."""
    root = build_tiny(tmp_path / "checkpoints", variants=["turbo", "xl-turbo"], layouts=["comfyui"])
    native = tmp_path / "models"
    shutil.move(root / "comfyui", native)
    shutil.rmtree(native / "checkpoints")
    (tmp_path / "models" / "tokenizer").mkdir()
    shutil.copy(root / "Qwen3-Embedding-0.6B" / "tokenizer.json", native / "tokenizer")
    for layout in ("upstream", "diffusers"):
        done = convert(native / "diffusion_models" / "acestep_v1.5_xl_turbo.safetensors", tmp_path / layout, layout)
        assert "silence latent was made with the VAE" in done.remarks[0]
        models = open_models(tmp_path / layout)
        assert models.model.variant == "xl-turbo"
        expected, found = open_dit(root / XL), open_dit(models.model.path)
        assert all(torch.equal(found.tensors[name], tensor) for name, tensor in expected.tensors.items())
        torch.testing.assert_close(found.silence, expected.silence, rtol=0, atol=2e-3)
        words = models.model.text.path / "tokenizer.json"
        words = words if words.is_file() else words.parent.parent / "tokenizer" / "tokenizer.json"
        post = json.loads(words.read_text())["post_processor"]
        same = json.loads((root / "Qwen3-Embedding-0.6B" / "tokenizer.json").read_text())["post_processor"]
        assert post == same, "the text encoder's ends every text"


def test_an_all_in_one_file_is_split(all_layouts: Path, tmp_path: Path):
    file = all_layouts / "comfyui" / "checkpoints" / "ace_step_1.5_turbo_aio.safetensors"
    alone = Path(shutil.copy(file, tmp_path / file.name))
    (tmp_path / "Qwen3").mkdir()
    shutil.copy(all_layouts / "Qwen3-Embedding-0.6B" / "tokenizer.json", tmp_path / "Qwen3")
    convert(alone, tmp_path / "made", "upstream")
    for opened, place in ((open_dit, all_layouts / TURBO), (open_vae, all_layouts / "vae")):
        found = opened(tmp_path / "made" / place.name).tensors
        assert all(torch.equal(found[name], tensor) for name, tensor in opened(place).tensors.items())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_number_format_is_that_of_every_weight(turbo: Path, tmp_path: Path, layout: str):
    convert(turbo, tmp_path / layout, layout, "fp16")
    found = weights_of(tmp_path / layout)
    for kind, tensors in weights_of(turbo).items():
        for name, tensor in tensors.items():
            wanted = tensor if kind == "silence" else tensor.half()
            assert torch.equal(found[kind][name], wanted), (kind, name)
    assert open_dit(open_models(tmp_path / layout).model.path).config["dtype"] == "float16"


def test_packed_weights_are_unpacked(turbo: Path, tmp_path: Path):
    file = tmp_path / "models" / "diffusion_models" / "acestep_v1.5_turbo.safetensors"
    convert(turbo, tmp_path / "models", "comfyui")
    tensors = load_file(file)
    name = "decoder.layers.0.mlp.gate_proj.weight"
    scale = tensors[name].float().abs().max() / 448
    packed = (tensors[name].float() / scale).to(torch.float8_e4m3fn)
    save_file(tensors | {name: packed, name.replace("weight", "weight_scale"): scale}, file)
    done = convert(tmp_path / "models", tmp_path / "made", "upstream")
    assert "Packed weights were unpacked to bf16." in done.remarks
    found = open_dit(tmp_path / "made" / TURBO).tensors
    assert torch.equal(found[name], (packed.float() * scale).bfloat16())
    assert torch.equal(found["decoder.norm_out.weight"], tensors["decoder.norm_out.weight"])


def test_a_model_of_ones_own_keeps_its_name(turbo: Path, tmp_path: Path):
    shutil.copytree(turbo / TURBO, tmp_path / "from" / "rainy-mix")
    for layout, path in (("comfyui", "diffusion_models/rainy-mix.safetensors"), ("upstream", "rainy-mix")):
        done = convert(tmp_path / "from" / "rainy-mix", tmp_path / layout, layout)
        assert done.paths == (tmp_path / layout / path,)
        assert open_dit(done.paths[0]).variant.name == "turbo", "which the config in its header says"


def test_a_part_alone_is_converted_alone(turbo: Path, tmp_path: Path):
    shutil.copytree(turbo / "acestep-5Hz-lm-0.6B", tmp_path / "from" / "acestep-5Hz-lm-0.6B")
    done = convert(tmp_path / "from", tmp_path / "made", "comfyui")
    file = tmp_path / "made" / "text_encoders" / "acestep_5hz_lm_0.6b.safetensors"
    assert done.paths == (file, file.with_suffix(""))
    assert open_lm(file).tokenizer_file == file.with_suffix("") / "tokenizer.json"


def test_nothing_is_overwritten_and_nothing_half_made(turbo: Path, tmp_path: Path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "ace_1.5_vae.safetensors").write_text("mine")
    with pytest.raises(CheckpointError, match=r"ace_1\.5_vae\.safetensors is there already"):
        convert(turbo, tmp_path, "comfyui")
    assert files_below(tmp_path) == {"vae/ace_1.5_vae.safetensors": b"mine"}


def test_what_a_layout_needs_must_be_there(turbo: Path, tmp_path: Path):
    shutil.copytree(turbo / TURBO, tmp_path / "from" / TURBO)
    with pytest.raises(CheckpointError, match="There is no VAE in"):
        convert(tmp_path / "from" / TURBO, tmp_path / "made", "diffusers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="There is no DiT in"):
        convert(tmp_path / "empty", tmp_path / "made", "upstream")
    with pytest.raises(CheckpointError, match="choose one of upstream, diffusers, comfyui"):
        convert(turbo, tmp_path / "made", "gguf")
    with pytest.raises(CheckpointError, match="choose bf16, fp16 or fp32"):
        convert(turbo, tmp_path / "made", "comfyui", "int8")


def test_the_header_holds_what_others_pass_over(turbo: Path, tmp_path: Path):
    convert(turbo, tmp_path, "comfyui")
    file = tmp_path / "diffusion_models" / "acestep_v1.5_turbo.safetensors"
    assert layout_of(file) == "comfyui"
    with safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["acestep.config_json"])["lyric_alignment_layers_config"]
        assert opened.metadata()["format"] == "pt", "which transformers asks for"
        assert opened.get_slice("silence_latent").get_shape() == [15000, 64]


def test_diffusers_makes_the_same_song_of_what_was_converted(tmp_path: Path):
    pytest.importorskip("diffusers", "0.38.0", reason="diffusers with ACE-Step classes is not installed")
    from diffusers import AceStepPipeline

    whole = build_tiny(tmp_path / "from", variants=["turbo"], layouts=["diffusers"], vae_encoder_channels=128)
    convert(whole / TURBO, tmp_path / "comfyui", "comfyui")
    convert(tmp_path / "comfyui", tmp_path / "made", "diffusers")
    heard = []
    for folder in (whole / "diffusers", tmp_path / "made"):
        pipeline = AceStepPipeline.from_pretrained(folder / f"{TURBO}-diffusers", torch_dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(3)
        made = pipeline("a calm piano", lyrics="[Verse]\nrain", audio_duration=10.0, generator=generator)
        heard.append(torch.as_tensor(made.audios[0]))
    assert heard[0].abs().max() > 0
    assert torch.equal(heard[0], heard[1])

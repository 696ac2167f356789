from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints.layouts import layout_of, open_dit, open_lm, open_text_encoder, open_vae
from acestep_core.errors import CheckpointError

TURBO, XL = "acestep-v15-turbo", "acestep-v15-xl-turbo"
AIO = "ace_step_1.5_turbo_aio.safetensors"
SPLIT = {"dit": "diffusion_models/acestep_v1.5_turbo.safetensors", "vae": "vae/ace_1.5_vae.safetensors"}


def places(root: Path, folder: str) -> dict[str, Path]:
    """Where the DiT of upstream's `folder` lies in each layout."""
    short = folder.removeprefix("acestep-v15-").replace("-", "_")
    return {
        "diffusers": root / "diffusers" / f"{folder}-diffusers",
        "split": root / "comfyui" / "diffusion_models" / f"acestep_v1.5_{short}.safetensors",
        "aio": root / "comfyui" / "checkpoints" / f"ace_step_1.5_{short}_aio.safetensors",
    }


def assert_same(found, expected) -> None:
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].equal(expected[name]), name


@pytest.mark.parametrize("folder", [TURBO, XL])
@pytest.mark.parametrize("layout", ["diffusers", "split", "aio"])
def test_every_layout_gives_the_same_dit(all_layouts: Path, folder: str, layout: str):
    expected = open_dit(all_layouts / folder)
    path = places(all_layouts, folder)[layout]
    found = open_dit(path, None if layout == "diffusers" else expected.variant.name)
    assert_same(found.tensors, expected.tensors)
    assert found.variant == expected.variant
    unseen = ("layer_types", "lyric_alignment_layers_config")
    for key in found.config.keys() & expected.config.keys() - set(unseen):
        assert found.config[key] == expected.config[key], key
    if layout == "diffusers":
        torch.testing.assert_close(found.silence.float(), expected.silence, rtol=1e-2, atol=1e-2)
    else:
        assert found.silence is None


def test_silence_of_a_comfyui_file_may_lie_beside_it(all_layouts: Path, tmp_path: Path):
    path = tmp_path / "model_of_mine.safetensors"
    shutil.copyfile(places(all_layouts, TURBO)["split"], path)
    shutil.copyfile(all_layouts / TURBO / "silence_latent.pt", tmp_path / "silence_latent.pt")
    assert open_dit(path, "turbo").silence.equal(open_dit(all_layouts / TURBO).silence)


def test_every_layout_gives_the_same_vae(all_layouts: Path):
    expected = open_vae(all_layouts)
    for path in (
        all_layouts / "vae",
        all_layouts / "vae" / "diffusion_pytorch_model.safetensors",
        places(all_layouts, TURBO)["diffusers"],
        all_layouts / "comfyui" / SPLIT["vae"],
        all_layouts / "comfyui" / "checkpoints" / AIO,
    ):
        found = open_vae(path)
        assert_same(found.tensors, expected.tensors)
        assert found.config.items() <= expected.config.items()


def test_every_layout_gives_the_same_text_encoder_and_lm(all_layouts: Path):
    comfyui = all_layouts / "comfyui"
    text, lm = open_text_encoder(all_layouts), open_lm(all_layouts)
    for path in (places(all_layouts, TURBO)["diffusers"], comfyui / "text_encoders" / "qwen_0.6b_ace15.safetensors"):
        assert_same(open_text_encoder(path).tensors, text.tensors)
    for path in (all_layouts / "acestep-5Hz-lm-0.6B", comfyui / "text_encoders" / "qwen_1.7b_ace15.safetensors"):
        assert_same(open_lm(path).tensors, lm.tensors)
    assert_same(open_text_encoder(comfyui / "checkpoints" / AIO).tensors, text.tensors)
    assert_same(open_lm(comfyui / "checkpoints" / AIO).tensors, lm.tensors)
    assert open_lm(comfyui / "checkpoints" / AIO).config["hidden_size"] == lm.config["hidden_size"]


def test_tokenizers_lie_with_their_weights(all_layouts: Path):
    assert open_text_encoder(all_layouts).tokenizer_file == all_layouts / "Qwen3-Embedding-0.6B" / "tokenizer.json"
    diffusers = places(all_layouts, TURBO)["diffusers"]
    assert open_text_encoder(diffusers).tokenizer_file == diffusers / "tokenizer" / "tokenizer.json"
    assert open_text_encoder(all_layouts / "comfyui" / "checkpoints" / AIO).tokenizer_file is None


def test_layouts_are_told_apart(all_layouts: Path):
    assert layout_of(all_layouts / TURBO) == "upstream"
    assert {name: layout_of(path) for name, path in places(all_layouts, TURBO).items()} == {
        "diffusers": "diffusers",
        "split": "comfyui",
        "aio": "comfyui",
    }
    for other in ("vae", "Qwen3-Embedding-0.6B", "comfyui/" + SPLIT["vae"], "tiny.json"):
        assert layout_of(all_layouts / other) is None


def test_real_diffusers_classes_load_our_export(all_layouts: Path):
    from diffusers import AceStepTransformer1DModel
    from diffusers.pipelines.ace_step.modeling_ace_step import (
        AceStepAudioTokenDetokenizer,
        AceStepAudioTokenizer,
        AceStepConditionEncoder,
    )

    classes = {
        "transformer": AceStepTransformer1DModel,
        "condition_encoder": AceStepConditionEncoder,
        "audio_tokenizer": AceStepAudioTokenizer,
        "audio_token_detokenizer": AceStepAudioTokenDetokenizer,
    }
    for folder in (TURBO, XL):
        for component, cls in classes.items():
            path = places(all_layouts, folder)["diffusers"] / component
            module = cls.from_config(json.loads((path / "config.json").read_text()))
            module.load_state_dict(load_file(path / "diffusion_pytorch_model.safetensors"), strict=True)


def test_a_renamed_folder_is_still_turbo(all_layouts: Path, tmp_path: Path):
    shutil.copytree(all_layouts / TURBO, tmp_path / "acestep-v15-base")
    assert open_dit(tmp_path / "acestep-v15-base").variant.name == "turbo"


def test_a_hugging_face_cache_is_named_by_its_repository(all_layouts: Path, tmp_path: Path):
    snapshot = tmp_path / "models--ACE-Step--acestep-v15-turbo-shift3" / "snapshots" / "0123abc"
    shutil.copytree(all_layouts / TURBO, snapshot)
    assert open_dit(snapshot).variant.name == "turbo-shift3"


def test_a_weights_file_inside_a_model_folder_opens_the_folder(all_layouts: Path):
    files = open_dit(all_layouts / TURBO / "model.safetensors")
    assert files.source == all_layouts / TURBO
    assert files.silence is not None


def test_a_folder_with_one_dit_is_enough(all_layouts: Path, tmp_path: Path):
    shutil.copytree(all_layouts / TURBO, tmp_path / TURBO)
    shutil.copytree(all_layouts / "vae", tmp_path / "vae")
    assert open_dit(tmp_path).source == tmp_path / TURBO


def test_without_config_the_caller_says_what_it_is(all_layouts: Path, tmp_path: Path):
    folder = tmp_path / "mine"
    shutil.copytree(all_layouts / TURBO, folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match="say so once with `variant`"):
        open_dit(folder)
    assert open_dit(folder, "sft").variant.name == "sft"


def test_comfyui_files_under_other_names_need_a_variant(all_layouts: Path, tmp_path: Path):
    for layout in ("split", "aio"):
        published = places(all_layouts, TURBO)[layout]
        assert open_dit(published).variant.name == "turbo"
        path = Path(shutil.copyfile(published, tmp_path / "my_mix.safetensors"))
        with pytest.raises(CheckpointError, match="does not say whether it is a turbo, base or SFT model"):
            open_dit(path)
        assert open_dit(path, "sft").config["is_turbo"] is False
    assert open_dit(places(all_layouts, XL)["split"], "base").variant.name == "xl-base"


def test_derived_tensors_are_ignored(all_layouts: Path, tmp_path: Path):
    path = tmp_path / "with_extras.safetensors"
    extras = {"decoder.rotary_emb.inv_freq": torch.zeros(8), "tokenizer.quantizer.layers.0._levels": torch.zeros(6)}
    save_file(load_file(places(all_layouts, TURBO)["split"]) | extras, path)
    assert_same(open_dit(path, "turbo").tensors, open_dit(all_layouts / TURBO).tensors)


# --- errors a user can cause ----------------------------------------------------------------------------------------


def edit_json(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def drop(folder: Path, name: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file({key: value for key, value in tensors.items() if key != name}, folder / "model.safetensors")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "holds no weights"),
    "half a file": (lambda f: cut(f / "model.safetensors"), "incomplete"),
    "missing tensor": (lambda f: drop(f, "decoder.proj_in.1.bias"), r"1 tensor missing \(decoder\.proj_in\.1\.bias\)"),
    "other size": (lambda f: edit_json(f / "config.json", text_hidden_dim=32), "of the wrong shape"),
    "fewer layers": (lambda f: edit_json(f / "config.json", num_hidden_layers=3), "19 tensors unexpected"),
    "damaged config": (lambda f: (f / "config.json").write_text('{"model_type": "acest'), "cannot be read as JSON"),
    "empty config": (
        lambda f: (f / "config.json").write_text('{"model_type": "acestep"}'),
        "lacks hidden_size, intermediate_size",
    ),
    "no silence": (lambda f: (f / "silence_latent.pt").unlink(), r"silence_latent\.pt is missing"),
    "zero silence": (
        lambda f: torch.save(torch.zeros(1, 64, 15000), f / "silence_latent.pt"),
        "all zero, a placeholder.*copy upstream's silence_latent.pt",
    ),
    "short silence": (lambda f: torch.save(torch.ones(1, 64, 750), f / "silence_latent.pt"), r"\[1, 750, 64\] instead"),
    "other silence": (lambda f: torch.save(torch.ones(64), f / "silence_latent.pt"), "not a silence latent"),
    "infinite silence": (
        lambda f: torch.save(torch.full((1, 64, 15000), float("inf")), f / "silence_latent.pt"),
        "not finite",
    ),
    "half a silence": (lambda f: cut(f / "silence_latent.pt"), "cannot be read"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_upstream_folder_is_refused(all_layouts: Path, tmp_path: Path, case: str):
    damage, message = BROKEN[case]
    folder = tmp_path / TURBO
    shutil.copytree(all_layouts / TURBO, folder)
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_dit(folder)
    assert str(folder) in str(caught.value)


def test_a_missing_shard_is_refused(all_layouts: Path, tmp_path: Path):
    folder = tmp_path / XL
    shutil.copytree(all_layouts / XL, folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors of 2 shards missing"):
        open_dit(folder)


def test_a_broken_diffusers_folder_is_refused(all_layouts: Path, tmp_path: Path):
    folder = tmp_path / "acestep-v15-turbo-diffusers"
    shutil.copytree(places(all_layouts, TURBO)["diffusers"], folder)
    encoder = folder / "condition_encoder" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(encoder)

    save_file(tensors | {"silence_latent": torch.zeros(1, 15000, 64)}, encoder)
    with pytest.raises(CheckpointError, match="all zero"):
        open_dit(folder)
    shutil.copyfile(all_layouts / TURBO / "silence_latent.pt", folder / "silence_latent.pt")
    assert open_dit(folder).silence.any(), "a raw copy beside it is taken instead"

    (folder / "silence_latent.pt").unlink()
    save_file({name: tensor for name, tensor in tensors.items() if name != "silence_latent"}, encoder)
    with pytest.raises(CheckpointError, match="no silence latent"):
        open_dit(folder)
    shutil.rmtree(folder / "audio_tokenizer")
    with pytest.raises(CheckpointError, match="no audio_tokenizer/ folder"):
        open_dit(folder)


def test_wrong_files_are_refused(all_layouts: Path, tmp_path: Path):
    comfyui = all_layouts / "comfyui"
    vae, text = comfyui / SPLIT["vae"], comfyui / "text_encoders" / "qwen_0.6b_ace15.safetensors"
    with pytest.raises(CheckpointError, match=r"holds no ACE-Step 1\.5 DiT"):
        open_dit(vae, "turbo")
    with pytest.raises(CheckpointError, match="holds no audio VAE"):
        open_vae(text)
    with pytest.raises(CheckpointError, match="holds no Qwen3 text encoder"):
        open_text_encoder(vae)
    with pytest.raises(CheckpointError, match="holds no Qwen3 language model"):
        open_lm(vae)
    for opener in (open_dit, open_vae, open_text_encoder, open_lm):
        with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere"):
            opener(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="holds no DiT"):
        open_dit(tmp_path)
    with pytest.raises(CheckpointError, match="holds no language model"):
        open_lm(tmp_path)


def test_several_models_need_a_choice(all_layouts: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match=f"several DiTs .*{TURBO}, {XL}"):
        open_dit(all_layouts)
    for size in ("0.6B", "4B"):
        (tmp_path / f"acestep-5Hz-lm-{size}").mkdir()
    with pytest.raises(CheckpointError, match="several language models"):
        open_lm(tmp_path)


def test_another_vae_is_refused(all_layouts: Path, tmp_path: Path):
    folder = tmp_path / "vae"
    shutil.copytree(all_layouts / "vae", folder)
    edit_json(folder / "config.json", downsampling_ratios=[2, 4, 4, 8, 8])
    with pytest.raises(CheckpointError, match="hop of 2048"):
        open_vae(folder)
    edit_json(folder / "config.json", downsampling_ratios=[2, 4, 4, 6, 10], decoder_channels=16)
    with pytest.raises(CheckpointError, match="wrong shape"):
        open_vae(folder)


def test_a_stored_output_head_must_be_the_embedding(all_layouts: Path, tmp_path: Path):
    folder = tmp_path / "acestep-5Hz-lm-0.6B"
    shutil.copytree(all_layouts / "acestep-5Hz-lm-0.6B", folder)
    tensors = load_file(folder / "model.safetensors")
    head = tensors["embed_tokens.weight"].clone()
    save_file(tensors | {"lm_head.weight": head}, folder / "model.safetensors")
    assert "lm_head.weight" not in open_lm(folder).tensors
    save_file(tensors | {"lm_head.weight": head + 1}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="output head of its own"):
        open_lm(folder)

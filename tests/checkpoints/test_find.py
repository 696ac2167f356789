from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints import catalog, find
from acestep_core.checkpoints.choose import choose
from acestep_core.checkpoints.find import (
    Found,
    find_checkpoint,
    find_models,
    find_tokenizer,
    is_tiny,
    list_models,
    search_roots,
)
from acestep_core.checkpoints.layouts import open_lm, open_text_encoder
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.checkpoints.weights import open_weights
from acestep_core.errors import CheckpointError
from acestep_core.io.folders import download_folder, user_folder
from tests.capabilities import link


def paths(found: Found, kind: str) -> list[Path]:
    return [entry.path for entry in found.of(kind)]


def test_roots_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", f"{a}{os.pathsep}{b}")
    monkeypatch.setenv("ACESTEP_CHECKPOINTS_DIR", str(c))
    comfyui = tmp_path / "models"
    assert search_roots([comfyui]) == [a, b, c, Path("checkpoints"), user_folder(), comfyui]
    assert search_roots()[-1] == Path("models"), "that of the working folder, as the embedded host has it"


def test_downloads_of_a_pack_in_comfyui_go_beside_its_models(tmp_path: Path):
    package = tmp_path / "ComfyUI" / "custom_nodes" / "acestep-nodes" / "acestep_core"
    assert download_folder(package) == user_folder(), "a folder of that name alone is no ComfyUI"
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    assert download_folder(package) == tmp_path / "ComfyUI" / "models" / "acestep"
    assert download_folder(tmp_path / "ComfyUI" / "packs" / "acestep-nodes" / "acestep_core") == user_folder()
    assert download_folder() == user_folder()


def test_an_upstream_root(tiny_root: Path):
    found = find_checkpoint(tiny_root)
    assert {entry.variant for entry in found.dits} == {"turbo", "base", "xl-turbo"}
    assert {entry.size for entry in found.dits} == {"2B", "XL"}
    assert paths(found, "vae") == [tiny_root / "vae"]
    assert paths(found, "text_encoder") == [tiny_root / "Qwen3-Embedding-0.6B"]
    assert [(entry.path, entry.size) for entry in found.of("lm")] == [(tiny_root / "acestep-5Hz-lm-0.6B", "0.6B")]
    assert all(entry.bytes > 0 and entry.problem is None and entry.tiny for entry in found.entries)


@pytest.mark.parametrize("inside", ["acestep-v15-base", "acestep-v15-base/model.safetensors"])
def test_one_model_folder_brings_its_neighbours(tiny_root: Path, inside: str):
    path = tiny_root / inside
    found = find_checkpoint(path)
    assert paths(found, "vae") == [tiny_root / "vae"]
    assert paths(found, "text_encoder") == [tiny_root / "Qwen3-Embedding-0.6B"]
    if path.is_dir():
        assert [entry.variant for entry in found.dits] == ["base"]


def test_the_tiny_checkpoint_says_what_it_is(tiny_root: Path, tmp_path: Path):
    for path in (tiny_root, tiny_root / "vae", tiny_root / "acestep-v15-turbo" / "model.safetensors"):
        assert is_tiny(path)
    assert not is_tiny(tmp_path)


def test_every_part_of_a_tiny_checkpoint_is_marked(all_layouts: Path, install: Callable[..., Path], tmp_path: Path):
    assert all(entry.tiny for entry in list_models([all_layouts.parent]))
    assert not any(entry.tiny for entry in list_models([install(tmp_path, "acestep-v15-turbo", "vae")]))


def test_a_diffusers_folder(all_layouts: Path):
    folder = all_layouts / "diffusers" / "acestep-v15-xl-turbo-diffusers"
    found = find_checkpoint(folder)
    assert [(entry.variant, entry.layout) for entry in found.dits] == [("xl-turbo", "diffusers")]
    assert paths(found, "vae") == [folder / "vae"]
    assert paths(found, "text_encoder") == [folder / "text_encoder"]
    assert found.of("lm") == ()


def test_a_comfyui_models_folder(all_layouts: Path):
    found = find_checkpoint(all_layouts / "comfyui")
    assert all(entry.layout == "comfyui" for entry in found.entries)
    variants = {entry.name: (entry.variant, entry.size) for entry in found.dits}
    assert variants["acestep_v1.5_turbo"] == variants["ace_step_1.5_turbo_aio"] == ("turbo", "2B")
    assert variants["acestep_v1.5_xl_turbo"] == variants["ace_step_1.5_xl_turbo_aio"] == ("xl-turbo", "XL")
    assert {entry.size for entry in found.of("lm") if "qwen" in entry.name} == {"1.7B"}
    names = {kind: {entry.path.name for entry in found.of(kind)} for kind in ("dit", "vae", "text_encoder", "lm")}
    aio = {"ace_step_1.5_turbo_aio.safetensors", "ace_step_1.5_xl_turbo_aio.safetensors"}
    assert names["dit"] == aio | {"acestep_v1.5_turbo.safetensors", "acestep_v1.5_xl_turbo.safetensors"}
    assert names["vae"] == aio | {"ace_1.5_vae.safetensors"}
    assert names["text_encoder"] == aio | {"qwen_0.6b_ace15.safetensors"}
    assert names["lm"] == aio | {"qwen_1.7b_ace15.safetensors"}


def test_one_split_file_brings_its_neighbours(all_layouts: Path):
    comfyui = all_layouts / "comfyui"
    found = find_checkpoint(comfyui / "diffusion_models" / "acestep_v1.5_turbo.safetensors")
    assert [entry.path.name for entry in found.dits] == ["acestep_v1.5_turbo.safetensors"]
    for kind in ("vae", "text_encoder", "lm"):
        assert {path.parent.parent for path in paths(found, kind)} == {comfyui}


def test_one_of_comfyuis_folders_brings_the_others(all_layouts: Path):
    found = find_checkpoint(all_layouts / "comfyui" / "diffusion_models")
    assert {entry.path.parent.name for entry in found.dits} == {"diffusion_models"}
    assert [path.name for path in paths(found, "vae")].count("ace_1.5_vae.safetensors") == 1


@pytest.mark.parametrize("place", ["", "diffusion_models", "diffusion_models/music/ace/acestep_v1.5_turbo.safetensors"])
def test_files_may_lie_in_folders_of_ones_own(install: Callable[..., Path], tmp_path: Path, place: str):
    turbo, vae = "diffusion_models/acestep_v1.5_turbo.safetensors", "vae/ace_1.5_vae.safetensors"
    root = tmp_path / "models"
    install(root, f"{turbo}=diffusion_models/music/ace/{Path(turbo).name}", f"{vae}=vae/ace/{Path(vae).name}")
    install(root, f"{turbo}=loras/music/{Path(turbo).name}")
    found = find_checkpoint(root / place)
    assert paths(found, "dit") == [root / "diffusion_models" / "music" / "ace" / Path(turbo).name]
    assert paths(found, "vae") == [root / "vae" / "ace" / Path(vae).name]


@pytest.fixture
def hub(install: Callable[..., Path], tmp_path: Path) -> Path:
    """A Hugging Face cache with upstream's main repository, that of base, and ComfyUI's."""
    hub = tmp_path / "huggingface" / "hub"
    main = hub / "models--ACE-Step--Ace-Step1.5"
    for revision in ("aaa", "zzz"):
        install(main / "snapshots" / revision, "acestep-v15-turbo", "vae", "Qwen3-Embedding-0.6B")
    (main / "refs").mkdir()
    (main / "refs" / "main").write_text("aaa")
    install(hub, "acestep-v15-base=models--ACE-Step--acestep-v15-base/snapshots/b")
    install(hub, "acestep-5Hz-lm-4B=models--ACE-Step--acestep-5Hz-lm-4B/snapshots/c")
    turbo = "diffusion_models/acestep_v1.5_turbo.safetensors"
    install(hub, f"{turbo}=models--Comfy-Org--ace_step_1.5_ComfyUI_files/snapshots/d/split_files/{turbo}")
    return hub


def test_a_hugging_face_cache(hub: Path):
    found = find_checkpoint(hub)
    assert {(entry.name, entry.variant) for entry in found.dits} == {
        ("acestep-v15-turbo", "turbo"),
        ("acestep-v15-base", "base"),
        ("acestep_v1.5_turbo", "turbo"),
    }
    assert [(entry.name, entry.size) for entry in found.of("lm")] == [("acestep-5Hz-lm-4B", "4B")]
    assert {path.parent.name for path in paths(found, "vae")} == {"aaa"}, "the revision in use"
    assert find_checkpoint(hub.parent).entries == found.entries


@pytest.mark.parametrize("inside", ["", "snapshots/b"])
def test_one_repository_of_a_cache_brings_its_neighbours(hub: Path, inside: str):
    found = find_checkpoint(hub / "models--ACE-Step--acestep-v15-base" / inside)
    assert [entry.variant for entry in found.dits] == ["base"]
    assert len(found.of("vae")) == len(found.of("text_encoder")) == len(found.of("lm")) == 1


def test_other_models_are_left_alone(all_layouts: Path, tmp_path: Path):
    import torch
    from safetensors.torch import save_file

    folder = tmp_path / "checkpoints"
    folder.mkdir()
    save_file({"model.diffusion_model.input_blocks.0.weight": torch.ones(1)}, folder / "sdxl.safetensors")
    (folder / "broken_other_model.safetensors").write_bytes(b"\0\0")
    (folder / "notes.txt").write_text("hello")
    text = tmp_path / "text_encoders"
    text.mkdir()
    source = all_layouts / "comfyui" / "text_encoders" / "qwen_0.6b_ace15.safetensors"
    shutil.copyfile(source, text / "qwen_3_4b.safetensors")
    assert list_models([tmp_path]) == []


def test_the_headers_of_other_models_are_not_parsed(all_layouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    names = [*(all_layouts / "comfyui" / "vae").glob("*.safetensors")]
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(names[0], tmp_path / "checkpoints" / "ours.safetensors")
    save_file({"model.diffusion_model.w": torch.zeros(2)}, tmp_path / "checkpoints" / "other.safetensors")
    parsed = []
    monkeypatch.setattr(find, "open_weights", lambda path: parsed.append(path.name) or open_weights(path))
    assert [entry.name for entry in list_models([tmp_path])] == ["ours"]
    assert parsed == ["ours.safetensors"]


def test_broken_models_are_listed_with_their_problem(tiny_root: Path, tmp_path: Path):
    shutil.copytree(tiny_root / "acestep-v15-turbo", tmp_path / "acestep-v15-turbo")
    weights = tmp_path / "acestep-v15-turbo" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    shutil.copytree(tiny_root / "vae", tmp_path / "vae")
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (tmp_path / "acestep_v1.5_base.safetensors").write_bytes(b"\0")
    problems = {entry.name: entry.problem for entry in list_models([tmp_path])}
    assert "incomplete" in problems["acestep-v15-turbo"]
    assert "holds no weights" in problems["vae"]
    assert "incomplete" in problems["acestep_v1.5_base"]


def test_a_broken_file_is_listed_as_what_it_was(tmp_path: Path):
    kinds = {"acestep_v1.5_base": "dit", "ace_1.5_vae": "vae", "qwen_0.6b_ace15": "text_encoder", "qwen_4b_ace15": "lm"}
    for name in [*kinds, "face_restore_v15"]:
        (tmp_path / f"{name}.safetensors").write_bytes(b"\0")
    assert {entry.name: entry.kind for entry in list_models([tmp_path])} == kinds


def test_each_model_is_listed_once(tiny_root: Path):
    once = list_models([tiny_root])
    assert list_models([tiny_root, tiny_root, tiny_root / "vae"]) == once
    assert list_models([tiny_root / "nowhere"]) == []


def test_default_roots_are_searched(tiny_root: Path, monkeypatch: pytest.MonkeyPatch):
    assert list_models() == []
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    assert len(list_models()) == len(list_models([tiny_root]))


def test_a_missing_root_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        find_checkpoint(tmp_path / "nowhere")


# --- tokenizers -----------------------------------------------------------------------------------------------------


def test_the_tokenizer_beside_the_weights(tiny_root: Path):
    files = open_lm(tiny_root)
    assert find_tokenizer(files, roots=[]) == tiny_root / "acestep-5Hz-lm-0.6B" / "tokenizer.json"


@pytest.fixture
def lonely(all_layouts: Path, tmp_path: Path) -> Path:
    """An all-in-one file far from any tokenizer."""
    path = tmp_path / "models" / "checkpoints" / "aio.safetensors"
    path.parent.mkdir(parents=True)
    shutil.copyfile(all_layouts / "comfyui" / "checkpoints" / "ace_step_1.5_turbo_aio.safetensors", path)
    return path


def test_without_a_tokenizer_the_error_names_one_small_download(lonely: Path):
    for files in (open_text_encoder(lonely), open_lm(lonely)):
        with pytest.raises(CheckpointError, match=r"`acestep models download tokenizer`, or .* Qwen3 into .*tokenizer"):
            find_tokenizer(files)
    (part,) = catalog.downloads("tokenizer")
    assert (part.folder, part.only) == ("tokenizer", "tokenizer.json")


def test_the_tokenizer_is_taken_from_where_the_error_said(lonely: Path, tiny_root: Path):
    for ours, there in (
        ("Qwen3-Embedding-0.6B", "Qwen3-Embedding-0.6B"),
        ("acestep-5Hz-lm-0.6B", "acestep-5Hz-lm-1.7B"),
    ):
        target = lonely.parent / there / "tokenizer.json"
        target.parent.mkdir()
        shutil.copyfile(tiny_root / ours / "tokenizer.json", target)
        files = open_lm(lonely) if "lm" in ours else open_text_encoder(lonely)
        assert find_tokenizer(files) == target


def test_tokenizers_are_found_in_known_folders(lonely: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
    assert find_tokenizer(open_text_encoder(lonely)).parent.name == "Qwen3-Embedding-0.6B"
    assert find_tokenizer(open_lm(lonely)).parent.name == "acestep-5Hz-lm-0.6B"


def test_a_tokenizer_of_another_size_is_not_taken(lonely: Path):
    target = lonely.parent / "Qwen3-8B" / "tokenizer.json"
    target.parent.mkdir()
    for content in ('{"model": {"vocab": {"a": 0}}, "added_tokens": []}', '{"model": [], "added_tokens": 3}', "[]", ""):
        target.write_text(content)
        with pytest.raises(CheckpointError, match="without a tokenizer"):
            find_tokenizer(open_lm(lonely))


def same_tokens(one: Path, other: Path, rows: int) -> None:
    texts = [
        "[Verse]\nnight <|audio_code_7|><|audio_code_65534|></think>",
        "Ünïcode 12  34\n\n\t君不见",
        "<|im_start|>user",
    ]
    mine, theirs = load_tokenizer(one, rows), load_tokenizer(other, rows)
    assert mine.get_vocab_size() == theirs.get_vocab_size()
    for text in texts:
        assert mine.encode(text, add_special_tokens=False).ids == theirs.encode(text, add_special_tokens=False).ids


def test_one_model_s_tokenizer_serves_the_other(lonely: Path, tiny_root: Path):
    """Codes are added for the language model and left out for the text encoder."""
    lm, text = (tiny_root / name / "tokenizer.json" for name in ("acestep-5Hz-lm-0.6B", "Qwen3-Embedding-0.6B"))
    target = lonely.parent / "tokenizer" / "tokenizer.json"
    target.parent.mkdir()
    for files, own, other in ((open_lm(lonely), lm, text), (open_text_encoder(lonely), text, lm)):
        shutil.copyfile(other, target)
        assert find_tokenizer(files) == target
        same_tokens(target, own, files.config["vocab_size"])


def comfyui_words(folder: Path, tokenizer: dict) -> Path:
    """The words of a tokenizer as ComfyUI ships them."""
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]), encoding="utf-8")
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    added = {str(token.pop("id")): token for token in tokenizer["added_tokens"]}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}), encoding="utf-8")
    return folder


def test_comfyui_s_own_words_serve_both(lonely: Path, tiny_root: Path):
    lm, text = (tiny_root / name / "tokenizer.json" for name in ("acestep-5Hz-lm-0.6B", "Qwen3-Embedding-0.6B"))
    code = lonely.parents[2] / "comfy" / "text_encoders" / "qwen25_tokenizer"
    words = comfyui_words(code, json.loads(text.read_text(encoding="utf-8")))
    for files, own in ((open_lm(lonely), lm), (open_text_encoder(lonely), text)):
        assert find_tokenizer(files) == words
        same_tokens(words, own, files.config["vocab_size"])
    far = open_lm(lonely)
    shutil.move(lonely.parents[2] / "comfy", lonely.parents[1] / "away")
    with pytest.raises(CheckpointError, match="without a tokenizer"):
        find_tokenizer(far)
    # ComfyUI's code may lie elsewhere than its models: then the pack names the models folder beside the code.
    shutil.move(lonely.parents[1] / "away", lonely.parents[1] / "code" / "comfy")
    assert find_tokenizer(far, [lonely.parents[1] / "code" / "models"]).name == words.name


def test_what_may_not_be_looked_at_is_passed_over(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Folders of other users, drives that are gone: the models beside them are found."""
    (tmp_path / "models" / "theirs").mkdir(parents=True)
    (tmp_path / "models" / "theirs" / "x.safetensors").write_bytes(b"")
    (tmp_path / "closed").mkdir()
    link(tmp_path / "models" / "ours", tiny_root)
    plain = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if {"theirs", "closed"} & set(Path(path).parts if isinstance(path, str | Path) else ()):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    found = list_models([tmp_path / "closed", tmp_path / "models"])
    assert {entry.path.relative_to(tmp_path).parts[1] for entry in found} == {"ours"}


def test_a_tokenizer_in_a_hugging_face_cache_is_found(lonely: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(lonely.parent / "hub"))
    snapshot = lonely.parent / "hub" / "models--Qwen--Qwen3-0.6B" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    shutil.copyfile(tiny_root / "Qwen3-Embedding-0.6B" / "tokenizer.json", snapshot / "tokenizer.json")
    assert find_tokenizer(open_lm(lonely)).parent == snapshot


def test_cutting_and_padding_of_a_file_are_not_taken_over(tiny_root: Path, tmp_path: Path):
    own = tiny_root / "Qwen3-Embedding-0.6B" / "tokenizer.json"
    values = json.loads(own.read_text(encoding="utf-8"))
    values["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    strategy = {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None}
    values["padding"] = {**strategy, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), encoding="utf-8")
    rows = open_text_encoder(tiny_root).config["vocab_size"]
    same_tokens(tmp_path / "tokenizer.json", own, rows)


def test_a_file_packed_in_a_way_that_is_not_read_is_passed_over(install: Callable[..., Path], tmp_path: Path):
    """It stands before the other in the alphabet."""
    whole = "diffusion_models/acestep_v1.5_turbo.safetensors"
    root = install(tmp_path / "models", whole)
    packed = root / "diffusion_models" / "acestep_v1.5_base_mxfp8.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(root / whole).items()}
    layer = next(name for name in tensors if name.endswith("q_proj.weight"))
    scales = torch.ones(128, 4, dtype=torch.uint8)
    save_file(tensors | {layer.replace("weight", "weight_scale"): scales}, packed)
    found = find_models([root])
    (entry,) = (entry for entry in found.entries if entry.problem)
    assert entry.path == packed and "fp8 with a scale for each block (MXFP8)" in str(entry.problem)
    assert choose("dit", roots=found).entry.path == root / whole
    with pytest.raises(CheckpointError, match=r"is quantised as fp8 with a scale for each block \(MXFP8\)"):
        choose("dit", "acestep_v1.5_base_mxfp8", roots=found)

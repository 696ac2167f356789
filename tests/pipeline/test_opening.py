"""Which models belong together, which DiT a variant means, and when it may be the tiny one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from acestep_core.builtin import demo
from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.catalog import TIERS, TINY, TOY
from acestep_core.checkpoints.find import find_models
from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer
from acestep_core.errors import CheckpointError
from acestep_core.pipeline import opening
from acestep_core.pipeline.opening import lm_handle, model_handle, open_models, stand_in, vae_handle
from tests.places import nothing_known

PARTS = ("vae", "Qwen3-Embedding-0.6B")
LARGE = next(name for name, tier in TIERS.items() if tier.lm == "4B")


@pytest.fixture
def builtin(tiny_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny checkpoint that stands in."""
    monkeypatch.setattr(opening, "tiny_folder", lambda: tiny_root)
    return tiny_root


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A checkpoints folder to damage."""
    return Path(shutil.copytree(tiny_root, tmp_path / "models"))


def cut(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def test_a_broken_model_is_named_and_no_other_taken_for_it(root: Path) -> None:
    cut(root / "acestep-v15-turbo" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"acestep-v15-turbo/model\.safetensors is incomplete"):
        open_models(root, "turbo")
    assert open_models(root, "base").model.variant == "base"


@pytest.mark.parametrize("damage", ["missing", "unreadable"])
def test_a_model_without_its_config_is_named(root: Path, damage: str) -> None:
    config = root / "acestep-v15-turbo" / "config.json"
    config.unlink() if damage == "missing" else config.write_text("{")
    with pytest.raises(CheckpointError, match=r"acestep-v15-turbo/config\.json"):
        open_models(root, "turbo")


def test_xl_is_not_taken_for_its_small_sister(root: Path) -> None:
    shutil.rmtree(root / "acestep-v15-turbo")
    shutil.rmtree(root / "acestep-v15-base")
    with pytest.raises(CheckpointError, match=r"no turbo model in .*, only xl-turbo.*models download turbo"):
        open_models(root, "turbo")
    assert open_models(root).model.variant == "xl-turbo"


def test_without_a_variant_a_broken_model_is_passed_over_aloud(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut(root / "acestep-v15-turbo" / "model.safetensors")
    assert open_models(root).model.variant == "base"
    assert "acestep-v15-turbo/model.safetensors is incomplete" in caplog.text


def test_broken_weights_do_not_lead_to_the_tiny_checkpoint(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACESTEP_CHECKPOINTS", str(root))
    for folder in ("acestep-v15-base", "acestep-v15-xl-turbo"):
        shutil.rmtree(root / folder)
    cut(root / "acestep-v15-turbo" / "model.safetensors")
    with pytest.raises(CheckpointError, match="is incomplete"):
        open_models()


@pytest.mark.parametrize(("folder", "name"), [("vae", "vae"), ("Qwen3-Embedding-0.6B", "Qwen3-Embedding-0.6B")])
def test_what_is_missing_can_be_fetched_with_the_command_in_the_message(root: Path, folder: str, name: str) -> None:
    shutil.rmtree(root / folder)
    with pytest.raises(CheckpointError, match=rf"`acestep models download {name} --to {root}`"):
        open_models(root, "turbo")
    with pytest.raises(CheckpointError, match=rf"`acestep models download {name} --to {root}`"):
        open_models(root / "acestep-v15-turbo")


def test_a_file_of_another_kind_is_refused_for_what_it_is(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no DiT in"):
        open_models(root / "vae" / "diffusion_pytorch_model.safetensors")
    pointer = tmp_path / "song.safetensors"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="git-LFS pointer"):
        open_models(pointer)


def test_the_tokenizer_must_be_readable_and_the_models_own(root: Path) -> None:
    file = root / "Qwen3-Embedding-0.6B" / "tokenizer.json"
    lm_tokens = load_tokenizer(root / "acestep-5Hz-lm-0.6B" / "tokenizer.json", 10**6).get_vocab_size()
    with pytest.raises(CheckpointError, match=f"has {lm_tokens} tokens, but its model knows 300"):
        load_tokenizer(root / "acestep-5Hz-lm-0.6B" / "tokenizer.json", 300)
    file.write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer(file, 300)


def test_the_tiny_checkpoint_is_known_by_its_folders_too(root: Path) -> None:
    assert open_models(root).tiny
    assert open_models(root / "acestep-v15-turbo").tiny
    assert open_models(root.parent).tiny
    for handle in (model_handle, vae_handle, lm_handle):
        assert handle(roots=[root]).tiny


# --- the tiny checkpoint --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shipped", [True, False])
def test_what_is_built_in_stands_in_where_nothing_lies(builtin: Path, tmp_path: Path, monkeypatch, shipped) -> None:
    if not shipped:
        monkeypatch.setattr(demo, "SHIPPED", tmp_path / "absent")
    models = open_models(roots=[tmp_path])
    folder = demo.SHIPPED if shipped else builtin
    assert models.tiny and models.model.path.parent == models.vae.path.parent == models.lm.path.parent == folder
    assert models.model.toy is shipped and stand_in(find_models([tmp_path])) == ("toy" if shipped else "tiny")
    for handle, same in ((model_handle, models.model), (vae_handle, models.vae), (lm_handle, models.lm)):
        assert handle(roots=[tmp_path]) == same


def test_the_tiny_checkpoint_does_what_the_toy_cannot(builtin: Path, tmp_path: Path) -> None:
    assert open_models(roots=[tmp_path], task="cover").model.toy
    other = open_models(roots=[tmp_path], task="extract")
    assert other.model.path.parent == builtin and "extract" in other.model.info.tasks


def test_the_toy_by_its_name(builtin: Path, install: Callable[..., Path], tmp_path: Path) -> None:
    real = install(tmp_path / "real", "acestep-v15-turbo", *PARTS)
    assert stand_in(find_models([real])) == "" and stand_in(find_models([builtin])) == "tiny"
    for models in (open_models(TOY), open_models(name=TOY, roots=[real])):
        assert models.model.toy and models.lm.toy and models.vae.toy
    assert lm_handle(TOY, roots=[real]).toy and open_models(real, lm=TOY).lm.toy
    with pytest.raises(CheckpointError, match=r"There is no base model in .*, only turbo"):
        open_models(TOY, "base")


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"variant": "turbo"}, "turbo"),
        ({"variant": "base"}, "base"),
        ({"tier": LARGE}, "main"),
        ({"lm": "4B"}, "main"),
        ({"name": "acestep-v15-base"}, "acestep-v15-base"),
    ],
)
def test_who_asks_for_something_does_not_get_the_tiny_checkpoint(builtin, tmp_path, asked, name) -> None:
    with pytest.raises(CheckpointError, match=rf"^There is no .*`acestep models download {name} --to {tmp_path}`"):
        open_models(roots=[tmp_path], **asked)


def test_the_tiny_checkpoint_by_its_name(builtin: Path, install: Callable[..., Path], tmp_path: Path) -> None:
    real = install(tmp_path, "acestep-v15-turbo", *PARTS)
    for models in (open_models(TINY, "sft"), open_models(name=TINY, variant="sft", roots=[real])):
        assert models.tiny and models.model.variant == "base" and models.vae.path.parent == builtin
    assert lm_handle(TINY, roots=[real]).path.parent == builtin
    assert open_models(real, lm=TINY).lm.path.parent == builtin


@pytest.mark.parametrize("asked", [{}, {"variant": "base"}, {"tier": LARGE}])
def test_a_language_model_alone_is_not_joined_by_a_tiny_dit(builtin, install, tmp_path, asked) -> None:
    install(tmp_path, "acestep-5Hz-lm-1.7B")
    with pytest.raises(CheckpointError, match=r"There is no (DiT|base model) in"):
        open_models(roots=[tmp_path], **asked)
    assert not lm_handle(roots=[tmp_path]).tiny


@pytest.mark.parametrize("lacks", ["vae", "Qwen3-Embedding-0.6B"])
def test_a_real_dit_is_not_joined_by_tiny_parts(builtin, install, tmp_path, lacks) -> None:
    install(tmp_path, "acestep-v15-turbo", *{*PARTS} - {lacks})
    with pytest.raises(CheckpointError, match=f"There is no .* only .*models download {lacks}"):
        open_models(roots=[builtin, tmp_path])
    with pytest.raises(CheckpointError, match="There is no language model in"):
        lm_handle(roots=[builtin, tmp_path])


# --- several places -------------------------------------------------------------------------------------------------


def test_all_places_are_one_list(install: Callable[..., Path], tmp_path: Path) -> None:
    first = install(tmp_path / "a", "acestep-v15-base", *PARTS)
    second = install(tmp_path / "b", "acestep-v15-turbo", *PARTS, "acestep-5Hz-lm-1.7B")
    models = open_models(roots=[first, second])
    assert models.model.path.parent == models.vae.path.parent == second and not models.tiny
    base = open_models(variant="base", roots=[first, second])
    assert base.model.path.parent == base.vae.path.parent == base.model.text.path.parent == first
    assert base.lm == models.lm and base.lm.path.parent == second


def test_parts_may_lie_anywhere(install: Callable[..., Path], tmp_path: Path) -> None:
    places = [install(tmp_path / name, name) for name in ("acestep-v15-base", *PARTS, "acestep-5Hz-lm-4B")]
    models = open_models(roots=places)
    assert [models.model.path, models.vae.path, models.model.text.path, models.lm.path] == [
        place / place.name for place in places
    ]


def test_a_tier_takes_what_is_nearest_and_says_so(install, tmp_path, caplog) -> None:
    install(tmp_path, "acestep-v15-turbo", *PARTS)
    models = open_models(tier=LARGE, roots=[tmp_path])
    assert models.model.variant == "turbo" and models.lm is None
    assert "no xl-turbo model here, so acestep-v15-turbo is taken" in models.remarks[0]
    assert models.remarks[1] == (
        "There is no language model here; fetch one with `acestep models download acestep-5Hz-lm-4B`."
    )
    assert caplog.messages == list(models.remarks)
    assert open_models(roots=[tmp_path]).remarks == ()


def test_a_tier_decides_the_number_format_where_nobody_does(install, tmp_path) -> None:
    install(tmp_path, "acestep-v15-turbo", *PARTS, "acestep-5Hz-lm-0.6B")
    small = next(name for name, tier in TIERS.items() if tier.dtype == "int8")
    for asked, taken in (("auto", "int8"), ("fp32", "fp32")):
        models = open_models(tier=small, dtype=asked, roots=[tmp_path])
        assert {part.dtype for part in (models.model, models.model.text, models.lm) if part is not None} == {taken}


@pytest.mark.parametrize("tier", [name for name, tier in TIERS.items() if tier.leaves])
def test_a_tier_for_a_shared_card_takes_the_best_and_says_what_leaves(tier, install, tmp_path) -> None:
    install(tmp_path, "acestep-v15-turbo", "acestep-v15-base", *PARTS, "acestep-5Hz-lm-0.6B")
    models, usual = open_models(tier=tier, roots=[tmp_path]), open_models(roots=[tmp_path])
    parts = (models.model, models.model.text, models.model.vae, models.vae, models.lm)
    leaves = {part.role for part in parts if part is not None and part.leaves}
    assert leaves == set(TIERS[tier].leaves) >= {"text", "vae", "lm"}
    assert models != usual and models.remarks == ()
    assert [p.path for p in parts if p] == [
        p.path for p in (usual.model, usual.model.text, usual.model.vae, usual.vae, usual.lm) if p
    ]
    assert open_models(tier=tier, roots=[tmp_path / "empty"]).model.toy


# --- ComfyUI's files ------------------------------------------------------------------------------------------------

SPLIT = (
    "diffusion_models/acestep_v1.5_turbo.safetensors",
    "vae/ace_1.5_vae.safetensors",
    "text_encoders/qwen_0.6b_ace15.safetensors",
    "text_encoders/qwen_1.7b_ace15.safetensors",
)


def test_comfyuis_files_under_their_published_names(install: Callable[..., Path], tmp_path: Path) -> None:
    install(tmp_path, *SPLIT, "diffusion_models/acestep_v1.5_xl_turbo.safetensors")
    models = open_models(roots=[tmp_path])
    assert models.model.variant == "turbo" and not models.tiny
    assert [p.path for p in (models.model, models.vae, models.model.text, models.lm)] == [tmp_path / n for n in SPLIT]
    assert open_models(tier=LARGE, roots=[tmp_path]).model.variant == "xl-turbo"
    with pytest.raises(CheckpointError, match=r"There is no base model in .*, only turbo, xl-turbo;"):
        open_models(variant="base", roots=[tmp_path])


def test_a_file_that_cannot_say_asks(install: Callable[..., Path], tmp_path: Path) -> None:
    install(tmp_path, f"{SPLIT[0]}=diffusion_models/acestep_v1.5_merge_sft_turbo.safetensors", *SPLIT[1:])
    for asked in ({}, {"tier": LARGE}):
        with pytest.raises(
            CheckpointError, match=r"^acestep_v1\.5_merge_.* does not say .*`variant`, one of turbo, .*"
        ):
            open_models(roots=[tmp_path], **asked)
    assert open_models(variant="sft", roots=[tmp_path]).model.variant == "sft"


def test_an_all_in_one_file_brings_its_parts(install: Callable[..., Path], tmp_path: Path) -> None:
    name = "checkpoints/ace_step_1.5_turbo_aio.safetensors"
    models = open_models(roots=[install(tmp_path, name)])
    assert {p.path for p in (models.model, models.vae, models.model.text, models.lm)} == {tmp_path / name}


@pytest.fixture
def merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ComfyUI's folder with a merge of variants, as people share them, and a user's folder that is new."""
    nothing_known(monkeypatch, tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = build_tiny(tmp_path / "made", variants=["turbo"], layouts=["comfyui"]) / "comfyui"
    shutil.rmtree(made / "checkpoints")
    file = made / "diffusion_models" / "acestep_v1.5_merge_sft_turbo_ta_0.5.safetensors"
    (made / "diffusion_models" / "acestep_v1.5_turbo.safetensors").rename(file)
    return file


def test_what_a_merge_is_is_asked_once(merge: Path) -> None:
    with pytest.raises(CheckpointError, match="say so once with `variant`"):
        open_models(merge)
    assert open_models(merge, "sft").model.variant == "sft"
    assert open_models(merge).model.variant == "sft"
    models = merge.parents[1]
    assert open_models(models, "sft").model.path == merge, "it is found among others as what it is"
    assert model_handle(merge.stem, roots=[models]).variant == "sft", "as on the canvas"
    assert model_handle(merge.stem, "turbo", roots=[models]).variant == "turbo", "who says something else is heard"
    assert open_models(merge).model.variant == "turbo"


def test_another_file_under_the_same_name_is_asked_about_again(merge: Path) -> None:
    open_models(merge, "sft")
    content = merge.read_bytes()
    merge.unlink()
    merge.write_bytes(content)
    os.utime(merge, ns=(1, 1))
    with pytest.raises(CheckpointError, match="say so once with `variant`"):
        open_models(merge)


@pytest.mark.parametrize("damage", ["{", "[]", '{"x": 1}', ""])
def test_a_damaged_memory_is_no_memory(merge: Path, damage: str) -> None:
    open_models(merge, "sft")
    memory = next(merge.parents[3].rglob("variants.json"))
    memory.write_text(damage)
    with pytest.raises(CheckpointError, match="say so once with `variant`"):
        open_models(merge)
    assert open_models(merge, "sft").model.variant == open_models(merge).model.variant == "sft"


def test_what_a_published_file_says_is_not_remembered(merge: Path) -> None:
    published = merge.rename(merge.with_name("acestep_v1.5_turbo.safetensors"))
    open_models(published, "turbo")
    assert not list(merge.parents[3].rglob("variants.json"))

"""Which models belong together, and which DiT a variant means."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from acestep_core.errors import CheckpointError
from acestep_core.models.loading import load_tokenizer
from acestep_core.pipeline.opening import open_models


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

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from acestep_core.checkpoints import catalog
from acestep_core.checkpoints.catalog import (
    BASIC_TASKS,
    MAIN_FOLDERS,
    STEM_TASKS,
    VARIANTS,
    classify,
    download_names,
    downloads,
    variant_named,
)
from acestep_core.errors import CheckpointError

TURBO, NOT_TURBO = {"is_turbo": True, "model_version": "turbo"}, {"is_turbo": False}


def test_only_base_models_do_stems():
    for variant in VARIANTS.values():
        assert set(variant.tasks) == set(BASIC_TASKS) | (set(STEM_TASKS) if variant.kind == "base" else set())


def test_guidance_is_for_models_that_are_not_distilled():
    for variant in VARIANTS.values():
        preset = variant.preset
        assert (preset.guidance > 1) == (not variant.is_turbo), variant.name
        assert preset.steps > 0
        assert 0 <= preset.cfg_interval[0] <= preset.cfg_interval[1] <= 1


@pytest.mark.parametrize(
    ("config", "xl", "name", "expected"),
    [
        (TURBO, False, "acestep-v15-turbo", "turbo"),
        (TURBO, False, "renamed-by-the-user", "turbo"),
        (TURBO, False, "acestep-v15-turbo-shift1", "turbo-shift1"),
        (TURBO, False, "acestep-v15-turbo-fix-inst-shift3", "turbo-shift3"),
        (TURBO, False, "acestep-v15-turbo-fix-inst-shift-continuous", "turbo-continuous"),
        (TURBO, False, "acestep-v15-base", "turbo"),  # the folder name never decides this
        (TURBO, True, "acestep-v15-xl-turbo", "xl-turbo"),
        (NOT_TURBO, False, "acestep-v15-sft", "sft"),
        (NOT_TURBO, False, "acestep-v15-base", "base"),
        (NOT_TURBO, False, "acestep-v15-base-sft-fix-inst", "sft"),
        (NOT_TURBO, True, "acestep-v15-xl-base", "xl-base"),
        (NOT_TURBO | {"model_version": "turbo"}, False, "acestep-v15-sft", "sft"),  # upstream's default version lies
        (NOT_TURBO | {"model_version": "base"}, False, "my-mix", "base"),
        ({"model_version": "turbo"}, False, "x", "turbo"),
        ({"model_version": "sft"}, False, "x", "sft"),
    ],
)
def test_variant_comes_from_the_config_and_the_size(config, xl, name, expected):
    assert classify(config, xl, name).name == expected


@pytest.mark.parametrize("config", [{}, {"is_turbo": None}])
def test_a_silent_config_needs_the_caller(config):
    with pytest.raises(CheckpointError, match="variant"):
        classify(config, False, "my_acestep.safetensors")
    assert classify(config, False, "file", "sft").name == "sft"
    assert classify(config, True, "file", "sft").name == "xl-sft"


@pytest.mark.parametrize(
    ("name", "xl", "expected"),
    [
        ("acestep_v1.5_turbo.safetensors", False, "turbo"),
        ("acestep_v1.5_base.safetensors", False, "base"),
        ("acestep_v1.5_xl_base_bf16.safetensors", True, "xl-base"),
        ("acestep_v1.5_xl_sft_bf16.safetensors", True, "xl-sft"),
        ("ace_step_1.5_turbo_aio.safetensors", False, "turbo"),
        ("ace_step_1.5_xl_turbo_aio.safetensors", True, "xl-turbo"),
        ("acestep_v1.5_xl_turbo_fp8_scaled.safetensors", True, "xl-turbo"),
    ],
)
def test_a_single_file_is_what_its_published_name_says(name, xl, expected):
    assert classify({}, xl, name).name == expected
    assert classify({}, xl, name, "sft").kind == "sft", "who knows better may say so"


@pytest.mark.parametrize(
    ("name", "xl"),
    [
        ("acestep_v1.5_merge_sft_turbo.safetensors", False),
        ("acestep_v1.5_turbo_merged.safetensors", False),
        ("my_acestep_v1.5_base.safetensors", False),
        ("acestep_v1.5_turbo.safetensors", True),
        ("acestep_v1.5_xl_turbo_bf16.safetensors", False),
        ("ace_1.5_vae.safetensors", False),
    ],
)
def test_other_names_say_nothing(name, xl):
    with pytest.raises(CheckpointError, match="does not say whether it is a turbo, base or SFT model"):
        classify({}, xl, name)


def test_neither_base_nor_sft_needs_the_caller():
    with pytest.raises(CheckpointError, match="base or an SFT"):
        classify(NOT_TURBO, False, "my-mix")
    assert classify(NOT_TURBO, False, "my-mix", "base").name == "base"


@pytest.mark.parametrize(
    ("config", "xl", "variant", "message"),
    [
        (TURBO, False, "base", "cannot be opened as 'base'"),
        (NOT_TURBO, False, "turbo", "cannot be opened as 'turbo'"),
        (TURBO, False, "xl-turbo", "2B model"),
        (TURBO, True, "turbo-shift1", "XL model"),
        (TURBO, False, "ultra", "no variant called 'ultra'"),
    ],
)
def test_a_variant_that_contradicts_the_weights_is_refused(config, xl, variant, message):
    with pytest.raises(CheckpointError, match=message):
        classify(config, xl, "folder", variant)


def test_names_of_variants():
    assert variant_named("acestep-v15-xl-base") is VARIANTS["xl-base"]
    assert variant_named("turbo_shift1") is VARIANTS["turbo-shift1"]


def test_downloads():
    assert [part.folder for part in downloads("main")] == list(MAIN_FOLDERS)
    (turbo,) = downloads("turbo")
    assert turbo.inside, "turbo is a folder of the main repository"
    (base,) = downloads("xl-base")
    assert (base.repository, base.inside) == ("ACE-Step/acestep-v15-xl-base", "")
    assert downloads("acestep-v15-base") == downloads("base")
    for name in download_names():
        assert downloads(name)
    with pytest.raises(CheckpointError, match="acestep-v15-xl-sft"):
        downloads("gpt")


def test_the_command_that_fetches_exists_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pack in ComfyUI's custom_nodes brings no script; then Python runs the package in its folder."""
    python = tmp_path / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(tmp_path))
    started, folder, *words = shlex.split(catalog.fetch("vae"))
    assert started == str(python) and words == ["models", "download", "vae"]
    assert (Path(folder) / "__main__.py").is_file()
    python.parent.mkdir()
    (python.parent / "acestep").touch()
    assert catalog.fetch("vae") == "acestep models download vae"

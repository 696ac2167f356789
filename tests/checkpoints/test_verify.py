from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints.verify import check, known_hashes
from acestep_core.errors import Cancelled, CheckpointError
from acestep_core.monitor import Monitor
from tests.capabilities import link


@pytest.fixture
def copy(tiny_root: Path, tmp_path: Path) -> Path:
    """A turbo checkpoint to damage, with its VAE."""
    for name in ("acestep-v15-turbo", "vae"):
        shutil.copytree(tiny_root / name, tmp_path / name)
    return tmp_path


def test_the_tiny_checkpoint_is_sound(tiny_root: Path):
    report = check(tiny_root)
    assert report.ok, report
    assert sorted(part.entry.kind for part in report.parts) == ["dit", "dit", "dit", "lm", "text_encoder", "vae"]
    turbo = next(part for part in report.parts if part.entry.variant == "turbo")
    tensors = load_file(tiny_root / "acestep-v15-turbo" / "model.safetensors")
    assert turbo.tensors == len(tensors)
    assert turbo.parameters == sum(tensor.numel() for tensor in tensors.values())
    assert turbo.dtypes == ("BF16",)


def test_comfyui_files_are_checked_too(all_layouts: Path, tmp_path: Path):
    folder = all_layouts / "comfyui" / "diffusion_models"
    report = check(folder)
    assert report.ok
    assert all(len(part.notes) == 1 and "silence" in part.notes[0] for part in report.parts)
    mix = tmp_path / "my_mix.safetensors"
    shutil.copyfile(folder / "acestep_v1.5_turbo.safetensors", mix)
    assert "name the variant" in check(mix).parts[0].notes[0]


def test_a_comfyui_language_model_without_tokenizer_is_a_problem(all_layouts: Path, tmp_path: Path):
    file = tmp_path / "qwen_1.7b_ace15.safetensors"
    shutil.copyfile(all_layouts / "comfyui" / "text_encoders" / file.name, file)
    report = check(file)
    assert not report.ok
    assert "without a tokenizer" in report.parts[0].problems[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda tensor: tensor.view(-1)[7].fill_(float("nan")),
            "1 tensor of the DiT .* values that are not finite",
        ),
        (lambda tensor: tensor.zero_(), "hold only zeros"),
    ],
)
def test_bad_values_are_named(copy: Path, damage, message: str):
    path = copy / "acestep-v15-turbo" / "model.safetensors"
    tensors = load_file(path)
    name = "decoder.layers.1.mlp.up_proj.weight"
    damage(tensors[name])
    save_file(tensors, path)
    report = check(copy)
    (problem,) = [problem for part in report.parts for problem in part.problems]
    assert name in problem
    assert re.search(message, problem)


def test_what_would_not_load_is_a_problem(copy: Path):
    torch.save(torch.zeros(1, 64, 15000), copy / "acestep-v15-turbo" / "silence_latent.pt")
    report = check(copy)
    assert not report.ok
    assert "all zero" in report.parts[0].problems[0]


def test_recorded_checksums_are_compared(copy: Path):
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    right = hashlib.sha256(weights.read_bytes()).hexdigest()
    record = copy / "vae" / "hashes.json"
    record.write_text(json.dumps({weights.name: right}))
    assert check(copy).ok
    assert check(copy).hashed == 1
    record.write_text(json.dumps({weights.name: "0" * 64}))
    report = check(copy)
    assert "differs from what was published" in report.problems[0]
    assert check(copy, hashes=False).ok
    assert not check(copy / "vae").ok, "the record is found from inside the folder too"


def test_models_are_told_of_before_a_whole_file_is_read(copy: Path):
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    (copy / "vae" / "hashes.json").write_text(json.dumps({weights.name: "0" * 64}))
    said: list[str] = []
    monitor = Monitor(lambda stage, *_: said.append(stage))
    report = check(copy, monitor=monitor, found=lambda part: said.append(part.entry.kind))
    kinds = [part.entry.kind for part in report.parts]
    told = list(dict.fromkeys(stage for stage in said if stage != "checking models"))
    assert told == [*dict.fromkeys(kinds), f"checksum of {weights.name}"]


def test_checksums_left_by_hugging_face_are_known(tmp_path: Path):
    digest = "ab" * 32
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    notes = tmp_path / ".cache" / "huggingface" / "download"
    notes.mkdir(parents=True)
    (notes / "model.safetensors.metadata").write_text(f"commit\n{digest}\n1700000000.0\n")
    (notes / "config.json.metadata").write_text("commit\n0123456789012345678901234567890123456789\n17.0\n")
    (notes / "gone.safetensors.metadata").write_text(f"commit\n{digest}\n17.0\n")
    assert known_hashes(tmp_path) == {tmp_path / "model.safetensors": digest}


def test_cache_links_are_known_by_their_blob(tmp_path: Path):
    digest = "cd" * 32
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / digest).write_bytes(b"")
    link(tmp_path / "model.safetensors", tmp_path / "blobs" / digest)
    assert known_hashes(tmp_path) == {tmp_path / "model.safetensors": digest}


def test_unfinished_downloads_are_a_problem(copy: Path):
    (copy / "vae" / "more.safetensors.part").write_bytes(b"\0")
    report = check(copy)
    assert "unfinished download" in report.problems[0]


def test_nothing_to_check_is_an_error(tmp_path: Path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match=r"no ACE-Step 1\.5 model at"):
            check(path)


def test_a_check_can_be_cancelled(tiny_root: Path):
    with pytest.raises(Cancelled):
        check(tiny_root, monitor=Monitor(cancelled=lambda: True))

"""Preprocessing and labelling, killed before each of their operations on files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from acestep_core.builtin.tiny import build_tiny
from acestep_core.models.handles import Models
from acestep_core.pipeline.opening import open_models
from acestep_core.planner.answer import Answer
from acestep_core.planner.plan import Plan
from acestep_core.train import label as labelling
from acestep_core.train.dataset import Dataset
from acestep_core.train.dataset_file import load_dataset, save_dataset
from acestep_core.train.label import label
from acestep_core.train.preprocess import preprocess
from acestep_core.train.scan import scan
from acestep_core.train.trainset import Trainset
from tests.crash_sweep import sweep
from tests.train.recordings import write_tone


def _models(folder: Path) -> Models:
    torch.set_num_threads(1)
    if not (folder.parent / "tiny").is_dir():
        build_tiny(folder.parent / "tiny", variants=["turbo"])
    return open_models(folder.parent / "tiny", device="cpu")


def _dataset(folder: Path) -> Dataset:
    return load_dataset(folder / "set.json")


def _songs(folder: Path, count: int) -> None:
    _models(folder)
    for number in range(count):
        write_tone(folder / f"{number}.wav", 1.2, 110 * (number + 1))
    save_dataset(scan(folder), folder / "set.json")


class Preprocess:
    """One song."""

    @staticmethod
    def prepare(folder: Path) -> None:
        _songs(folder, 1)

    @staticmethod
    def write(folder: Path) -> None:
        models = _models(folder)
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
        preprocess(_dataset(folder), models.model, models.vae, folder / "tensors")
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())  # nothing is done twice

    @staticmethod
    def killed(folder: Path) -> None:
        if (folder / "tensors" / "manifest.json").exists():
            Preprocess.restarted(folder)

    @staticmethod
    def restarted(folder: Path) -> None:
        trainset = Trainset.open(folder / "tensors")
        assert len(trainset) == 1
        assert trainset.sample(0).frames == 30


class Label:
    """Two songs whose codes are there already."""

    @staticmethod
    def prepare(folder: Path) -> None:
        _songs(folder, 2)
        Label.write(folder)
        save_dataset(scan(folder), folder / "set.json")

    @staticmethod
    def write(folder: Path) -> None:
        models = _models(folder)
        labelling.describe_codes = lambda lm, codes, **told: Answer(Plan(caption="heard"), "")  # type: ignore[assignment]
        done = label(
            _dataset(folder), models.model, models.vae, models.lm, folder / "tensors",  # type: ignore[arg-type]
            save=lambda changed: save_dataset(changed, folder / "set.json"),
        )  # fmt: skip
        assert all(sample.caption for sample in done.samples)

    @staticmethod
    def killed(folder: Path) -> None:
        assert len(_dataset(folder).samples) == 2

    @staticmethod
    def restarted(folder: Path) -> None:
        dataset = _dataset(folder)
        assert [sample.caption for sample in dataset.samples] == ["heard", "heard"]
        assert replace(dataset, created_at="").samples[0].labeled


def test_preprocessing_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep("tests.train.test_kill", "Preprocess", tmp_path) > 10


def test_labelling_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep("tests.train.test_kill", "Label", tmp_path) > 10

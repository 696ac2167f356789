"""Scanning, preprocessing, labelling and training, killed by SIGKILL: before each of their operations on files, for
nothing else is left behind; scanning also between recordings, training also in the midst of steps.

Of scanning and training some moments are drawn; `python -m tests.crash_sweep tests.train.test_kill Train FOLDER N`
draws N of them.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from acestep_core.builtin.tiny import build_tiny
from acestep_core.models.handles import Models
from acestep_core.monitor import Monitor
from acestep_core.pipeline.opening import open_models
from acestep_core.planner.answer import Answer
from acestep_core.planner.plan import Plan
from acestep_core.records import fingerprints
from acestep_core.train import label as labelling
from acestep_core.train.checkpoints import OPTIMIZER, WEIGHTS, RunFolder
from acestep_core.train.dataset import Dataset
from acestep_core.train.dataset_file import load_dataset, save_dataset
from acestep_core.train.label import label
from acestep_core.train.preprocess import preprocess
from acestep_core.train.scan import rescanned, scan
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from acestep_core.train.trainset import Trainset
from tests.capabilities import needs_kills
from tests.crash_sweep import MOMENT, sweep
from tests.train.making_trainsets import write_trainset
from tests.train.recordings import write_tone


@pytest.fixture(autouse=True, scope="module")
def _adapters() -> None:
    """Imported once, and not in every process that is killed."""
    with suppress(ImportError):
        import peft  # noqa: F401


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


class Scan:
    """Of two songs one is known, and a person has written about it; hashes of both are remembered."""

    @staticmethod
    def prepare(folder: Path) -> None:
        for number in range(2):
            write_tone(folder / "songs" / f"{number}.wav", 1.2, 110 * (number + 1))
            if not number:
                first = scan(folder / "songs")
                save_dataset(first.edited({first.samples[0].id: {"caption": "mine"}}), folder / "set.json")

    @staticmethod
    def write(folder: Path) -> None:
        fingerprints.LARGE, fingerprints._file = 0, lambda: folder / "sha256.json"  # type: ignore[misc]
        found = scan(folder / "songs", monitor=Monitor(cancelled=lambda: bool(sys.audit(MOMENT))))
        save_dataset(rescanned(found, _dataset(folder)), folder / "set.json")

    @staticmethod
    def killed(folder: Path) -> None:
        samples, remembered = _dataset(folder).samples, folder / "sha256.json"
        assert len(samples) in (1, 2) and samples[0].caption == "mine"
        if remembered.exists():
            assert len(json.loads(remembered.read_text())) in (1, 2)  # whole, or not there

    @staticmethod
    def restarted(folder: Path) -> None:
        samples = _dataset(folder).samples
        assert [(sample.filename, sample.caption) for sample in samples] == [("0.wav", "mine"), ("1.wav", "")]
        known = {
            Path(name).name: digest for name, (*_, digest) in json.loads((folder / "sha256.json").read_text()).items()
        }
        assert known == {sample.filename: sample.sha256 for sample in samples}


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


class Train:
    """Six steps with a checkpoint after every second one; each batch is a moment, too."""

    @staticmethod
    def prepare(folder: Path) -> None:
        _models(folder)
        write_trainset(folder / "set", (128, 128))
        if not (folder.parent / "whole").is_dir():
            Train._run(folder / "set", folder.parent / "whole")

    @staticmethod
    def _run(songs: Path, folder: Path) -> list[dict[str, object]]:
        settings = TrainSettings.of(rank=2, epochs=3, log_every=1, save_every=1, keep=1, save_minutes=0, ema=0.5)
        monitor = Monitor(cancelled=lambda: bool(sys.audit(MOMENT)))
        model = _models(songs.parent).model
        return list(Trainer(Trainset.open(songs), model, folder, settings, monitor=monitor).records())

    @staticmethod
    def write(folder: Path) -> None:
        run = RunFolder(folder / "run")
        reached = run.latest() if run.exists else None
        before = {path: path.stat().st_mtime_ns for path in reached.folder.iterdir()} if reached else {}
        steps = [record["step"] for record in Train._run(folder / "set", run.folder) if record["kind"] == "step"]
        assert steps == list(range(reached.step + 1 if reached else 1, 7))  # what was kept is not done again
        assert all(path.stat().st_mtime_ns == time for path, time in before.items())

    @staticmethod
    def killed(folder: Path) -> None:
        run = RunFolder(folder / "run")
        for point in run.all():
            assert run.at(str(point.step)).step == point.step  # whole, or not there
        if run.about():
            assert (run.adapter / WEIGHTS).read_bytes() == (folder.parent / "whole" / "adapter" / WEIGHTS).read_bytes()

    @staticmethod
    def restarted(folder: Path) -> None:
        run, whole = RunFolder(folder / "run"), RunFolder(folder.parent / "whole")
        for file in (WEIGHTS, OPTIMIZER):
            assert (run.checkpoints / "6" / file).read_bytes() == (whole.checkpoints / "6" / file).read_bytes()
        assert (run.adapter / WEIGHTS).read_bytes() == (whole.adapter / WEIGHTS).read_bytes()
        losses = [[(r["step"], r["loss"]) for r in of.records() if r["kind"] == "step"] for of in (run, whole)]
        assert losses[0] == losses[1] and len(losses[0]) == 6  # each step is told once
        assert not list(run.folder.rglob("*.tmp"))


@needs_kills
def test_scanning_killed_at_any_moment(tmp_path: Path) -> None:
    assert sweep("tests.train.test_kill", "Scan", tmp_path, drawn=8) == 8


@needs_kills
def test_training_killed_at_any_moment(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    assert sweep("tests.train.test_kill", "Train", tmp_path, drawn=10) == 10


@needs_kills
def test_preprocessing_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep("tests.train.test_kill", "Preprocess", tmp_path) > 10


@needs_kills
def test_labelling_killed_before_every_operation(tmp_path: Path) -> None:
    assert sweep("tests.train.test_kill", "Label", tmp_path) > 10

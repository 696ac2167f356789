"""Every input of every node for datasets and training does something, as `test_every_input.py` shows of the others.

A dataset is followed to what training is told of it, a trainset to what a step reads, settings to the run they make.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from acestep_core.host.graph.context import Folders
from acestep_core.planner.create import format_song
from acestep_core.train.dataset import Dataset, genre_shares, training_texts
from acestep_core.train.dataset_file import save_dataset
from acestep_core.train.scan import scan
from acestep_core.train.trainset import Trainset
from tests.nodes.workshop import (
    CLASSES,
    RATE,
    Part,
    Workshop,
    does_something,
    furnish,
    hides_what_does_nothing,
    hiding_inputs,
    inputs_of,
    is_training,
    names_what_there_is,
    other,
    spelt,
)
from tests.train.making_trainsets import write_trainset
from tests.train.recordings import write_tone

NOISE = re.compile(r"(?<=_)[0-9a-f]{8}(?=\.png)|\d+ (?:s|min)(?= left)")
"""Names drawn at random, and guesses of the time that is left."""
SAVING = "saving"
"""Where datasets are saved: beside their recordings, of which a file then tells the short names."""
FEW = 64
"""Tokens of lyrics, of which the tiny language model would write as many as it may."""
NOTES = re.compile(rb'"created_at": "[^"]*"|"lm:[^"]*"')
"""What a dataset's file says of its own making."""
MODEL, VAE, LM, DATASET = Part("base"), Part("other_vae"), Part("other_lm"), Part("other_dataset")
SONG = Part("song")
VALIDATED, LOKR, OFTEN = {"validation": 0.5}, {"kind": "lokr"}, {"save_minutes": 1e-6, "max_steps": 4}

CHANGES: dict[str, dict[str, Any]] = {
    "ACEStepScanDataset": {
        "folder": "other_songs",
        "name": "another",
        "all_instrumental": False,
        "custom_tag": "my_style",
        "tag_position": other("append", custom_tag="my_style"),
        "genre_ratio": 50,
        "encoding": other("cp949", folder="korean"),
        "max_files": other(1, error="more than 1"),
    },
    "ACEStepLoadDataset": {"file": "other.json"},
    "ACEStepLabelDataset": {
        "dataset": DATASET,
        "model": MODEL,
        "vae": VAE,
        "lm": LM,
        "mode": other("overwrite", only_unlabeled=False),
        "skip_metas": True,
        "only_unlabeled": False,
        "format_lyrics": True,
        "transcribe": other(True, mode="overwrite"),
        "seed": 2,
        "save_as": "other",
        "listen_seconds": other(10.0, dataset=Part("long_dataset")),
    },
    "ACEStepEditSample": {
        "dataset": DATASET,
        "sample": "1.wav",
        "caption": "wild drums",
        "genre": "rock",
        "lyrics": "[Verse]\nother words",
        "bpm": 90,
        "keyscale": "C major",
        "timesignature": "3",
        "language": other("de", lyrics="la la"),
        "vocals": "vocals",
        "custom_tag": "own_style",
        "prompt": "genre",
        "repeat": 3,
        "use": "exclude",
    },
    "ACEStepEditDataset": {"dataset": DATASET, "edits": '{"0.wav": {"bpm": 90}}', "save_as": "edited"},
    "ACEStepSaveDataset": {"dataset": DATASET, "file": "other", "reader": "upstream"},
    "ACEStepPreprocess": {
        "dataset": DATASET,
        "model": MODEL,
        "vae": VAE,
        "max_seconds": 5.0,
        "length": other("window", window_seconds=5.0),
        "window_seconds": 5.0,
        "vae_mode": "mean",
        "loudness": "peak",
        "reference": "self",
        "genre_choice": "fixed",
        "keep_going": other(False, error="use keep going", keep_going=True, dataset=Part("broken_dataset")),
    },
    "ACEStepLoadTrainset": {"folder": "trainsets/other"},
    "ACEStepTrainSettings": {
        "kind": "dora",
        "rank": 8,
        "alpha": 8.0,
        "dropout": 0.0,
        "targets": "self",
        "factor": other(2, **LOKR),
        "decompose_both": other(True, **LOKR, rank=1),
        "optimizer": other("prodigy", error="needs no_such_package"),
        "schedule": "constant",
        "warmup": other(0, max_steps=10),
        "weight_decay": 1.0,
        "clip": 1e-3,
        "timesteps": "schedule",
        "drop": 1.0,
        "ema": 0.5,
        "train_seed": 1,
        "max_steps": 1,
        "memory": "checkpoint",
        "checkpoint_every": other(2, memory="checkpoint"),
        "length": "window",
        "validation": 0.5,
        "validate_every": other(1, **VALIDATED),
        "keep": other(1, **OFTEN),
        "save_minutes": 1e-6,
        "log_every": 1,
        "lyric_drop": 1.0,
        "tag_drop": 1.0,
        "own_timbre": 1.0,
        "deterministic": True,
        "quantize": "int8",
        "held_out": "0.wav",
    },
    "ACEStepTrainLoRA": {
        "trainset": Part("other_trainset"),
        "model": other(MODEL, trainset=Part("other_trainset")),
        "name": "other",
        "epochs": 2,
        "learning_rate": 1e-3,
        "batch": 2,
        "accumulation": 2,
        "save_every": other(1, epochs=2),
        "resume": other("new", name="old"),
        "settings": Part("other_train_settings"),
        "test_song": other(SONG, test_every=1),
        "test_every": other(1, test_song=SONG),
        "test_seed": other(2, test_song=SONG, test_every=1),
    },
    "ACEStepExportLoRA": {
        "lora": "b",
        "filename": "other",
        "format": "peft",
        "dtype": "bf16",
        "model": other(Part("turbo"), format="merged"),
    },
}

USUAL: dict[str, dict[str, Any]] = {
    "ACEStepScanDataset": {"folder": "my_songs"},
    "ACEStepLoadDataset": {"file": "mine.json"},
    "ACEStepEditSample": {"sample": "0.wav", "bpm": 60},
    "ACEStepSaveDataset": {"dataset": Part("saved_dataset")},
    "ACEStepLoadTrainset": {"folder": "trainsets/mine"},
    "ACEStepTrainSettings": {"rank": 4},
    "ACEStepTrainLoRA": {"trainset": Part("trainset"), "settings": Part("train_settings"), "epochs": 1},
    "ACEStepExportLoRA": {"lora": "a", "model": MODEL},
}

WITHOUT_EFFECT: dict[tuple[str, str], str] = {}


class TrainWorkshop(Workshop):
    """A workshop whose nodes for training find recordings, datasets, trainsets, adapters and a finished run."""

    def __init__(self, models: Path, place: Path) -> None:
        super().__init__(models, place, USUAL)
        self.ground = Folders.under(place / "ground")
        self.bits: list[bool] = []
        self._lay()

    def _lay(self) -> None:
        songs = self.ground.input / "my_songs"
        write_tone(songs / "0.wav", 2.0, 110)
        write_tone(songs / "1.wav", 6.0, 220)
        (songs / "0.json").write_text(json.dumps({"caption": "slow blues", "genre": "blues"}))
        write_tone(self.ground.input / "other_songs" / "0.wav", 3.0, 330)
        korean = self.ground.input / "korean"
        write_tone(korean / "0.wav", 2.0, 440)
        (korean / "0.caption.txt").write_bytes("느린 블루스".encode("cp949"))
        write_tone(self.ground.input / "long" / "0.wav", 12.0, 110)
        for file, folder in (("mine", "my_songs"), ("other", "other_songs")):
            save_dataset(scan(self.ground.input / folder), self.ground.input / f"{file}.json")
        for name, frames in (("mine", (150, 150)), ("other", (150,))):
            write_trainset(self.ground.input / "trainsets" / name, frames)
        for name in "ab":
            shutil.copytree(self.models / "loras" / name, self.ground.models / "loras" / name)
        self.call("ACEStepTrainLoRA", name="old", model=self["turbo"], save_every=200, **self.usual_run)
        shutil.copytree(self.place / self.last / "output" / "acestep", self.ground.output / "acestep")

    @property
    def usual_run(self) -> dict[str, Any]:
        """The usual run."""
        return {
            "trainset": self["trainset"],
            "settings": self["train_settings"],
            "epochs": 1,
            "learning_rate": 1e-4,
            "batch": 1,
            "accumulation": 1,
        }

    def folders(self, node_id: str) -> Folders:
        if not is_training(node_id):
            return super().folders(node_id)
        self.last = SAVING if node_id == "ACEStepSaveDataset" else str(next(self.numbers))
        shutil.rmtree(self.place / self.last, ignore_errors=True)
        shutil.copytree(self.ground.input.parent, self.place / self.last, copy_function=os.link)
        return Folders.under(self.place / self.last)

    def files(self, folders: Folders) -> dict[str, Any]:
        """Of a trainset only the codes that a language model hears: the rest is read. Of a run not what only tells of
        its settings and its time.
        """
        found: dict[str, Any] = {}
        for folder in (folders.output, folders.temp, folders.models):
            for path in sorted(folder.rglob("*")):
                inside = path.relative_to(folder)
                if not path.is_file() or ("trainsets" in inside.parts and "codes" not in inside.parts):
                    continue
                name = inside.as_posix()
                content = NOTES.sub(b"", path.read_bytes().replace(str(folders.input.parent).encode(), b""))
                if "runs" in inside.parts and path.suffix in (".json", ".jsonl"):
                    content = b""
                if path.suffix == ".safetensors":  # whose name and header tell of what it was made from
                    content = spelt(load_file(path)).encode()
                    name = re.sub("-[0-9a-f]{16}", "", name)
                if path.name == "run.json":
                    content = json.dumps(json.loads(path.read_text())["plan"]).encode()
                found[f"{folder.name}/{name}"] = content
        return found

    def _run(self, node_id: str, given: dict[str, Any]) -> str:
        return NOISE.sub("", re.sub(rf"{re.escape(str(self.place))}/(\d+|{SAVING})", "", super()._run(node_id, given)))

    # --- what there is to train with

    def make_dataset(self) -> Dataset:
        found = self.out("ACEStepScanDataset", folder="my_songs", name="mine", custom_tag="my_style", genre_ratio=50)
        return found.edited({"1.wav": {"lyrics": "[Verse]\nhello world"}})

    def make_other_dataset(self) -> Dataset:
        changed = {"0.wav": {"caption": "wild drums"}, "1.wav": {"lyrics": "[Verse]\nother words"}}
        return self["dataset"].edited(changed).edited({"1.wav": {"bpm": 60}})

    def make_saved_dataset(self) -> Dataset:
        beside = self.place / SAVING / "output" / "datasets"
        samples = [replace(sample, audio_path=str(beside / sample.filename)) for sample in self["dataset"].samples]
        return self["dataset"].with_samples(samples)

    def make_long_dataset(self) -> Dataset:
        return self.out("ACEStepScanDataset", folder="long", name="long")

    def make_broken_dataset(self) -> Dataset:
        whole, other_one = self["dataset"].samples
        gone = [replace(other_one, id=f"gone{number}", audio_path="/nowhere.wav") for number in range(2)]
        return replace(self["dataset"], samples=(whole, *gone))

    def make_trainset(self) -> Trainset:
        """With everything that a step can be told."""
        models = {"model": self["turbo"], "vae": self["vae"]}
        return self.out("ACEStepPreprocess", dataset=self["dataset"], **models, reference="self", window_seconds=5.0)

    def make_other_trainset(self) -> Trainset:
        return Trainset.open(self.ground.input / "trainsets" / "other")

    def make_train_settings(self) -> Any:
        return self.out("ACEStepTrainSettings", rank=4)

    def make_other_train_settings(self) -> Any:
        return self.out("ACEStepTrainSettings", rank=8)

    # --- what to compare

    def heard(self, kind: str, value: Any) -> Any:
        if kind == "ACESTEP_DATASET":
            told = [(training_texts(value, sample), sample.song(), sample.repeat) for sample in value.used]
            return spelt([value.name, told, genre_shares(value)])
        if kind == "ACESTEP_TRAINSET":
            return spelt([self.read(value, song) for song in range(len(value))])
        if kind == "ACESTEP_TRAIN_SETTINGS":
            self.bits.clear()
            run = self.call("ACEStepTrainLoRA", **self.usual_run | {"settings": value}, name="x", model=self["turbo"])
            return spelt([run[1], any(self.bits)])
        return super().heard(kind, value)

    def read(self, trainset: Trainset, song: int) -> list[Any]:
        """All that steps may see of a song."""
        whole = [] if trainset.manifest.length == "window" else [None]
        parts = [] if trainset.manifest.length == "full" else range(trainset.windows(song))
        seen = []
        for window in (*whole, *parts):
            sample = trainset.sample(song, window)
            states = [
                sample.conditions.states(genre, own_timbre=own) for genre in (False, True) for own in (False, True)
            ]
            seen += [sample.latents, sample.std, sample.context, states, sample.entry.genre_share]
        return seen


@pytest.fixture(scope="module")
def workshop(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainWorkshop]:
    place, threads = tmp_path_factory.mktemp("workshop"), torch.get_num_threads()
    torch.set_num_threads(1)  # for such small networks more only wait for each other
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("acestep_core.train.optimizers.PACKAGES", {"prodigy": "no_such_package"})
        patch.setattr("acestep_core.planner.understand.LYRICS_TOKENS", FEW)
        patch.setattr("acestep_core.train.latents.reference_clip", lambda wave, *_: wave[:, :RATE])  # not half a minute
        patch.setattr("acestep_core.train.label.format_song", partial(format_song, lyrics_tokens=FEW))
        made = TrainWorkshop(furnish(tiny_root, place), place)
        real = torch.use_deterministic_algorithms

        def told(mode: bool, **options: Any) -> None:
            made.bits.append(mode)
            real(mode, **options)

        patch.setattr(torch, "use_deterministic_algorithms", told)
        yield made
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("node_id", "name"), [pair for pair in inputs_of(True) if pair not in WITHOUT_EFFECT])
def test_it_does_something(node_id: str, name: str, workshop: TrainWorkshop) -> None:
    does_something(workshop, CHANGES, node_id, name)


@pytest.mark.parametrize(("node_id", "name"), hiding_inputs(True))
def test_what_it_hides_does_nothing(node_id: str, name: str, workshop: TrainWorkshop) -> None:
    hides_what_does_nothing(workshop, CHANGES, node_id, name)


@pytest.mark.parametrize("node_id", [node_id for node_id in CLASSES if is_training(node_id)])
def test_nothing_else_makes_a_difference(node_id: str, workshop: TrainWorkshop) -> None:
    """Without this the test above would show nothing."""
    assert workshop.run(node_id) == workshop.run(node_id, again=True)


def test_the_lists_name_what_there_is() -> None:
    names_what_there_is(CHANGES, WITHOUT_EFFECT, training=True)

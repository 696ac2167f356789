"""The folder that training reads."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acestep_core.errors import DatasetError
from acestep_core.train.trainset import Manifest, Trainset, window_frames, windows, write_tensors
from tests.train.small_trainset import random_trainset


def test_a_song_is_read_as_it_was_written(tmp_path: Path) -> None:
    trainset = random_trainset(tmp_path, [300, 200])
    sample = trainset.sample(1)
    assert len(trainset) == 2
    assert sample.latents.shape == sample.std.shape == (200, 64)
    assert sample.context.shape == (200, 128)
    assert torch.equal(sample.context[:, 64:], torch.ones(200, 64))
    assert sample.conditions.states().shape == (1, 7 + 1 + 9, 64)
    assert torch.equal(sample.conditions.states()[0, :7], sample.conditions.lyrics)
    assert torch.equal(sample.conditions.states(genre=True)[0, 8:], sample.conditions.captions["genre"])
    assert sample.conditions.states(lyrics=False).shape[1] == 5 + 1 + 9


def test_a_short_song_is_padded_with_silence_that_does_not_count(tmp_path: Path) -> None:
    sample = random_trainset(tmp_path, [30]).sample(0)
    assert (len(sample.latents), sample.frames) == (128, 30)
    assert torch.equal(sample.latents[30:], sample.context[:98, :64])  # silence, from its beginning
    assert not sample.std[30:].any()


def test_a_window_is_a_song_of_its_own(tmp_path: Path) -> None:
    trainset = random_trainset(tmp_path, [1000], window_seconds=10)
    whole = trainset.sample(0)
    assert trainset.windows(0) == 4
    for number in range(4):
        part, start = trainset.sample(0, number), whole.entry.windows[number]
        assert torch.equal(part.latents, whole.latents[start : start + 250])
        assert torch.equal(part.context, whole.context[:250])  # inference always begins with silence's beginning
        assert torch.equal(part.conditions.captions["caption"], part.conditions.states()[0, 8:])
        assert not torch.equal(part.conditions.states(), whole.conditions.states())
        assert part.entry.seconds == 10


def test_made_for_windows_only(tmp_path: Path) -> None:
    trainset = random_trainset(tmp_path, [1000, 100], length="window", window_seconds=10)
    with pytest.raises(DatasetError, match="length auto"):
        trainset.sample(0)
    assert trainset.sample(1).frames == 100


@given(frames=st.integers(1, 20_000), seconds=st.floats(5, 240))
def test_windows_cover_a_song_and_end_with_it(frames: int, seconds: float) -> None:
    size = window_frames(seconds)
    starts = windows(frames, size)
    assert starts == tuple(sorted(set(starts)))
    assert starts[0] == 0
    assert all(start % 5 == 0 for start in starts[:-1])
    if frames > size:
        assert starts[-1] + size == frames
        assert all(b - a <= size for a, b in pairwise(starts))
        assert len(starts) <= -(-frames // size) + 1


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    trainset = random_trainset(tmp_path, [200, 200])
    first, second = (entry.latents for entry in trainset.manifest.samples)
    (tmp_path / first).write_bytes((tmp_path / second).read_bytes())
    with pytest.raises(DatasetError, match="not the file"):
        trainset.sample(0)
    trainset.sample(1)
    (tmp_path / second).unlink()
    with pytest.raises(DatasetError, match="lacks"):
        Trainset.open(tmp_path)


@pytest.mark.parametrize("change", [
    lambda v: v.update(format=2),
    lambda v: v.pop("settings"),
    lambda v: v["samples"][0].update(latents="../elsewhere"),
    lambda v: v["samples"][0].update(frames=-1),
    lambda v: v["samples"][0].update(windows=[]),
    lambda v: v.update(samples=[]),
    lambda v: v.update(samples=[[]]),
])  # fmt: skip
def test_a_bad_manifest_is_a_sentence(tmp_path: Path, change: object) -> None:
    random_trainset(tmp_path, [200])
    values = json.loads((tmp_path / "manifest.json").read_text())
    change(values)  # type: ignore[operator]
    (tmp_path / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(DatasetError):
        Trainset.open(tmp_path)


def test_the_manifest_survives_a_round_trip(tmp_path: Path) -> None:
    manifest = random_trainset(tmp_path, [200, 300], window_seconds=5.12).manifest
    assert Manifest.from_json(manifest.to_json(), "x") == manifest
    assert Manifest.from_json(manifest.to_json(), "x").fingerprint == manifest.fingerprint


def test_the_same_tensors_are_the_same_file(tmp_path: Path) -> None:
    """Else songs prepared again would count as other songs, and a run could not go on."""
    tensors = {"mean": torch.ones(3, 64), "std": torch.zeros(3, 64)}
    about = {"name": "one", "windows": [0], "key": ""}
    assert len({write_tensors(tmp_path / f"{n}.safetensors", tensors, about) for n in range(12)}) == 1

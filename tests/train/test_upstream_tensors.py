"""Trainsets of upstream's program."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from acestep_core.errors import DatasetError
from acestep_core.train.upstream_tensors import import_upstream, is_upstream
from tests.train.small_trainset import random_trainset

SILENCE = torch.randn(400, 64, generator=torch.Generator().manual_seed(1))


def song(frames: int = 200, padding: int = 0, **changed: object) -> dict:
    made = torch.Generator().manual_seed(frames)
    total = frames + padding
    values = {
        "target_latents": torch.randn(total, 64, generator=made),
        "attention_mask": torch.cat([torch.ones(frames), torch.zeros(padding)]),
        "encoder_hidden_states": torch.randn(12, 48, generator=made),
        "encoder_attention_mask": torch.tensor([1] * 9 + [0] * 3),
        "context_latents": torch.cat([SILENCE[:total], torch.ones(total, 64)], dim=1),
        "metadata": {"filename": "a.wav", "caption": "x", "bpm": 120, "custom_tag": "tag", "lyrics": None},
    }
    return values | changed


def saved(folder: Path, **songs: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in songs.items():
        torch.save(values, folder / f"{name}.pt")
    return folder


def test_a_song_is_what_upstream_trains_without_its_padding(tmp_path: Path) -> None:
    folder = saved(tmp_path / "up", a=song(200, 30), b=song(150))
    saved(folder, **{"c.tmp": song(180)})
    assert is_upstream(folder)
    trainset = import_upstream(folder, tmp_path / "ours")
    assert len(trainset) == 2
    sample, original = trainset.sample(0), song(200, 30)
    assert torch.equal(sample.latents, original["target_latents"][:200])
    assert torch.equal(sample.context, original["context_latents"][:200])
    assert torch.equal(sample.conditions.states()[0], original["encoder_hidden_states"][:9])
    assert not sample.std.any()
    assert (sample.entry.name, sample.entry.tag) == ("a.wav", "tag")
    assert "preprocess the recordings again" in trainset.manifest.problems[""]


@pytest.mark.parametrize("name", ["a.pt", "./tensors/a.pt", "C:\\up\\a.pt", "/somewhere/else/a.pt"])
def test_upstreams_manifest_says_which(tmp_path: Path, name: str) -> None:
    folder = saved(tmp_path / "up", a=song(200), b=song(150))
    (folder / "manifest.json").write_text(json.dumps({"metadata": {}, "samples": [name]}))
    assert is_upstream(folder)
    assert len(import_upstream(folder, tmp_path / "ours")) == 1


@pytest.mark.parametrize(("wrong", "reason"), [
    (song(context_latents=torch.cat([song()["target_latents"], torch.ones(200, 64)], dim=1)), "learn to copy"),
    (song(context_latents=torch.cat([SILENCE[:200], torch.zeros(200, 64)], dim=1)), "another task"),
    (song(context_latents=torch.cat([SILENCE[:200] + 1, torch.ones(200, 64)], dim=1)), "silence alone"),
    (song(target_latents=torch.full((200, 64), torch.nan)), "no numbers"),
    (song(target_latents=torch.zeros(200, 8)), "wrong shape"),
    (song(attention_mask=torch.zeros(200)), "padding"),
    ({"something": "else"}, "lacks"),
    ([1, 2], "lacks"),
])  # fmt: skip
def test_what_does_not_fit_is_named_and_the_rest_is_taken(tmp_path: Path, wrong: object, reason: str) -> None:
    folder = saved(tmp_path / "up", a=song(300), wrong=wrong)
    trainset = import_upstream(folder, tmp_path / "ours")
    assert len(trainset) == 1
    assert any("wrong.pt" in text and reason in text for text in trainset.manifest.problems.values())
    trainset.sample(0)


def test_a_file_that_runs_code_does_not_run_it(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "it ran",))

    folder = saved(tmp_path / "up", a=song(), b={**song(), "metadata": Attack()})
    (folder / "c.pt").write_bytes(pickle.dumps(Attack()))
    (folder / "d.pt").write_bytes(b"")
    trainset = import_upstream(folder, tmp_path / "ours")
    assert len(trainset) == 1 and not (tmp_path / "it ran").exists()
    assert len(trainset.manifest.problems) == 4


def test_what_is_none_of_upstreams(tmp_path: Path) -> None:
    random_trainset(tmp_path / "ours", [200])
    assert not is_upstream(tmp_path / "ours") and not is_upstream(tmp_path / "none")
    with pytest.raises(DatasetError, match=r"no \.pt files"):
        import_upstream(tmp_path, tmp_path / "target")
    with pytest.raises(DatasetError, match="all 1"):
        import_upstream(saved(tmp_path / "bad", a={}), tmp_path / "target")

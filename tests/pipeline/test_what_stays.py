"""A thousand songs in one process: what a call worked with is gone when it returns."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch

from acestep_core import cover, generate, label, lrc, repaint, score, train_adapter, understand
from acestep_core.train.scan import scan
from acestep_core.train.settings import TrainSettings
from tests.train.making_trainsets import write_trainset

SHORT = {"steps": 2, "duration": 10}


def held() -> int:
    """Bytes of all tensors that Python still reaches, each storage once."""
    gc.collect()
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter) and thing.device.type == "cpu":
            storage = thing.untyped_storage()
            found[storage._cdata] = storage.nbytes()
    return sum(found.values())


def test_nothing_stays(tiny_models, tiny_base, tmp_path) -> None:
    song = generate("a song", models=tiny_models, seed=1, lyrics="[Verse]\nla la la", think=True, **SHORT)
    song.save(tmp_path / "songs" / "song.wav")
    songs = write_trainset(tmp_path / "set")
    settings = TrainSettings.of(rank=4, epochs=1)
    heard = scan(tmp_path / "songs")
    calls: dict[str, Callable[[int], object]] = {
        "generate": lambda n: generate("a song", models=tiny_models, seed=n, batch=2, think=True, **SHORT),
        "guided": lambda n: generate("a song", models=tiny_base, seed=n, references=[song], **SHORT),
        "repaint": lambda n: repaint(song, 2, 6, models=tiny_models, seed=n, steps=2),
        "cover": lambda n: cover(song, "a song", models=tiny_models, seed=n, steps=2),
        "understand": lambda n: understand(song, models=tiny_models, seed=n),
        "score": lambda n: score(song, "a song", models=tiny_models),
        "lrc": lambda n: lrc(song, models=tiny_models),
        "label": lambda n: label(heard, tiny_models.model, tiny_models.vae, tiny_models.lm, tmp_path / "kept", seed=n),
        "train": lambda n: list(train_adapter(songs, tiny_base, f"run {n}", tmp_path / "runs", settings)),
    }
    more = {}
    for name, call in calls.items():
        for n in (100, 101):  # what is kept for the next call is there after these
            call(n)
        before = held()
        for n in (102, 103):
            call(n)
        more[name] = max(0, held() - before)
    assert more == dict.fromkeys(calls, 0)

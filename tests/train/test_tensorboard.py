"""TensorBoard gets what the log gets, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from acestep_core.train import tensorboard
from acestep_core.train.tensorboard import FOLDER, event_writer, numbers_of

STEP = {"kind": "step", "step": 4, "loss": 0.5, "smooth": 0.6, "lr": 1e-4, "grad_norm": None, "buckets": [None, 0.25]}


def test_records_have_names_there_and_what_is_no_number_is_left_out():
    assert numbers_of(STEP) == {"train/loss": 0.5, "train/loss_smooth": 0.6, "train/lr": 1e-4, "train/loss_t/1": 0.25}
    assert numbers_of({"kind": "epoch", "step": 4, "epoch": 1, "loss": 0.5}) == {"train/loss_epoch": 0.5}
    assert numbers_of({"kind": "epoch", "step": 4, "epoch": 1, "loss": None}) == {}
    assert numbers_of({"kind": "validation", "step": 4, "loss": 0.7}) == {"val/loss": 0.7}
    assert numbers_of({"kind": "checkpoint", "step": 4}) == {}


def test_without_the_package_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    assert event_writer(tmp_path, 0) is None and not list(tmp_path.iterdir())


def test_its_files_hold_the_curve_and_the_test_songs(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    song = tmp_path / "song.flac"
    soundfile.write(song, np.zeros((48_000, 2)), 48_000)
    for begins, losses in ((0, (0.9, 0.8, 0.7)), (2, (0.6,))):  # goes on after step 2: step 3 is told again
        write = event_writer(tmp_path, begins)
        assert write is not None
        for step, loss in enumerate(losses, begins + 1):
            write({**STEP, "step": step, "loss": loss})
    write({"kind": "sample", "step": 3, "files": [str(song), str(tmp_path / "song.json")]})
    write({"kind": "done", "step": 3})
    events = accumulator.EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    assert [(e.step, round(e.value, 3)) for e in events.Scalars("train/loss")] == [(1, 0.9), (2, 0.8), (3, 0.6)]
    assert [e.step for e in events.Audio("test song")] == [3]

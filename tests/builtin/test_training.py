"""The build of the built-in model: two processes, in pieces or at once, and the same seed makes the same weights."""

import time
from pathlib import Path

import pytest

from acestep_core.builtin import training
from acestep_core.builtin.demo import TRAINING, build_demo, is_demo
from acestep_core.checkpoints.verify import check
from acestep_core.errors import Cancelled, TrainingError
from acestep_core.monitor import Monitor

STEPS = {"reader": 3, "codes": 2, "player": 2, "thinker": 2}


def weights(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.safetensors")}


def test_the_same_seed_makes_the_same_files_in_pieces_or_at_once(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    whole = build_demo(tmp_path / "whole", 4, monitor=Monitor(lambda *said: told.append(said[:3])), steps=STEPS)
    assert whole.finished
    assert told[-1] == ("Training", 9, 9)
    assert is_demo(tmp_path / "whole")
    assert check(tmp_path / "whole").ok

    pieces = tmp_path / "pieces"
    first = build_demo(pieces, 4, until=time.monotonic(), steps=STEPS)
    assert not first.finished
    assert first.thinker.done == 0
    assert build_demo(pieces, 4, steps=STEPS).finished
    assert len(weights(pieces)) == 4
    assert weights(pieces) == weights(tmp_path / "whole")


def test_who_cancels_ends_both_processes_and_loses_nothing(tmp_path: Path) -> None:
    begun: list[int] = []
    with pytest.raises(Cancelled):
        build_demo(tmp_path, 0, monitor=Monitor(lambda _, done, *__: begun.append(done), lambda: bool(begun)))
    assert not list((tmp_path / TRAINING).glob("*.tmp*"))


def test_a_part_that_fails_is_named(tmp_path: Path) -> None:
    state = tmp_path / TRAINING
    state.mkdir()
    (state / "codes.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match="codes and player"):
        training.train_all(state, 0, None, steps=STEPS)

"""The build of the built-in model: two processes, which can be stopped, and the same seed makes the same weights."""

import multiprocessing
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


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
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


def test_who_cancels_ends_both_processes(tmp_path: Path) -> None:
    begun: list[int] = []
    with pytest.raises(Cancelled):
        build_demo(tmp_path, 0, monitor=Monitor(lambda _, done, *__: begun.append(done), lambda: bool(begun)))
    assert not multiprocessing.active_children()
    assert not list((tmp_path / TRAINING).glob("*.tmp*"))


@pytest.mark.parametrize(
    ("part", "chain"), [("codes", "codes and player"), ("thinker", "reader and thinker")], ids=["first", "last"]
)
def test_a_part_that_fails_is_named(part: str, chain: str, tmp_path: Path) -> None:
    state = tmp_path / TRAINING
    state.mkdir()
    (state / f"{part}.pt").write_bytes(b"no state")
    with pytest.raises(TrainingError, match=chain):
        training.train_all(state, 0, None, steps=STEPS)
    assert not multiprocessing.active_children()

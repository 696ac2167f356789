"""The stages of a dataset on many workers: what they make ahead, and that the result is that of one process."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from acestep_core.commands.main import main
from acestep_core.errors import HostError
from acestep_core.host.client import ray_calls
from acestep_core.host.client.ray_calls import CallActor, CallWork, call_on_ray, parts_of
from acestep_core.host.client.ray_workers import RayOptions
from acestep_core.train import label, preprocess
from tests.host.pretended_ray import RayError, pretended_pool
from tests.train.recordings import write_tone


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_calls, "ray_pool", pretended_pool)


def stages(folder: Path, songs: Path, tiny_root: Path, *engine: str) -> dict[str, bytes]:
    """All files of a dataset and its trainset, made by the commands; paths in them are the same."""
    file = folder / "set.json"
    models = ("--models", str(tiny_root), "--device", "cpu")
    assert main(["dataset", "scan", str(songs), "-o", str(file), *engine]) == 0
    assert main(["dataset", "label", str(file), *models, *engine]) == 0
    assert main(["dataset", "preprocess", str(file), "--max-seconds", "10", *models, *engine]) == 0
    written = json.loads(file.read_text())
    del written["metadata"]["created_at"]
    file.write_text(json.dumps(written))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def test_they_are_those_of_one_process_bit_for_bit(
    tmp_path: Path, tiny_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = tmp_path / "songs"
    for number in range(3):
        write_tone(songs / f"{number}.wav", 2.0, 110 * (number + 1))
    (songs / "0.txt").write_text("la la")
    (songs / "3.wav").write_bytes(b"no sound")
    serial = stages(tmp_path / "serial", songs, tiny_root)
    told = capsys.readouterr().out

    calls: list[str] = []
    act = CallActor.run

    def dies_at_first(self: CallActor, work: CallWork) -> Any:
        calls.append(work.function.__name__)
        if calls.count(work.function.__name__) == 1:
            raise RayError("It was killed.")
        return act(self, work)

    monkeypatch.setattr(CallActor, "run", dies_at_first)
    monkeypatch.setattr(label, "writing", in_workers(label.writing))
    monkeypatch.setattr(preprocess, "_states", in_workers(preprocess._states))
    parallel = stages(tmp_path / "parallel", songs, tiny_root, "--engine", "ray", "--workers", "2")
    assert parallel == serial
    assert capsys.readouterr().out == told.replace("serial", "parallel")
    counts = [calls.count(name) for name in ("looked_at", "heard", "prepared")]
    assert counts[0] > 4 and counts[1] > 3 and counts[2] > 3  # one for each recording, and one that died


def in_workers(function: Any) -> Any:
    """Refuses to run in the main thread, which is the driver's."""

    def checked(*arguments: Any, **more: Any) -> Any:
        assert threading.current_thread() is not threading.main_thread(), "This was to be made by workers."
        return function(*arguments, **more)

    return checked


def test_a_part_that_loses_every_worker_ends_the_stage() -> None:
    def lost(part: Any, heard: Any) -> None:
        raise RayError("It was killed.")

    with pytest.raises(HostError, match=r"3 times with a\.wav"):
        call_on_ray(RayOptions(workers=1), ["a.wav"], 1, lambda part: CallWork(lost, (part,)), lambda *_: None)


def test_parts_are_small_enough_that_all_end_together() -> None:
    assert [len(part) for part in parts_of(range(40), workers=2, most=16)] == [5] * 8
    assert [len(part) for part in parts_of(range(200), workers=1, most=16)] == [16] * 12 + [8]
    assert [len(part) for part in parts_of(range(3), workers=4, most=16)] == [1, 1, 1]

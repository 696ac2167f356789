"""Two processes on the processor, begun as `accelerate launch` begins them, are one with twice the accumulation."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from acestep_core.errors import InvalidInput
from acestep_core.train.checkpoints import OPTIMIZER, WEIGHTS, RunFolder
from acestep_core.train.ranks import ALONE, together
from acestep_core.train.settings import TrainSettings
from acestep_core.train.trainer import Trainer
from tests.capabilities import needs_kills
from tests.train.making_trainsets import write_trainset

pytest.importorskip("accelerate")
ROOT = Path(__file__).parents[2]
FRAMES = (150, 200, 150, 128, 150)
"""An odd number, so that the second process has nothing to do in the last step of an epoch."""


@contextmanager
def launched(arguments: list[str], folder: Path) -> Iterator[list[subprocess.Popen[str]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(2):
        world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        env = {**os.environ, **{name: str(value) for name, value in world.items()}, "MASTER_ADDR": "127.0.0.1"}
        command = [sys.executable, "-m", "acestep_core.commands.main", "train", *arguments]
        env["PYTHONPATH"] = str(ROOT)
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, cwd=folder, env=env, **pipes))  # type: ignore[call-overload]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stderr.close()  # type: ignore[union-attr]


def arguments(tiny_root: Path, **flags: object) -> list[str]:
    given = {"models": tiny_root, "variant": "base", "device": "cpu", "rank": 4, "log-every": 1, "save-minutes": 0,
             "name": "together", "runs": "runs", **flags}  # fmt: skip
    return ["set", *(part for name, value in given.items() for part in (f"--{name}", str(value)))]


def alone(folder: Path, models, **flat) -> RunFolder:
    settings = TrainSettings.of(**{"rank": 4, "log_every": 1, "save_minutes": 0, **flat})
    songs = write_trainset(folder / "set", FRAMES)
    records = list(Trainer(songs, models.model, folder / "runs" / "alone", settings).records())
    assert records[-1]["kind"] == "done"
    return RunFolder(folder / "runs" / "alone")


def told(run: RunFolder) -> list[list[object]]:
    keys = ("step", "loss", "smooth", "grad_norm", "lr", "buckets", "samples", "t_mean")
    return [[record[key] for key in keys] for record in run.records() if record["kind"] == "step"]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_two_processes_are_one_with_twice_the_accumulation(accumulation, tiny_root, tiny_base, tmp_path) -> None:
    one = alone(tmp_path, tiny_base, accumulation=2 * accumulation, epochs=4)
    with launched(arguments(tiny_root, accumulation=accumulation, epochs=4), tmp_path) as processes:
        said = [process.stderr.read() for process in processes]
        assert [process.wait() for process in processes] == [0, 0], said
    two = RunFolder(tmp_path / "runs" / "together")
    assert "step 1, loss" in said[0] and "step" not in said[1]  # one of them reports
    assert two.settings()["settings"] == one.settings()["settings"]
    last = one.latest()
    assert last is not None and two.latest().step == last.step
    for name in (WEIGHTS, OPTIMIZER):
        for key, tensor in last.tensors(name).items():
            other = two.latest().tensors(name)[key]
            if accumulation == 1:  # a sum of two is the same in any order
                assert torch.equal(other, tensor), key
            else:
                torch.testing.assert_close(other, tensor, rtol=0, atol=1e-5)
    if accumulation == 1:
        assert told(one) == told(two)


@needs_kills
@pytest.mark.parametrize("what", ["all are asked to end", "one is killed"])
def test_what_two_processes_began_one_ends(what, tiny_root, tiny_base, tmp_path) -> None:
    write_trainset(tmp_path / "set", FRAMES)
    with launched(arguments(tiny_root, epochs=1000, **{"lr-schedule": "constant", "warmup": 0}), tmp_path) as processes:
        said = ""
        while "step 4," not in said:
            line = processes[0].stderr.readline()
            assert line, said
            said += line
        for process in processes[1:] if what == "one is killed" else processes:
            process.send_signal(signal.SIGKILL if what == "one is killed" else signal.SIGTERM)
        said += processes[0].stderr.read()
        ended = [process.wait() for process in processes]
    if what == "one is killed":
        assert ended[0] == 1 and "Another process of this run has ended" in said
    else:
        assert ended == [130, 130], said
    run = RunFolder(tmp_path / "runs" / "together")
    reached = run.latest()
    assert reached is not None and reached.step >= 4
    steps = reached.step + 3
    flat = {"accumulation": 2, "max_steps": steps, "lr_schedule": "constant", "warmup": 0, "epochs": 1000}
    settings = TrainSettings.of(rank=4, log_every=1, save_minutes=0, **flat)
    songs = write_trainset(tmp_path / "set", FRAMES)
    records = list(Trainer(songs, tiny_base.model, run.folder, settings).records())
    assert records[0]["kind"] == "start" and records[0]["step"] == reached.step  # and there is nothing to remark
    one = alone(tmp_path, tiny_base, **flat)
    for name in (WEIGHTS, OPTIMIZER):
        file = Path("checkpoints") / str(steps) / name
        assert (run.folder / file).read_bytes() == (one.folder / file).read_bytes()


def test_what_is_asked_of_several(monkeypatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with together("cuda:1") as ranks:
        assert (ranks.number, ranks.count, ranks.device, ranks.first) == (0, 1, "cuda:1", True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidInput, match="leave the device out"), together("cuda:1"):
        pass
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with (
        pytest.raises(InvalidInput, match=r"need accelerate; install it with `.+ -m pip install accelerate`"),
        together("cpu"),
    ):
        pass


def test_alone_nothing_is_asked_of_others() -> None:
    assert ALONE.told("a") == "a" and ALONE.least(3) == 3 and list(ALONE.share("ab")) == [(0, "a"), (1, "b")]
    assert [ALONE.go_on(wanted, False) for wanted in (True, False)] == [True, False]

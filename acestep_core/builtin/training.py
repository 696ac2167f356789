"""The trained parts of the built-in model, in the order in which one needs another, and two processes that train them.

Each has one thread, so that the same seed makes the same weights however many cores there are.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from acestep_core.builtin import coder, player, reader, thinker
from acestep_core.builtin.practice import Course, Progress, train
from acestep_core.errors import TrainingError
from acestep_core.monitor import SILENT, Monitor

STEPS = {"reader": reader.STEPS, "codes": coder.STEPS, "player": player.STEPS, "thinker": thinker.STEPS}
CHAINS = (("reader", "thinker"), ("codes", "player"))
"""What one process trains, one after another: the language model begins as the text encoder. The others need nobody."""
SECONDS = 0.2
"""How often it is asked whether to stop."""


def train_all(
    folder: Path, seed: int, until: float | None, monitor: Monitor = SILENT, steps: Mapping[str, int] = STEPS
) -> dict[str, Progress]:
    """Trains all parts where `folder` has them, to their ends or to a time; by name.

    Args:
        until: `time.monotonic()` at which to stop.
        steps: of each part.

    Raises:
        TrainingError: a part's training failed; what it said stands on the error output.
    """
    spawn = multiprocessing.get_context("spawn")
    ticks: Any = spawn.Queue()
    processes = [spawn.Process(target=_train, args=(names, folder, seed, until, steps, ticks)) for names in CHAINS]
    done: dict[str, int] = {}

    def failed() -> tuple[str, ...] | None:
        return next((names for names, process in zip(CHAINS, processes, strict=True) if process.exitcode), None)

    def hear(wait: float) -> bool:
        try:
            name, number = ticks.get(timeout=wait)
        except queue.Empty:
            monitor.check()
            return False
        done[name] = number
        monitor.tick("Training", sum(done.values()), sum(steps.values()))
        return True

    try:
        for process in processes:
            process.start()
        while not failed() and any(process.is_alive() for process in processes):
            hear(SECONDS)
        if names := failed():
            raise TrainingError(f"Training {' and '.join(names)} failed; what is said above says why.")
        while hear(0):
            pass
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()  # states are written whole or not at all
                process.join()
    return _stand(folder, seed, steps)


def text_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text encoder's weights among those of a reader."""
    return {name.removeprefix("text."): tensor for name, tensor in weights.items() if name.startswith("text.")}


def _train(
    names: tuple[str, ...], folder: Path, seed: int, until: float | None, steps: Mapping[str, int], ticks: Any
) -> None:
    """One process: some parts, one after another."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began it stops it
    torch.set_num_threads(1)
    begun_by = multiprocessing.parent_process()
    assert begun_by is not None

    def alone() -> bool:
        if begun_by.is_alive():
            return False
        ticks.cancel_join_thread()  # nobody reads them any more
        return True

    monitor = Monitor(lambda name, done, _total, _preview: ticks.put((name, done)), alone)
    earlier: dict[str, Progress] = {}
    for name in names:
        earlier[name] = train(_course(name, seed, steps[name], earlier), folder, seed, until, monitor)
        ticks.put((name, earlier[name].done))


def _stand(folder: Path, seed: int, steps: Mapping[str, int]) -> dict[str, Progress]:
    """How far all parts are, by what `folder` has of them."""
    found: dict[str, Progress] = {}
    for name in steps:
        found[name] = train(_course(name, seed, steps[name], found), folder, seed, until=0.0)
    return found


def _course(name: str, seed: int, steps: int, earlier: Mapping[str, Progress]) -> Course:
    """A part's training; `earlier` has the parts that it needs."""
    if name == "thinker":
        return thinker.course(seed, text_weights(earlier["reader"].weights), steps)
    return {"reader": reader.course, "codes": coder.course, "player": player.course}[name](seed, steps)

"""Kills a writer with SIGKILL before each of its operations on files, one after the other, and starts it again.

Runs as a program of its own, which forks for every attempt: `python -m tests.crash_sweep MODULE SCENARIO FOLDER [N]`.
With N only so many operations are drawn, always the same ones.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
MOMENT = "tests.moment"
"""What a writer may raise with `sys.audit` between operations, to be killed there, too."""
EVENTS = (MOMENT, "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "fcntl.flock")


class Scenario(Protocol):
    """What is tried; every method gets an empty folder of its own."""

    @staticmethod
    def prepare(folder: Path) -> None:
        """Makes what is there before."""

    @staticmethod
    def write(folder: Path) -> None:
        """Is killed, and then run again as a whole."""

    @staticmethod
    def killed(folder: Path) -> None:
        """Asserts what holds after the kill."""

    @staticmethod
    def restarted(folder: Path) -> None:
        """Asserts what holds after the second run."""


def sweep(module: str, scenario: str, folder: Path, drawn: int = 0) -> int:
    """Runs the sweep and gives the number of points at which the writer was killed.

    Args:
        drawn: how many points are drawn; 0 takes all.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_sweep", module, scenario, str(folder), str(drawn)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def kill_before(number: int, *, only: str = "") -> Callable[[], int]:
    """From now on this process dies before its `number`-th operation on files; `only` counts one kind.

    Returns:
        What tells how many there have been.
    """
    count = 0

    def watch(event: str, args: tuple[object, ...]) -> None:
        nonlocal count
        written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event == only or (not only and (event in EVENTS or written)):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    def hooked(original: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            watch("os.rename", ())  # counted like one
            return original(*args)

        return call

    sys.addaudithook(watch)
    if not only:
        os.fsync, os.write = hooked(os.fsync), hooked(os.write)  # type: ignore[assignment]
    return lambda: count


def in_child(call: Callable[[], object]) -> int:
    """Runs in a forked process; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def check(folder: Path, *steps: Callable[[Path], None]) -> None:
    """Runs steps in processes of their own, and ends this one where one fails."""
    for step in steps:
        if in_child(lambda step=step: step(folder)):  # type: ignore[misc]
            sys.exit(f"{step.__qualname__} failed in {folder}.")


def draw(scenario: Scenario, base: Path, drawn: int) -> list[int]:
    """Some of the operations of a whole run."""
    folder, told = base / "counted", base / "count"
    folder.mkdir()

    def whole(folder: Path) -> None:
        count = kill_before(0)
        scenario.write(folder)
        told.write_text(str(count()))

    check(folder, scenario.prepare, whole)
    return sorted(random.Random(0).sample(range(1, int(told.read_text()) + 1), drawn))


def main(module: str, name: str, base: Path, drawn: int) -> None:
    scenario: Scenario = getattr(import_module(module), name)
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # a kill, unlike a power cut, loses nothing of it
    killed = 0
    for number in draw(scenario, base, drawn) if drawn else itertools.count(1):
        folder = base / str(number)
        folder.mkdir()

        def attempt(number: int = number, folder: Path = folder) -> None:
            kill_before(number)
            scenario.write(folder)

        check(folder, scenario.prepare)
        status = in_child(attempt)
        if status == 0 and not drawn:
            break
        if status != -signal.SIGKILL:
            sys.exit(f"{name}.write failed in {folder}.")
        check(folder, scenario.killed, scenario.write, scenario.restarted)
        killed += 1
    sys.stdout.write(str(killed))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)

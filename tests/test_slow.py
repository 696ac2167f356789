"""What `slow.txt` names is there, and the options of the tests do what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

NAMES = Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", NAMES)
def test_each_slow_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    file = Path(__file__).parents[1] / path
    assert file.exists()
    assert not function or f"def {function}(" in file.read_text(encoding="utf-8")


def test_rounds_run_every_test_again() -> None:
    """What shows that a test leaves something behind, or fails now and then, must not run it once."""
    found = []
    for rounds in ("1", "3"):
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", __file__, "--rounds", rounds]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
        found.append(int(done.stdout.split()[1]))
    assert found[1] == 3 * found[0]

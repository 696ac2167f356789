"""A test depends neither on the number of threads nor on what ran before it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("tests/models/test_adapters.py", "tests/models/test_manager.py", "tests/test_seeds.py")
"""Where threads, and what stays behind in a model, matter most."""


@pytest.mark.parametrize("threads", [2, max(3, os.cpu_count() or 1)])
def test_more_threads_another_order_and_a_second_time(threads: int) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--shuffle", "1", "--rounds", "2", *FILES]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]

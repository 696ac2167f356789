"""The reference data may be any folder of the same form: the parity tests know no case by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_data import golden_dir
from tests.parity.another_folder import another_folder

ROOT = Path(__file__).parents[2]
READERS = ("tests/parity", "tests/test_vocabulary.py", "tests/song/test_codes.py", "tests/checkpoints/test_shapes.py")
"""The tests that read the reference data."""
NOT_ONCE_MORE = ("tests/parity/test_another_folder.py", "tests/parity/test_diffusers.py")


@pytest.mark.parametrize("half", [0, 1])
def test_every_half_of_the_reference_data_is_a_set_of_its_own(half: int, tmp_path: Path) -> None:
    another_folder(golden_dir(), tmp_path / "golden", half)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rf", *READERS]
    command += [f"--ignore={path}" for path in NOT_ONCE_MORE]
    environment = {**os.environ, "ACESTEP_GOLDEN": str(tmp_path / "golden")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 300, done.stdout[-1000:]

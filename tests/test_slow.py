"""What `slow.txt` names is there."""

from __future__ import annotations

from pathlib import Path

import pytest

NAMES = Path(__file__).with_name("slow.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", NAMES)
def test_each_slow_test_exists(name: str) -> None:
    path, _, function = name.partition("::")
    file = Path(__file__).parents[1] / path
    assert file.exists()
    assert not function or f"def {function}(" in file.read_text(encoding="utf-8")

"""Tests that need what only some systems have say so, by the marks and helpers of `capabilities.py`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent
HELPED = {r"\.symlink_to\(|os\.symlink\(|os\.readlink\(": "link", r"\bgete?uid\b|chmod\(0\)": "close_to_reading"}
"""How it is written where a helper of `capabilities.py` should be called instead."""
MARKED = {
    r"\"/proc/|'/proc/": "needs_proc",
    r"signal\.SIGKILL|os\.fork\(|import .*\bsweep\b": "needs_kills",
    r"\bimport (\w+, )*resource\b": "needs_rusage",
}
"""How it is written in files whose tests carry the mark."""


def lacking(text: str) -> list[str]:
    """What a file with tests uses without asking whether it is there."""
    marked = {use: mark for use, mark in MARKED.items() if not re.search(rf"(@|= ){mark}\b", text)}
    return [name for use, name in (HELPED | marked).items() if re.search(use, text)]


def test_who_needs_what_only_some_systems_have_says_so() -> None:
    files = [path for path in ROOT.rglob("test_*.py") if path != Path(__file__)]
    wrong = {path.relative_to(ROOT).as_posix(): lacking(path.read_text(encoding="utf-8")) for path in files}
    assert not {name: what for name, what in wrong.items() if what}


def test_nobody_asks_before_the_tests_begin() -> None:
    """A module that is absent on some system, imported at the top, loses all tests of its file there."""
    absent = {"resource", "fcntl", "pwd", "grp", "termios", "msvcrt", "winreg"}
    wrong = []
    for path in ROOT.rglob("*.py"):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Import) and absent & {alias.name for alias in statement.names}:
                wrong.append(path.relative_to(ROOT).as_posix())
    assert not wrong


def test_what_is_lacking_is_seen() -> None:
    assert lacking("path.symlink_to(other)") == ["link"] and not lacking("link(path, other)")
    assert lacking('Path("/proc/self/maps")') == ["needs_proc"] and lacking("os.geteuid()") == ["close_to_reading"]
    assert not lacking('@needs_proc\ndef test_maps(): Path("/proc/self/maps")')
    assert lacking("os.kill(1, signal.SIGKILL)") == lacking("import ROOT, sweep") == ["needs_kills"]
    assert lacking("import os, resource, sys") == ["needs_rusage"]

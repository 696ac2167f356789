"""Tests that need what only some systems have say so, by the marks and helpers of `capabilities.py`."""

from __future__ import annotations

import ast
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.canvas import browser
from tests.capabilities import link

ROOT = Path(__file__).parent
HELPED = {r"\.symlink_to\(|os\.symlink\(|os\.readlink\(": "link", r"\bgete?uid\b|chmod\(0\)": "close_to_reading"}
"""How it is written where a helper of `capabilities.py` should be called instead."""
MARKED = {
    r"\"/proc/|'/proc/": "needs_proc",
    r"signal\.SIGKILL|os\.fork\(|\bimport sweep\b": "needs_kills",
    r"\bimport resource\b": "needs_rusage",
}
"""How it is written in tests that carry the mark, or in what these use of their file."""


def lacking(text: str) -> list[str]:
    """What a file with tests uses without asking whether it is there."""
    return [name for use, name in HELPED.items() if re.search(use, text)] + [
        mark for use, mark in MARKED.items() if re.search(use, _one_by_one(text)) and _unmarked(text, use, mark)
    ]


def _one_by_one(text: str) -> str:
    """`text` with a line of its own for each name that is imported."""
    return re.sub(r"\bimport ([\w, ]+)", lambda found: "\n".join(f"import {n}" for n in found[1].split(", ")), text)


def _unmarked(text: str, use: str, mark: str) -> list[str]:
    """Tests that come to `use`, by way of other names of their file, too, without `mark`."""
    lines, statements, needed = text.split("\n"), ast.parse(text).body, use
    if any(re.fullmatch(rf"pytestmark = {mark}", ast.unparse(statement)) for statement in statements):
        return []
    parts = {name: part for statement in statements for name, part in _named(statement, lines)}
    for _ in parts:  # a name may be used by one before it
        users = [name for name, part in parts.items() if not _is_test(name) and re.search(needed, part)]
        needed = "|".join([use, *(rf"\b{name}\b" for name in users)])
    return [name for name, part in parts.items() if _is_test(name) and re.search(needed, part) and mark not in part]


def _named(statement: ast.stmt, lines: list[str]) -> list[tuple[str, str]]:
    """The names that a statement gives, and how each comes about."""
    first = min([statement.lineno, *(mark.lineno for mark in getattr(statement, "decorator_list", []))])
    part = _one_by_one("\n".join(lines[first - 1 : statement.end_lineno]))
    match statement:
        case ast.Import() | ast.ImportFrom():
            names = [alias.asname or alias.name for alias in statement.names]
            return [(name, f"import {name}") for name in names]
        case ast.Assign(targets=[ast.Name(name)]):
            return [(name, part)]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [(statement.name, part)]
    return []


def _is_test(name: str) -> bool:
    return name.startswith(("test_", "Test"))


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
    assert lacking("os.geteuid()") == ["close_to_reading"]
    maps = 'def test_maps(): Path("/proc/self/maps")'
    assert lacking(maps) == ["needs_proc"] and not lacking(f"@needs_proc\n{maps}")
    assert lacking(f"@needs_proc\n{maps}\n{maps.replace('maps', 'others')}") == ["needs_proc"]
    assert lacking("def test_it(): os.kill(1, signal.SIGKILL)") == ["needs_kills"]
    assert not lacking("pytestmark = needs_kills\ndef test_it(): os.kill(1, signal.SIGKILL)")
    assert lacking("from tests.crash_sweep import ROOT, sweep\ndef test_it(): sweep(1)") == ["needs_kills"]
    assert not lacking("def sweep(): pass\ndef test_it(): sweep()")
    assert lacking("def test_it():\n    import os, resource, sys") == ["needs_rusage"]
    assert lacking('CODE = """\nimport os, resource\n"""\ndef test_it(): run(CODE)') == ["needs_rusage"]
    helped = "def test_it(): peak()\ndef peak(): return int(CODE)\nCODE = \"read('/proc/x')\""
    assert lacking(helped) == ["needs_proc"] and not lacking(f"@needs_proc\n{helped}")


def test_where_a_user_may_make_no_links_a_test_is_skipped(monkeypatch, tmp_path) -> None:
    def refused(*_: object, **options: object) -> None:
        raise OSError(22, "A required privilege is not held by the client")  # on Windows without developer mode

    monkeypatch.setattr(Path, "symlink_to", refused)
    with pytest.raises(pytest.skip.Exception, match="privilege"):
        link(tmp_path / "link", tmp_path)


def test_a_browser_is_found_where_the_system_has_none_in_its_path(monkeypatch, tmp_path) -> None:
    """macOS and Windows put none there; `playwright install chromium` brings one of its own."""
    sync_api = pytest.importorskip("playwright.sync_api")
    own = tmp_path / "chromium"
    playwright = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(own)))
    monkeypatch.setattr(sync_api, "sync_playwright", lambda: nullcontext(playwright))
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert browser.chromium.__wrapped__() is None
    own.touch()
    assert browser.chromium.__wrapped__() == str(own)

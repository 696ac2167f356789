from __future__ import annotations

import sys
from pathlib import PureWindowsPath

import pytest

from acestep_core.io.terminal import pip_install, typed


@pytest.mark.parametrize(
    "path",
    [r"C:\ComfyUI_windows_portable\python_embeded\python.exe", "/opt/venv/bin/python3.11", r"D:\노래\acestep-nodes"],
)
def test_a_plain_path_needs_no_quotes(path: str) -> None:
    """PowerShell would take a quoted first word for a text, and print it."""
    assert typed(path) == path


@pytest.mark.parametrize("path", [r"C:\Users\Kim Min\venv\python.exe", r"C:\R&B (1)\python.exe", "/home/a'b/python"])
def test_other_paths_are_one_word_in_double_quotes(path: str) -> None:
    assert typed(path) == f'"{path}"'


def test_packages_are_installed_for_the_python_that_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    python = PureWindowsPath(r"C:\ComfyUI_windows_portable\python_embeded\python.exe")
    monkeypatch.setattr(sys, "executable", str(python))
    assert pip_install("peft", "accelerate") == rf"{python} -m pip install peft accelerate"

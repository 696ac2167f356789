"""What the package promises to those who install it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lines(name: str) -> list[str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_comfyui_installs_the_same_without_torch():
    assert lines("requirements.txt") == [need for need in PROJECT["dependencies"] if not need.startswith("torch")]


def test_every_dependency_is_pinned():
    pinned = {re.split("==", line)[0].lower().replace("_", "-") for line in lines("constraints.txt")}
    needed = [need for group in PROJECT["optional-dependencies"].values() for need in group] + PROJECT["dependencies"]
    names = {re.split(r"[<>=\[]", need)[0].lower().replace("_", "-") for need in needed}
    assert names <= pinned


def test_every_package_is_in_the_wheel():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {".".join(p.parent.relative_to(ROOT).parts) for p in ROOT.glob("acestep_core/**/__init__.py")}
    assert {name for name in listed if name.startswith("acestep_core")} == found


def test_importing_is_quick_and_loads_no_torch():
    code = "import sys, acestep_core; print([m for m in ('torch', 'diffusers', 'numpy') if m in sys.modules])"
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"
    assert time.perf_counter() - start < 3  # starts a process; the import itself takes a hundredth

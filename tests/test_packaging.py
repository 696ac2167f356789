"""What the package promises to those who install it."""

from __future__ import annotations

import re
import subprocess
import sys
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


def test_importing_loads_nothing_but_the_standard_library():
    """So that it costs milliseconds."""
    code = "import sys; before = set(sys.modules); import acestep_core; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    loaded = out.stdout.split()
    ours = [name for name in loaded if name.startswith("acestep_core")]
    assert "acestep_core" in ours and len(ours) < 30
    assert {name.split(".")[0] for name in loaded} - {"acestep_core"} <= sys.stdlib_module_names

"""The jobs for Windows and macOS run what README tells to type, and nothing that is not there."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from acestep_core.commands.main import build

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*"))
RUNNERS = re.compile(r"(ubuntu|windows|macos)-(latest|\d+(\.\d+)?)(-arm)?")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def jobs() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES]
    return [job for file in files for job in file["jobs"].values()]


def commands() -> list[list[str]]:
    steps = [step for job in jobs() for step in job["steps"]]
    return [shlex.split(line) for step in steps for line in step.get("run", "").splitlines()]


def on_windows() -> list[list[str]]:
    """What README tells those to type who have no make."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\.venv\\Scripts\\(.+)$", text, re.MULTILINE)
    return [["python", "-m", *words] if words[0] == "pip" else words for words in map(shlex.split, lines)]


REGISTRY_TOOL = "comfy-cli==1.23.0"
"""What looks at the pack as the Comfy registry does; no user needs it."""


def test_a_job_is_whole() -> None:
    assert all(path.suffix == ".yml" for path in FILES)
    for path in FILES:
        file = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "jobs"} <= file.keys() and set(file[True]) <= {"push", "pull_request", "workflow_dispatch"}
    machines = set()
    for job in jobs():
        named = re.fullmatch(r"\$\{\{ matrix\.(\w+) \}\}", job["runs-on"])
        found = job["strategy"]["matrix"][named[1]] if named else [job["runs-on"]]
        assert all(RUNNERS.fullmatch(name) for name in found)
        machines |= {name.partition("-")[0] for name in found}
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step) and step.keys() <= {"uses", "run", "with", "name", "env", "if"}
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1"))
        python = next(
            step["with"]["python-version"] for step in job["steps"] if "python-version" in step.get("with", {})
        )
        assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert machines >= {"windows", "macos"}


def test_its_commands_are_those_of_the_readme() -> None:
    """All that installs stands there in the same words, and it makes a song and tests."""
    told = on_windows()
    assert len(told) > 3
    for words in commands():
        assert words[:4] != ["python", "-m", "pip", "install"] or words in told or words[4:] == [REGISTRY_TOOL]
    assert {words[0] for words in told} == {"python", "acestep"}
    assert ["python", "-m", "pytest"] in [words[:3] for words in commands()]


@pytest.mark.parametrize("words", commands() + on_windows(), ids=" ".join)
def test_a_command_is_there(words: list[str], request: pytest.FixtureRequest) -> None:
    match words:
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        case ["acestep", *rest]:
            build()[0].parse_args(rest)
        case ["python", "-m", "pip", "install", tool] if tool == REGISTRY_TOOL:
            pass
        case ["comfy", *_, "node", "validate" | "pack"] | ["test", *_]:
            assert ["python", "-m", "pip", "install", REGISTRY_TOOL] in commands()
        case ["python", "-m", "pip", "install", *rest]:
            for extras in re.findall(r"\.\[(.+?)\]", " ".join(rest)):
                assert set(extras.split(",")) <= PROJECT["optional-dependencies"].keys()
            assert (ROOT / rest[rest.index("-c") + 1]).is_file()
        case ["python", "-m", "pytest", *rest]:
            known = request.config._parser.parse_known_args(rest)  # raises where a value is wrong
            assert not [
                word for word in rest if word.startswith("--") and not hasattr(known, word[2:].partition("=")[0])
            ]
        case ["python", "-m", module, *_]:
            assert find_spec(module)
        case _:
            pytest.fail(f"nobody knows {words[0]}")

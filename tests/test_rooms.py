"""The rooms of the library and who may import whom: the picture in docs/ARCHITECTURE.md, held true."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = (
    ("acestep_core",),  # the top level: errors, devices, options, seeds, words; every room uses it
    ("acestep_core.io",),
    ("acestep_core.song",),
    ("acestep_core.records",),
    ("acestep_core.checkpoints",),
    ("acestep_core.models",),
    ("acestep_core.planner", "acestep_core.render"),
    ("acestep_core.builtin",),
    ("acestep_core.judge",),
    ("acestep_core.train",),
    ("acestep_core.pipeline",),
    ("acestep_core.commands",),
)
"""Each room imports from rows above its own, and from itself."""
WINGS = ("graph", "queue", "server", "client")
"""Of the host; each imports from wings before it, and of the library only `HOST_MAY_USE`."""
HOST_MAY_USE = ("acestep_core", "acestep_core.io")


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in (ROOT / "acestep_core").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules of the library that a file imports anywhere, within functions too, except for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & modules().keys() or {node.module}
    return frozenset(found & modules().keys())


def room_of(module: str) -> str:
    parts = module.split(".")
    if parts[1:2] == ["host"]:
        return ".".join(parts[:3])
    is_room = len(parts) > 1 and modules()[".".join(parts[:2])].name == "__init__.py"
    return ".".join(parts[: 2 if is_room else 1])


def level(room: str) -> int:
    return next(number for number, rooms in enumerate(LEVELS) if room in rooms)


def allowed(here: str, there: str) -> bool:
    if here == there:
        return True
    if here.startswith("acestep_core.host"):
        wing = WINGS.index(here.rpartition(".")[2])
        return there in HOST_MAY_USE or there in {f"acestep_core.host.{name}" for name in WINGS[:wing]}
    if there.startswith("acestep_core.host"):
        return here == "acestep_core.commands"
    return level(there) < level(here)


def test_no_arrow_runs_upwards() -> None:
    wrong = [
        f"{module} imports {used}"
        for module, path in modules().items()
        if module not in ("acestep_core", "acestep_core.host")
        for used in imports(path)
        if used != "acestep_core" and not allowed(room_of(module), room_of(used))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: imports(path) - {"acestep_core", name} for name, path in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_room_is_on_the_picture_and_they_are_few() -> None:
    rooms = {room_of(name) for name in modules()} - {"acestep_core.host"}
    known = {room for row in LEVELS for room in row} | {f"acestep_core.host.{wing}" for wing in WINGS}
    assert rooms <= known
    assert len(rooms) <= 20


def test_the_top_level_holds_what_every_room_uses() -> None:
    assert {path.stem for path in (ROOT / "acestep_core").glob("*.py")} <= {
        "__init__", "bars", "declared", "devices", "errors", "monitor", "options", "seeds", "values", "vocabulary",
    }  # fmt: skip


def test_nodes_and_library_keep_apart() -> None:
    for path in (ROOT / "acestep_core").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import comfy" not in text and "from nodes" not in text and "from comfy" not in text, path


ASKING = {
    *("sys.platform", "sys.getwindowsversion", "os.name", "os.uname", "os.sep", "os.altsep", "path.sep", "platform"),
    *("system.WINDOWS", "system.MACOS"),
}
SYSTEMS = {"win32", "darwin", "linux", "nt", "posix", "Windows", "Darwin", "Linux"}
ONLY_THERE = {"winreg", "msvcrt", "fcntl", "ntpath", "posixpath", "ctypes"}
"""Modules that not every system has."""


def asked(tree: ast.AST) -> list[tuple[int, str]]:
    """Where, and how, a module asks which system this is."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(ast.Name(module) | ast.Attribute(_, module), name) if name != "python_version":
                names = {module, f"{module}.{name}"}
            case ast.ImportFrom(module=str(module)):
                module = module.rpartition(".")[2]
                names = {module, *(f"{module}.{alias.name}" for alias in node.names if alias.name != "python_version")}
            case ast.Import():
                names = {alias.name for alias in node.names} & ONLY_THERE
                names |= {alias.asname for alias in node.names if alias.name in ("sys", "os", "platform")} - {None}
                found += [(node.lineno, name) for name in sorted(names)]
                continue
            case ast.Constant(str(word)) if word in SYSTEMS:
                names = {word}
            case _:
                continue
        found += [(node.lineno, name) for name in sorted(names & (ASKING | SYSTEMS | ONLY_THERE))]
    return found


def test_which_system_this_is_only_the_file_room_and_devices_ask() -> None:
    library = [
        path for name, path in modules().items() if not name.startswith(("acestep_core.io", "acestep_core.devices"))
    ]
    wrong = [
        f"{path.relative_to(ROOT)}, line {line}: {name}"
        for path in [*library, *(ROOT / "nodes").glob("*.py")]
        for line, name in asked(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "code",
    [
        *("sys.platform", "os.name", "os.sep", "os.path.sep", "platform.system()", "from sys import platform"),
        *("import os as o", "from os import name", "import fcntl", "from ctypes import windll", "KIND == 'linux'"),
        *("system.WINDOWS", "io.system.MACOS", "from acestep_core.io.system import WINDOWS", "import sys as s"),
    ],
)
def test_who_asks_is_seen(code: str) -> None:
    assert asked(ast.parse(code))


def test_what_does_not_ask_is_left_alone() -> None:
    code = "platform.python_version(); os.fspath(x); from os import PathLike; import os, sys; system.NAME; sys.argv"
    assert not asked(ast.parse(code))


def test_what_a_device_can_do_only_devices_says() -> None:
    """Nobody else asks torch for back ends, names one, or looks whether the system has a function."""
    names, kinds = {"cuda", "mps", "xpu", "privateuseone", "npu"}, {"cuda", "xpu", "mps", "backends"}
    wrong = []
    library = [path for name, path in modules().items() if name != "acestep_core.devices"]
    for path in [*library, *(ROOT / "nodes").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Constant(str(word)) if word in names:
                    found = word
                case ast.Attribute(ast.Name("torch"), kind) if kind in kinds:
                    found = f"torch.{kind}"
                case ast.Call(ast.Name("hasattr"), [ast.Name(asked_of), _]) | ast.Call(
                    ast.Name("getattr"), [ast.Name(asked_of), _, _]
                ) if asked_of in ("os", "sys", "torch", "signal", "socket"):
                    found = ast.unparse(node)
                case _:
                    continue
            wrong.append(f"{path.relative_to(ROOT)}, line {node.lineno}: {found}")
    assert not wrong, "\n".join(wrong)


def test_what_a_room_is_for_can_be_told_from_its_name_alone() -> None:
    """No three files share a name."""
    stems: dict[str, list[str]] = {}
    for path in [*(ROOT / "acestep_core").rglob("*.py"), *(ROOT / "nodes").glob("*.py")]:
        if path.stem != "__init__":
            stems.setdefault(path.stem, []).append(path.relative_to(ROOT).as_posix())
    assert not [paths for paths in stems.values() if len(paths) > 2]

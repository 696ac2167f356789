"""Every error a user can cause has a test that causes it, and a message that is a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from acestep_core import errors

ROOT = Path(__file__).parent.parent
THEIR_WORDING = "acestep_core/host/queue/jobs.py"  # answers of ComfyUI's HTTP interface, word for word
CLASSES = {name for name, value in vars(errors).items() if isinstance(value, type)}


def calls(folders: tuple[str, ...]) -> Iterator[tuple[str, ast.Call]]:
    """Every call in the Python files below `folders`, with the place it stands at."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def name_of(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@cache
def made() -> list[tuple[str, ast.Call]]:
    """Every place where an error is made."""
    return [(place, call) for place, call in calls(("acestep_core", "nodes")) if name_of(call.func) in CLASSES]


def test_all_share_one_base() -> None:
    assert all(issubclass(getattr(errors, name), errors.AceStepError) for name in CLASSES)


def test_every_error_is_provoked_by_a_test() -> None:
    provoked = {
        name_of(error)
        for _, call in calls(("tests",))
        if name_of(call.func) == "raises" and call.args
        for error in (call.args[0].elts if isinstance(call.args[0], ast.Tuple) else [call.args[0]])
    }
    assert {name_of(call.func) for _, call in made()} - provoked == set()


def test_messages_are_sentences() -> None:
    """They end in a full stop; checked where the text stands at the place of the error."""
    wrong = []
    for place, call in made():
        if not place.startswith(THEIR_WORDING) and call.args and isinstance(call.args[0], ast.Constant | ast.JoinedStr):
            parts = call.args[0].values if isinstance(call.args[0], ast.JoinedStr) else [call.args[0]]
            last = parts[-1]
            if isinstance(last, ast.Constant) and not str(last.value).endswith("."):
                wrong.append(place)
    assert wrong == []

"""The sentences that a user of the canvas may meet: refusals, remarks and notes of nodes and library, as patterns.

`web/sentences/<language>.json` holds their translations: an English sentence with `{0}`, `{1}`, … where values stand,
and the same in the language. Beside whole sentences it may hold phrases that stand in such a value.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = ("acestep_core/commands", "acestep_core/host")
"""The command line and the host's own interface, which speak English."""
_NO_SENTENCES = ("help", "tooltip", "description")
_SENTENCE = re.compile(r"(?s)[A-Z{'\"].* .*\.")
_HOLE = re.compile(r"\{(?:![rsa])?(?::[^{}]*)?\}")
"""Of `str.format`."""


def spoken() -> dict[str, str]:
    """Every sentence and the place where it stands first."""
    described = _described()
    found: dict[str, str] = {}
    for path in sources():
        for line, text in _sentences(path):
            longest = max(text.split("\0"), key=len).strip()
            if len(longest) < 9 or longest not in described:
                found.setdefault(numbered(text), f"{path.relative_to(ROOT)}:{line}")
    return found


def sources() -> list[Path]:
    """The files whose sentences are translated."""
    files = [path for folder in ("acestep_core", "nodes") for path in sorted((ROOT / folder).rglob("*.py"))]
    spoken = (path for path in files if not path.relative_to(ROOT).as_posix().startswith(ELSEWHERE))
    return [path for path in spoken if not path.stem.endswith("_bench")]


def translations(language: str) -> dict[str, str]:
    return json.loads((ROOT / "web" / "sentences" / f"{language}.json").read_text(encoding="utf-8"))


def numbered(text: str) -> str:
    """A pattern with its holes counted."""
    head, *rest = text.split("\0")
    return head + "".join(f"{{{place}}}{part}" for place, part in enumerate(rest))


def _sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Strings that are a sentence, with \\0 for each value; not what documents and what the node itself describes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            passed.update(node.values)
        elif isinstance(node, ast.keyword) and node.arg in _NO_SENTENCES:
            passed.update(ast.walk(node.value))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "option":
            passed.update(part for argument in node.args for part in ast.walk(argument))
    for node in ast.walk(tree):
        text = None if node in passed else _text(node)
        if text and _SENTENCE.fullmatch(text.strip().replace("\0", "{}")) and len(text.replace("\0", "")) > 8:
            yield node.lineno, text  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _HOLE.sub("\0", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return None


def _described() -> str:
    """All that `nodeDefs.json` says already."""

    def texts(value: object) -> Iterator[str]:
        for part in value.values() if isinstance(value, dict) else ():
            yield from texts(part)
        if isinstance(value, str):
            yield value

    path = ROOT / "locales" / "en" / "nodeDefs.json"
    return "\n".join(texts(json.loads(path.read_text(encoding="utf-8"))))

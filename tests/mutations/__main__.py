"""Applies one mutation after the other to a copy of the repository and runs the tests beside it.

    python -m tests.mutations            all of them
    python -m tests.mutations judge io   those whose tests contain one of the words

Ends with 1 where a mutation survived, or where its line is no longer there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutations.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
SECONDS = 600
"""A mutation may make a test wait for ever."""


def place_of(mutation: Mutation, root: Path) -> Path | None:
    """The file that holds the line; None where library and pack do not hold it exactly once, or, if they do not hold
    it at all, the tests.
    """
    for folders in (("acestep_core", "nodes"), ("tests",)):
        found = {
            file: count
            for folder in folders
            for file in sorted((root / folder).rglob("*.py"))
            if file.name != "mutations.py" and (count := file.read_text(encoding="utf-8").count(mutation.old))
        }
        if found:
            return next(iter(found)) if list(found.values()) == [1] else None
    return None


def noticed(folder: Path, mutation: Mutation) -> bool:
    command = [sys.executable, "-m", "pytest", "-xq", "--assert=plain", "-pno:cacheprovider", *mutation.tests.split()]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode == 1  # tests failed; anything else is a fault of the command


def main(words: list[str]) -> int:
    wanted = [m for m in MUTATIONS if not words or any(word in m.tests for word in words)]
    bad = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "copy"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "build", "dist", "output", "__pycache__"))
        for mutation in wanted:
            file = place_of(mutation, folder)
            verdict = "NOT FOUND"
            if file is not None:
                before = file.read_text(encoding="utf-8")
                file.write_text(before.replace(mutation.old, mutation.new), encoding="utf-8")
                verdict = "noticed" if noticed(folder, mutation) else "SURVIVED"
                file.write_text(before, encoding="utf-8")
            bad += verdict != "noticed"
            where = file.relative_to(folder) if file else "?"
            sys.stdout.write(f"{verdict:9} {where}: {mutation.old.strip()}  ->  {mutation.new.strip()}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{len(wanted) - bad} of {len(wanted)} noticed\n")
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

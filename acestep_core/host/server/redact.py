"""What clients are told without the names of folders, which give away who sits at the machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_BETWEEN = r"[\\/]+"
"""Separators of any system, doubled where a path is quoted in an error."""
_END = r"(?![^\\/\s'\",;:()\[\]<>|*?])"
"""The last part ends here: `/home/min` is not part of `/home/minji`."""


def redactor(places: Iterable[tuple[Path, str]]) -> Callable[[str], str]:
    """A function that replaces the given folders in a text by names, the home folder by `~`, Python's by `python`.

    However they are spelled: with slashes or backslashes, in any case, with symlinks resolved or not.
    """
    known = [*places, (Path.home(), "~"), (Path(sys.prefix), "python"), (Path(sys.base_prefix), "python")]
    spelled = {spelling: label for path, label in reversed(known) for spelling in (str(path), str(path.resolve()))}
    patterns = [
        (re.compile(_BETWEEN.join(map(re.escape, re.split(_BETWEEN, path))) + _END, re.IGNORECASE), label)
        for path, label in sorted(spelled.items(), key=lambda entry: -len(entry[0]))
        if len(path.strip("\\/")) > 1
    ]

    def redact(text: str) -> str:
        for pattern, label in patterns:
            text = pattern.sub(label, text)
        return text

    return redact

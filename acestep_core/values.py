"""Plain values from files, checked against the annotations of what they are meant for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from acestep_core.errors import InvalidInput

log = logging.getLogger(__name__)

_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Mode": (str,),
    "None": (type(None),),
}


def fits(value: Any, annotation: str) -> bool:
    """Whether a JSON value is of an annotated type such as `float | None` or `Sequence[str]`; False for types that
    are not plain.
    """
    for part in annotation.split(" | "):
        if part.startswith("Sequence["):
            inner = part.removeprefix("Sequence[").removesuffix("]")
            if isinstance(value, list | tuple) and all(fits(entry, inner) for entry in value):
                return True
        elif isinstance(value, _KINDS.get(part, ())) and (part == "bool" or not isinstance(value, bool)):
            return True
    return False


def fields_of(cls: type, where: str, values: Any) -> dict[str, Any]:
    """The entries of a table that are fields of a dataclass; others are logged and left out.

    Args:
        where: what the table is called, for messages.

    Raises:
        InvalidInput: it is no table, or a value is of another type.
    """
    if not isinstance(values, Mapping):
        raise InvalidInput(f"{where} must be a table, not {values!r}.")
    types = {field.name: str(field.type) for field in fields(cls)}
    for name in values.keys() - types.keys():
        log.warning("%s.%s is not known to this version and has no effect.", where, name)
    for name in values.keys() & types.keys():
        if not fits(values[name], types[name]):
            raise InvalidInput(f"{where}.{name} must be {types[name]}, not {values[name]!r}; correct the file.")
    return {name: value for name, value in values.items() if name in types}

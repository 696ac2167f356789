"""Flags of the command line, made from the table of options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from acestep_core.declared import Option, Options, options_of
from acestep_core.values import RANDOM, is_random

NOTHING = "none"
"""What is written for an option that can be switched off, such as the peak level."""
_NAMES = {"keyscale": "key", "timesignature": "time-signature", "tracks": "track"}


def add_flags(parser: Any, options: Iterable[Option], plain: bool = False) -> None:
    """One flag for each option; what is not given stays out of the result.

    Args:
        plain: hands texts on as they are, for groups that read texts themselves, such as `Song`.
    """
    for option in options:
        flag = "--" + _NAMES.get(option.flat, option.flat).replace("_", "-")
        common: dict[str, Any] = {"dest": option.flat, "default": argparse.SUPPRESS, "help": _help(option)}
        if option.kind == "bool":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
        elif option.kind == "names":
            parser.add_argument(flag, action="append", metavar="NAME", **common)
        elif plain:
            parser.add_argument(flag, metavar=_METAVARS[option.kind], **common)
        elif option.choices and not option.free:
            parser.add_argument(flag, type=_Reader(option), choices=option.choices, **common)
        else:
            parser.add_argument(flag, type=_Reader(option), metavar=_METAVARS[option.kind], **common)


def seed(text: str) -> int | str:
    """A seed, or `RANDOM`."""
    return RANDOM if is_random(text) else int(text)


def examples(*lines: str) -> dict[str, Any]:
    """How a parser shows examples at the end of its help."""
    text = "\n".join(f"  {line}" for line in lines)
    return {"epilog": f"examples:\n{text}", "formatter_class": argparse.RawDescriptionHelpFormatter}


def given(arguments: argparse.Namespace, groups: Iterable[type[Options]]) -> dict[str, Any]:
    """The options of these groups that were written, by their flat names."""
    names = {option.flat for group in groups for option in options_of(group)}
    return {name: value for name, value in vars(arguments).items() if name in names}


_METAVARS = {"int": "N", "float": "X", "str": "TEXT", "numbers": "X,X,…"}


class _Reader:
    """Reads one flag's text."""

    def __init__(self, option: Option) -> None:
        self.option = option

    def __call__(self, text: str) -> Any:
        if self.option.nullable and text.lower() == NOTHING:
            return None
        found = self.option.read(text)
        if found is None:
            raise argparse.ArgumentTypeError(f"must be {self.option.allowed()}, not {text!r}")
        return found


def _help(option: Option) -> str:
    limits = option.allowed() if option.kind in ("int", "float") else ""
    usual = "" if option.default in (None, "", ()) else f"default {option.default}"
    known = "; ".join(part for part in (limits.removesuffix(", or nothing"), usual) if part)
    return (option.help.rstrip(".") + (f" ({known})" if known else "")).replace("%", "%%")

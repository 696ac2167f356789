"""The command `acestep`: each subcommand lives in a module of `commands`."""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from acestep_core import __version__
from acestep_core.errors import AceStepError, Cancelled

COMMANDS = ("song", "run", "queue", "serve", "models", "bench")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status (0 done, 1 refused or failed, 130 cancelled)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a pipe gets UTF-8, a console what it can show, whatever Windows is set to
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        return _run(arguments)
    except (KeyboardInterrupt, Cancelled):
        sys.stderr.write("\nCancelled.\n")
        return 130
    except AceStepError as error:
        sys.stderr.write(f"acestep: {error}\n")
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog="acestep", description="Make music with ACE-Step 1.5.")
    parser.add_argument("--version", action="version", version=f"acestep-nodes {__version__}")
    parser.add_argument("--verbose", action="store_true", help="say what is loaded and why")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {name: import_module(f"acestep_core.commands.{name}") for name in COMMANDS}
    for module in modules.values():
        module.add_parser(subparsers)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    status: int = modules[options.command].run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""The command `acestep`: each subcommand lives in a module of `commands`."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import NoReturn

from acestep_core import __version__
from acestep_core.errors import AceStepError, Cancelled
from acestep_core.io.system import page_file_too_small

COMMANDS = (
    "song", "run", "queue", "workflows", "import", "serve", "models", "dataset", "train", "export", "bench",
    "completion",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status (0 done, 1 refused or failed, 2 misspelled, 130 cancelled)."""
    as_json = False
    try:
        _open_streams()
        parser, run = build()
        as_json = "--json" in (sys.argv[1:] if arguments is None else arguments)
        options = parser.parse_args(arguments)
        as_json = getattr(options, "json", None) is True
        _log(options.verbose)
        from acestep_core.commands.packages import check_packages

        check_packages()
        status = run[options.command](options)
        sys.stdout.flush()
        return status
    except _Misused as misused:
        if as_json:
            return _failed(f"{misused}.", True, 2)
        misused.parser.exit_misused(str(misused))
    except (KeyboardInterrupt, Cancelled) as cancelled:
        return _failed(" ".join(["Cancelled.", *_notes(cancelled)]), as_json, 130)
    except BrokenPipeError:  # whoever reads us has heard enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except AceStepError as error:
        return _failed(" ".join([str(error), *_notes(error)]), as_json)
    except ImportError as error:
        from acestep_core.commands.packages import missing_packages

        return _failed(str(missing_packages(error.name)) if error.name else f"{error}.", as_json)
    except OSError as error:
        if page_file_too_small(error):  # which the libraries of torch may be the first to meet
            return _failed("Windows has too little virtual memory; enlarge the page file.", as_json)
        where = "" if error.filename is None else f" ({error.filename})"
        reason = error.strerror or type(error).__name__
        return _failed(f"The system refused: {reason}{where}; allow it, or choose another.", as_json)


class _Parser(argparse.ArgumentParser):
    """One that leaves it to `main` how to say what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise _Misused(self, message)

    def exit_misused(self, message: str) -> NoReturn:
        super().error(message)


class _Misused(Exception):
    """Words on the command line that no command takes."""

    def __init__(self, parser: _Parser, message: str) -> None:
        super().__init__(message)
        self.parser = parser


def build() -> tuple[argparse.ArgumentParser, dict[str, Callable[[argparse.Namespace], int]]]:
    """The parser of the whole command line, and what runs each command."""
    parser = _Parser(prog="acestep", description="Make music with ACE-Step 1.5.")
    parser.add_argument("--version", action="version", version=f"acestep-nodes {__version__}")
    parser.add_argument("--verbose", action="store_true", help="say what is loaded and why")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = {name: import_module(f"acestep_core.commands.{_module(name)}") for name in COMMANDS}
    for module in modules.values():
        module.add_parser(subparsers)
    return parser, {name: module.run for name, module in modules.items()}


def _module(command: str) -> str:
    """Of a command whose name is a word of Python's."""
    return f"{command}_" if iskeyword(command) else command


def _notes(error: BaseException) -> list[str]:
    """What was added to an error on its way here."""
    return getattr(error, "__notes__", [])


def _failed(error: str, as_json: bool, status: int = 1) -> int:
    from acestep_core.commands.report import show_error

    show_error(error, as_json)
    return status


def _log(verbose: bool) -> None:
    """To stderr: our warnings, and what other packages call an error; with `verbose`, whatever anyone has to say."""
    stderr = logging.StreamHandler()
    if not verbose:
        stderr.addFilter(lambda r: r.levelno >= (logging.WARNING if r.name.startswith("acestep") else logging.ERROR))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[stderr])


def _open_streams() -> None:
    """Whoever started us may have closed some. Titles and file names of any script may be printed: pipes get UTF-8, a
    console what it can show.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())

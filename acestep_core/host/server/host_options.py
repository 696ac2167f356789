"""Command-line options that `serve` and `run` share: which packs, which folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from acestep_core.errors import GraphError
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.packs import find_pack


def add_host_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pack",
        action="append",
        metavar="DIR",
        type=Path,
        help="folder of a node pack; may be repeated (default: the pack this command belongs to)",
    )
    parser.add_argument(
        "--base-directory",
        default=".",
        metavar="DIR",
        type=Path,
        help="where the folders input, output, temp, user and models are (default: here)",
    )
    parser.add_argument("--models-directory", metavar="DIR", type=Path, help="another place for models")
    parser.add_argument(
        "--disable-metadata", action="store_true", help="do not write the prompt and workflow into saved files"
    )


def packs_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """The pack folders to load.

    Raises:
        GraphError: none was named and this command belongs to none.
    """
    if options.pack:
        return tuple(options.pack)
    found = find_pack()
    if found is None:
        raise GraphError("The node pack was not found; name its folder with --pack.")
    return (found,)


def folders_of(options: argparse.Namespace, output: Path | None = None) -> Folders:
    """The folders to work in, created where absent."""
    return Folders.under(options.base_directory, models=options.models_directory, output=output)

"""Command-line options that several commands share: which packs, which folders, the token."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from acestep_core.errors import GraphError, HostError
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.packs import find_pack
from acestep_core.io.text import read_text

TOKEN = "ACESTEP_TOKEN"
"""The environment variable that has the token, where no option does."""


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where packs, recordings and models are."""
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


def add_host_options(parser: argparse.ArgumentParser) -> None:
    add_place_options(parser)
    parser.add_argument(
        "--disable-metadata", action="store_true", help="do not write the prompt and workflow into saved files"
    )


def add_token_options(parser: argparse.ArgumentParser, help: str) -> None:
    parser.add_argument("--token", help=help)
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"the token is in this file; without either, in the variable {TOKEN}: other users see what a command says",
    )


def token_of(options: argparse.Namespace) -> str | None:
    """The token from the command, from a file, or from the environment.

    Raises:
        HostError: the file cannot be read or is empty.
    """
    if options.token or options.token_file is None:
        return options.token or os.environ.get(TOKEN, "").strip() or None
    token = read_text(options.token_file, HostError).strip()
    if not token:
        raise HostError(f"The token file {options.token_file.name} is empty; write the token into it.")
    return token


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
    """The folders to work in; none is made."""
    return Folders.at(options.base_directory, models=options.models_directory, output=output)

"""What a host does before anybody makes a song: imports, the pack, and the list of nodes for the canvas."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner

if TYPE_CHECKING:
    import torch

HELP = "seconds of imports and of the list of nodes"
CODE = {
    "python": "pass",
    "library": "import acestep_core",
    "command": "from acestep_core.commands.main import build; build()",
    "pack": "from acestep_core.host.graph.packs import find_pack, load_pack; load_pack(find_pack())",
    "torch": "import torch",
}
"""What a process of its own does; `python` and `torch` say what the others are to be compared with."""
NODES = "nodes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, (), seconds=(), batches=())


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    yield runner.Case(NODES, 0, 1, {runner.OURS: listing()})
    for what, code in CODE.items():
        yield runner.Case(what, 0, 1, {runner.OURS: partial(subprocess.run, [sys.executable, "-c", code], check=True)})


def listing() -> runner.Doer:
    """Writes what the canvas asks for first."""
    from acestep_core.host.graph.packs import Registry, find_pack, load_pack
    from acestep_core.host.graph.wire import dumps

    found = find_pack()
    registry = Registry([] if found is None else [load_pack(found)])
    return lambda: dumps(registry.definitions())


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("host", cases, options)


table = runner.table

"""Run by ComfyUI's own interpreter in its folder: what its nodes make of given inputs.

`python stock_results.py JOBS RESULTS`: JOBS is a torch file with a list of `[node, arguments]`; RESULTS gets what each
returned, or the text of the error.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path.cwd()))

MODULES = ("comfy_extras.nodes_post_processing", "comfy_extras.nodes_latent", "comfy_extras.nodes_audio", "nodes")
"""In an order in which they can be imported."""


def classes() -> dict[str, Any]:
    importlib.import_module("comfy.cli_args").args.cpu = True
    found: dict[str, Any] = {}
    for module in map(importlib.import_module, MODULES):
        for name, cls in vars(module).items():
            if isinstance(cls, type):
                found.setdefault(name, cls)
    return found


def result(cls: Any, arguments: dict[str, Any]) -> Any:
    try:
        made = cls.execute(**arguments) if hasattr(cls, "execute") else getattr(cls(), cls.FUNCTION)(**arguments)
    except (ValueError, RuntimeError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return list(getattr(made, "args", made))


def main(jobs: str, results: str) -> None:
    known = classes()
    found = [result(known[node], arguments) for node, arguments in torch.load(jobs, weights_only=True)]
    torch.save(found, results)


if __name__ == "__main__":
    main(*sys.argv[1:])

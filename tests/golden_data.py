"""Reads the reference data that the parity tests compare with: `ACESTEP_GOLDEN` or the copy in `tests/golden`.

Any folder of this form will do. The group and the first words of a case's id tell what it is (`F_helpers/apg…`); the
rest of the id, the order of cases and rows, how many there are and which are absent is the folder's own affair.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def golden_dir() -> Path:
    return Path(os.environ.get("ACESTEP_GOLDEN") or Path(__file__).parent / "golden")


@cache
def manifest() -> dict[str, Any]:
    return json.loads((golden_dir() / "manifest.json").read_text(encoding="utf-8"))


def cases(prefix: str) -> list[dict[str, Any]]:
    """All cases whose id starts with `prefix`, for example `C_decoder/` or `F_helpers/apg`."""
    return [case for case in manifest()["cases"] if case["id"].startswith(prefix)]


def case_ids(prefix: str) -> list[str]:
    return [case["id"] for case in cases(prefix)]


def case(case_id: str) -> dict[str, Any]:
    return next(case for case in manifest()["cases"] if case["id"] == case_id)


def weights_entry(name: str) -> dict[str, Any]:
    """The manifest entry (with `config`) of a weights file, `name` as `turbo` or `weights/turbo`."""
    wanted = Path(name).stem
    return next(entry for entry in manifest()["weights"] if Path(entry["file"]).stem == wanted)


@cache
def load_tensors(file: str) -> dict[str, torch.Tensor]:
    return load_file(golden_dir() / file)


@cache
def load_json(file: str) -> Any:
    return json.loads((golden_dir() / file).read_text(encoding="utf-8"))


def tables(prefix: str) -> list[Any]:
    """The JSON files of all cases whose id starts with `prefix`."""
    return [load_json(case["file"]) for case in cases(prefix) if case["file"].endswith(".json")]


def rows(prefix: str, key: str = "rows") -> list[Any]:
    """What these JSON files list under `key`, in one list."""
    return [row for table in tables(prefix) for row in table[key]]


def tolerance(case: dict[str, Any]) -> dict[str, float]:
    """Keyword arguments for `torch.testing.assert_close`, as the manifest suggests them for this case."""
    checks = case["checks"]
    return {"rtol": float(checks.get("suggested_rtol", 0.0)), "atol": float(checks.get("suggested_atol", 0.0))}

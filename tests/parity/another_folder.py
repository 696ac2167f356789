"""Makes another folder of reference data out of one: other names, another order, only some of the cases and rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tests.capabilities import link

TABLES = (
    *("rows", "decode", "postprocess_caption", "result_objects", "recall_and_log_prob", "pmi_to_score", "reward"),
    *("per_condition", "cot_formatting", "instructions", "task_flags", "silent_target_lengths"),
)
"""Lists of rows in JSON files."""
WHOLE_GROUPS = ("B_", "C_", "D_", "E_")
"""Groups whose cases are told apart by their tensors and settings alone."""


def another_folder(source: Path, target: Path, half: int) -> None:
    """Writes every second case and row of `source`, from the last to the first, beginning with number `half`."""
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    (target / "weights").mkdir(parents=True)
    for entry in manifest["weights"]:
        link(target / entry["file"], (source / entry["file"]).resolve())

    names: dict[str, str] = {}
    kept = []
    for number, case in enumerate(reversed(manifest["cases"])):
        group, kind = case["id"].split("/")
        alone = group.startswith(WHOLE_GROUPS)
        if alone and "checks" in case and number % 2 != half:
            continue
        case["id"] = f"{group}/{number}" if alone else f"{group}/{kind}_{number}"
        names[case["file"]] = case["file"] = f"{case['id']}{Path(case['file']).suffix}"
        kept.append(case)
    manifest["cases"] = kept
    files = {new: old for old, new in names.items()}
    for case in kept:
        settings = case.get("settings") or {}
        if "inputs_from" in settings:
            settings["inputs_from"] = names[settings["inputs_from"]]
        (target / case["file"]).parent.mkdir(exist_ok=True)
        if case["file"].endswith(".json"):
            table = json.loads((source / files[case["file"]]).read_text(encoding="utf-8"))
            (target / case["file"]).write_text(json.dumps(halved(table, half)), encoding="utf-8")
        else:
            write_tensors(source / files[case["file"]], target / case["file"], case, half)
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def halved(table: dict[str, Any], half: int) -> dict[str, Any]:
    """The table with every second row; a row is renamed, in the same way in which its tensors are."""
    for key in set(TABLES) & set(table):
        table[key] = table[key][half::2][::-1]
        for row in table[key]:
            if isinstance(row, dict) and "name" in row:
                row["name"] = f"{row['name']} again"
    if "postprocess_caption" in table:
        row = {"output": "<think>\nbpm: ６０\n</think>", "metadata": {"bpm": 60}, "code_ints": []}
        table["rows"].append({**row, "lyrics_after_think": ""})
    return table


def write_tensors(source: Path, target: Path, case: dict[str, Any], half: int) -> None:
    """The tensors of a case, those of alignment rows renamed, and every second path or filter only."""
    kind = case["id"].split("/")[1]
    if kind.startswith(("dtw_and_median", "lm_sampling_filters")):
        single = [name for name in case["outputs"] if not name.startswith("median")]
        gone = {single[number] for number in range(len(single)) if number % 2 != half}
        gone |= {name.replace("path_", "cost_") for name in gone}
        rename = {name: name.replace("path_", "path_of_").replace("cost_", "cost_of_") for name in case["tensors"]}
    elif kind.startswith("alignment"):
        gone, rename = set(), {name: name.replace(".", " again.", 1) for name in case["tensors"]}
    else:
        link(target, source.resolve())
        return
    case["outputs"] = [rename[name] for name in case["outputs"] if name not in gone]
    case["tensors"] = {rename[name]: entry for name, entry in case["tensors"].items() if name not in gone}
    tensors = load_file(source)
    save_file({rename[name]: tensor for name, tensor in tensors.items() if name not in gone}, target)

"""Numbers at and beyond their limits end in a result, one of our errors, or a refusal before anything runs.

A host checks the limits of what is typed into a widget, but not of what another node sends, so both ways are tried.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.errors import AceStepError
from acestep_core.host.graph.context import hosting
from acestep_core.host.graph.packs import Registry, load_pack
from acestep_core.host.graph.stock_nodes import PACKS
from acestep_core.host.graph.validation import validate
from acestep_core.song.description import Song
from tests.train.recordings import write_tone
from tests.train.small_trainset import random_trainset

PACK = load_pack(Path(__file__).parents[2])
CLASSES = PACK.classes
SHOW = {"class_type": "PreviewAny", "inputs": {"source": ["n", 0]}}
NUMBERS = ("INT", "FLOAT")
EXTREME = {
    "INT": [0, -1, 2**31, 2**64, -(2**63)],
    "FLOAT": [0.0, -1.0, 1e-300, 1e300, math.inf, -math.inf, math.nan],
}


def numbers(node_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    declared = CLASSES[node_id].INPUT_TYPES()
    return {
        name: (entry[0], entry[1])
        for group in ("required", "optional")
        for name, entry in declared.get(group, {}).items()
        if isinstance(entry[0], str) and entry[0] in NUMBERS
    }


NUMERIC = [node_id for node_id in CLASSES if numbers(node_id)]


def values_of(kind: str, options: dict[str, Any]) -> Iterator[float]:
    low, high, step = options["min"], options["max"], options["step"]
    yield from dict.fromkeys((low, high, low - step, high + step, *EXTREME[kind]))


@pytest.fixture(scope="module")
def parts(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Something short for every wire, by the names of the inputs."""
    from acestep_core.host.graph.context import Folders

    folders = Folders.under(tmp_path_factory.mktemp("fuzz"), models=tiny_root)

    def call(node_id: str, **inputs: Any) -> Any:
        node = CLASSES[node_id]()
        with hosting(folders), torch.inference_mode():
            found = getattr(node, node.FUNCTION)(**inputs)
        return found["result"] if isinstance(found, dict) else found

    song = Song("calm", "[Verse]\nhello world", "en", duration=10.0)
    model, vae, lm = call("ACEStepLoader", preset="auto")
    wave = torch.sin(torch.arange(48_000) / 20).expand(1, 2, -1) * 0.3
    audio = {"waveform": wave, "sample_rate": 48_000}
    (task,) = call("ACEStepCover", vae=vae, audio=audio, strength=1.0)
    (conditioning,) = call("ACEStepConditioning", model=model, song=song, task=task)
    (sigmas,) = call("ACEStepSchedule", model=model, steps=1, shift=0.0)
    given = {"seed": 1, "batch_size": 1, "sampler": "euler", "sigmas": sigmas}
    (latent,) = call("ACEStepSampler", model=model, conditioning=conditioning, **given)
    timing, _ = call("ACEStepLyricAlignment", model=model, conditioning=conditioning, latent=latent)
    write_tone(folders.input / "my_songs" / "0.wav", 1.5)
    (folders.input / "my_songs" / "0.caption.txt").write_text("calm")
    (dataset, _, _) = call("ACEStepScanDataset", folder="my_songs", name="fuzz")
    return {
        "call": call,
        "dataset": dataset,
        "sample": "0.wav",
        "trainset": random_trainset(folders.output / "trainsets" / "fuzz", [200]),
        "folders": folders,
        "model": model,
        "vae": vae,
        "lm": lm,
        "song": song,
        "audio": audio,
        "task": task,
        "conditioning": conditioning,
        "sigmas": sigmas,
        "latent": latent,
        "timing": timing,
        "codes": ((1, 2, 3),),
        "plan": "duration: 10",
        "lm_scores": (0.5,),
        "lora": "none",
        "after": 1.0,
        "edited_plan": "duration: 10",
    }


@pytest.mark.parametrize("node_id", NUMERIC)
def test_what_another_node_sends(node_id: str, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acestep_core.planner.planning.seconds_to_codes", lambda seconds: 3)  # many runs, so short ones
    done = {"kind": "done", "step": 1, "steps": 1, "adapter": "mine/adapter", "text": ""}
    monkeypatch.setattr("acestep_core.train.trainer.Trainer.records", lambda trainer: iter([done]))
    declared = CLASSES[node_id].INPUT_TYPES()
    usual = {}
    for group in ("required", "optional"):
        for name, entry in declared.get(group, {}).items():
            if name in parts:
                usual[name] = parts[name]
            elif "default" in entry[1]:
                usual[name] = entry[1]["default"]
    call: Callable[..., Any] = parts["call"]
    call(node_id, **usual)  # what is usual works
    for name, (kind, options) in numbers(node_id).items():
        for value in values_of(kind, options):
            try:
                call(node_id, **(usual | {name: value}))
            except AceStepError as error:
                assert str(error).endswith(".") and "\n" not in str(error), (name, value, error)
            except Exception as error:
                pytest.fail(f"{name}={value!r}: {type(error).__name__}: {error}")


@pytest.mark.parametrize("node_id", NUMERIC)
def test_what_is_typed_into_a_widget(node_id: str, parts: dict[str, Any]) -> None:
    """Within the limits it is taken, beyond them the host refuses before the node runs."""
    registry = Registry([*PACKS, PACK])
    for name, (kind, options) in numbers(node_id).items():
        for value in values_of(kind, options):
            with hosting(parts["folders"]):
                report = validate({"n": {"class_type": node_id, "inputs": {name: value}}, "s": SHOW}, registry)
            errors = report.node_errors.get("n", {}).get("errors", [])
            mine = [error for error in errors if error["extra_info"].get("input_name") == name]
            inside = options["min"] <= value <= options["max"]  # false for nan
            inside = inside or (value == -1 and "empty" in options)  # what upstream writes for "open"
            assert bool(mine) != inside, (name, value, mine)

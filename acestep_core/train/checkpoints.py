"""The folder of a run, and checkpoints in it that are whole or absent.

```
runs/<name>/
  run.json                 settings, what it trains on and with; written first
  log.jsonl                one record a line
  checkpoints/<step>/      a PEFT folder, usable as it is
    adapter_config.json, adapter_model.safetensors
    optimizer.safetensors  what the optimizer remembers
    ema.safetensors        the average, where one is kept
    state.json             where the run is, and the SHA-256 of the other files
  adapter/                 the finished adapter, a PEFT folder with adapter.json
```

No pickle anywhere.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.io.atomic import TEMPORARY, atomic_write, clear_errors, place, sync, sync_folder
from acestep_core.io.locks import locked
from acestep_core.io.tensor_file import read_tensors, save_tensors
from acestep_core.io.text import json_object, read_text
from acestep_core.records.fingerprints import content_hash
from acestep_core.train.settings import FIXED, FREE_TO_CHANGE, TrainSettings

FORMAT: Final = 1
WEIGHTS: Final = "adapter_model.safetensors"
CONFIG: Final = "adapter_config.json"
OPTIMIZER: Final = "optimizer.safetensors"
EMA: Final = "ema.safetensors"
STATE: Final = "state.json"
ADAPTER: Final = "adapter"
ABOUT: Final = "adapter.json"
STOP: Final = "STOP"
"""A file of this name in the run's folder ends the run after its step, as a success."""
HEAR: Final = "HEAR"
"""One of this name has a test song made after the step."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint on disk."""

    folder: Path
    state: Mapping[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["step"])

    def tensors(self, name: str) -> dict[str, Tensor]:
        return read_tensors(self.folder / name)

    def has(self, name: str) -> bool:
        return name in self.state["files"]


class RunFolder:
    """One run on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.log = folder / "log.jsonl"
        self.adapter = folder / ADAPTER

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def exists(self) -> bool:
        return (self.folder / "run.json").is_file()

    @property
    def finished(self) -> bool:
        """Whether the adapter of its last step is there."""
        state = self.about()
        return bool(state) and not state.get("stopped", False)

    def settings(self) -> dict[str, Any]:
        """What run.json says. Raises StorageError where it cannot be read."""
        return _json(self.folder / "run.json")

    def about(self) -> dict[str, Any]:
        """What is told of the finished adapter; empty where there is none."""
        file = self.adapter / ABOUT
        return _json(file) if file.is_file() else {}

    def begin(self, told: Mapping[str, Any]) -> None:
        with clear_errors(self.folder / "run.json"):
            self.checkpoints.mkdir(parents=True, exist_ok=True)
        _write_json(self.folder / "run.json", told)

    @contextmanager
    def held(self) -> Iterator[None]:
        """For one process at a time. Raises Busy (a StorageError) where another one trains here."""
        with clear_errors(self.folder / ".lock"):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / ".lock"):
            self._tidy()
            yield

    def _tidy(self) -> None:
        """Removes what a run that was killed had begun to write, of checkpoints, the adapter and the log."""
        for folder in (self.folder, self.checkpoints):
            for left in folder.iterdir() if folder.is_dir() else ():
                if TEMPORARY.fullmatch(left.name):
                    with suppress(OSError):  # open elsewhere: next time
                        shutil.rmtree(left) if left.is_dir() else left.unlink()

    def ask(self, wish: str) -> None:
        """Has a run that goes on `STOP`, or `HEAR` a test song, after its step."""
        with clear_errors(self.folder / wish):
            (self.folder / wish).touch()

    def asked(self, wish: str) -> bool:
        return (self.folder / wish).exists()

    def forget(self, *wishes: str) -> None:
        for wish in wishes:
            (self.folder / wish).unlink(missing_ok=True)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def all(self) -> list[Checkpoint]:
        """Every checkpoint, oldest first; damaged ones are passed over."""
        names = [p for p in self.checkpoints.iterdir() if p.name.isdigit()] if self.checkpoints.is_dir() else []
        found = (_opened(path) for path in sorted(names, key=lambda path: int(path.name)))
        return [checkpoint for checkpoint in found if checkpoint is not None]

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint all of whose files are what was written."""
        return next((found for found in reversed(self.all()) if _verified(found)), None)

    def at(self, wanted: str) -> Checkpoint:
        """A checkpoint by its step, or `best` or `latest`. Raises InvalidInput where there is none."""
        known = self.all()
        newest = known[-1].state if known else {}
        step = str(newest.get("best", {}).get("step", "")) if wanted == "best" else wanted
        found = [c for c in known if str(c.step) == step] or (known[-1:] if wanted == "latest" else [])
        if not found or not _verified(found[0]):
            steps = ", ".join(str(c.step) for c in known) or "none"
            raise InvalidInput(f"The run {self.name!r} has no checkpoint {wanted!r}; it has: {steps}.")
        return found[0]

    def save(
        self,
        state: Mapping[str, Any],
        config: Mapping[str, Any],
        adapter: Mapping[str, Tensor],
        optimizer: tuple[Mapping[str, Tensor], str],
        ema: Mapping[str, Tensor] | None,
    ) -> Checkpoint:
        """Writes a checkpoint of `state["step"]`; one that is there already is replaced.

        Raises:
            StorageError: the disk is full, or the folder is closed to writing.
        """
        target = self.checkpoints / str(state["step"])
        stage = self.checkpoints / f".{os.urandom(4).hex()}.tmp"
        try:
            with clear_errors(target):
                stage.mkdir(parents=True)
                _write_adapter(stage, config, adapter)
                tensors, told = optimizer
                save_tensors(tensors, stage / OPTIMIZER, {"optimizer": told})
                if ema is not None:
                    save_tensors(ema, stage / EMA)
                files = {path.name: content_hash(path) for path in sorted(stage.iterdir())}
                text = json.dumps({"format": FORMAT, **state, "files": files}, indent=1)
                (stage / STATE).write_text(text, encoding="utf-8")
                for path in stage.iterdir():
                    sync(path)
                _put(stage, target)
                sync_folder(self.checkpoints)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return Checkpoint(target, {**state, "files": files})

    def adopt(self, point: Checkpoint) -> None:
        """Copies a checkpoint of another run, with the log up to there, for a run that begins with it."""
        target = self.checkpoints / point.folder.name
        stage = self.checkpoints / f".{os.urandom(4).hex()}.tmp"
        try:
            with clear_errors(target):
                self.checkpoints.mkdir(parents=True, exist_ok=True)
                shutil.copytree(point.folder, stage)
                if (log := point.folder.parents[1] / self.log.name).is_file():
                    shutil.copyfile(log, self.log)
                for path in stage.iterdir():
                    sync(path)
                place(stage, target)
                sync_folder(self.checkpoints)
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def prune(self, keep: int, milestones: set[int]) -> None:
        """Removes all but the last `keep` checkpoints, the `milestones` and the best. Called after a newer one lies."""
        known = self.all()
        if not known:
            return
        best = known[-1].state.get("best", {}).get("step")
        for checkpoint in known[:-keep]:
            if checkpoint.step not in milestones and checkpoint.step != best:
                hidden = checkpoint.folder.with_name(f".{os.urandom(4).hex()}.tmp")
                with suppress(OSError):  # open elsewhere: next time
                    place(checkpoint.folder, hidden)
                    shutil.rmtree(hidden, ignore_errors=True)

    def finish(self, config: Mapping[str, Any], adapter: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
        """Writes the finished adapter."""
        stage = self.folder / f".{os.urandom(4).hex()}.tmp"
        try:
            with clear_errors(self.adapter):
                stage.mkdir()
                _write_adapter(stage, config, adapter)
                (stage / ABOUT).write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
                for path in stage.iterdir():
                    sync(path)
                _put(stage, self.adapter)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        return self.adapter

    # --- the log ----------------------------------------------------------------------------------------------------

    def append(self, record: Mapping[str, Any]) -> None:
        with clear_errors(self.log), self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All whole lines of the log."""
        found = []
        if self.log.is_file():
            for line in self.log.read_text(encoding="utf-8").split("\n"):  # other line ends may be part of a text
                with suppress(ValueError):  # cut off by a power failure
                    found.append(json.loads(line))
        return found

    def rewind(self, keep: Callable[[Mapping[str, Any]], bool]) -> None:
        """Forgets what was logged of that which is about to be done again."""
        kept = [record for record in self.records() if keep(record)]
        with atomic_write(self.log) as temporary:
            temporary.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in kept), encoding="utf-8")


def compare(saved: Mapping[str, Any], now: Mapping[str, Any], changed_data: bool) -> list[str]:
    """What to say about going on with a run under other conditions.

    Args:
        saved, now: of run.json.
        changed_data: whether the dataset may have changed.

    Raises:
        InvalidInput: the run cannot go on so.
    """
    name, anew = saved["name"], "begin a new run under another name"
    if saved["base"]["sha256"] != now["base"]["sha256"]:
        raise InvalidInput(
            f"The run {name!r} trains {saved['base']['variant']}, and these are other weights; choose those, or {anew}."
        )
    before, after = {**TrainSettings().to_dict(), **saved["settings"]}, now["settings"]
    for setting in FIXED:
        if before[setting] != after[setting]:
            raise InvalidInput(
                f"The run {name!r} has {setting} {before[setting]}, not {after[setting]}; go on with that, or {anew}."
            )
    said = []
    if saved["dataset"]["fingerprint"] != now["dataset"]["fingerprint"]:
        if not changed_data:
            raise InvalidInput(f"The songs of the run {name!r} have changed; allow that, or {anew}.")
        said.append("The songs have changed since the run began.")
    others = [s for s in before if before[s] != after.get(s) and s not in (*FIXED, *FREE_TO_CHANGE)]
    said += [f"{s} was {before[s]} and is now {after[s]}; the run goes another way from here." for s in others]
    return said


def _write_adapter(folder: Path, config: Mapping[str, Any], adapter: Mapping[str, Tensor]) -> None:
    save_tensors(adapter, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _put(stage: Path, target: Path) -> None:
    """Renames a folder onto another one. A kill in between leaves the old one hidden and no half of the new."""
    if target.exists():
        old = target.with_name(f".{os.urandom(4).hex()}.tmp")
        place(target, old)
        place(stage, target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        place(stage, target)


def _opened(folder: Path) -> Checkpoint | None:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        whole = (
            state["format"] == FORMAT and int(state["step"]) == int(folder.name) and isinstance(state["files"], dict)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Checkpoint(folder, state) if whole else None


def _verified(checkpoint: Checkpoint) -> bool:
    try:
        return all(
            content_hash(checkpoint.folder / name) == digest for name, digest in checkpoint.state["files"].items()
        )
    except OSError:
        return False


def _json(path: Path) -> dict[str, Any]:
    return json_object(read_text(path, StorageError), str(path), "begin a new run under another name", StorageError)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

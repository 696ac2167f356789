"""A training run, from the first step to the finished adapter, as a stream of records.

Whatever ends it, it ends with a checkpoint: the last step, *stop and keep* (a file `STOP` in its folder), a cancel, an
error. The same run goes on from there, and is the run that was never interrupted, bit by bit on the same machine: all
draws depend on seed, step and place only (see `objective`), and between reports nothing waits for the device.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from acestep_core import devices
from acestep_core.errors import DatasetError, InvalidInput, OutOfMemory, StorageError
from acestep_core.io.names import folded
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.handles import ModelHandle
from acestep_core.models.manager import manager
from acestep_core.monitor import SILENT, Monitor
from acestep_core.records.song_record import versions
from acestep_core.train.checkpoints import HEAR, STOP, Checkpoint, RunFolder, compare
from acestep_core.train.estimate import Estimate, Plan, choose_plan, disk_bytes
from acestep_core.train.latents import weights_hash
from acestep_core.train.loop import Loop, Record
from acestep_core.train.network import LiveNetwork
from acestep_core.train.objective import source
from acestep_core.train.optimizers import check_package
from acestep_core.train.quantised import check_quantised, quantise
from acestep_core.train.ranks import ALONE, Ranks
from acestep_core.train.settings import Fine, TrainSettings, remarks
from acestep_core.train.trainset import Trainset
from acestep_core.values import shown_size

Hear = Callable[[Path, int], Sequence[Path]]
"""Makes a test song with the adapter in a folder, at a step; returns its files."""


class Trainer:
    """Trains an adapter. `records()` does the work."""

    def __init__(
        self,
        trainset: Trainset,
        model: ModelHandle,
        folder: Path | str,
        settings: TrainSettings = TrainSettings(),  # noqa: B008 - frozen
        *,
        origin: Checkpoint | None = None,
        changed_data: bool = False,
        hear: Hear | None = None,
        monitor: Monitor = SILENT,
        ranks: Ranks = ALONE,
    ) -> None:
        """
        Args:
            trainset: what to learn from.
            model: which checkpoint learns; its adapters are left out.
            folder: of the run; where one lies there already, it goes on.
            origin: a checkpoint of another run, to begin a new one with.
            changed_data: goes on although the songs are not those it began with.
            hear: makes test songs.
            monitor: is told each step; a cancel takes effect within one batch, after a checkpoint; of several processes
                at the end of the step.
            ranks: which of several processes this is; the accumulation then counts for each of them.

        Raises:
            InvalidInput: a package is missing, or a setting names nothing.
            DatasetError: no song is left to learn from.
        """
        self.trainset, self.model, self.run = trainset, model.bare, RunFolder(Path(folder))
        settings = settings.resolved(model.info.is_turbo)
        each = settings.training.accumulation * ranks.count
        self.settings = replace(settings, training=replace(settings.training, accumulation=each))
        check_package(self.settings.fine.optimizer)
        check_quantised(self.settings)
        self.changed_data, self.hear, self.monitor, self.ranks = changed_data, hear, monitor, ranks
        self.watch = monitor if ranks.count == 1 else Monitor(monitor.progress)  # they all end after the same step
        self.origin = origin
        fine, training = self.settings.fine, self.settings.training
        self.learned, self.held_out = split(trainset, fine)
        self.repeats = [trainset.manifest.samples[song].repeat for song in self.learned]
        if not sum(self.repeats):
            raise DatasetError("No song is left to train with; include some, or hold out fewer.")
        self.at_once = training.batch * training.accumulation
        self.epoch_steps = -(-sum(self.repeats) // self.at_once)
        self.steps = fine.max_steps or training.epochs * self.epoch_steps
        self.lengths = lengths(trainset, fine.length)

    @torch.inference_mode(False)  # a host may run nodes in inference mode; as decorators, for no caller sees them
    @torch.enable_grad()
    def records(self) -> Generator[Record]:
        """Trains to the end, to a stop or to an error, and tells how it goes.

        Raises:
            DatasetError, CheckpointError, StorageError, OutOfMemory: as they say.
            TrainingError: nothing was learned, or the loss is not a number any more.
            Cancelled: or whatever else the monitor raises; the run has been saved.
        """
        if not self.ranks.first:
            self._follow()
            return
        with self.run.held():
            told = self._told()
            before = self.run if self.run.exists or self.origin is None else RunFolder(self.origin.folder.parents[1])
            if before.exists:
                for text in compare(before.settings(), told, self.changed_data):
                    yield self._logged({"kind": "warning", "text": text})
            point = self.run.latest() or self.origin
            asked, self.steps = self.steps, max(self.steps, 0 if point is None else point.step)
            if point is not None and point.step == self.steps and self.run.finished:
                self.ranks.told(None)
                yield {
                    "kind": "done",
                    "run": self.run.name,
                    "step": point.step,
                    "steps": self.steps,
                    "adapter": str(self.run.adapter),
                    "text": "It was finished before; more epochs go on, another name begins anew.",
                }
                return
            self.run.forget(STOP, HEAR)
            # Whether steps see windows is decided once: a run that goes on must see the same.
            known = (bool(before.settings()["plan"]["windowed"]),) if before.exists else self.lengths
            self.ranks.told((point, known))
            with self._decoder() as model:
                network, plan, memory = self._network(model, known)
                self._check_disk(network, 0 if point is None else point.step)
                if before is not self.run and point is not None:
                    self.run.adopt(point)
                self.run.begin({**told, "plan": plan.to_dict()})
                running = Loop(self, network, model.config, point, plan.windowed)
                start = {"kind": "start", "run": self.run.name, "step": running.step, "steps": self.steps,
                         "epochs": running.progress.epochs, "hears": self.hear is not None}  # fmt: skip
                yield self._logged({**start, "memory": memory.total, "text": str(memory)})
                if asked < self.steps:
                    text = (
                        f"Step {self.steps} is reached already and only {asked} were asked for, "
                        "so nothing more is learned."
                    )
                    yield self._logged({"kind": "warning", "text": text})
                for said in remarks(self.settings, self.model.info.kind):
                    yield self._logged({"kind": "warning", "text": said})
                yield from running.records()

    def _follow(self) -> None:
        """The share of a process that is not the first."""
        begun = self.ranks.told(None)
        if begun is not None:
            point, known = begun
            with self._decoder() as model:
                network, plan, _ = self._network(model, known)
                Loop(self, network, model.config, point, plan.windowed).follow()

    def _network(self, model: AceStepModel, known: tuple[bool, ...]) -> tuple[LiveNetwork, Plan, Estimate]:
        """The network, set up for what fits on the device of every process."""
        network = LiveNetwork(model, self.settings.adapter, self.settings.fine.seed)
        free = self.ranks.least(devices.free_memory(network.device))
        plan, memory = choose_plan(network, self.trainset, self.settings, known, free)
        network.every = plan.every
        return network, plan, memory

    @contextmanager
    def _decoder(self) -> Iterator[AceStepModel]:
        """A decoder of the run's own. Raises OutOfMemory, and says what may fit, where there is no room for it."""
        form, device = self.settings.fine.quantize, devices.pick_device(self.model.device)
        with ExitStack() as stack:
            try:
                model = stack.enter_context(manager.private(self.model, 0, lambda model: quantise(model.decoder, form)))
            except OutOfMemory as error:
                smaller = {"none": "set quantize to int8 or nf4, ", "int8": "set quantize to nf4, "}.get(form, "")
                raise OutOfMemory(
                    f"The decoder that is to be trained does not fit on {device}, where "
                    f"{shown_size(devices.free_memory(device))} are free; {smaller}choose a smaller model, or close "
                    "other programs."
                ) from error
            yield model

    def _told(self) -> Record:
        """What run.json says."""
        manifest = self.trainset.manifest
        digest = weights_hash(self.model, "dit")
        if manifest.model.get("dit") not in (None, digest):
            raise DatasetError(
                f"The trainset was made for another checkpoint ({manifest.model.get('variant')}), which reads texts "
                "its own way; preprocess the dataset with this model (the audio is not encoded again)."
            )
        return {
            "format": 1,
            "name": self.run.name,
            "settings": self.settings.to_dict(),
            "trainset": str(self.trainset.folder.resolve()),
            "dataset": {**manifest.dataset, "fingerprint": manifest.fingerprint},
            "base": {"variant": self.model.variant, "sha256": digest, "path": str(self.model.path.resolve())},
            "device": devices.device_name(devices.pick_device(self.model.device)),
            "versions": versions(),
        }

    def _check_disk(self, network: LiveNetwork, step: int) -> None:
        """Raises StorageError where the checkpoints that are to come do not fit."""
        fine, every = self.settings.fine, self.settings.training.save_every * self.epoch_steps
        # Beside those that stay: the one being written, the best, the adapter.
        count = fine.keep + 3 + self.steps // every - step // every - len(self.run.all())
        needed = max(1, count) * disk_bytes(network, fine.optimizer, fine.ema > 0)
        free = shutil.disk_usage(self.run.folder).free
        if needed > free:
            raise StorageError(
                f"The run's checkpoints take about {shown_size(needed)}, and {shown_size(free)} are free on the disk "
                f"of {self.run.folder}; free some space, or save less often."
            )

    def _logged(self, record: Record) -> Record:
        self.run.folder.mkdir(parents=True, exist_ok=True)
        self.run.append(record)
        return record


def split(trainset: Trainset, fine: Fine) -> tuple[list[int], list[int]]:
    """Numbers of the songs to learn from, and of those held out.

    Raises:
        InvalidInput: a song that is named is not there, or several have that name.
    """
    count = len(trainset)
    if named := [name for part in fine.held_out.split(",") if (name := part.strip())]:
        held_out = {_numbered(trainset, name) for name in named}
        return [song for song in range(count) if song not in held_out], sorted(held_out)
    held = min(count - 1, max(1, round(fine.validation * count))) if fine.validation > 0 else 0
    mixed = torch.randperm(count, generator=source(fine.seed, "validation")).tolist()
    return sorted(mixed[held:]), sorted(mixed[:held])


def _numbered(trainset: Trainset, name: str) -> int:
    """The number of the song with this id, or else this file name, with or without its ending."""
    entries, wanted = list(enumerate(trainset.manifest.samples)), folded(name)
    found = [n for n, entry in entries if entry.id == name]
    found = found or [n for n, e in entries if wanted in (folded(e.name), folded(Path(e.name).stem))]
    if len(found) == 1:
        return found[0]
    some = ", ".join(f"{entry.name} ({entry.id})" for _, entry in entries[:8])
    how = "several songs are" if found else "no song is"
    raise InvalidInput(f"In this trainset {how} called {name!r}; hold out songs by their ids, such as {some}.")


def lengths(trainset: Trainset, length: str) -> tuple[bool, ...]:
    """Whether steps may see windows: the answers to try, best first.

    Raises:
        DatasetError: the trainset was not made for what is asked.
    """
    made = trainset.manifest.length
    if "auto" not in (made, length) and made != length:
        raise DatasetError(f"The trainset was made for length {made}, not {length}; preprocess the dataset again.")
    wanted = made if length == "auto" else length
    return {"full": (False,), "window": (True,), "auto": (False, True)}[wanted]

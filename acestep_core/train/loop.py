"""The loop of a training run, with its network on the device: steps, reports, checkpoints, the finished adapter."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from acestep_core import __version__, devices
from acestep_core.errors import AceStepError, Cancelled, OutOfMemory, TrainingError
from acestep_core.io.tensor_file import open_tensors
from acestep_core.models.config import AceStepConfig
from acestep_core.train.checkpoints import EMA, HEAR, OPTIMIZER, STOP, WEIGHTS, Checkpoint
from acestep_core.train.estimate import SHORTER
from acestep_core.train.network import PREFIX, LiveNetwork, agreement, seeded
from acestep_core.train.objective import (
    Drawing,
    Item,
    Place,
    Times,
    batches,
    judge,
    numbers,
    order,
    seed_of,
    squared_errors,
)
from acestep_core.train.optimizers import (
    load_optimizer,
    make_optimizer,
    optimizer_state,
    rate_at,
    set_rate,
    skips_by_itself,
)
from acestep_core.train.progress import Progress, StepResult
from acestep_core.train.tensorboard import event_writer
from acestep_core.values import shown_size
from acestep_core.vocabulary import LATENT_RATE

if TYPE_CHECKING:
    from acestep_core.train.trainer import Trainer

Record = dict[str, Any]
"""`{"kind": …}`: start, step, epoch, validation, checkpoint, sample, warning, stopped, done or failed."""

BAD_STEPS: Final = 10
"""So many steps without a finite gradient, among the last 200, end the run."""


class Loop:
    """The loop of a run, with its network on the device."""

    def __init__(
        self,
        trainer: Trainer,
        network: LiveNetwork,
        config: AceStepConfig,
        point: Checkpoint | None,
        windowed: bool,
    ) -> None:
        self.trainer, self.run, self.settings, self.ranks = trainer, trainer.run, trainer.settings, trainer.ranks
        self.network, self.device, fine = network, network.device, self.settings.fine
        times = Times.of(fine.timesteps, config, trainer.model.preset)
        self.drawing = Drawing(trainer.trainset, times, fine, self.network.null, windowed)
        self.names = list(self.network.parameters)
        self.parameters = list(self.network.parameters.values())
        self.optimizer = make_optimizer(self.settings, self.network.parameters)
        self.progress = Progress(trainer.steps, trainer.epoch_steps)
        self.step, self.saved, self.moving = 0, -1, False
        self.ended = 0
        self.best: dict[str, float] = {}
        self.saved_at = time.monotonic()
        self.ema = None if fine.ema == 0 else [p.detach().clone() for p in self.parameters]
        if point is not None:
            self._take(point)
        # What follows is done, and told, again: also where a kill came before the first checkpoint.
        ended = self.ended * trainer.epoch_steps
        if self.ranks.first:
            self.run.rewind(lambda r: r.get("step", 0) <= (self.step if r["kind"] != "validation" else ended))
        self.events = event_writer(self.run.folder, self.step) if self.ranks.first else None
        self.network.decoder.train()

    def _take(self, point: Checkpoint) -> None:
        self.network.load(point.tensors(WEIGHTS))
        with open_tensors(point.folder / OPTIMIZER) as file:
            told = file.metadata()["optimizer"]
        load_optimizer(self.optimizer, self.names, point.tensors(OPTIMIZER), told)
        if self.ema is not None:
            known = point.tensors(EMA) if point.has(EMA) else point.tensors(WEIGHTS)
            self.ema = [known[PREFIX + name].to(self.device) for name in self.names]
        self.step = self.saved = point.step
        self.ended, self.best = point.state["epochs_ended"], dict(point.state["best"])
        self.progress.restore(self.step, point.state["progress"])

    # --- the loop ---------------------------------------------------------------------------------------------------

    def records(self) -> Iterator[Record]:
        try:
            yield from self._train()
        except BaseException as error:
            self._end(error)
            raise

    def follow(self) -> None:
        """The share of a process that is not the first of its run: it reports and writes nothing."""
        while self._go_on(True):
            for _ in self._one_step():
                pass

    def _go_on(self, wanted: bool) -> bool:
        asked = self.trainer.monitor.cancelled
        return self.ranks.go_on(wanted, asked is not None and self.ranks.count > 1 and asked())

    def _end(self, error: BaseException) -> None:
        """Saves what there is, whatever happened, and lets the error go on; a mere stop says where it is."""
        failed = isinstance(error, AceStepError | RuntimeError | OSError | ValueError | TypeError | LookupError)
        kind = "failed" if failed and not isinstance(error, Cancelled) else "stopped"
        try:
            if self.step > self.saved and not self.moving and self._finite():
                self._save()
            text, reached = str(error), max(0, self.saved)
            if kind == "stopped":
                text = f"Stopped at step {reached} of {self.trainer.steps}; run it again to go on from there."
                error.add_note(text)
            self._logged({"kind": kind, "step": self.step, "steps": self.trainer.steps, "text": text})
        except AceStepError as second:
            error.add_note(f"And the run could not be saved: {second}")

    def _train(self) -> Iterator[Record]:
        trainer, fine = self.trainer, self.settings.fine
        while True:
            epoch, inside = divmod(self.step, trainer.epoch_steps)
            if inside == 0 and epoch > self.ended:
                yield from self._after_epoch(epoch)
            if self.step >= trainer.steps:
                break
            self._go_on(True)
            yield from self._one_step()
            if self.step % fine.log_every == 0 or self.step == trainer.steps:
                yield from self._report()
            trainer.watch.tick("Training", self.step, trainer.steps, self.progress.history)
            if self.run.asked(STOP):
                self.run.forget(STOP)
                yield from self._finish(stopped=True)
                return
            if self.run.asked(HEAR):
                self.run.forget(HEAR)
                yield from self._heard()
            if 0 < fine.save_minutes * 60 <= time.monotonic() - self.saved_at:
                yield self._checkpoint()
        yield from self._finish(stopped=False)

    def _after_epoch(self, epoch: int) -> Iterator[Record]:
        trainer, fine, training = self.trainer, self.settings.fine, self.settings.training
        if trainer.held_out and epoch % fine.validate_every == 0:
            with self.network.listening():
                loss = judge(self.drawing, trainer.held_out, self.network, self.device)
            record = {"kind": "validation", "step": self.step, "epoch": epoch, "loss": loss}
            self.ended = epoch  # before a checkpoint says so
            yield self._logged(record)
            self.progress.look(record)
            if loss < self.best.get("loss", math.inf):
                self.best = {"loss": loss, "step": self.step}
                yield self._checkpoint()
        self.ended = epoch
        if epoch % training.save_every == 0 and self.saved != self.step:
            yield self._checkpoint()
        every = self.settings.test_songs.every
        if every and epoch % every == 0:
            yield from self._heard()

    def _heard(self, adapter: Path | None = None) -> Iterator[Record]:
        """A test song, with an adapter: that of a checkpoint of this step, if none is named."""
        if self.trainer.hear is None:
            yield self._logged({"kind": "warning", "text": "No test song was made; say first what it should be."})
            return
        if self.saved != self.step:
            yield self._checkpoint()
        with self.network.away():
            files = self.trainer.hear(adapter or self.run.checkpoints / str(self.step), self.step)
        yield self._logged({"kind": "sample", "step": self.step, "files": [str(file) for file in files]})

    # --- one step ---------------------------------------------------------------------------------------------------

    def places(self, step: int) -> list[Place]:
        """What a step sees; the last one of an epoch may see less."""
        trainer = self.trainer
        epoch, place = divmod(step, trainer.epoch_steps)
        seed = self.settings.fine.seed
        chosen = order(seed, epoch, trainer.repeats)[place * trainer.at_once : (place + 1) * trainer.at_once]
        return [
            self.drawing.place(trainer.learned[song], step, slot, epoch * trainer.repeats[song] + copy)
            for slot, (song, copy) in enumerate(chosen)
        ]

    def _one_step(self) -> Iterator[Record]:
        errors = None
        while errors is None:
            places = self.places(self.step)
            groups = batches(places, self.settings.training.batch)
            own = {n: [self.drawing.item(place) for place in group] for n, group in self.ranks.share(groups)}
            try:
                errors = self._gradients(groups, own)
            except Exception as error:
                if not devices.is_out_of_memory(error):
                    raise
                said = self._save_memory()
                if not said:
                    raise OutOfMemory(self._full()) from error
            if errors is None:  # here nothing refers to what failed any more
                self.optimizer.zero_grad(set_to_none=True)
                devices.empty_cache(self.device)
                yield self._logged({"kind": "warning", "text": said})
        self._move(places, self.ranks.sum(self.parameters, errors))

    def _save_memory(self) -> str:
        """Turns on what saves memory next, and says so; empty where there is nothing left.

        Windows change what a run sees, so only one that has not begun may change to them.
        """
        trainer = self.trainer
        if self.network.every == 0:
            self.network.every = 1
            return "The device ran out of memory; going on with checkpointing, a bit slower."
        if self.step == 0 and not self.drawing.windowed and True in trainer.lengths and self.ranks.count == 1:
            self.drawing = replace(self.drawing, windowed=True)
            told = self.run.settings()
            self.run.begin({**told, "plan": {**told["plan"], "windowed": True}})
            seconds = trainer.trainset.manifest.window_frames / LATENT_RATE
            return f"The device ran out of memory; going on with windows of {seconds:g} seconds."
        return ""

    def _full(self) -> str:
        """What to say where the device's memory is full and nothing is left to save."""
        free, kept = shown_size(devices.free_memory(self.device)), "; what was learned is saved" if self.step else ""
        windows = "shorter windows" if self.drawing.windowed else f"windows of {SHORTER:g} seconds"
        return (
            f"Step {self.step + 1} did not fit into the memory of {self.device}, of which {free} are free{kept}; close "
            f"other programs and run again, or begin a new run with {windows}, a smaller batch or a lower rank."
        )

    def _gradients(self, groups: Sequence[Sequence[Place]], own: Mapping[int, Sequence[Item]]) -> Tensor:
        """Leaves the gradients of this process's share behind, and gives its errors; waits for nothing."""
        count, fine = sum(map(numbers, groups)), self.settings.fine
        errors = [torch.zeros(len(group), device=self.device) for group in groups]
        with _deterministic(fine.deterministic):
            for number, items in own.items():
                self.trainer.watch.check()
                with seeded(seed_of(fine.seed, "dropout", self.step, number), self.device):
                    found = squared_errors(self.network, items, self.device)
                    (found.sum() / count).backward()
                errors[number] = found.detach()
        return torch.cat(errors)

    def _move(self, places: Sequence[Place], errors: Tensor) -> None:
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.fine.clip)
        rate = rate_at(self.step, self.trainer.steps, self.settings)
        bad = (~torch.isfinite(norm)).float().reshape(())
        set_rate(self.optimizer, rate)
        self.moving = True
        if skips_by_itself(self.optimizer):
            self.optimizer.found_inf = bad  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not bool(bad):
            self.optimizer.step()
        if self.ema is not None:
            torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - self.settings.fine.ema)
        self.optimizer.zero_grad(set_to_none=True)
        if self.ranks.first:
            self.progress.add(StepResult(self.step, places, errors, numbers(places), norm, rate), bad)
        self.step += 1
        self.moving = False

    # --- what is told and kept --------------------------------------------------------------------------------------

    def _report(self) -> Iterator[Record]:
        record = self.progress.report()
        for ended in self.progress.epochs_ended():
            yield self._logged(ended)
        yield self._logged(record)
        if len(self.progress.skipped) >= BAD_STEPS:
            raise TrainingError(
                f"{BAD_STEPS} of the last 200 steps had no finite gradient, the last with "
                f"{', '.join(self.progress.skipped[-1][1])}; lower the learning rate, or look for broken audio there."
            )

    def _finite(self) -> bool:
        return all(bool(torch.isfinite(p).all()) for p in self.parameters)

    def _checkpoint(self) -> Record:
        self._save()
        return self._logged(
            {"kind": "checkpoint", "step": self.step, "folder": str(self.run.checkpoints / str(self.step))}
        )

    def _save(self) -> None:
        self.progress.drain()
        smooth, late = self.progress.smooth, self.step > self.trainer.steps // 5
        if not self.trainer.held_out and late and smooth is not None and smooth < self.best.get("loss", math.inf):
            self.best = {"loss": smooth, "step": self.step}
        state = {
            "step": self.step,
            "steps": self.trainer.steps,
            "epochs_ended": self.ended,
            "best": self.best,
            "progress": self.progress.state(),
        }
        ema = None if self.ema is None else self._named(self.ema)
        self.run.save(
            state, self.network.config, self.network.state(), optimizer_state(self.optimizer, self.names), ema
        )
        self.saved, self.saved_at = self.step, time.monotonic()
        every = self.settings.training.save_every * self.trainer.epoch_steps
        self.run.prune(self.settings.fine.keep, set(range(every, self.step + 1, every)))

    def _named(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        return {PREFIX + name: t.detach().cpu().clone() for name, t in zip(self.names, tensors, strict=True)}

    def _finish(self, stopped: bool) -> Iterator[Record]:
        self._go_on(False)
        if self.saved != self.step:
            yield self._checkpoint()
        if self.ema is not None:
            self.network.load(self._named(self.ema))
        adapter = self.run.finish(self.network.config, self.network.state(), self._about(stopped))
        error = agreement(self.network, adapter, self.drawing.item(self.places(0)[0]))
        kind = "stopped" if stopped else "done"
        text = "exactly" if error == 0 else f"to {error:.1e}"
        if self.trainer.hear is not None and not stopped and not self._was_heard():
            yield from self._heard(adapter)
        yield self._logged({"kind": kind, "step": self.step, "steps": self.trainer.steps, "adapter": str(adapter),
                            "text": f"The written adapter is the trained network {text}."})  # fmt: skip

    def _was_heard(self) -> bool:
        """Whether there is a test song of this step."""
        return any(r["kind"] == "sample" and r["step"] == self.step for r in self.run.records())

    def _about(self, stopped: bool) -> Record:
        manifest, preset, trainer = self.trainer.trainset.manifest, self.trainer.model.preset, self.trainer
        base = self.run.settings()["base"]
        return {
            "format": 1,
            "name": self.run.name,
            **{name: getattr(self.settings.adapter, name) for name in ("kind", "rank", "alpha", "targets")},
            "base": {name: base[name] for name in ("variant", "sha256")},
            "trained": {
                "steps": self.step,
                "epochs": self.step // trainer.epoch_steps,
                "seconds": round(manifest.seconds, 1),
                "samples": len(trainer.learned),
            },
            "tag": manifest.dataset.get("custom_tag", ""),
            "tag_position": manifest.dataset.get("tag_position", ""),
            "proposed": {"steps": preset.steps, "shift": preset.shift, "guidance": preset.guidance},
            "dataset": {"name": manifest.dataset.get("name", ""), "fingerprint": manifest.fingerprint},
            "version": __version__,
            "stopped": stopped,
        }

    def _logged(self, record: Record) -> Record:
        if self.ranks.first:
            self.run.append(record)
            if self.events is not None:
                self.events(record)
        return record


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)

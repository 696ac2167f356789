"""Learning a style: how, the run itself, and what becomes of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.io.confine import confine
from acestep_core.io.names import safe_name
from acestep_core.train.settings import (
    EXPORT_DTYPES,
    EXPORT_FORMATS,
    AdapterOptions,
    Fine,
    TestSongs,
    Training,
    TrainSettings,
)

from . import inputs, wires
from .host import host, monitor
from .remarks import Told, told
from .routes import item_of
from .runs import UNSEEN, runs_folder, shown_record, tell_run

if TYPE_CHECKING:
    from acestep_core.models.handles import ModelHandle
    from acestep_core.song.description import Song
    from acestep_core.train.trainset import Trainset

PICTURE_SECONDS = 2.0
NEWS = "acestep.train"
"""The event that tells the monitor on the canvas of new records."""
NEWS_SECONDS = 0.25
LINES = 15
RESUME = ("auto", "new", "best")
CURVE = ("step", "validation")
"""Kinds of records that the picture shows."""


class ACEStepTrainSettings:
    TITLE = "ACE-Step Train Settings"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "What learns and how: kind and size of the adapter, optimizer, schedule, memory."
    SEARCH_ALIASES: ClassVar = ["lora rank", "dora", "lokr", "optimizer", "hyperparameters"]
    RETURN_TYPES = (wires.TRAIN_SETTINGS,)
    RETURN_NAMES = ("settings",)
    OUTPUT_TOOLTIPS = ("For ACE-Step Train LoRA.",)
    FUNCTION = "settings"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        plain = {**inputs.widgets(AdapterOptions, advanced=False), **inputs.widgets(Fine, advanced=False)}
        rare = {**inputs.widgets(AdapterOptions, advanced=True), **inputs.widgets(Fine, advanced=True)}
        return {"required": plain, "optional": rare}

    def settings(self, **widgets: Any) -> tuple[TrainSettings]:
        return (TrainSettings(adapter=AdapterOptions.from_widgets(widgets), fine=Fine.from_widgets(widgets)),)


class ACEStepTrainLoRA:
    TITLE = "ACE-Step Train LoRA"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Learns a style from songs. Goes on where it was stopped, and a cancel loses nothing."
    SEARCH_ALIASES: ClassVar = ["train", "fine-tune", "lora training", "learn style"]
    RETURN_TYPES = (wires.MODEL, "STRING", "STRING")
    RETURN_NAMES = ("model", "lora", "report")
    OUTPUT_TOOLTIPS = ("The model with what was learned.", "The folder of the adapter.", "How it went.")
    FUNCTION = "train"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "trainset": inputs.wire(wires.TRAINSET, "What to learn from."),
                "model": inputs.wire(wires.MODEL, "The checkpoint that learns. Base is best: turbo plays it, too."),
                "name": inputs.text("Of the run and the adapter. The same name goes on where it ended.", "my_style"),
                **inputs.widgets(Training),
                "resume": inputs.choice(
                    RESUME, "auto", "auto goes on with the run of that name; new does not; best begins with its best."
                ),
            },
            "optional": {
                "settings": inputs.wire(wires.TRAIN_SETTINGS, "From ACE-Step Train Settings; the usual ones without."),
                "test_song": inputs.wire(wires.SONG, "What a test song should be; put the activation tag in it."),
                **inputs.widgets(TestSongs),
            },
        }

    @classmethod
    def IS_CHANGED(cls, name: str = "", **_: Any) -> Any:
        """A run that was cut off runs again; one that is finished, or not begun, does not change by itself."""
        from acestep_core.train.checkpoints import RunFolder

        run = RunFolder(runs_folder() / safe_name(str(name).strip(), "_"))
        return float("nan") if run.exists and not run.finished else ""

    def train(
        self,
        trainset: Trainset,
        model: ModelHandle,
        name: str,
        resume: str = "auto",
        settings: TrainSettings | None = None,
        test_song: Song | None = None,
        **widgets: Any,
    ) -> Told:
        from acestep_core.models.handles import Models
        from acestep_core.monitor import Monitor
        from acestep_core.pipeline.learning import record_line, train_adapter

        if model.vae is None and test_song is not None:
            raise InvalidInput("Test songs need a VAE beside the model; load one with it, or disconnect the test song.")
        chosen = replace(
            settings or TrainSettings(),
            training=Training.from_widgets(widgets),
            test_songs=TestSongs.from_widgets(widgets) if test_song is not None else TestSongs(),
        )
        target, watch = host(), monitor()
        display = _Display()
        records = train_adapter(
            trainset,
            Models(model, model.vae),  # type: ignore[arg-type]
            name,
            runs_folder(),
            chosen,
            resume=resume,
            test_song=test_song,
            monitor=Monitor(display, watch.cancelled),
        )
        lines, notes, last = [], [], {}
        try:
            for last in records:
                display.keep(shown_record(last))
                if text := record_line(last):
                    target.say(text)
                    lines = [*lines, text][-LINES:]
                    notes += [] if last["kind"] in CURVE else [text]
        except BaseException as error:
            for text in getattr(error, "__notes__", ()):  # where it stopped
                target.say(text)
            raise
        adapter = Path(last["adapter"])
        logged = tell_run({"run": adapter.parent.name})["records"]  # of days before, too
        return told(
            (model.with_adapter(adapter, 1.0), str(adapter), "\n".join(lines)),
            "\n".join(notes),
            audio=[song for record in logged for song in record.get("songs", [])],
            images=[_picture_file(name, [record for record in logged if record["kind"] in CURVE])],
            acestep_train=[{"run": adapter.parent.name, "adapter": str(adapter), "steps": last["step"]}],
        )


class ACEStepExportLoRA:
    TITLE = "Export ACE-Step LoRA"
    CATEGORY = "ACE-Step/train"
    DESCRIPTION = "Writes a trained adapter as a file for ComfyUI and others, or merges it, and reads it back."
    SEARCH_ALIASES: ClassVar = ["save lora", "safetensors", "kohya", "merge lora", "peft"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_TOOLTIPS = ("The file or folder.",)
    FUNCTION = "export"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "lora": inputs.text("The folder of the adapter, from ACE-Step Train LoRA.", forceInput=True),
                "filename": inputs.text("Its name below models/loras; a number is added if it is taken.", "my_style"),
                "format": inputs.choice(
                    EXPORT_FORMATS, "single", "single is for ComfyUI and this pack; merged is a whole checkpoint."
                ),
                "dtype": inputs.choice(EXPORT_DTYPES, "fp32", "bf16 is half as large and a little less exact."),
            },
            "optional": {
                "model": inputs.wire(
                    wires.MODEL, "The model that was trained, for merged and for a DoRA; without it, that of the run."
                ),
            },
        }

    def export(self, lora: str, filename: str, format: str, dtype: str, model: ModelHandle | None = None) -> Told:
        from acestep_core.pipeline.learning import export_under

        adapter = confine(lora, [host().output_folder(), *host().lora_folders()])
        folder = host().model_roots()[0] if format == "merged" else host().lora_folders()[0]
        done = export_under(folder, filename, adapter, format, dtype, model)
        return told((str(done.path),), str(done))


class _Display:
    """Moves the bar of the running node, draws the curve now and then, and hands new records to the canvas."""

    def __init__(self) -> None:
        self.waiting: list[Mapping[str, Any]] = []
        self.drawn = self.sent = -PICTURE_SECONDS
        self.run = ""

    def keep(self, record: Mapping[str, Any]) -> None:
        if record["kind"] in UNSEEN:
            return
        self.run = record.get("run", self.run)
        self.waiting.append(record)
        now = time.monotonic()
        if record["kind"] != "step" or now - self.sent >= NEWS_SECONDS:
            host().tell(NEWS, {"run": self.run, "records": self.waiting})
            self.sent, self.waiting = now, []

    def __call__(self, stage: str, done: int, total: int, preview: Callable[[], Any] | None) -> None:
        now, picture = time.monotonic(), None
        if preview is not None and now - self.drawn >= PICTURE_SECONDS:
            from .preview import loss_curve

            self.drawn, records = now, preview()
            picture = lambda: loss_curve(records)  # noqa: E731
        host().show(done, total, picture)


def _picture_file(name: str, records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    from .preview import loss_curve

    folder = host().temp_folder()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{safe_name(name)}_{os.urandom(4).hex()}.png"
    loss_curve(records).save(file)
    return item_of(file, folder, "temp")

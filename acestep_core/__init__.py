"""acestep_core: make music with ACE-Step 1.5 from Python. Importing it loads neither torch nor any model."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# fmt: off
_HOME = {
    "pipeline.generation": ("generate", "Generation"),
    "pipeline.editing": ("cover", "repaint", "extend", "add_track", "add_layer", "extract", "complete", "morph"),
    "pipeline.asking": ("create", "format", "understand", "score", "lrc"),
    "pipeline.replay": ("replay",),
    "pipeline.opening": ("open_models",),
    "pipeline.learning": ("train_adapter",),
    "train.scan": ("scan",),
    "train.dataset_file": ("load_dataset", "save_dataset"),
    "train.label": ("label",),
    "train.preprocess": ("preprocess",),
    "planner.think": ("Thinking",),
    "train.settings": ("TrainSettings",),
    "options": (
        "RenderSettings", "Schedule", "Guidance", "Sampling", "Decode", "Finish", "LMSampling", "PlanSettings",
    ),
    "song.description": ("Song",),
    "records.song_record": ("SongRecord",),
    "monitor": ("Monitor",),
    "errors": ("AceStepError",),
}
# fmt: on
_LAZY = {name: f"acestep_core.{module}" for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'acestep_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_LAZY]

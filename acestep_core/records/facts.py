"""What a listener wants to know of a song, taken from its record as plain JSON for a screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acestep_core.records.song_record import SongRecord

CODES_SHOWN = 200
_SONG = ("caption", "lyrics", "language", "instrumental", "duration", "bpm", "keyscale", "timesignature")


def facts_of(record: SongRecord) -> dict[str, Any]:
    """The song, its seed and those of its batch, its scores and plan, the first of its codes, the seconds of each
    stage, and its models."""
    names = {file.role: file.name for file in reversed(record.files)}
    dit = next((file for file in record.files if file.role == "dit"), None)
    return {
        **{name: record.song.get(name) for name in _SONG},
        "seed": str(record.seeds["noise"]),  # a browser's numbers end at 2^53
        "seeds": [str(seed) for seed in record.task.get("seeds", ())],
        "task": record.task.get("name", ""),
        "scores": {name: score for name, score in record.scores.items() if isinstance(score, int | float)},
        "plan": record.plan,
        "codes": {"count": len(record.codes), "first": list(record.codes[:CODES_SHOWN])},
        "seconds": dict(record.seconds),
        "steps": _steps(record.settings),
        "model": names.get("dit", ""),
        "variant": "" if dit is None else dit.extra.get("variant", ""),
        "lm": names.get("lm", ""),
        "adapters": [[file.name, file.strength] for file in record.files if file.role == "adapter"],
        "test": bool(record.machine.get("test_model")),
        "toy": bool(record.machine.get("toy_model")),
    }


def _steps(settings: Mapping[str, Any]) -> int | None:
    """How many steps were run; a schedule of its own has one for each time but the closing 0."""
    times = settings.get("timesteps")
    return settings.get("steps") if times is None else sum(time > 0 for time in times)

"""What a caller asks for, besides the recording: one reading of the arguments of every function of the front door."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from acestep_core.declared import options_of
from acestep_core.errors import InvalidInput
from acestep_core.io.recordings import AudioLike
from acestep_core.models.handles import Models
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import TABLE, Finish, LMSampling, PlanSettings, RenderSettings, known
from acestep_core.pipeline import arguments
from acestep_core.pipeline.made import Made
from acestep_core.pipeline.opening import models_beside, open_models
from acestep_core.pipeline.progress import monitor_of
from acestep_core.pipeline.starting import LatentLike
from acestep_core.planner.think import Thinking
from acestep_core.song.description import Song

_SONG_FIELDS = frozenset(entry.name for entry in options_of(Song))


@dataclass(frozen=True)
class Request:
    """Everything that every function of the front door takes, by name. See `generate`."""

    song: Song
    models: Models
    seed: int | None = None
    batch: int = 1
    references: Sequence[tuple[AudioLike, int]] = ()
    latent: LatentLike | None = None
    noise_mask: Any = None
    encode_tile: int | None = None
    at_once: int | None = None
    settings: RenderSettings = RenderSettings()  # noqa: RUF009
    finish: Finish = Finish()  # noqa: RUF009
    thinking: Thinking | None = None
    album_caption: str = ""
    monitor: Monitor = SILENT

    @classmethod
    def of(cls, caption: str, given: Mapping[str, Any], task: str = "text2music", source: AudioLike = None) -> Request:
        """Sorts arguments into song, settings and the rest. None is as good as left out, except for `peak_db`.

        Args:
            task: what the models must be able to do, where the caller chose none.
            source: what is worked on; songs of this library bring the models that made them.

        Raises:
            InvalidInput: a value is wrong, there is no such argument, or two of them contradict each other.
        """
        told = {name: value for name, value in given.items() if value is not None or name == "peak_db"}
        options = known(told)
        song_fields = {name: told[name] for name in told.keys() & _SONG_FIELDS}
        unknown = sorted(told.keys() - options.keys() - song_fields.keys() - arguments.NAMES)
        if unknown:
            near = _nearest(unknown[0], {*TABLE, *_SONG_FIELDS, *arguments.NAMES})
            hint = f"use {near}, or " if near else ""
            raise InvalidInput(
                f"There is no argument {unknown[0]!r}; {hint}see help(acestep_core.generate) for all of them."
            )
        told = arguments.read_arguments(told)
        if caption and told.get("prompt"):
            raise InvalidInput("The prompt is another word for the caption; give one of them.")
        return cls(
            song=_song(told.get("song"), {"caption": told.get("prompt", caption), **song_fields}),
            models=_models(told.get("models"), told.get("variant"), task, source),
            seed=told.get("seed"),
            batch=told.get("batch", 1),
            references=[(heard, told.get("reference_seed", 0)) for heard in _several(told.get("references", ()))],
            latent=told.get("latent"),
            noise_mask=told.get("noise_mask"),
            settings=_settings(told.get("settings"), options),
            finish=Finish.from_flat(options),
            thinking=_thinking(told.get("think", False), options),
            album_caption=told.get("album_caption", ""),
            monitor=monitor_of(told.get("progress"), told.get("cancelled")),
        )


def _models(models: Models | str | Path | None, variant: str | None, task: str, source: AudioLike) -> Models:
    if isinstance(models, Models):
        return models
    if models is None and isinstance(source, Made):
        return models_beside(source.models, variant, task)
    return open_models(models, variant, task=task)


def _song(song: Song | None, described: dict[str, Any]) -> Song:
    if song is None:
        return Song.from_dict(described)
    if any(described.values()):
        raise InvalidInput("Give either a song or its fields (caption, lyrics, duration, ...), not both.")
    return song


def _settings(settings: RenderSettings | None, options: Mapping[str, Any]) -> RenderSettings:
    named = RenderSettings.named(options)
    if settings is None:
        return RenderSettings.of(**named)
    if named:
        raise InvalidInput(f"Give either settings or {min(named)} by name, not both.")
    return settings


def _thinking(think: bool | Thinking, options: Mapping[str, Any]) -> Thinking | None:
    if isinstance(think, Thinking):
        return think
    return Thinking(PlanSettings.from_flat(options), LMSampling.from_flat(options)) if think else None


def _several(recordings: Any) -> Sequence[AudioLike]:
    """One recording is as good as a list of one."""
    return recordings if isinstance(recordings, list | tuple) and not _is_waveform(recordings) else [recordings]


def _is_waveform(value: Any) -> bool:
    """Whether it is a waveform with its sample rate."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)


def _nearest(name: str, known: set[str]) -> str:
    """The argument that a word of another program or a slip of the pen stands for: `steps` for `inference_steps`."""
    parts = {*name.split("_"), name.replace("_", "")}
    longer = [found for found in sorted(known) if len(name) > 2 and found.startswith(name)]  # `key` for `keyscale`
    return next(iter([*sorted(parts & known), *longer, *difflib.get_close_matches(name, sorted(known), 1, 0.6)]), "")

"""The stages of a dataset on many workers.

Workers do ahead what takes long: they look at recordings, write latents, codes and conditions, and let the language
model listen. Everything they write lies under a name that tells what it was made from. Then the stage runs here as
ever, and finds all of that: its result is the one of a single process, whoever made what.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.engine import RAY, ray_options
from acestep_core.monitor import Monitor
from acestep_core.pipeline.progress import ProgressBar

if TYPE_CHECKING:
    from acestep_core.host.client.ray_workers import RayOptions
    from acestep_core.models.handles import LMHandle, Models
    from acestep_core.train.dataset import Dataset, Sample
    from acestep_core.train.dataset_options import Labelling, Preprocessing
    from acestep_core.train.scan import Look

Heard = Callable[[], object]
FILES, SONGS = 64, 16
"""Recordings that one worker looks at, or makes, before it is given more."""


class OnRay:
    """Has workers do things ahead."""

    def __init__(self, options: RayOptions, bar: ProgressBar) -> None:
        self._options, self._bar = options, bar

    def look(self, files: Sequence[Path]) -> dict[Path, Look]:
        """For `scan`: length and hash of each file that can be read."""
        found: dict[Path, Look] = {}
        self._do(files, FILES, looked_at, (), found.update)
        return found

    def label(
        self, samples: Sequence[Sample], models: Models, folder: Path, options: Labelling, seed: int,
        take: Callable[[Sequence[Sample]], object],
    ) -> None:  # fmt: skip
        """For `label`: samples as the language model heard them; those it fails on are left out."""
        assert models.lm is not None
        self._do(samples, SONGS, heard, (models, folder, options, seed), take)

    def prepare(
        self, dataset: Dataset, models: Models, folder: Path, options: Preprocessing
    ) -> dict[tuple[str, int, int], str]:
        """For `preprocess`: makes the files of all samples; hashes of the recordings."""
        known: dict[tuple[str, int, int], str] = {}
        self._do(dataset.used, SONGS, prepared, (dataset, models, folder, options), known.update)
        return known

    def _do(
        self,
        items: Sequence[Any],
        most: int,
        function: Callable[..., Any],
        more: tuple[Any, ...],
        take: Callable[[Any], object],
    ) -> None:
        from acestep_core.host.client.ray_calls import CallWork, call_on_ray

        if not items:
            return
        done = 0

        def taken(result: Any, count: int) -> None:
            nonlocal done
            done += count
            self._bar("On workers", done, len(items))
            take(result)

        call_on_ray(self._options, items, most, lambda part: CallWork(function, (part, *more)), taken)


def on_ray(told: argparse.Namespace, bar: ProgressBar) -> OnRay | None:
    """Workers, where the command asks for them."""
    return OnRay(ray_options(told), bar) if told.engine == RAY else None


def looked_at(files: Sequence[Path], heard: Heard) -> Mapping[Path, Look]:
    from acestep_core.errors import AceStepError
    from acestep_core.train.scan import look_at

    found = {}
    for file in files:
        heard()
        try:
            found[file] = look_at(file)
        except (AceStepError, OSError):
            continue  # whoever scans looks himself, and says what is wrong
    return found


def heard(
    samples: Sequence[Sample], models: Models, folder: Path, options: Labelling, seed: int, hear: Heard
) -> list[Sample]:
    from acestep_core.train.label import label_some

    lm: LMHandle | None = models.lm
    assert lm is not None
    return [*label_some(samples, models.model, models.vae, lm, folder, options, seed, _monitor(hear))[0]]


def prepared(
    samples: Sequence[Sample], dataset: Dataset, models: Models, folder: Path, options: Preprocessing, hear: Heard
) -> Mapping[tuple[str, int, int], str]:
    from acestep_core.train.preprocess import prepare

    return prepare(dataset, samples, models.model, models.vae, folder, options, _monitor(hear))


def _monitor(hear: Heard) -> Monitor:
    return Monitor(cancelled=lambda: bool(hear()))  # asked at every step

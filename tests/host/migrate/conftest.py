"""Definitions of our nodes on a machine with the tiny models only, and a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.client.local import LocalRunner
from acestep_core.host.graph.context import Folders, hosting
from tests.places import nothing_known
from tests.train.recordings import write_tone

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="package")
def runner(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunner]:
    base = tmp_path_factory.mktemp("migrate")
    with pytest.MonkeyPatch.context() as patch:
        nothing_known(patch, base / "cache")
        patch.setenv("ACESTEP_CHECKPOINTS", str(tiny_root))
        folders = Folders.under(base, models=tiny_root)
        write_tone(folders.input / "recording.wav")
        yield LocalRunner(folders, [ROOT])


@pytest.fixture(scope="package")
def definitions(runner: LocalRunner) -> dict[str, Any]:
    with hosting(runner.folders):
        return runner.registry.definitions()

"""One real ComfyUI for all tests of this folder. They are skipped where `COMFYUI_DIR` does not name a checkout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.comfyui.comfy_server import Comfy, checkout, python_of, started
from tests.places import nothing_known


@pytest.fixture(scope="session")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comfy]:
    """The server; it starts when the first test asks for it."""
    main = checkout()
    with started(main, python_of(main.parent), tmp_path_factory.mktemp("comfyui")) as comfy:
        yield comfy


@pytest.fixture(autouse=True)
def only_ours(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    """The embedded host that ComfyUI is compared with finds no models of this machine either."""
    nothing_known(monkeypatch, tmp_path_factory.getbasetemp() / "cache")
    monkeypatch.chdir(tmp_path)

"""One server, one browser and one page of each renderer for all tests of this folder; they take seconds to start.

With `ACESTEP_FRONTEND` naming a folder with another version of the frontend, everything runs with that one too. Tests
marked `on_every_server` also run inside real ComfyUI, where `COMFYUI_DIR` names a checkout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest

from acestep_core.host.graph.context import Folders
from acestep_core.host.server import routes_info
from tests.canvas.browser import FRONTEND, Canvas, open_page, other_frontend
from tests.canvas.desk import Desk
from tests.comfyui.comfy_server import checkout, python_of, started
from tests.places import nothing_known
from tests.train.recordings import write_tone


@pytest.fixture(scope="package", params=["pinned", "other"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Iterator[Desk]:
    base = tmp_path_factory.mktemp("canvas")
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack, asyncio.Runner() as runner:
        desk = Desk(runner, request.param)
        if request.param == "comfyui":
            main = checkout()
            comfy = stack.enter_context(started(main, python_of(main.parent), base))
            opened = desk.open_comfyui(comfy)
        else:
            if request.param == "other":
                folder = other_frontend()
                if folder is None:
                    pytest.skip(f"{FRONTEND} names no folder with another frontend")
                patch.syspath_prepend(folder)
            routes_info._version.cache_clear()
            nothing_known(patch, base / "cache")
            opened = desk.open(Folders.under(base, models=tiny_root))
        try:
            runner.run(opened)
            write_tone(desk.site.folders.input / "recording.wav")
            yield desk
        finally:
            runner.run(desk.stack.aclose())
            routes_info._version.cache_clear()


@pytest.fixture(scope="package", params=["classic", "nodes2"])
def page(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Canvas]:
    """The canvas with text2music open."""
    stack = AsyncExitStack()

    async def enter() -> Canvas:
        await desk.site.post("/settings/Comfy.VueNodes.Enabled", request.param == "nodes2")
        label = f"{desk.label}_{request.param}_"
        page = await stack.enter_async_context(open_page(desk.browser, desk.start, label))
        await page.until(desk.first)
        return page

    try:
        yield desk.runner.run(enter())
    finally:
        desk.runner.run(stack.aclose())

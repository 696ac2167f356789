"""One host, one browser and one page of each renderer for all tests of this folder; they take seconds to start.

With `ACESTEP_FRONTEND` naming a folder with another version of the frontend, everything runs with that one too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from acestep_core.host.graph.context import Folders
from acestep_core.host.server import routes_info
from tests.canvas.browser import FRONTEND, Canvas, open_page, other_frontend
from tests.canvas.desk import Desk, read
from tests.workflows.material import lay_recording


@pytest.fixture(scope="package", params=["pinned", "other"])
def desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Iterator[Desk]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        if request.param == "other":
            folder = other_frontend()
            if folder is None:
                pytest.skip(f"{FRONTEND} names no folder with another frontend")
            patch.syspath_prepend(folder)
        routes_info._version.cache_clear()
        base = tmp_path_factory.mktemp("canvas")
        patch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        folders = Folders.under(base, models=tiny_root)
        lay_recording(folders.input)
        desk = Desk(runner, request.param)
        try:
            runner.run(desk.open(folders))
            yield desk
        finally:
            runner.run(desk.stack.aclose())
            routes_info._version.cache_clear()


@pytest.fixture(scope="package", params=["classic", "nodes2"])
def page(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Canvas]:
    """The canvas as somebody sees it who comes for the first time."""
    stack = AsyncExitStack()

    async def enter() -> Canvas:
        await desk.site.post("/settings/Comfy.VueNodes.Enabled", request.param == "nodes2")
        label = f"{desk.frontend}_{request.param}_"
        page = await stack.enter_async_context(open_page(desk.browser, desk.site.url, label))
        await page.until(f"app.graph.id === '{read('text2music')['id']}'")
        return page

    try:
        yield desk.runner.run(enter())
    finally:
        desk.runner.run(stack.aclose())

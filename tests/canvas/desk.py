"""A server with our pack and a browser that looks at it, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.graph.context import Folders
from tests.canvas.browser import Canvas, open_browser, open_page
from tests.comfyui.comfy_server import Comfy
from tests.host.lab_site import Site, open_site

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"


def read(stem: str) -> Any:
    return json.loads((WORKFLOWS / f"{stem}.json").read_text(encoding="utf-8"))


on_every_server = pytest.mark.parametrize("desk", ["pinned", "other", "comfyui"], indirect=True, scope="package")
"""For tests, or as the `pytestmark` of a module, of what must look and act the same inside real ComfyUI."""


class Desk:
    """A server, a browser that looks at it, and the loop that both live in.

    Attributes:
        label: of pictures: which server and frontend it is.
        site: a client; inside ComfyUI it knows the server's folders and nothing else of it.
        pack: our pack as the server calls it.
        foreign: parts of console messages that are this server's own business.
        start, first: the address of a page with a graph, and what it shows once it is ready, as JavaScript.
    """

    def __init__(self, runner: asyncio.Runner, label: str) -> None:
        self.runner = runner
        self.label = label
        self.stack = AsyncExitStack()
        self.site: Site
        self.start = ""
        self.browser: Any
        self.pack = ROOT.name
        self.foreign: tuple[str, ...] = ()
        self.first = f"app.graph.id === '{read('text2music')['id']}'"

    async def open(self, folders: Folders) -> None:
        """Our host."""
        self.site = await self.stack.enter_async_context(
            open_site(folders.output.parent, folders=folders, packs=(ROOT,))
        )
        self.start = self.address("text2music")
        self.browser = await self.stack.enter_async_context(open_browser())

    async def open_comfyui(self, comfy: Comfy) -> None:
        """Real ComfyUI, to somebody who has been there before."""
        self.site = await self.stack.enter_async_context(comfy.site())
        self.pack, self.start, self.first = comfy.pack.name, self.site.url, "app.graph.nodes.length > 0"
        self.foreign = ("/templates/index", "core workflow templates", "/userdata", "/user.css")  # which may be absent
        for name, value in {"Comfy.TutorialCompleted": True, "Comfy.InstalledVersion": "1.0.0"}.items():
            await self.site.post(f"/settings/{name}", value)
        self.browser = await self.stack.enter_async_context(open_browser())

    def definitions(self) -> dict[str, Any]:
        return self.site.host.registry.definitions()

    def nodes(self) -> list[str]:
        return [name for name in self.definitions() if name.startswith("ACEStep")]

    def address(self, template: str, mode: str = "") -> str:
        return f"{self.site.url}/?template={template}&source={self.pack}{mode}"

    def look(self, page: Canvas, name: str, scenario: Coroutine[Any, Any, None]) -> None:
        """Runs a scenario, keeps a picture of how it ended, and wants no error on the console."""
        self.runner.run(self._look(page, name, scenario))

    def visit(self, address: str, name: str, scenario: Callable[[Canvas], Coroutine[Any, Any, None]]) -> None:
        """The same on a page of its own."""

        async def main() -> None:
            async with open_page(self.browser, address, f"{self.label}_") as page:
                await self._look(page, name, scenario(page))

        self.runner.run(main())

    async def _look(self, page: Canvas, name: str, scenario: Coroutine[Any, Any, None]) -> None:
        page.errors.clear()
        try:
            await scenario
        finally:
            await page.screenshot(name)
        errors = [error for error in page.errors if not any(part in error for part in self.foreign)]
        assert not errors, "\n".join(errors)

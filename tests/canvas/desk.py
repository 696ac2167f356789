"""A host with our pack and a browser that looks at it, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from acestep_core.host.graph.context import Folders
from tests.canvas.browser import Canvas, open_browser, open_page
from tests.host.lab_site import Site, open_site

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"


def read(stem: str) -> Any:
    return json.loads((WORKFLOWS / f"{stem}.json").read_text(encoding="utf-8"))


class Desk:
    """A host, a browser that looks at it, and the loop that both live in."""

    def __init__(self, runner: asyncio.Runner, frontend: str) -> None:
        self.runner = runner
        self.frontend = frontend
        self.stack = AsyncExitStack()
        self.site: Site
        self.browser: Any

    async def open(self, folders: Folders) -> None:
        self.site = await self.stack.enter_async_context(
            open_site(folders.output.parent, folders=folders, packs=(ROOT,))
        )
        self.browser = await self.stack.enter_async_context(open_browser())

    def definitions(self) -> dict[str, Any]:
        return self.site.host.registry.definitions()

    def nodes(self) -> list[str]:
        return [name for name in self.definitions() if name.startswith("ACEStep")]

    def address(self, template: str, mode: str = "") -> str:
        return f"{self.site.url}/?template={template}&source={ROOT.name}{mode}"

    def look(self, page: Canvas, name: str, scenario: Coroutine[Any, Any, None]) -> None:
        """Runs a scenario, keeps a picture of how it ended, and wants no error on the console."""
        self.runner.run(_look(page, name, scenario))

    def visit(self, address: str, name: str, scenario: Callable[[Canvas], Coroutine[Any, Any, None]]) -> None:
        """The same on a page of its own."""

        async def main() -> None:
            async with open_page(self.browser, address, f"{self.frontend}_") as page:
                await _look(page, name, scenario(page))

        self.runner.run(main())


async def _look(page: Canvas, name: str, scenario: Coroutine[Any, Any, None]) -> None:
    page.errors.clear()
    try:
        await scenario
    finally:
        await page.screenshot(name)
    assert page.errors == []

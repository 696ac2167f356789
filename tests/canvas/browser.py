"""Chromium with the real frontend, for tests that look at the canvas."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.server.routes_info import frontend_folder

FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--autoplay-policy=no-user-gesture-required"),
]

FOREIGN = (
    *("Content Security Policy", "sentry.io", "comfy.templates.json", "deprecated", "AudioContext", "favicon.ico"),
    *("accessed before initialization", "Invalid file signature", "/en.md", "/ko.md", "/zh.md"),
)
"""Parts of console messages that are the frontend's own business: what our policy keeps it from sending, help pages
that it asks for in the user's language first, and complaints of its MP3 reader about every file that has tags."""

PATIENCE = 60
"""Seconds that anything on the page may take, whatever else the machine is doing."""

FRONTEND = "ACESTEP_FRONTEND"
"""Names a folder with another frontend, from `pip install --target FOLDER --no-deps comfyui-frontend-package==…`."""


@cache
def chromium() -> str | None:
    """The browser to use: `CHROMIUM`, the system's, or that of `playwright install chromium`."""
    named = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if named or importlib.util.find_spec("playwright") is None:
        return named
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


def require_browser() -> None:
    """Skips the tests of a module where there is nothing to look with or at."""
    if importlib.util.find_spec("playwright") is None or chromium() is None:
        pytest.skip("Playwright or Chromium is not installed", allow_module_level=True)
    if frontend_folder() is None:
        pytest.skip("the frontend package is not installed", allow_module_level=True)


def other_frontend() -> Path | None:
    """The folder that `ACESTEP_FRONTEND` names, if there is a frontend in it."""
    folder = Path(os.environ.get(FRONTEND) or "-")
    return folder.resolve() if (folder / "comfyui_frontend_package" / "static" / "index.html").is_file() else None


class Canvas:
    """One open page."""

    def __init__(self, page: Any, errors: list[str], label: str = "") -> None:
        self.page = page
        self.errors = errors
        self.label = label
        self.asked: set[Any] = set()
        page.on("request", lambda request: self.asked.add(request))
        for end in ("requestfinished", "requestfailed"):
            page.on(end, lambda request: self.asked.discard(request))

    async def open(self, address: str) -> None:
        """Goes there and waits until the nodes are registered."""
        await self.page.goto(address)
        await self.registered()

    async def reload(self) -> None:
        """Loads the page again; its session, with the open graphs, stays."""
        await self.page.reload()
        await self.registered()

    async def registered(self) -> None:
        await self.until("!!(window.app?.extensionManager && window.LiteGraph?.registered_node_types?.LoadAudio)", 90)

    async def js(self, code: str, argument: Any = None) -> Any:
        return await self.page.evaluate(code, argument)

    async def until(self, condition: str, seconds: float = PATIENCE) -> None:
        """Waits until a JavaScript expression holds."""
        await self.page.wait_for_function(condition, timeout=seconds * 1000)

    async def answered(self) -> None:
        """Waits until nothing is asked of the pack any more."""
        while any("/acestep/" in request.url for request in self.asked):
            await asyncio.sleep(0.02)

    async def show(self, workflow: dict[str, Any]) -> None:
        """Opens a workflow, as if its file were dropped."""
        await self.js("workflow => app.loadGraphData(workflow)", workflow)
        await self.until(f"app.graph.id === {json.dumps(workflow['id'])}")

    async def set(self, node: int, **widgets: Any) -> None:
        """Changes widgets of a node as a user does."""
        await self.js(
            """([id, values]) => {
                for (const widget of app.graph.getNodeById(id).widgets)
                    if (widget.name in values) { widget.value = values[widget.name]; widget.callback?.(widget.value) }
            }""",
            [node, widgets],
        )

    async def prompt(self) -> dict[str, Any]:
        """What the canvas would send."""
        return await self.js("() => app.graphToPrompt().then(found => found.output)")

    async def frame(self) -> None:
        """Lets the canvas draw what has changed."""
        await self.js("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    async def queue(self) -> str:
        """Presses Run and gives how it ended: `success`, `error` or `interrupted`."""
        await self.js(
            """() => {
                window.ended = null
                for (const kind of ['success', 'error', 'interrupted']) window.comfyAPI.api.api.addEventListener(
                    `execution_${kind}`, event => { window.ended ??= kind; window.ending = event.detail })
                return app.queuePrompt(0)
            }"""
        )
        await self.until("window.ended !== null")
        return await self.js("() => window.ended")

    async def run(self) -> dict[str, Any]:
        """Presses Run and gives the outputs by node id."""
        assert await self.queue() == "success"
        await self.until("Object.keys(app.nodeOutputs || {}).length > 0")
        return await self.js("() => JSON.parse(JSON.stringify(app.nodeOutputs))")

    async def screenshot(self, name: str) -> None:
        """Keeps a picture where `ACESTEP_SCREENSHOTS` says, if it says anything."""
        folder = os.environ.get("ACESTEP_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=f"{folder}/{self.label}{name}.png")


@asynccontextmanager
async def open_browser() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(browser: Any, address: str, label: str = "") -> AsyncIterator[Canvas]:
    """Opens the canvas as somebody new, and waits until its nodes are registered."""
    context = await browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    try:
        page = await context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: _note(errors, message))
        page.on("pageerror", lambda error: errors.append(f"page: {error}"))
        canvas = Canvas(page, errors, label)
        await canvas.open(address)
        yield canvas
    finally:
        await context.close()


@asynccontextmanager
async def open_canvas(url: str, path: str = "/") -> AsyncIterator[Canvas]:
    """The same with a browser of its own."""
    async with open_browser() as browser, open_page(browser, url + path) as canvas:
        yield canvas


def _note(errors: list[str], message: Any) -> None:
    text = f"{message.text} {message.location.get('url', '')}"
    if message.type == "error" and not any(part in text for part in FOREIGN):
        errors.append(text)

"""Chromium with the real frontend, for tests that look at the canvas."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acestep_core.host.routes_info import frontend_folder

FLAGS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--use-gl=angle", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--autoplay-policy=no-user-gesture-required"),
]

FOREIGN = ("Content Security Policy", "sentry.io", "comfy.templates.json", "deprecated", "AudioContext")
"""Parts of console messages that are the frontend's own business, among them what our policy keeps it from sending."""


def chromium() -> str | None:
    """The browser to use: `CHROMIUM`, or the system's."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def require_browser() -> None:
    """Skips the tests of a module where there is nothing to look with or at."""
    if importlib.util.find_spec("playwright") is None or chromium() is None:
        pytest.skip("Playwright or Chromium is not installed", allow_module_level=True)
    if frontend_folder() is None:
        pytest.skip("the frontend package is not installed", allow_module_level=True)


class Canvas:
    """One open page."""

    def __init__(self, page: Any, errors: list[str]) -> None:
        self.page = page
        self.errors = errors

    async def js(self, code: str, argument: Any = None) -> Any:
        return await self.page.evaluate(code, argument)

    async def until(self, condition: str, seconds: float = 30) -> None:
        """Waits until a JavaScript expression holds."""
        await self.page.wait_for_function(condition, timeout=seconds * 1000)

    async def run(self) -> dict[str, Any]:
        """Presses Run and gives the outputs by node id."""
        await self.js(
            "() => { window.ended = null; for (const kind of ['success', 'error', 'interrupted'])"
            " window.comfyAPI.api.api.addEventListener(`execution_${kind}`, e => { window.ended = kind }) }"
        )
        await self.js("() => app.queuePrompt(0)")
        await self.until("window.ended !== null")
        assert await self.js("() => window.ended") == "success"
        await self.until("Object.keys(app.nodeOutputs || {}).length > 0")
        return await self.js("() => JSON.parse(JSON.stringify(app.nodeOutputs))")

    async def screenshot(self, name: str) -> None:
        """Keeps a picture where `ACESTEP_SCREENSHOTS` says, if it says anything."""
        folder = os.environ.get("ACESTEP_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=f"{folder}/{name}.png")


@asynccontextmanager
async def open_canvas(url: str, path: str = "/") -> AsyncIterator[Canvas]:
    """Opens the canvas and waits until its nodes are registered."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = await browser.new_page(viewport={"width": 1400, "height": 900})
            errors: list[str] = []
            page.on("console", lambda message: _note(errors, message))
            page.on("pageerror", lambda error: errors.append(f"page: {error}"))
            await page.goto(url + path)
            canvas = Canvas(page, errors)
            await canvas.until(
                "!!(window.app?.extensionManager && window.LiteGraph?.registered_node_types?.LoadAudio)", 90
            )
            yield canvas
        finally:
            await browser.close()


def _note(errors: list[str], message: Any) -> None:
    text = f"{message.text} {message.location.get('url', '')}"
    if message.type == "error" and not any(part in text for part in FOREIGN):
        errors.append(text)

"""How fast the canvas is, measured in Chromium in both renderers; figures, no verdicts:

python -m tests.canvas.measure load     what the pack adds to opening the page, first and next time
python -m tests.canvas.measure songs    eight songs of ten minutes in the song widget: frames, switches, bytes
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from acestep_core.builtin.tiny import build_tiny
from acestep_core.host.graph.context import Folders
from acestep_core.io.audio import write_audio
from tests.canvas.browser import Canvas
from tests.canvas.desk import Desk

SONGS, MINUTES, SAVE = 8, 10, 7
WATCHED = 5
"""Seconds of frames."""
CONTEXTS = 3
"""Other work on the machine lengthens a visit and never shortens one: the least of some is what loading takes."""
HOOKS = ("init", "setup", "beforeRegisterNodeDef", "getCustomWidgets")
LOADING = (" as it is read", *(f"acestep.js {hook}" for hook in HOOKS))
"""Ends of the names of what runs on every page, whether or not there is a node of ours."""
FRAMES = """seconds => new Promise(done => {
    const times = [], start = performance.now()
    const tick = now => {
        times.push(now)
        if (now - start < seconds * 1000) requestAnimationFrame(tick)
        else done(times)
    }
    requestAnimationFrame(tick)
})"""
LONG = 50
"""Milliseconds after which a task is felt."""
WAITING = 1.0
"""Milliseconds: the profiler looks ten times as often, so where it did not the thread had no processor."""


class Tasks:
    """What the page's main thread does while the block runs: `(duration, processor time)` of each task in milliseconds.

    On a busy machine a task waits longer for a processor than it computes.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.events: list[dict[str, Any]] = []

    async def __aenter__(self) -> Tasks:
        self.session = await self.browser.new_browser_cdp_session()
        self.session.on("Tracing.dataCollected", lambda event: self.events.extend(event["value"]))
        kinds = {"includedCategories": ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline"]}
        await self.session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": kinds})
        return self

    async def __aexit__(self, *error: object) -> None:
        ended = asyncio.Event()
        self.session.once("Tracing.tracingComplete", lambda event: ended.set())
        await self.session.send("Tracing.end")
        await ended.wait()
        await self.session.detach()

    def found(self) -> list[tuple[float, float]]:
        named = [event for event in self.events if event["name"] == "thread_name"]
        main = {(event["pid"], event["tid"]) for event in named if event["args"]["name"] == "CrRendererMain"}
        tasks = [event for event in self.events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main]
        return [(event.get("dur", 0) / 1000, event.get("tdur", 0) / 1000) for event in tasks]

    def told(self) -> str:
        found = self.found()
        slow = [task for task in found if task[0] > LONG]
        busy = [task for task in found if task[1] > LONG]
        most = max((computed for _, computed in found), default=0.0)
        return f"{len(slow)} tasks over {LONG} ms, {len(busy)} that compute so long; at most {most:.0f} ms of processor"


def said(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def main(what: str) -> None:
    base = Path(tempfile.mkdtemp())
    os.environ["XDG_CACHE_HOME"] = str(base / "cache")
    build_tiny(base / "models")
    desk = Desk(None, "")  # type: ignore[arg-type]
    await desk.open(Folders.under(base, models=base / "models"))
    try:
        for renderer in ("classic", "nodes2"):
            await desk.site.post("/settings/Comfy.VueNodes.Enabled", renderer == "nodes2")
            await (load if what == "load" else songs)(desk, renderer)
    finally:
        await desk.stack.aclose()
        shutil.rmtree(base)


async def load(desk: Desk, renderer: str) -> None:
    """The first visit of each context is cold, the second finds everything in the browser's cache."""
    found: dict[str, list[dict[str, float]]] = {"first": [], "next": []}
    for _ in range(CONTEXTS):
        context = await desk.browser.new_context(viewport={"width": 1400, "height": 900})
        for visit, spent in found.items():
            spent.append(await _visit(desk, await context.new_page()))
            said(f"{renderer:8} {visit} visit: {_told(spent[-1])}")
        await context.close()
    for visit, spent in found.items():
        said(f"{renderer:8} {visit} visit, the least: {_told(min(spent, key=_loading))}")


def _told(spent: dict[str, float]) -> str:
    most = sorted(spent.items(), key=lambda part: -part[1])[:6]
    parts = ", ".join(f"{name} {took:.1f}" for name, took in most)
    return f"loading {_loading(spent):.1f} ms, all up to the open graph {sum(spent.values()):.1f} ms: {parts}"


def _loading(spent: dict[str, float]) -> float:
    return sum(took for name, took in spent.items() if name.endswith(LOADING))


async def _visit(desk: Desk, page: Any) -> dict[str, float]:
    session = await page.context.new_cdp_session(page)
    await session.send("Profiler.enable")
    await session.send("Profiler.setSamplingInterval", {"interval": 100})
    await session.send("Profiler.start")
    canvas = Canvas(page, [])
    await canvas.open(desk.start)
    await canvas.until(desk.first)
    profile = (await session.send("Profiler.stop"))["profile"]
    await page.close()
    return _spent(profile, f"/extensions/{desk.pack}/")


def _spent(profile: dict[str, Any], ours: str) -> dict[str, float]:
    """Function of ours that was called first -> milliseconds of processor in it, with all that it calls."""
    nodes = {node["id"]: node for node in profile["nodes"]}
    parent = {child: node["id"] for node in profile["nodes"] for child in node.get("children", ())}
    spent: dict[str, float] = {}
    for sample, delta in zip(profile["samples"], profile["timeDeltas"]):
        place, first = sample, None
        while place is not None:
            first = nodes[place]["callFrame"] if ours in nodes[place]["callFrame"]["url"] else first
            place = parent.get(place)
        if first is not None:
            nameless = f"line {first['lineNumber'] + 1}" if first["lineNumber"] > 0 else "as it is read"
            name = f"{first['url'].rsplit('/', 1)[1]} {first['functionName'] or nameless}"
            spent[name] = spent.get(name, 0.0) + min(delta / 1000, WAITING)
    return spent


async def songs(desk: Desk, renderer: str) -> None:
    context = await desk.browser.new_context(viewport={"width": 1400, "height": 900})
    page = await context.new_page()
    canvas = Canvas(page, [])
    await canvas.open(desk.start)
    await canvas.until(desk.first)
    output = _batch(desk.site.folders.output)
    session = await context.new_cdp_session(page)
    await session.send("Network.enable")
    urls: dict[str, str] = {}
    received = {"/acestep/peaks": 0, "/view": 0}
    session.on("Network.requestWillBeSent", lambda event: urls.update({event["requestId"]: event["request"]["url"]}))

    def count(event: dict[str, Any]) -> None:
        for path in received:
            received[path] += event["dataLength"] if path in urls.get(event["requestId"], "") else 0

    session.on("Network.dataReceived", count)
    said(f"{renderer:8} at rest: {await _frames(desk, canvas)}")
    await canvas.js("([id, output]) => app.graph.getNodeById(id).onExecuted(output)", [SAVE, output])
    await canvas.until("document.querySelectorAll('.ace-takes [role=radio]').length === 8")
    await canvas.answered()
    said(f"{renderer:8} shown: {received}")
    widget = f"app.graph.getNodeById({SAVE}).widgets.find(w => w.name === 'audioUI').element"
    await canvas.js(f"() => {widget}.querySelector('[aria-label=Play], [title=Play]').click()")
    await canvas.until(f"{widget}.querySelector('audio').currentTime > 0.2")
    said(f"{renderer:8} playing: {await _frames(desk, canvas)}")
    async with Tasks(desk.browser) as tasks:
        switches = await canvas.js(
            f"""async () => {{
                const spent = []
                for (const take of {widget}.querySelectorAll('[role=radio]')) {{
                    const start = performance.now()
                    take.click()
                    spent.push(performance.now() - start)
                    await new Promise(done => setTimeout(done, 300))
                }}
                return spent
            }}"""
        )
    said(f"{renderer:8} switches: {', '.join(f'{spent:.1f}' for spent in switches)} ms; {tasks.told()}")
    heap = await session.send("Runtime.getHeapUsage")
    said(f"{renderer:8} at the end: {received}, script memory {heap['usedSize'] / 1e6:.0f} MB")
    await context.close()


async def _frames(desk: Desk, canvas: Canvas) -> str:
    async with Tasks(desk.browser) as tasks:
        times = await canvas.js(FRAMES, WATCHED)
    steps = [after - before for before, after in pairwise(times)]
    slow = sorted(steps)[int(len(steps) * 0.95)]
    return (
        f"{len(steps) / WATCHED:.0f} frames a second, median {median(steps):.1f} ms, 95 % below {slow:.1f} ms, longest "
        f"{max(steps):.0f} ms; {tasks.told()}"
    )


def _batch(folder: Path) -> dict[str, Any]:
    """Eight songs as Save Song shows them, with words for every two seconds."""
    seconds = 60 * MINUTES
    names = [f"long_{number}.flac" for number in range(SONGS)]
    if not (folder / names[0]).exists():
        noise = torch.rand(2, seconds * 48_000, generator=torch.Generator().manual_seed(0)) - 0.5
        write_audio(folder / names[0], noise * torch.linspace(0.2, 1.0, seconds * 48_000))
        for name in names[1:]:
            shutil.copy(folder / names[0], folder / name)
    lines = [
        [at, at + 2, f"Line {at} of many", [[at, at + 1, f"Line {at} "], [at + 1, at + 2, "of many"]]]
        for at in range(0, seconds, 2)
    ]
    facts: dict[str, Any] = {"caption": "long", "lyrics": "many lines", "language": "en", "duration": seconds}
    facts |= {"bpm": 92, "scores": {"lm": 0.5}, "lines": lines}
    return {
        "audio": [{"filename": name, "subfolder": "", "type": "output"} for name in names],
        "songs": [json.dumps(facts | {"seed": str(number)}) for number in range(SONGS)],
    }


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

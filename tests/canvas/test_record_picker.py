"""Choosing what Load Song Record reads: a saved song, or a file of this computer, on our host and inside ComfyUI."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from acestep_core.io.audio import write_audio
from tests.canvas.browser import Canvas, require_browser
from tests.canvas.desk import Desk, on_every_server, read
from tests.canvas.test_drops import RECORD

require_browser()
pytestmark = on_every_server

NODE = "app.graph.nodes.find(node => node.comfyClass === 'ACEStepLoadRecord')"
PICKER = f"{NODE}.widgets.find(widget => widget.name === 'panel').element"


async def chosen(page: Canvas) -> str:
    return next(n["inputs"] for n in (await page.prompt()).values() if n["class_type"] == "ACEStepLoadRecord")["record"]


def song(desk: Desk, name: str) -> bytes:
    """A saved song of the output folder, and what its file holds."""
    path = desk.site.folders.output / "picked" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, torch.zeros(2, 4800), metadata={"acestep": json.dumps(RECORD)})
    path.with_suffix(".json").write_text(json.dumps(RECORD), encoding="utf-8")
    return path.read_bytes()


def test_the_songs_of_the_output_folder_are_offered(desk: Desk, page: Canvas) -> None:
    async def scenario() -> None:
        song(desk, "offered.flac")
        await page.show(read("regenerate"))
        await page.until(f"[...{PICKER}.querySelectorAll('option')].some(o => o.value.includes('offered'))")
        await page.js(
            f"""() => {{
                const list = {PICKER}.querySelector('select')
                list.value = 'picked/offered.flac [output]'
                list.dispatchEvent(new Event('change'))
            }}"""
        )
        assert await chosen(page) == "picked/offered.flac [output]"
        saved = await page.js("() => app.graph.serialize()")
        await page.show(saved)
        assert await chosen(page) == "picked/offered.flac [output]", "and is kept with the graph"

    desk.look(page, "record_chosen", scenario())


@pytest.mark.parametrize("way", ["button", "drop"])
def test_files_of_this_computer_are_taken(way: str, desk: Desk, page: Canvas) -> None:
    """A song goes into the input folder, under another name where that one is taken; a record is taken as its text."""

    async def give(name: str, data: bytes) -> None:
        if way == "button":
            file: dict[str, Any] = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
            handle = await page.page.evaluate_handle(f"() => {PICKER}.querySelector('input[type=file]')")
            await handle.as_element().set_input_files(file)
        else:
            await page.js(
                f"""async ([name, bytes]) => {{
                    const dataTransfer = new DataTransfer()
                    dataTransfer.items.add(new File([new Uint8Array(bytes)], name))
                    const event = {{ dataTransfer }}
                    if (!{NODE}.onDragOver(event)) throw new Error('the node takes no files')
                    if (!await {NODE}.onDragDrop(event)) throw new Error('the node took no file')
                }}""",
                [name, list(data)],
            )

    async def scenario() -> None:
        data = song(desk, f"{way}.flac")
        (desk.site.folders.input / f"{way}.flac").write_bytes(b"something else")
        await page.show(read("regenerate"))
        await give(f"{way}.flac", data)
        await page.until(f"{NODE}.widgets[0].value.endsWith('[input]')")
        name = (await chosen(page)).removesuffix(" [input]")
        assert (desk.site.folders.input / name).read_bytes() == data
        await give("mine.json", json.dumps(RECORD).encode())
        await page.until(f"{NODE}.widgets[0].value.startsWith('{{')")
        assert json.loads(await chosen(page)) == RECORD

    desk.look(page, f"record_{way}", scenario())

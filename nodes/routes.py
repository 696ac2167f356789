"""What the scripts in `web/` ask the server for, below `/acestep`. Registered in ComfyUI and in our host alike.

Files are named as the canvas names them (`filename`, `subfolder`, `type`) and looked for inside the host's folders. A
refusal is JSON: `{"error": sentence}`. Who may ask is decided by the server, as for its own routes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError, InvalidInput

from .host import host

MOST_FILES = 200
"""Songs that go into one archive."""
_MOST_TEXT = 2**20


def add_routes(routes: Any) -> None:
    """Adds them to what has aiohttp's `get` and `post` decorators."""

    from .model_routes import add_model_routes

    add_model_routes(routes, _answered, _asked)

    @routes.get("/acestep/peaks")
    async def peaks(request: Any) -> Any:
        return await _answered(_peaks, request.query)

    @routes.post("/acestep/save")
    async def save(request: Any) -> Any:
        return await _answered(_save, await _asked(request))

    @routes.post("/acestep/zip")
    async def zip(request: Any) -> Any:
        return await _answered(_zip, await _asked(request))


def _peaks(query: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.io.peaks import peaks_of

    return peaks_of(_file(query)).to_dict()


def _save(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps a song that was only played."""
    from acestep_core.pipeline.saving import make_folder
    from acestep_core.records.keeping import keep

    audio, root = _file(asked), host().output_folder().resolve()
    make_folder(root / "acestep")
    return {"files": [item_of(path, root, "output") for path in keep(audio, root / "acestep", "song")]}


def _zip(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Puts songs, each with its record and lyrics, into one temporary file."""
    from acestep_core.io.staging import write_song
    from acestep_core.records.keeping import archive, family

    named = asked.get("files")
    if not isinstance(named, list) or not 0 < len(named) <= MOST_FILES:
        raise InvalidInput(f"Name 1 to {MOST_FILES} files to put into one archive.")
    files = [path for entry in named for path in family(_file(entry))]
    root = host().temp_folder().resolve()
    return item_of(write_song(root, "songs", {".zip": lambda path: archive(path, files)})[".zip"], root, "temp")


def item_of(path: Path, root: Path, kind: str) -> dict[str, str]:
    """A file as the canvas names it."""
    subfolder = path.parent.relative_to(root).as_posix()
    return {"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": kind}


def _file(named: Any) -> Path:
    """The file that a request names. Raises InvalidInput where there is none in the host's folders."""
    from acestep_core.io.confine import confine

    if not isinstance(named, Mapping):
        raise InvalidInput("Name the file by filename, subfolder and type.")
    filename, subfolder = str(named.get("filename") or ""), str(named.get("subfolder") or "")
    roots = {"output": host().output_folder, "input": host().input_folder, "temp": host().temp_folder}
    root = roots.get(str(named.get("type") or "output"))
    if root is None or not filename or filename.startswith(".") or Path(filename).name != filename:
        raise InvalidInput("Name the file by filename, subfolder and type.")
    path = confine(Path(subfolder) / filename, [root()])
    if not path.is_file():
        raise InvalidInput(f"There is no file {filename[:80]!r} any more; it was moved or deleted.")
    return path


async def _asked(request: Any) -> dict[str, Any]:
    """The JSON object of a request; only that type, which other sites cannot send unasked."""
    text = await request.text() if request.content_type == "application/json" else ""
    try:
        asked = json.loads(text) if len(text) <= _MOST_TEXT else None
    except ValueError:
        asked = None
    return asked if isinstance(asked, dict) else {}


async def _answered(work: Callable[[Any], dict[str, Any]], asked: Mapping[str, Any]) -> Any:
    """Does the work in a thread, as it reads files."""
    from aiohttp import web

    try:
        return web.json_response(await asyncio.to_thread(work, asked))
    except AceStepError as error:
        return web.json_response({"error": str(error)}, status=400)

"""What belongs to the user: settings, saved workflows and other user data. Every file is replaced as a whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from acestep_core.errors import InvalidInput, StorageError
from acestep_core.host.server.host import Host
from acestep_core.host.server.requests import bad_request, read_body, read_json, read_object
from acestep_core.host.server.routes_files import content_type
from acestep_core.io.atomic import atomic_write, remove, replace
from acestep_core.io.confine import confine

PRESETS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"],
    "Comfy.Minimap.Visible": False,
    "LiteGraph.Canvas.MinFontSizeForLOD": 4,
}
"""Settings of somebody who has changed none. They keep the template browser and guided tours from covering the canvas,
the small map from covering the player of the last node, and text from vanishing when a whole workflow is in view."""

FIRST_LOOK = {
    "Comfy.VueNodes.Enabled": True,
    "Comfy.Graph.CanvasInfo": False,
    "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
    "Comfy.NodeBadge.NodeLifeCycleBadgeMode": "None",
}
"""How the canvas looks to somebody without any settings: nodes of the newer kind, no counters and no badges. Who has
settings keeps the look that they are used to."""

_MAX_SETTING = 2**20


def routes(host: Host) -> list[web.RouteDef]:
    root = host.folders.user / "default"
    for name in ("workflows", "subgraphs"):
        (root / name).mkdir(parents=True, exist_ok=True)
    settings_file = root / "comfy.settings.json"
    writing = asyncio.Lock()

    def settings() -> dict[str, Any]:
        try:
            stored = json.loads(settings_file.read_bytes())
        except FileNotFoundError:
            return {**PRESETS, **FIRST_LOOK}
        except ValueError:
            stored = {}
        return {**PRESETS, **(stored if isinstance(stored, dict) else {})}

    async def change(values: dict[str, Any]) -> web.Response:
        async with writing:
            text = json.dumps({**settings(), **values}, indent=4)
            await asyncio.to_thread(_write, settings_file, text.encode())
        return web.Response()

    async def users(request: web.Request) -> web.Response:
        return web.json_response({"storage": "server", "migrated": True})

    async def get_settings(request: web.Request) -> web.Response:
        return web.json_response(settings())

    async def get_setting(request: web.Request) -> web.Response:
        return web.json_response(settings().get(request.match_info["id"]))

    async def post_settings(request: web.Request) -> web.Response:
        return await change(await read_object(request, _MAX_SETTING))

    async def post_setting(request: web.Request) -> web.Response:
        return await change({request.match_info["id"]: await read_json(request, _MAX_SETTING)})

    def locate(encoded: str) -> Path:
        """The file that a (once more) URL-encoded relative name stands for."""
        path = _confined(root, unquote(encoded) if "%" in encoded else encoded)
        if path == root:
            raise web.HTTPForbidden()
        return path

    def existing(encoded: str) -> Path:
        path = locate(encoded)
        if not path.is_file():
            raise web.HTTPNotFound()
        return path

    async def list_files(request: web.Request) -> web.Response:
        directory = request.query.get("dir", "")
        if not directory:
            return web.Response(status=400, text="Directory not provided")
        folder = _confined(root, directory)
        if not folder.is_dir():
            return web.Response(status=404, text="Directory not found")
        flags = {name: request.query.get(name, "").lower() == "true" for name in ("recurse", "full_info", "split")}
        found = await asyncio.to_thread(_files, folder, flags["recurse"])
        if flags["full_info"]:
            return web.json_response([_info(path, folder) for path in found])
        names = [path.relative_to(folder).as_posix() for path in found]
        return web.json_response([[name, *name.split("/")] for name in names] if flags["split"] else names)

    async def get_file(request: web.Request) -> web.StreamResponse:
        if request.match_info["file"] == "user.css" and not (root / "user.css").is_file():
            return web.Response(content_type="text/css")  # every page links it; most users have none
        path = existing(request.match_info["file"])
        response = web.FileResponse(path)
        response.content_type = "text/css" if path.suffix == ".css" else content_type(path)
        return response

    async def post_file(request: web.Request) -> web.Response:
        path = locate(request.match_info["file"])
        if request.query.get("overwrite") == "false" and path.exists():
            return web.Response(status=409, text="File already exists")
        body = await read_body(request, host.config.max_json)
        await _saved(_write, path, body)
        return _answer(request, path, root)

    async def delete_file(request: web.Request) -> web.Response:
        await _saved(remove, existing(request.match_info["file"]))
        return web.Response(status=204)

    async def move_file(request: web.Request) -> web.Response:
        source, target = existing(request.match_info["file"]), locate(request.match_info["dest"])
        if request.query.get("overwrite") == "false" and target.exists():
            return web.Response(status=409, text="File already exists")
        await _saved(_move, source, target)
        return _answer(request, target, root)

    return [
        web.get("/users", users),
        web.get("/settings", get_settings),
        web.post("/settings", post_settings),
        web.get("/settings/{id}", get_setting),
        web.post("/settings/{id}", post_setting),
        web.get("/userdata", list_files),
        web.get("/userdata/{file}", get_file),
        web.post("/userdata/{file}", post_file),
        web.delete("/userdata/{file}", delete_file),
        web.post("/userdata/{file}/move/{dest}", move_file),
    ]


def _confined(root: Path, name: str) -> Path:
    try:
        return confine(name, [root])
    except InvalidInput:
        raise web.HTTPForbidden(text="Invalid path") from None


async def _saved(function: Any, *args: Any) -> None:
    try:
        await asyncio.to_thread(function, *args)
    except (StorageError, OSError):
        raise bad_request("invalid_name", "The file cannot be written; choose another name.") from None


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(body)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise IsADirectoryError(target.name)
    replace(source, target)


def _files(folder: Path, recurse: bool) -> list[Path]:
    found: Iterable[Path] = folder.rglob("*") if recurse else folder.iterdir()
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def _info(path: Path, base: Path) -> dict[str, Any]:
    stat = path.stat()
    times = {"modified": int(stat.st_mtime * 1000), "created": int(stat.st_ctime * 1000)}
    return {"path": path.relative_to(base).as_posix(), "size": stat.st_size, **times}


def _answer(request: web.Request, path: Path, root: Path) -> web.Response:
    if request.query.get("full_info", "").lower() == "true":
        return web.json_response(_info(path, root))
    return web.json_response(path.relative_to(root).as_posix())

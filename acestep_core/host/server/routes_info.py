"""What the frontend asks about the host and its packs, and the frontend's own files."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import sys
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from aiohttp import web

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.packs import Pack
from acestep_core.host.graph.wire import dumps
from acestep_core.host.server.host import Host
from acestep_core.io import system
from acestep_core.io.confine import confine
from acestep_core.io.terminal import pip_install

_log = logging.getLogger(__name__)

PROTOCOL = "0.20.1"
"""The ComfyUI release whose behaviour the host follows; clients decide by it what they may ask."""

FRONTEND = "comfyui-frontend-package"
MISSING_FRONTEND = (
    f"The canvas is not installed; install it with `{pip_install(FRONTEND)}` (the API works without it).\n"
)

FIRST_WORKFLOW = "make_a_song"
"""What a browser is shown that comes for the first time, with its form in front; the frontend's own first graph needs
nodes for images."""

VISITED = "acestep_visited"
"""The cookie that says that a browser has been here."""

EXAMPLE_FOLDERS = ("example_workflows", "example", "examples", "workflow", "workflows")
_YEAR = 31536000
_LOCALE_PARTS = ("nodeDefs", "commands", "settings")
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


def frontend_folder() -> Path | None:
    """Where pip put the frontend, or None."""
    found = importlib.util.find_spec("comfyui_frontend_package")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "static"
    return folder if (folder / "index.html").is_file() else None


def routes(host: Host) -> list[web.RouteDef]:
    """Routes that exist bare and below `/api`."""
    packs = host.registry.packs

    async def object_info(request: web.Request) -> web.Response:
        return web.json_response(text=await host.aside(lambda: dumps(host.registry.definitions())))

    async def object_info_of(request: web.Request) -> web.Response:
        node_id = request.match_info["node"]
        if node_id not in host.registry:
            return web.json_response({})
        return web.json_response(text=await host.aside(lambda: dumps({node_id: host.registry.describe(node_id)})))

    async def system(request: web.Request) -> web.Response:
        workers = await host.engine.workers()
        return web.json_response(system_stats() | ({"workers": workers} if workers else {}))

    async def workers(request: web.Request) -> web.StreamResponse:
        return serve_file(Path(__file__).parent, "workers.html")

    async def features(request: web.Request) -> web.Response:
        return web.json_response(host.features)

    async def extensions(request: web.Request) -> web.Response:
        return web.json_response([url for pack in packs for url in _scripts(pack)])

    async def templates(request: web.Request) -> web.Response:
        found = {pack.name: [path.stem for path in _examples(pack)] for pack in packs if not _indexes(pack)}
        return web.json_response({name: stems for name, stems in found.items() if stems})

    async def template(request: web.Request) -> web.StreamResponse:
        pack, name = _named(packs, request.match_info["pack"]), request.match_info["name"]
        folders = [pack.root / folder for folder in EXAMPLE_FOLDERS] if pack and pack.root else []
        found = (serve_file(folder, name) for folder in folders)
        return next((answer for answer in found if answer.status == 200), web.Response(status=404))

    async def translations(request: web.Request) -> web.Response:
        return web.json_response(_translations(packs))

    async def subgraphs(request: web.Request) -> web.Response:
        found = {}
        for pack in packs:
            for path in _subgraph_files(pack):
                found[_subgraph_id(path)] = _subgraph(pack, path)
        return web.json_response(found)

    async def subgraph(request: web.Request) -> web.Response:
        for pack in packs:
            for path in _subgraph_files(pack):
                if _subgraph_id(path) == request.match_info["id"]:
                    return web.json_response({**_subgraph(pack, path), "data": path.read_text(encoding="utf-8")})
        return web.json_response(None)

    def constant(value: Any) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(value)

        return answer

    return [
        web.get("/object_info", object_info),
        web.get("/object_info/{node}", object_info_of),
        web.get("/system_stats", system),
        web.get("/workers", workers),
        web.get("/features", features),
        web.get("/extensions", extensions),
        web.get("/workflow_templates", templates),
        web.get("/workflow_templates/{pack}/{name:.+}", template),
        web.get("/i18n", translations),
        web.get("/global_subgraphs", subgraphs),
        web.get("/global_subgraphs/{id}", subgraph),
        web.get("/node_replacements", constant({})),
        web.get("/embeddings", constant([])),
        web.get("/models", constant([])),
        web.get("/experiment/models", constant([])),
    ]


def static_routes(host: Host) -> list[web.RouteDef]:
    """Routes that exist once: pack scripts and the frontend itself."""
    packs = host.registry.packs
    frontend = frontend_folder()
    first = next((p.name for p in packs if any(path.stem == FIRST_WORKFLOW for path in _examples(p))), None)
    if frontend is None:
        _log.warning("%s", MISSING_FRONTEND.strip())

    async def pack_file(request: web.Request) -> web.StreamResponse:
        pack = _named(packs, request.match_info["pack"])
        if pack is not None and pack.web is not None:
            return serve_file(pack.web, request.match_info["path"])
        return await frontend_file(request)

    async def no_logos(request: web.Request) -> web.Response:
        return web.json_response([])

    async def gallery(request: web.Request) -> web.Response:
        language = request.match_info.get("language", "en")
        texts = await host.aside(lambda: [_index(pack, language) for pack in packs])
        return web.json_response([category for found in texts for category in found])

    async def card(request: web.Request) -> web.StreamResponse:
        """A workflow of the gallery (`name.json`), or its picture, which the frontend calls `name-1.jpg`."""
        name = request.match_info["file"].replace("-1.jpg", ".jpg")
        places = [folder.parent for pack in packs for folder in _indexes(pack)]
        answers = (serve_file(place, name) for place in places)
        return next((answer for answer in answers if answer.status == 200), web.Response(status=404))

    async def no_search_options(request: web.Request) -> web.Response:
        return web.json_response(None)

    async def no_style(request: web.Request) -> web.Response:
        return web.Response(content_type="text/css")

    async def log_text(request: web.Request) -> web.Response:
        return web.json_response("")  # part of the error reports that the frontend writes

    async def logs(request: web.Request) -> web.Response:
        return web.json_response({"entries": [], "size": {"cols": 80, "rows": 24}})

    async def subscribe(request: web.Request) -> web.Response:
        return web.Response()

    async def index(request: web.Request) -> web.StreamResponse:
        if frontend is None:
            return web.Response(status=503, text=MISSING_FRONTEND)
        if first is not None and not request.query and VISITED not in request.cookies:
            return web.Response(status=302, headers={"Location": f"?template={FIRST_WORKFLOW}&source={quote(first)}"})
        response = serve_file(frontend, "index.html")
        response.set_cookie(VISITED, "1", max_age=_YEAR, httponly=True, samesite="Lax")
        response.headers["Cache-Control"] = "no-store, must-revalidate"
        return response

    async def frontend_file(request: web.Request) -> web.StreamResponse:
        if frontend is None:
            return web.Response(status=404)
        response = serve_file(frontend, request.path.lstrip("/"))
        if request.path.startswith("/assets/"):  # their names contain a hash of their content
            response.headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable"
        return response

    return [
        web.get("/", index),
        web.get("/templates/index.json", gallery),
        web.get("/templates/index.{language}.json", gallery),
        web.get("/templates/index_logo.json", no_logos),
        web.get("/templates/fuse_options.json", no_search_options),
        web.get("/templates/{file}", card),
        web.get("/user.css", no_style),
        web.get("/internal/logs", log_text),
        web.get("/internal/logs/raw", logs),
        web.patch("/internal/logs/subscribe", subscribe),
        web.get("/extensions/{pack}/{path:.+}", pack_file),
        web.get("/{path:.+}", frontend_file),
    ]


def serve_file(root: Path, name: str) -> web.StreamResponse:
    """A file below `root`, or 404."""
    try:
        path = confine(name, [root])
    except InvalidInput:
        return web.Response(status=404)
    if not path.is_file() or any(part.startswith(".") for part in Path(name).parts):
        return web.Response(status=404)
    response = web.FileResponse(path, headers={"Cache-Control": "no-cache"})
    response.content_type = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    if response.content_type in ("text/html", "text/css", "text/javascript", "text/markdown"):
        response.charset = "utf-8"
    return response


def system_stats() -> dict[str, Any]:
    """Facts about the machine. Looks at accelerators only once torch is loaded, which the worker does at its start."""
    frontend = _version(FRONTEND)
    memory = psutil.virtual_memory()
    return {
        "system": {
            "os": system.KIND,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": PROTOCOL,
            "required_frontend_version": frontend,
            "installed_templates_version": None,
            "required_templates_version": None,
            "python_version": sys.version,
            "pytorch_version": _version("torch"),
            "embedded_python": False,
            # the frontend reads flags here; this one keeps it from asking the internet for release notes
            "argv": ["acestep", "serve", "--disable-api-nodes"],
        },
        "devices": _devices(memory.total, memory.available),
    }


def _devices(total: int, free: int) -> list[dict[str, Any]]:
    """The graphics cards, or the processor; torch is not loaded just to tell."""
    found: list[dict[str, Any]] = []
    if "torch" in sys.modules:
        from acestep_core.devices import describe_accelerators

        found = describe_accelerators()
    memory = {"vram_total": total, "vram_free": free, "torch_vram_total": total, "torch_vram_free": free}
    return found or [{"name": system.processor_name(), "type": "cpu", "index": None, **memory}]


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _named(packs: tuple[Pack, ...], name: str) -> Pack | None:
    return next((pack for pack in packs if pack.root is not None and pack.name == name), None)


def _scripts(pack: Pack) -> list[str]:
    if pack.web is None:
        return []
    files = sorted(path.relative_to(pack.web).as_posix() for path in pack.web.rglob("*.js"))
    return [f"/extensions/{quote(pack.name)}/{quote(name)}" for name in files]


def _examples(pack: Pack) -> list[Path]:
    if pack.root is None:
        return []
    return sorted(path for folder in EXAMPLE_FOLDERS for path in (pack.root / folder).glob("*.json"))


def _indexes(pack: Pack) -> list[Path]:
    """Folders with `<language>.json`: the gallery of a pack in the form of the frontend, beside its workflows. A pack
    with one shows no bare list of file names.
    """
    places = (pack.root / folder / "index" for folder in EXAMPLE_FOLDERS) if pack.root else ()
    return [place for place in places if (place / "en.json").is_file()]


def _index(pack: Pack, language: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for folder in _indexes(pack):
        names = (name for name in (language, language.partition("-")[0], "en") if name.isalpha())
        path = next(place for place in (folder / f"{name}.json" for name in names) if place.is_file())
        found += json.loads(path.read_text(encoding="utf-8"))
    return found


def _translations(packs: tuple[Pack, ...]) -> dict[str, Any]:
    """`locales/<language>/main.json` with the parts beside it, of all packs together."""
    merged: dict[str, Any] = {}
    for pack in packs:
        for language in sorted((pack.root / "locales").glob("*/")) if pack.root else ():
            texts = _read_object(language / "main.json")
            for part in _LOCALE_PARTS:
                values = _read_object(language / f"{part}.json")
                if values:
                    texts[part] = values
            _merge(merged.setdefault(language.name, {}), texts)
    return merged


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        _log.warning("%s is not valid JSON and is ignored.", path)
        return {}
    return value if isinstance(value, dict) else {}


def _merge(target: dict[str, Any], source: dict[str, Any]) -> None:
    for key, value in source.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _subgraph_files(pack: Pack) -> list[Path]:
    return sorted((pack.root / "subgraphs").glob("*.json")) if pack.root else []


def _subgraph_id(path: Path) -> str:
    return hashlib.sha256(f"{path.parent.parent.name}/{path.name}".encode()).hexdigest()


def _subgraph(pack: Pack, path: Path) -> dict[str, Any]:
    return {"source": "custom_node", "name": path.stem, "info": {"node_pack": f"custom_nodes.{pack.name}"}}

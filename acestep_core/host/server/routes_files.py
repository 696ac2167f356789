"""Files in and out: `/upload/image`, `/view`, `/internal/files`."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from acestep_core.errors import InvalidInput
from acestep_core.host.graph.paths import PUBLIC, STAGED, UPLOADABLE, found_below, split_annotation
from acestep_core.host.server.host import Host
from acestep_core.host.server.requests import bad_request, in_time, too_large
from acestep_core.io.atomic import atomic_write
from acestep_core.io.confine import confine
from acestep_core.io.names import Taken, safe_name, same_name
from acestep_core.io.staging import keep_copy

INERT = ("audio/", "video/", "image/", "text/plain", "application/json")
"""Content types that are shown as what they are; SVG is not, as it may carry scripts."""

_MAX_FIELD = 4096
_MAX_FIELDS = 16


def routes(host: Host) -> list[web.RouteDef]:
    folders = host.folders

    async def upload(request: web.Request) -> web.Response:
        async with _staged(request, folders.temp, host.config.max_upload) as (staged, filename, fields):
            kind = fields.get("type") or "input"
            if kind not in PUBLIC or staged is None:
                raise bad_request("invalid_upload", "Send the file as `image`, and input, output or temp as `type`.")
            _check_name(filename)
            subfolder = fields.get("subfolder", "")
            for part in filter(None, subfolder.replace("\\", "/").split("/")):
                _check_part(part)
            root: Path = getattr(folders, kind)
            folder = _inside(root, subfolder, web.HTTPBadRequest)
            overwrite = fields.get("overwrite") in ("true", "1")
            path = await asyncio.to_thread(_keep, staged, folder, filename, overwrite)
        return web.json_response({"name": path.name, "subfolder": subfolder, "type": kind})

    async def view(request: web.Request) -> web.StreamResponse:
        name, kind = split_annotation(request.query.get("filename", ""))
        if not name:
            return web.Response(status=404 if "filename" not in request.query else 400)
        if name.startswith(("/", "\\")) or ".." in name or "\0" in name:
            return web.Response(status=400)
        kind = kind or request.query.get("type", "output")
        if kind not in PUBLIC:
            return web.Response(status=400)
        root: Path = getattr(folders, kind)
        folder = _inside(root, request.query.get("subfolder", ""), web.HTTPForbidden)
        path = _inside(root, folder / Path(name).name, web.HTTPForbidden)
        if not path.exists() and not request.query.get("subfolder") and kind != "input":
            below = await asyncio.to_thread(found_below, root, name)
            path = below or path
        if path.name.startswith(".") or not path.is_file():
            return web.Response(status=404)
        headers = {"Content-Disposition": f"inline; filename*=UTF-8''{quote(path.name)}"}
        response = web.FileResponse(path, headers=headers)
        response.content_type = content_type(path)
        return response

    async def files(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        if kind not in PUBLIC:
            return web.json_response({"error": "Invalid directory type"}, status=400)
        return web.json_response(
            [f"{name} [{kind}]" for name in await asyncio.to_thread(_listed, getattr(folders, kind))]
        )

    return [
        web.post("/upload/image", upload),
        web.get("/view", view),
        web.get("/internal/files/{kind}", files),
    ]


def content_type(path: Path) -> str:
    """What a file is served as: media as themselves, anything that might run as a download."""
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if guessed.startswith(INERT) and "svg" not in guessed and "xml" not in guessed:
        return guessed
    return "application/octet-stream"


@asynccontextmanager
async def _staged(
    request: web.Request, temp: Path, limit: int
) -> AsyncIterator[tuple[Path | None, str, dict[str, str]]]:
    """Streams the file of a multipart form to a temporary place, and gives it with its name and the other fields."""
    if (request.content_length or 0) > limit + 2**20:
        raise too_large(limit)
    if not request.content_type.startswith("multipart/"):
        raise bad_request("invalid_upload", "Send the file as multipart/form-data.")
    staged = temp / f"{STAGED}{secrets.token_hex(8)}"
    found, filename = False, ""
    fields: dict[str, str] = {}
    try:
        try:
            reader = await request.multipart()
            while (part := await in_time(reader.next())) is not None:
                if not isinstance(part, BodyPartReader) or len(fields) >= _MAX_FIELDS:
                    raise bad_request("invalid_upload", "The form has too many or nested parts.")
                if _is_encoded(part):
                    raise bad_request("invalid_upload", "Send the parts of the form as they are, not encoded.")
                if part.name == "image" and part.filename is not None and not found:
                    found, filename = True, part.filename
                    await _receive(part, staged, limit)
                else:
                    fields[part.name or ""] = await _field(part)
        except (TimeoutError, ValueError, AssertionError, RuntimeError):
            raise bad_request("invalid_upload", "The form is malformed or did not arrive in time.") from None
        yield staged if found else None, filename, fields
    finally:
        with contextlib.suppress(OSError):  # a left-over in the temporary folder does no harm
            staged.unlink(missing_ok=True)


def _is_encoded(part: BodyPartReader) -> bool:
    plain = ("", "identity", "binary", "8bit", "7bit")
    return any(
        part.headers.get(name, "").strip().lower() not in plain
        for name in ("Content-Encoding", "Content-Transfer-Encoding")
    )


async def _receive(part: BodyPartReader, path: Path, limit: int) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := await in_time(part.read_chunk(2**18)):
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            await asyncio.to_thread(file.write, chunk)


async def _field(part: BodyPartReader) -> str:
    value = b""
    while chunk := await in_time(part.read_chunk()):
        value += chunk
        if len(value) > _MAX_FIELD:
            raise too_large(_MAX_FIELD)
    return value.decode("utf-8", "replace")


def _check_name(name: str) -> None:
    _check_part(name)
    if Path(name).suffix.lower() not in UPLOADABLE:
        raise web.HTTPUnsupportedMediaType(text="Only audio, video, pictures and text can be uploaded.")


def _check_part(name: str) -> None:
    if not (name.isprintable() and same_name(name, safe_name(name))):
        raise bad_request("invalid_upload", "This file name cannot be used; rename the file.")


def _inside(root: Path, path: Path | str, refusal: type[web.HTTPException]) -> Path:
    try:
        return confine(path, [root])
    except InvalidInput:
        raise refusal() from None


def _keep(staged: Path, folder: Path, name: str, overwrite: bool) -> Path:
    """Moves an upload to its place. A file of the same name and content is used again, another one gets a number.

    What is overwritten is the file of that name in whatever case and form of accents it is written.
    """
    if not overwrite:
        return keep_copy(staged, folder, name)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / next(iter(Taken(path.name for path in folder.iterdir()).spellings(name)), name)
    with atomic_write(target) as temporary:
        shutil.copyfile(staged, temporary)
    return target


def _listed(folder: Path) -> list[str]:
    """Names of the files in `folder`, newest first."""
    entries = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    return [entry.name for entry in sorted(entries, key=lambda entry: -entry.stat().st_mtime)]

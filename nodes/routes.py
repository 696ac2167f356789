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

    @routes.get("/acestep/peaks")
    async def peaks(request: Any) -> Any:
        return await answered(_peaks, request.query)

    @routes.post("/acestep/save")
    async def save(request: Any) -> Any:
        return await answered(_save, await asked_of(request))

    @routes.post("/acestep/zip")
    async def zip(request: Any) -> Any:
        return await answered(_zip, await asked_of(request))

    @routes.post("/acestep/lyrics")
    async def lyrics(request: Any) -> Any:
        return await answered(_lyrics, await asked_of(request))

    @routes.post("/acestep/plan")
    async def plan(request: Any) -> Any:
        return await answered(_plan, await asked_of(request))

    @routes.post("/acestep/field")
    async def field(request: Any) -> Any:
        return await answered(_field, await asked_of(request))

    @routes.get("/acestep/run")
    async def run(request: Any) -> Any:
        return await answered(_run, request.query)

    @routes.post("/acestep/run")
    async def wish(request: Any) -> Any:
        return await answered(_wish, await asked_of(request))


def _peaks(query: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.io.peaks import peaks_of

    return peaks_of(file_of(query)).to_dict()


def _save(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps a song that was only played."""
    from acestep_core.pipeline.saving import make_folder
    from acestep_core.records.keeping import keep

    audio, root = file_of(asked), host().output_folder().resolve()
    make_folder(root / "acestep")
    return {"files": [item_of(path, root, "output") for path in keep(audio, root / "acestep", "song")]}


def _zip(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Puts songs, each with its record and lyrics, into one temporary file."""
    from acestep_core.io.staging import write_song
    from acestep_core.records.keeping import archive, family

    named = asked.get("files")
    if not isinstance(named, list) or not 0 < len(named) <= MOST_FILES:
        raise InvalidInput(f"Name 1 to {MOST_FILES} files to put into one archive.")
    files = [path for entry in named for path in family(file_of(entry))]
    root = host().temp_folder().resolve()
    return item_of(write_song(root, "songs", {".zip": lambda path: archive(path, files)})[".zip"], root, "temp")


def _lyrics(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to say about lyrics, see `LyricReport`, and the headings to offer."""
    from acestep_core.pipeline.lyric_report import TAGS, lyric_report, tokenizer_for_lyrics

    from . import models

    tokenizer = tokenizer_for_lyrics(models.found(), models.roots())
    beside = {"language": str(asked.get("language") or "unknown"), "duration": asked.get("duration")}
    lyrics = asked.get("lyrics", "")
    try:
        said = lyric_report(lyrics, tokenizer=tokenizer, **beside)
    except InvalidInput:  # what is wrong beside the lyrics, their node says
        said = lyric_report(lyrics, tokenizer=tokenizer)
    return said.to_dict() | {"tags": TAGS}


def _plan(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields or the text of a plan mean, as somebody typed them, and what is wrong with it."""
    from acestep_core.planner.plan import PLAN_FIELDS, Plan, PlanDraft

    if "text" in asked:
        try:
            return {"fields": PlanDraft.from_text(str(asked["text"])).given.fields(), "problems": {}}
        except AceStepError as error:
            return {"fields": {}, "problems": {"text": str(error)}}
    given = asked.get("fields")
    fields: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for name in PLAN_FIELDS if isinstance(given, dict) else ():
        try:
            fields |= Plan(**{name: given.get(name)}).fields()
        except InvalidInput as error:
            problems[name] = str(error)
    return {"fields": fields, "problems": problems}


def _field(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A value of a recording in its one spelling, such as "Am" for the key; or the problem with it, in a sentence."""
    from acestep_core.train.sample_fields import field_named, read_field

    name = field_named(asked.get("name"))
    if name is None:
        raise InvalidInput(f"A recording has no field {str(asked.get('name'))[:40]!r}.")
    try:
        return {"value": read_field(name, asked.get("value"))}
    except InvalidInput as error:
        return {"problem": str(error)}


def _run(asked: Mapping[str, Any]) -> dict[str, Any]:
    from .runs import tell_run

    return tell_run(asked)


def _wish(asked: Mapping[str, Any]) -> dict[str, Any]:
    from .runs import ask_run

    return ask_run(asked)


def item_of(path: Path, root: Path, kind: str) -> dict[str, str]:
    """A file as the canvas names it."""
    subfolder = path.parent.relative_to(root).as_posix()
    return {"filename": path.name, "subfolder": "" if subfolder == "." else subfolder, "type": kind}


def file_of(named: Any) -> Path:
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


async def asked_of(request: Any) -> dict[str, Any]:
    """The JSON object of a request; only that type, which other sites cannot send unasked."""
    text = await request.text() if request.content_type == "application/json" else ""
    try:
        asked = json.loads(text) if len(text) <= _MOST_TEXT else None
    except ValueError:
        asked = None
    return asked if isinstance(asked, dict) else {}


async def answered(work: Callable[[Any], dict[str, Any]], asked: Mapping[str, Any]) -> Any:
    """Does the work in a thread, as it reads files."""
    from aiohttp import web

    try:
        return web.json_response(await asyncio.to_thread(work, asked))
    except AceStepError as error:
        return web.json_response({"error": str(error)}, status=400)

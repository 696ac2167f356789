"""What the songbook of the canvas asks the server for: pages of songs, their details, favourites, and the trash.

It knows the songs of the output folder; files are named as in `routes.py`, whose rules of refusal hold here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput

from .host import host
from .routes import MOST_FILES, answered, asked_of, file_of, item_of

if TYPE_CHECKING:
    from acestep_core.records.songbook import Listed, Songbook

PAGE = 200
"""Songs in one answer at most."""
_MOST_WORDS = 500


def add_routes(routes: Any) -> None:
    """Adds them to what has aiohttp's `get` and `post` decorators."""
    for path, work in {"songs": _songs, "favourites": _favourites, "trash": _trash}.items():
        routes.get(f"/acestep/{path}")(_getting(work))
    changes = {"favourites": _mark, "delete": _delete, "undelete": _undelete, "trash/empty": _empty}
    for path, work in changes.items():
        routes.post(f"/acestep/{path}")(_posting(work))


def _getting(work: Any) -> Any:
    async def get(request: Any) -> Any:
        return await answered(work, request.query)

    return get


def _posting(work: Any) -> Any:
    async def post(request: Any) -> Any:
        return await answered(work, await asked_of(request))

    return post


def _songs(query: Mapping[str, Any]) -> dict[str, Any]:
    """One page of the songs that are wanted; the first also has all batches with the number of songs found in each."""
    from acestep_core.records.songbook import Search, choices

    offset, limit = _count(query, "offset", 0), min(_count(query, "limit", PAGE), PAGE)
    low, high = _count(query, "slowest", 0), _count(query, "fastest", 0)
    search = Search(
        words=str(query.get("words") or "")[:_MOST_WORDS],
        keyscale=str(query.get("key") or ""),
        model=str(query.get("model") or ""),
        bpm=(low, high or 1000) if low or high else None,
        favourites=query.get("favourites") == "1",
    )
    book = _book()
    revision, found, _ = book.find(search)
    page: dict[str, Any] = {"revision": revision, "offset": offset, "total": len(found)}
    page["songs"] = [_row(song) for song in found[offset : offset + limit]]
    if offset == 0:
        _, songs = book.songs()
        page |= {
            "all": len(songs),
            "batches": _batches(found),
            "newest": songs[0].batch if songs else 0,
            **choices(songs),
        }
    return page


def _row(song: Listed) -> dict[str, Any]:
    folder, _, name = song.name.rpartition("/")
    heading = song.heading
    shown = ("caption", "language", "bpm", "keyscale", "seconds", "score", "model", "task", "test", "damaged")
    return {
        "file": {"filename": name, "subfolder": folder, "type": "output"},
        **{name: getattr(heading, name) for name in shown},
        "time": song.time,
        "bytes": song.bytes,
        "batch": song.batch,
        "take": song.take,
        "takes": song.takes,
    }


def _batches(songs: list[Listed]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for song in songs:
        batch = found.setdefault(song.batch, {"number": song.batch, "songs": 0, "time": song.time})
        batch["songs"] += 1
        batch["time"] = max(batch["time"], song.time)
    return list(found.values())


def _favourites(query: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.records.favourites import favourites

    return {"names": sorted(favourites(_book().root))}


def _mark(asked: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.records.favourites import mark

    root = _book().root
    mark(root, [path.relative_to(root).as_posix() for path in _files(asked)], asked.get("favourite") is True)
    return _favourites({})


def _delete(asked: Mapping[str, Any]) -> dict[str, Any]:
    deleted = _book().delete(_files(asked))
    return {"entry": deleted.entry, "songs": len(deleted.bundles)}


def _undelete(asked: Mapping[str, Any]) -> dict[str, Any]:
    book = _book()
    return {"files": [item_of(path, book.root, "output") for path in book.restore(str(asked.get("entry") or ""))]}


def _trash(query: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.io.trash import size, trash

    entries = trash(_book().root)
    return {"songs": sum(len(entry.bundles) for entry in entries), "bytes": size(_book().root)}


def _empty(asked: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.io.trash import empty

    if asked.get("sure") is not True:
        raise InvalidInput("Say that you are sure; what is in the trash is then gone for good.")
    empty(_book().root)
    return _trash({})


def _files(asked: Mapping[str, Any]) -> list[Path]:
    """The songs that a request names, all in the output folder."""
    named = asked.get("files")
    if not isinstance(named, list) or not 0 < len(named) <= MOST_FILES:
        raise InvalidInput(f"Name 1 to {MOST_FILES} songs.")
    files, root = [file_of(entry) for entry in named], _book().root
    for file in files:
        if not file.is_relative_to(root):
            raise InvalidInput(f"{file.name[:80]!r} is not in the output folder; save it first.")
    return files


def _count(query: Mapping[str, Any], name: str, default: int) -> int:
    text = str(query.get(name) or default)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise InvalidInput(f"{name} must be a whole number from 0, not {text[:20]!r}.")
    return int(text)


def _book() -> Songbook:
    return _opened(host().output_folder().resolve())


@lru_cache(maxsize=4)
def _opened(root: Path) -> Songbook:
    from acestep_core.records.songbook import Songbook

    return Songbook(root)

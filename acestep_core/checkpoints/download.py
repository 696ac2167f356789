"""Fetches published models, from Hugging Face or ModelScope: resumed where it was cut off, and checked.

A source lists files with sizes and checksums; one loop fetches them for both. Bytes go to `<name>.part` and become
`<name>` only when they are complete and the SHA-256 of what lies on the disk is right, so what is interrupted is never
taken for weights. A folder is fetched by one process at a time; others wait for it.
Remote code is never fetched: only weights, configs, tokenizers and the silence latent are.
"""

from __future__ import annotations

import http.client
import json
import logging
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from acestep_core.checkpoints import catalog
from acestep_core.checkpoints.verify import HASH_FILE, PART_SUFFIX, sha256
from acestep_core.checkpoints.weights import read_json
from acestep_core.errors import DownloadError
from acestep_core.io.atomic import atomic_write, clear_errors, replace, sync, sync_folder
from acestep_core.io.folders import download_folder
from acestep_core.io.locks import locked
from acestep_core.io.staging import tidy
from acestep_core.monitor import SILENT, Monitor

log = logging.getLogger(__name__)

CHUNK = 1 << 20
TIMEOUT = 30.0
ATTEMPTS = 5
LOCK = ".download.lock"
WANTED = (".safetensors", ".json", "silence_latent.pt", "merges.txt")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; `sha256` is None where the source does not tell (small text files)."""

    path: str
    size: int
    sha256: str | None
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Response(Protocol):
    """What a transport answers with; `http.client.HTTPResponse` is one."""

    status: int
    headers: Any

    def read(self, amount: int = ..., /) -> bytes: ...
    def close(self) -> None: ...


Transport = Callable[[str, Mapping[str, str]], Response]
"""`transport(url, headers)`; raises `urllib.error.HTTPError` for an error status and OSError for a failed connection.
"""


class Source(Protocol):
    """Where repositories come from."""

    def files(self, repository: str, transport: Transport) -> list[RemoteFile]: ...


@dataclass(frozen=True)
class HuggingFace:
    """The Hugging Face hub, or a mirror of it. Endpoint and token are those of `huggingface_hub`."""

    endpoint: str | None = None

    def files(self, repository: str, transport: Transport) -> list[RemoteFile]:
        from huggingface_hub import constants, hf_hub_url
        from huggingface_hub.utils import build_hf_headers

        endpoint = self.endpoint or constants.ENDPOINT
        try:
            headers = build_hf_headers(library_name="acestep-nodes")
        except OSError:  # its folder may not be looked at
            headers = build_hf_headers(library_name="acestep-nodes", token=False)
        answer = _json(transport, f"{endpoint}/api/models/{repository}/revision/main?blobs=true", headers, repository)
        revision = answer["sha"]
        return [
            RemoteFile(
                entry["rfilename"],
                int(entry["size"]),
                (entry.get("lfs") or {}).get("sha256"),
                hf_hub_url(repository, entry["rfilename"], revision=revision, endpoint=endpoint),
                headers,
            )
            for entry in answer["siblings"]
        ]


@dataclass(frozen=True)
class ModelScope:
    """ModelScope, by its public HTTP interface."""

    endpoint: str = "https://modelscope.cn"

    def files(self, repository: str, transport: Transport) -> list[RemoteFile]:
        listing = f"{self.endpoint}/api/v1/models/{repository}/repo/files?Revision=master&Recursive=true"
        answer = _json(transport, listing, {}, repository)
        return [
            RemoteFile(
                entry["Path"],
                int(entry["Size"]),
                entry.get("Sha256") or None,
                f"{self.endpoint}/models/{repository}/resolve/master/{urllib.parse.quote(entry['Path'])}",
            )
            for entry in answer["Data"]["Files"]
            if entry.get("Type") != "tree"
        ]


SOURCES: dict[str, type[HuggingFace] | type[ModelScope]] = {"huggingface": HuggingFace, "modelscope": ModelScope}


def download(
    name: str,
    dest: Path | None = None,
    source: str | Source = "huggingface",
    monitor: Monitor = SILENT,
    transport: Transport | None = None,
    pause: float = 1.0,
) -> list[Path]:
    """Downloads a published model into `dest/<folder>` and returns the folders.

    Args:
        name: a variant (`turbo`, `xl-base`), a folder name (`vae`, `acestep-5Hz-lm-4B`), or `main` for what a first
            song needs: turbo, VAE, text encoder and the 1.7B language model.
        dest: the checkpoints folder; None for the user's cache.
        source: `huggingface`, `modelscope`, or an object that lists files.
        monitor: is told the bytes of the file in hand, and may cancel; a later call resumes.
        transport: fetches a URL; None for HTTP(S).
        pause: seconds before the first retry after a broken connection, doubled each time.

    Raises:
        CheckpointError: an unknown name.
        DownloadError: the source cannot be reached, refuses, lacks a file, or sends other bytes than it promised; or
            the disk is too small.
    """
    if isinstance(source, str):
        if source not in SOURCES:
            raise DownloadError(f"There is no source called {source!r}; choose from {', '.join(SOURCES)}.")
        source = SOURCES[source]()
    dest = Path(dest) if dest is not None else download_folder()
    transport = transport or http_transport
    listings: dict[str, list[RemoteFile]] = {}
    folders = []
    for part in catalog.downloads(name):
        if part.repository not in listings:
            monitor.tick(f"listing {part.repository}", 0, 1)
            listings[part.repository] = source.files(part.repository, transport)
        prefix = f"{part.inside}/" if part.inside else ""
        files = [f for f in _wanted(listings[part.repository], prefix) if part.only in ("", f.path[len(prefix) :])]
        if not any(file.path.endswith(part.only or ".safetensors") for file in files):
            what = part.only or "weights"
            raise DownloadError(f"{part.repository} has no {what} for {part.folder}; try the other source, or later.")
        folder = dest / part.folder
        with clear_errors(folder / LOCK):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK, lambda folder=folder: _wait(folder, monitor)):  # type: ignore[misc]
            tidy(folder)
            _fetch_folder(folder, files, len(prefix), monitor, transport, pause)
        folders.append(folder)
    return folders


def http_transport(url: str, headers: Mapping[str, str]) -> Response:
    """Plain urllib, following redirects; the token stays with the host it is for."""
    opener = urllib.request.build_opener(_Redirects())
    response: Response = opener.open(urllib.request.Request(url, headers=dict(headers)), timeout=TIMEOUT)
    return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None and request.host != req.host:
            request.remove_header("Authorization")
        return request


def _json(transport: Transport, url: str, headers: Mapping[str, str], repository: str) -> dict[str, Any]:
    try:
        with closing(transport(url, headers)) as response:
            answer: dict[str, Any] = json.loads(response.read())
            return answer
    except urllib.error.HTTPError as error:
        raise _refused(error.code, repository) from error
    except (OSError, http.client.HTTPException) as error:
        host = urllib.parse.urlsplit(url).netloc
        raise DownloadError(
            f"{host} cannot be reached ({error}); check the connection, or use the other source."
        ) from error
    except ValueError as error:
        raise DownloadError(f"The list of files of {repository} is not readable; try again later.") from error


def _refused(status: int, what: str) -> DownloadError:
    if status == 404:
        return DownloadError(f"{what} does not exist at this source (404); check the name, or use the other source.")
    if status in (401, 403):
        return DownloadError(
            f"Access to {what} was refused ({status}); log in with `hf auth login`, or use the other source."
        )
    return DownloadError(f"The server answered {status} for {what}; try again later, or use the other source.")


def _wanted(files: list[RemoteFile], prefix: str) -> list[RemoteFile]:
    """The files below `prefix` that a model is read from, largest first, so that a config appears after its weights."""
    chosen = [file for file in files if file.path.startswith(prefix) and file.path.endswith(WANTED)]
    for file in chosen:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or "\\" in file.path or ":" in file.path:
            raise DownloadError(f"The source lists an unsafe file name ({file.path}); use the other source.")
    return sorted(chosen, key=lambda file: (-file.size, file.path))


def _fetch_folder(
    folder: Path, files: list[RemoteFile], cut: int, monitor: Monitor, transport: Transport, pause: float
) -> None:
    record = folder / HASH_FILE
    hashes: dict[str, Any] = read_json(record) if record.is_file() else {}
    missing = [(file, file.path[cut:]) for file in files if not _is_there(folder, file, file.path[cut:], hashes)]
    _require_space(folder, sum(file.size for file, _ in missing))
    for file, name in missing:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(file, target, monitor, transport, pause)
        if file.sha256:
            hashes[name] = file.sha256
            with atomic_write(record) as temporary:
                temporary.write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


def _is_there(folder: Path, file: RemoteFile, name: str, hashes: Mapping[str, str]) -> bool:
    """Whether the file was downloaded before. Reads it only where no checksum was noted then."""
    target = folder / name
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    return file.sha256 is None or (hashes.get(name) or sha256(target)) == file.sha256


def _require_space(folder: Path, needed: int) -> None:
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DownloadError(
            f"{folder} needs {needed / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB; free some space, "
            "or choose another folder."
        )


def _fetch(file: RemoteFile, target: Path, monitor: Monitor, transport: Transport, pause: float) -> None:
    part = target.with_name(target.name + PART_SUFFIX)
    if file.sha256 is None:
        part.unlink(missing_ok=True)  # without a checksum a resumed file could be a mixture of two versions
    for attempt in range(ATTEMPTS):
        try:
            _append(file, part, monitor, transport)
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS - 1:
                raise _refused(error.code, file.path) from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS - 1:
                raise DownloadError(
                    f"The connection broke {ATTEMPTS} times while fetching {file.path} ({error}); "
                    "run the command again to resume."
                ) from error
        else:
            break
        log.info("resuming %s", file.path)
        time.sleep(pause * 2**attempt)
    sync(part)
    if file.sha256 is not None and sha256(part) != file.sha256:
        part.unlink()
        raise DownloadError(
            f"{file.path} arrived damaged (its checksum is wrong) and was removed; run the command again."
        )
    replace(part, target)
    sync_folder(target.parent)


def _append(file: RemoteFile, part: Path, monitor: Monitor, transport: Transport) -> None:
    """Fetches what `part` lacks. Raises OSError where the answer ends early."""
    have = part.stat().st_size if part.is_file() else 0
    if have > file.size:
        part.unlink()
        have = 0
    if have == file.size and part.is_file():
        return
    headers = {**file.headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with closing(transport(file.url, headers)) as response:
        if have and response.status != 206:  # this server cannot resume, it starts over
            have = 0
        elif have and not str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            part.unlink()
            raise OSError("the server resumed at the wrong place")
        with part.open("ab" if have else "wb") as out:
            while chunk := response.read(CHUNK):
                out.write(chunk)
                have += len(chunk)
                monitor.tick(f"downloading {file.path}", have, file.size)
    if have != file.size:
        raise OSError(f"{have} of {file.size} bytes arrived")


def _wait(folder: Path, monitor: Monitor) -> None:
    monitor.tick(f"waiting for another download into {folder.name}", 0, 1)
    time.sleep(0.2)

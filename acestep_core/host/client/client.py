"""A client for ComfyUI and for this host: uploads what a workflow needs, queues it, watches it, fetches its results.

async with HostClient("http://127.0.0.1:8188") as client:
    workflow = await client.load(Path("song.json"))
    result = await client.run(workflow.with_inputs({"song.caption": "lo-fi piano"}), Path("output"))
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from acestep_core.errors import HostError
from acestep_core.host.client.sources import Sources
from acestep_core.host.graph.migrate.migration import load_runnable
from acestep_core.host.graph.wire import dumps
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result, Update, Watch, check_outcome, refusal, shown_files, shown_texts
from acestep_core.io.atomic import clear_errors
from acestep_core.io.long_paths import reachable
from acestep_core.io.names import COPY, safe_name
from acestep_core.io.staging import staging

POLL_SECONDS = 2.0
"""How long the WebSocket may be silent before history is asked."""

RESTART_SECONDS = 300.0
"""How long a server that was there before may be away, for instance because it is being restarted."""

RESUBMISSIONS = 3
"""How often a workflow is sent again to a server that lost it in a restart: it may be what ends the server."""

_RETRIES = 5
_GONE = (502, 503, 504)
"""What a proxy answers for a server that is away."""


class Unreachable(HostError):
    """The server does not answer."""


def _ignore(update: Update) -> None:
    pass


class HostClient:
    """One server. Use as an async context manager."""

    def __init__(self, url: str, token: str | None = None, patience: float = RESTART_SECONDS) -> None:
        """Args:
        url: such as `http://127.0.0.1:8188`; without a scheme, http is meant.
        token: for a host that asks for one.
        patience: seconds that a server may be away once it has answered.
        """
        self.url = (url if "://" in url else f"http://{url}").rstrip("/")
        try:
            known = urlsplit(self.url).scheme in ("http", "https") and urlsplit(self.url).port != 0
        except ValueError:  # brackets or a port that make no sense
            known = False
        if not known:
            raise HostError(f"{url!r} is no address of a server; use one like http://127.0.0.1:8188.")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._id = uuid.uuid4().hex
        self._patience = patience
        self._met = False  # whether the server has ever answered
        self._lost = False  # whether it was away since the workflow was sent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HostClient:
        timeout = aiohttp.ClientTimeout(total=None, connect=30, sock_read=300)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def definitions(self) -> dict[str, Any]:
        """The node types of the server, as `/object_info` describes them."""
        return await self._json("GET", "/object_info")

    async def load(self, path: Path) -> Workflow:
        """A workflow file, read with the server's node types."""
        return load_runnable(path, await self.definitions())

    async def upload(self, path: Path) -> str:
        """Puts a file into the server's input folder and returns its name there."""
        try:
            answer = await self._upload(path)
        except Unreachable:
            await self._json("GET", "/queue")  # waits for a server that is being restarted
            answer = await self._upload(path)
        return "/".join(part for part in (answer.get("subfolder", ""), answer["name"]) if part)

    async def _upload(self, path: Path) -> Any:
        with path.open("rb") as file:
            form = aiohttp.FormData()
            form.add_field("image", file, filename=path.name)
            form.add_field("type", "input")
            return await self._json("POST", "/upload/image", data=form)

    async def prepare(
        self, workflow: Workflow, sources: Sources, sent: Callable[[Path, str], object] = lambda path, name: None
    ) -> Workflow:
        """Uploads the local files that the workflow names, and names them as the server does.

        A name that is no local file is left alone: the server may have it.

        Args:
            sources: which files the workflow may name.
            sent: told each local file and its name on the server.

        Raises:
            GraphError: the workflow names a file that may not be sent.
        """
        prepared = workflow.with_inputs({})
        for node_id, name, path in sources.of(workflow):
            uploaded = await self.upload(path)
            sent(path, uploaded)
            prepared.put(node_id, name, uploaded)
        return prepared

    async def run(
        self, workflow: Workflow, output: Path, watch: Watch = _ignore, prompt_id: str | None = None
    ) -> Result:
        """Queues a workflow, waits for it and downloads what it made into `output`.

        A server that is restarted meanwhile gets the workflow again, unless it remembers it. Cancelling the call takes
        the prompt off the server.

        Args:
            workflow: its files have been uploaded, see `prepare`.
            output: created if absent.
            watch: told how it goes.
            prompt_id: if the server has run, runs or will run a prompt of this id, it is joined, unless it failed.

        Raises:
            HostError: the server cannot be reached.
            RunFailed: the server refuses the workflow, or a node failed.
            Cancelled: somebody interrupted the run.
        """
        start = time.perf_counter()
        prompt_id, entry = await self._join(prompt_id) if prompt_id else (str(uuid.uuid4()), None)
        async with self._events() as events:
            try:
                if entry is None:
                    await self._submit(workflow, prompt_id)
                if not entry:
                    entry = await self._wait(workflow, prompt_id, events, watch)
            except asyncio.CancelledError:
                with contextlib.suppress(HostError):  # the server may be what was lost
                    await self.cancel(prompt_id)
                raise
        check_outcome(workflow, (entry.get("status") or {}).get("messages", []))
        outputs = entry.get("outputs", {})
        shown = list(shown_files(outputs))
        files: dict[str, list[Path]] = {}
        for (node_id, _), path in zip(shown, await self.download([item for _, item in shown], output), strict=True):
            files.setdefault(node_id, []).append(path)
        return Result(prompt_id, files, shown_texts(outputs), time.perf_counter() - start)

    async def _join(self, prompt_id: str) -> tuple[str, dict[str, Any] | None]:
        """The id to use, and what is known of it. A failed run keeps its id; the next attempt gets the next one."""
        entry = await self._known(prompt_id)
        while entry and not (entry.get("status") or {}).get("completed"):
            prompt_id = str(uuid.uuid5(uuid.NAMESPACE_OID, prompt_id))
            entry = await self._known(prompt_id)
        return prompt_id, entry

    async def cancel(self, prompt_id: str) -> None:
        """Removes a prompt from the queue or stops it."""
        await self._send("POST", "/queue", json={"delete": [prompt_id]})
        await self._send("POST", "/interrupt", json={"prompt_id": prompt_id})

    async def download(self, items: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
        """Fetches result files, all or none. Files that are there already are kept, and used if they are the same.

        Args:
            items: as history declares them.
            folder: created if absent; the server's subfolders are made in it.

        Raises:
            HostError: the server cannot be reached or does not give one of the files.
            StorageError: the disk is full, or the folder is not writable.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with staging(folder.resolve()) as stage:
            names = [await self._fetch(item, stage.folder) for item in items]
            moved = stage.deliver(COPY)
        return [moved[name] for name in names]

    async def _fetch(self, item: dict[str, Any], folder: Path) -> str:
        """Brings one file into `folder` and returns its path there, with slashes."""
        name, subfolder = str(item["filename"]), str(item.get("subfolder") or "")
        kind = str(item.get("type") or "output")
        # the server may run on a system with other separators
        parts = [part for part in subfolder.replace("\\", "/").split("/") if part]
        place = PurePosixPath(*map(safe_name, parts), safe_name(PurePosixPath(name).name))
        number = 0
        while (target := reachable(folder / place)).exists():  # another one of the same name, such as a preview
            number += 1
            place = place.with_name(f"{place.stem} ({number}){place.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        query = {"filename": name, "subfolder": subfolder, "type": kind}
        try:
            async with self._request("GET", "/view", params=query) as answer:
                with clear_errors(target), target.open("wb") as file:
                    async for chunk in answer.content.iter_chunked(2**18):
                        file.write(chunk)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise HostError(f"The connection broke while {place.name} was fetched; run again.") from error
        return place.as_posix()

    # -- watching ------------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _events(self) -> AsyncIterator[asyncio.Queue[Any]]:
        """All WebSocket messages, reconnecting when the connection drops."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        opened = asyncio.Event()
        listener = asyncio.create_task(self._listen(queue, opened))
        try:
            with contextlib.suppress(TimeoutError):  # without events, history is polled
                async with asyncio.timeout(10):
                    await opened.wait()
            yield queue
        finally:
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def _listen(self, queue: asyncio.Queue[Any], opened: asyncio.Event) -> None:
        assert self._session is not None
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                address = f"{self.url}/ws?clientId={self._id}"
                async with self._session.ws_connect(address, max_msg_size=0, heartbeat=30) as socket:
                    opened.set()
                    async for message in socket:
                        queue.put_nowait(message)
            self._lost = self._lost or opened.is_set()
            await asyncio.sleep(1)

    async def _wait(
        self, workflow: Workflow, prompt_id: str, events: asyncio.Queue[Any], watch: Watch
    ) -> dict[str, Any]:
        """Watches until history has the prompt. The events are for show and for speed; history decides."""
        sent = 0
        while True:
            ended = False
            try:
                async with asyncio.timeout(POLL_SECONDS):  # not wait_for, which may swallow a cancel before 3.12
                    message = await events.get()
                ended = _tell(message, prompt_id, watch)
                if not ended:
                    continue
            except TimeoutError:
                pass
            entry = await self._known(prompt_id)
            if entry:
                return entry
            if entry is None and not ended:
                if not self._lost:
                    raise HostError("The server no longer knows the prompt; somebody deleted it.")
                if sent == RESUBMISSIONS:
                    raise HostError(f"The server was lost {sent + 1} times while it ran this; look at its log.")
                sent += 1
                await self._submit(workflow, prompt_id)

    async def _known(self, prompt_id: str) -> dict[str, Any] | None:
        """The history entry of a prompt; `{}` while it waits or runs; None if the server has never heard of it."""
        # the queue is asked first: a prompt that ends between the two questions is found in history
        queue = await self._json("GET", "/queue")
        history = await self._json("GET", f"/history/{quote(prompt_id, safe='')}")
        if prompt_id in history:
            return history[prompt_id]
        queued = [*queue.get("queue_running", []), *queue.get("queue_pending", [])]
        return {} if any(item[1] == prompt_id for item in queued) else None

    async def _submit(self, workflow: Workflow, prompt_id: str) -> None:
        self._lost = False
        body = {
            "prompt": workflow.queued(),
            "extra_data": workflow.extra_data,
            "client_id": self._id,
            "prompt_id": prompt_id,
        }
        headers = {"Content-Type": "application/json"}
        try:
            status, text = await self._send("POST", "/prompt", data=dumps(body).encode(), headers=headers, check=False)
        except Unreachable:
            if not self._met:
                raise
            self._lost = True  # it may have arrived: whoever waits for it finds out
            return
        answer = _parsed(text)
        if status != 200:
            if not isinstance(answer, dict):
                raise HostError(f"The server refused the workflow (status {status}).")
            raise refusal(workflow, answer.get("error"), answer.get("node_errors"))
        if answer.get("node_errors"):
            await self.cancel(prompt_id)
            raise refusal(workflow, None, answer["node_errors"])

    # -- plumbing ------------------------------------------------------------------------------------------------------

    async def _json(self, method: str, path: str, **kwargs: Any) -> Any:
        _, text = await self._send(method, path, **kwargs)
        answer = _parsed(text)
        if answer is None:
            raise HostError(f"{self.url} does not answer as ComfyUI does; check the address.")
        return answer

    async def _send(self, method: str, path: str, check: bool = True, **kwargs: Any) -> tuple[int, bytes]:
        async with self._request(method, path, check, **kwargs) as answer:
            return answer.status, await answer.read()

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, check: bool = True, **kwargs: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None, "use the client as `async with HostClient(…) as client`"
        end = time.monotonic() + (self._patience if self._met else 0)
        for attempt in itertools.count(1):
            try:
                answer = await self._session.request(method, f"{self.url}{path}", **kwargs)
                if answer.status not in _GONE or not self._met:
                    break
                answer.release()
                cause: BaseException | None = None
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                cause = error
            self._lost = True
            # only questions are asked again; a prompt that was sent may have arrived
            if method != "GET" or (attempt >= _RETRIES and time.monotonic() >= end):
                raise Unreachable(f"The server {self.url} cannot be reached; start it or check the address.") from cause
            await asyncio.sleep(min(0.2 * 2**attempt, 5))
        self._met = True
        async with answer:
            if check and answer.status >= 400:
                hint = "; give its token with --token" if answer.status == 401 else ""
                raise HostError(f"The server answered {path} with status {answer.status}{hint}.")
            yield answer


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _tell(message: aiohttp.WSMessage, prompt_id: str, watch: Watch) -> bool:
    """Passes on what concerns this prompt; True once it has ended."""
    if message.type is aiohttp.WSMsgType.BINARY:
        update = _text_frame(message.data)
        if update is not None:
            watch(update)
        return False
    event = _parsed(message.data.encode()) if message.type is aiohttp.WSMsgType.TEXT else None
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or data.get("prompt_id") != prompt_id:
        return False
    kind = event.get("type") if isinstance(event, dict) else None
    if kind == "executing" and data.get("node") is not None:
        watch(Update("node", str(data["node"])))
    elif kind == "progress":
        watch(Update("progress", str(data.get("node")), data.get("value", 0), data.get("max", 0)))
    elif kind == "execution_cached":
        watch(Update("cached", total=len(data.get("nodes") or [])))
    return kind in ("execution_error", "execution_interrupted") or (kind == "executing" and data.get("node") is None)


def _text_frame(data: bytes) -> Update | None:
    """A status line: type 3, length of the node id, node id, text."""
    if len(data) < 8 or struct.unpack(">I", data[:4])[0] != 3:
        return None
    length = struct.unpack(">I", data[4:8])[0]
    return Update(
        "text", data[8 : 8 + length].decode("utf-8", "replace"), text=data[8 + length :].decode("utf-8", "replace")
    )

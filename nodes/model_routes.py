"""What the models panel asks: what is here, what this card can run, download with progress, pause and go on, check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from acestep_core.errors import AceStepError, InvalidInput
from acestep_core.monitor import Monitor

from . import models
from .host import MODELS_FOLDER, host
from .routes import answered, asked_of


@dataclass(frozen=True)
class Job:
    """One download or check. `state` is `running`, `paused`, `done` or `failed`; what `told` says is for the user."""

    kind: str
    name: str
    state: str = "running"
    stage: str = ""
    done: int = 0
    total: int = 0
    speed: float = 0.0
    told: str = ""


class Work:
    """The job of one server: one at a time, in a thread of its own."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def start(self, kind: str, name: str, work: Callable[[Monitor], str]) -> None:
        """Begins; `work` gives what is told at the end. Raises InvalidInput while another one runs."""
        with self._lock:
            if self.job is not None and self.job.state == "running":
                raise InvalidInput(f"{self.job.name} is still being worked on; wait for it, or pause it first.")
            self.job = Job(kind, name)
            self._stop.clear()
        threading.Thread(target=self._run, args=(work,), name="acestep-models", daemon=True).start()

    def pause(self) -> None:
        """Stops soon. What was fetched stays, and the same download goes on from there."""
        self._stop.set()

    def _run(self, work: Callable[[Monitor], str]) -> None:
        begun: tuple[str, float, int] = ("", 0.0, 0)

        def tick(stage: str, done: int, total: int, preview: object = None) -> None:
            nonlocal begun
            now = time.monotonic()
            if stage != begun[0]:
                begun = (stage, now, done)
            speed = (done - begun[2]) / (now - begun[1]) if now > begun[1] else 0.0
            self._note(stage=stage, done=done, total=total, speed=speed)

        try:
            told = work(Monitor(tick, self._stop.is_set))
            self._note(state="done", told=told)
        except AceStepError as error:
            self._note(state="paused" if self._stop.is_set() else "failed", told=str(error))
        except Exception as error:  # a thread's error would otherwise be seen by nobody
            self._note(state="failed", told=f"{type(error).__name__}: {error}")

    def _note(self, **changes: Any) -> None:
        assert self.job is not None
        self.job = replace(self.job, **changes)


def add_routes(routes: Any) -> None:
    """Adds them to what has aiohttp's `get` and `post` decorators."""
    work = Work()

    @routes.get("/acestep/models")
    async def overview(request: Any) -> Any:
        return await answered(lambda _: _overview(), {})

    @routes.get("/acestep/models/job")
    async def job(request: Any) -> Any:
        return await answered(lambda _: {"job": None if work.job is None else asdict(work.job)}, {})

    @routes.post("/acestep/models/download")
    async def download(request: Any) -> Any:
        return await answered(lambda wanted: _download(work, wanted), await asked_of(request))

    @routes.post("/acestep/models/check")
    async def check(request: Any) -> Any:
        return await answered(lambda wanted: _check(work, wanted), await asked_of(request))

    @routes.post("/acestep/models/pause")
    async def pause(request: Any) -> Any:
        await asked_of(request)
        return await answered(lambda _: work.pause() or {}, {})


def _overview() -> dict[str, Any]:
    from acestep_core.checkpoints.find import LABELS
    from acestep_core.devices import device_name, free_ram, is_host, pick_device
    from acestep_core.io.system import processor_name
    from acestep_core.models.fits import offers
    from acestep_core.pipeline.opening import stand_in

    found = models.found()
    device = pick_device(host().device())
    memory = free_ram() if is_host(device) else _memory(device)
    known = offers(memory, streams=not is_host(device))
    here = {entry.path.name for entry in found.entries if entry.problem is None and not entry.tiny}
    return {
        "found": [
            {
                "kind": LABELS[entry.kind],
                "name": entry.name,
                "what": entry.variant or entry.size,
                "path": str(entry.path),
                "bytes": entry.bytes,
                "tiny": entry.tiny,
                "problem": entry.problem,
            }
            for entry in found.entries
        ],
        "places": [{"path": str(place), "exists": place.exists()} for place in found.places],
        "stand_in": stand_in(found),
        "card": {"name": processor_name() if is_host(device) else device_name(device), "memory": memory},
        "offers": [asdict(offer) | {"here": offer.name in here} for offer in known],
    }


def _memory(device: Any) -> int:
    from acestep_core.devices import describe_accelerators, free_memory

    totals = [card["vram_total"] for card in describe_accelerators() if card["index"] == (device.index or 0)]
    return int(totals[0]) if totals else free_memory(device)


def _download(work: Work, wanted: Mapping[str, Any]) -> dict[str, Any]:
    from acestep_core.checkpoints.catalog import downloads
    from acestep_core.checkpoints.download import SOURCES, download

    name, source = str(wanted.get("name") or ""), str(wanted.get("source") or "huggingface")
    downloads(name)  # raises where there is none of that name
    if source not in SOURCES:
        raise InvalidInput(f"There is no source called {source[:40]!r}; choose from {', '.join(SOURCES)}.")
    root = next(iter(host().model_roots()))
    target = root if root.name == MODELS_FOLDER else root / MODELS_FOLDER

    def fetch(monitor: Monitor) -> str:
        return ", ".join(folder.name for folder in download(name, target, source, monitor))

    work.start("download", name, fetch)
    return {}


def _check(work: Work, wanted: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(str(wanted.get("path") or ""))
    if path not in {entry.path for entry in models.found().entries}:
        raise InvalidInput("Only a model that is listed can be checked; look at the list again.")

    def look(monitor: Monitor) -> str:
        from acestep_core.checkpoints.verify import check

        report = check(path, monitor=monitor)
        problems = [*report.problems, *(line for part in report.parts for line in part.problems)]
        if problems:
            raise InvalidInput(" ".join(problems))
        return ""

    work.start("check", path.name, look)
    return {}

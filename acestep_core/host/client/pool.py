"""Many workers, and who of them gets which work.

A worker is a process that keeps its models loaded. Each has at most a few runs at hand, so that it never waits; the
others wait here: whoever is free gets the run that is most like its last one, else the first. A worker that dies,
or is silent for too long, is replaced. The run that it was at is told so, and may be asked for again; those that it had
not begun are given to others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from acestep_core.errors import AceStepError, Cancelled, HostError
from acestep_core.host.queue.results import WorkerLost

log = logging.getLogger(__name__)


MOST_ASKED = 512
"""Runs to ask for at a time so that groups are full: each holds a file open."""


class Work(Protocol):
    """What a worker is given."""

    @property
    def likeness(self) -> frozenset[str]:
        """What a worker has at hand after this, such as weights; the next one that needs the same should follow it."""


class Worker(Protocol):
    """A process that does one work after the other, in the order of the calls."""

    async def run(self, work: Any) -> Any:
        """Raises WorkerLost if the process ends before the work does, another AceStepError if the work is at fault."""

    async def silence(self) -> float:
        """Seconds since the run that it is at made progress, 0 where it is at none. Raises WorkerLost."""

    def kill(self) -> None:
        """Ends the process at once."""


@dataclass(frozen=True)
class Limits:
    """How workers are used. Times are in seconds.

    Attributes:
        at_hand: runs that a worker is given, the one that it is at counted.
        silence: without progress, or without an answer, after which a worker counts as hung.
        row: that one run may take; None for as long as it makes progress.
        passed: how often the first that waits may be passed over by runs that suit a worker better.
        beat: between two looks at a worker.
        losses: how many workers may be lost without a run that ends between them.
    """

    at_hand: int = 2
    silence: float = 900.0
    row: float | None = None
    passed: int = 32
    beat: float = 5.0
    losses: int = 12


@dataclass(frozen=True)
class Groups:
    """How works are done together.

    Attributes:
        most: works in a group.
        mold: what works of a group share; None for one that is done alone.
        join: the work of a group, which gives for each of its works the result or the error.
    """

    most: int
    mold: Callable[[Any], str | None]
    join: Callable[[Sequence[Any]], Work]


_ALONE = Groups(1, lambda work: None, lambda works: works[0])


@dataclass(eq=False)
class _Asked:
    """A run that was asked for."""

    work: Work
    done: asyncio.Future[Any]
    likeness: frozenset[str]
    mold: str | None
    passed: int = 0


@dataclass(eq=False)
class _Desk:
    """A worker at work: the groups it was given, oldest first, since when it is at that, and what it has at hand."""

    worker: Worker
    lost: asyncio.Future[WorkerLost]
    at_hand: list[list[_Asked]] = field(default_factory=list)
    since: float = 0.0
    likeness: frozenset[str] = frozenset()


_Some = TypeVar("_Some", _Desk, _Asked)


class Pool:
    """Has workers do work, up to `count` at a time. For one event loop.

    Attributes:
        count: how many workers there are, those that are being replaced included.
        room: how many runs to ask for at a time, so that no worker waits and each can choose.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Worker]],
        count: int,
        limits: Limits = Limits(),
        groups: Groups = _ALONE,
    ) -> None:
        """Args:
        start: gives a worker that is ready; raises WorkerLost if that fails.
        groups: by default every work is done alone.
        """
        self._start, self._limits, self._groups, self.count = start, limits, groups, count
        self.room = max(count * (limits.at_hand + 2), min(count * (limits.at_hand * groups.most + 2), MOST_ASKED))
        self._desks: list[_Desk] = []
        self._waiting: list[_Asked] = []
        self._ended: AceStepError | None = None
        self._losses = 0
        self._handing: asyncio.Handle | None = None
        self._keepers = [asyncio.create_task(self._keep()) for _ in range(count)]
        self._runs: set[asyncio.Task[None]] = set()

    @property
    def workers(self) -> list[Worker]:
        """Those that are ready."""
        return [desk.worker for desk in self._desks]

    async def run(self, work: Work) -> Any:
        """Has work done by the worker that suits it, when its turn comes; what the worker gives or raises.

        Raises:
            WorkerLost: the worker ended or hung before the work was done; it may be asked for again.
            Cancelled: `drain` was called before it began.
            HostError: no worker stays alive.
        """
        if self._ended is not None:
            raise self._ended
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        asked = _Asked(work, done, work.likeness, self._groups.mold(work))
        self._waiting.append(asked)
        if not self._handing:  # once all who ask at this moment have asked
            self._handing = asyncio.get_running_loop().call_soon(self._hand_out)
        try:
            return await done
        except asyncio.CancelledError:  # whoever asked has gone
            if asked in self._waiting:
                self._waiting.remove(asked)
            raise

    def drain(self) -> None:
        """What workers have at hand goes on to its end; nothing else begins."""
        self._end(Cancelled("The batch was stopped; run it again to go on."))

    async def close(self) -> None:
        """Ends all workers."""
        tasks = [*self._keepers, *self._runs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for desk in self._desks:
            desk.worker.kill()

    def _end(self, error: AceStepError) -> None:
        self._ended = error
        for asked in self._waiting:
            _settle(asked, error)
        self._waiting.clear()

    def _hand_out(self) -> None:
        self._handing = None
        while self._waiting:
            fewest = min((len(desk.at_hand) for desk in self._desks), default=self._limits.at_hand)
            if fewest >= self._limits.at_hand:
                return
            first = self._waiting[0]
            desks = _unlike(desk for desk in self._desks if len(desk.at_hand) == fewest)
            runs = [first] if first.passed >= self._limits.passed else _unlike(self._waiting)
            desk, asked = max(itertools.product(desks, runs), key=_alike)
            group = self._group(asked)
            first.passed += first not in group
            self._waiting = [other for other in self._waiting if other not in group]
            if not desk.at_hand:
                desk.since = _now()
            desk.at_hand.append(group)
            desk.likeness = asked.likeness
            task = asyncio.create_task(self._through(desk, group))
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)

    def _group(self, asked: _Asked) -> list[_Asked]:
        """A run that waits, and those that are done together with it."""
        if asked.mold is None:
            return [asked]
        mates = (other for other in self._waiting if other is not asked and other.mold == asked.mold)
        return [asked, *itertools.islice(mates, self._groups.most - 1)]

    async def _through(self, desk: _Desk, group: list[_Asked]) -> None:
        """A group at a desk. If the worker is lost, whoever keeps the desk says what becomes of it."""
        results: list[Any]
        try:
            if len(group) == 1:
                results = [await desk.worker.run(group[0].work)]
            else:
                results = await desk.worker.run(self._groups.join([asked.work for asked in group]))
        except WorkerLost as error:
            _lose(desk, error)
            return
        except Exception as error:
            results = [error] * len(group)
        if desk in self._desks:
            self._losses = 0
            desk.at_hand.remove(group)
            desk.since = _now()
            for asked, result in zip(group, results, strict=True):
                _settle(asked, result)
            self._hand_out()

    async def _keep(self) -> None:
        """One worker after the other: each is looked after until it is lost."""
        while True:
            try:
                worker = await self._start()
                desk = _Desk(worker, asyncio.get_running_loop().create_future())
                self._desks.append(desk)
                self._hand_out()
                error = await self._watched(desk)
                worker.kill()
                self._desks.remove(desk)
                for asked in itertools.chain(*desk.at_hand[:1]):
                    _settle(asked, error)
                self._waiting[:0] = itertools.chain(*desk.at_hand[1:])
            except WorkerLost as lost:
                error = lost
            except AceStepError as hopeless:
                self._end(hopeless)
                return
            except Exception as defect:  # else everybody would wait for ever
                self._end(HostError(f"No worker can be started ({type(defect).__name__}: {defect})."))
                raise
            log.warning("%s", error)
            self._losses += 1
            if self._losses >= self._limits.losses and self._ended is None:
                self._ended = HostError(f"{self._losses} workers were lost one after the other. {error}")
            if self._ended is not None:
                self._end(self._ended)
                return
            self._hand_out()
            await asyncio.sleep(min(self._losses, self._limits.beat))

    async def _watched(self, desk: _Desk) -> WorkerLost:
        """Waits until the worker is lost."""
        limits = self._limits
        while True:
            done, _ = await asyncio.wait([desk.lost], timeout=limits.beat)
            if done:
                return desk.lost.result()
            try:
                async with asyncio.timeout(limits.silence):
                    silence = await desk.worker.silence()
            except WorkerLost as error:
                return error
            except TimeoutError:
                silence = limits.silence
            if silence >= limits.silence:
                return WorkerLost(f"A worker made no progress for {silence:.0f} s and was ended.")
            if limits.row is not None and desk.at_hand and _now() - desk.since > limits.row * len(desk.at_hand[0]):
                return WorkerLost(f"A row took longer than {limits.row:.0f} s, and its worker was ended.")


def _unlike(found: Iterable[_Some]) -> list[_Some]:
    """The first of each likeness."""
    firsts: dict[frozenset[str], _Some] = {}
    for each in found:
        firsts.setdefault(each.likeness, each)
    return list(firsts.values())


def _alike(pair: tuple[_Desk, _Asked]) -> int:
    desk, asked = pair
    return len(desk.likeness & asked.likeness)


def _settle(asked: _Asked, result: Any) -> None:
    if asked.done.done():  # whoever asked has gone
        return
    if isinstance(result, Exception):
        asked.done.set_exception(result)
    else:
        asked.done.set_result(result)


def _lose(desk: _Desk, error: WorkerLost) -> None:
    if not desk.lost.done():
        desk.lost.set_result(error)


def _now() -> float:
    return asyncio.get_running_loop().time()

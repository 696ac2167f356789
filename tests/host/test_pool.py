"""Who runs what among many workers, and what becomes of runs whose worker is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from acestep_core.errors import Cancelled, HostError
from acestep_core.host.client.pool import Limits, Pool
from acestep_core.host.client.ray_rows import GroupWork, RowWork, grouped, rows_on
from acestep_core.host.graph.likeness import weights_of
from acestep_core.host.graph.workflow import Workflow
from acestep_core.host.queue.results import Result, RunFailed, WorkerLost
from tests.host.simulate import simulate

DEFINITIONS: Any = {
    "Load": {"input": {}, "output": ["ACESTEP_MODEL"]},
    "Word": {"input": {"required": {"text": ["STRING", {}]}}, "output": ["STRING"]},
}


def row(word: str, model: str = "a") -> Workflow:
    nodes = {
        "1": {"class_type": "Load", "inputs": {"name": model}},
        "2": {"class_type": "Word", "inputs": {"text": word, "model": ["1", 0]}},
    }
    return Workflow(nodes, DEFINITIONS)


@dataclass
class FakeWorker:
    """Does as the word of a run says."""

    lab: Lab
    ran: list[str] = field(default_factory=list)
    given: int = 0
    most: int = 0
    stuck: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, work: RowWork) -> Result:
        self.given += 1
        self.most = max(self.most, self.given)
        try:
            work = asyncio.ensure_future(self._work(work.workflow.prompt["2"]["inputs"]["text"], work.prompt_id))
            gone = asyncio.ensure_future(self.gone.wait())
            await asyncio.wait([work, gone], return_when=asyncio.FIRST_COMPLETED)
            gone.cancel()
            if work.done():
                return work.result()
            work.cancel()
            raise WorkerLost("It is gone.")
        finally:
            self.given -= 1

    async def _work(self, word: str, prompt_id: str) -> Result:
        async with self.turn:
            self.ran.append(word)
            await self.lab.pace(word)
            if word.startswith("die") and self.lab.dies(word):
                self.gone.set()
                await asyncio.Event().wait()
            if word == "hang" and self.lab.dies(word):
                self.stuck = True
                await asyncio.Event().wait()
            if word == "fail":
                raise RunFailed("It fails.")
            return Result(prompt_id, texts={"2": [word]})

    async def silence(self) -> float:
        return 1000.0 if self.stuck else 0.0

    def kill(self) -> None:
        self.gone.set()


class Lab:
    """Starts workers and keeps them."""

    def __init__(self, deaths: int = 0, pace: Callable[[str], Any] | None = None) -> None:
        self.workers: list[FakeWorker] = []
        self.deaths = deaths
        self._pace = pace

    async def start(self) -> FakeWorker:
        self.workers.append(FakeWorker(self))
        return self.workers[-1]

    async def pace(self, word: str) -> None:
        await (self._pace(word) if self._pace else asyncio.sleep(0))

    def dies(self, word: str) -> bool:
        self.deaths -= 1
        return self.deaths >= 0

    @property
    def ran(self) -> list[str]:
        return [word for worker in self.workers for word in worker.ran]


LIMITS = Limits(beat=0.001, losses=6)


def play(lab: Lab, rows: list[Workflow], count: int = 2, limits: Limits = LIMITS) -> list[Any]:
    async def scene() -> list[Any]:
        pool = Pool(lab.start, count, limits)
        try:
            return await asyncio.gather(*(pool.run(RowWork(row, Path(), "")) for row in rows), return_exceptions=True)
        finally:
            await pool.close()

    return asyncio.run(scene())


def said(results: list[Any]) -> list[str]:
    return [result.texts["2"][0] if isinstance(result, Result) else type(result).__name__ for result in results]


def test_all_workers_run_and_none_is_given_more_than_it_may_have() -> None:
    lab = Lab()
    words = [f"w{i}" for i in range(20)]
    assert said(play(lab, [row(word) for word in words])) == words
    assert len(lab.workers) == 2 and all(worker.ran and worker.most == 2 for worker in lab.workers)


def test_runs_of_the_same_weights_stay_together() -> None:
    lab = Lab()
    play(lab, [row(f"{model}{i}", model) for i in range(8) for model in "ab"])
    assert [{word[0] for word in worker.ran} for worker in lab.workers] == [{"a"}, {"b"}]


def test_nobody_waits_for_ever() -> None:
    """One worker has the weights of all but the first that waits; yet that has its turn."""
    lab = Lab()
    words = [("a0", "a"), ("a1", "a"), ("b", "b"), *((f"a{i}", "a") for i in range(2, 12))]
    play(lab, [row(*each) for each in words], count=1, limits=Limits(beat=0.001, passed=4))
    assert lab.ran.index("b") == 6


def test_a_run_whose_worker_dies_hears_it_and_the_others_do_not() -> None:
    lab = Lab(deaths=1)
    results = play(lab, [row("die"), row("next"), row("more")], count=1)
    assert said(results) == ["WorkerLost", "next", "more"]
    assert lab.ran == ["die", "next", "more"] and len(lab.workers) == 2


def test_a_worker_that_hangs_is_ended() -> None:
    lab = Lab(deaths=1)
    results = play(lab, [row("hang"), row("next")], count=1)
    assert said(results) == ["WorkerLost", "next"] and "no progress for 1000 s" in str(results[0])
    assert lab.workers[0].gone.is_set()


def test_a_run_may_take_only_so_long() -> None:
    async def pace(word: str) -> None:
        await asyncio.sleep(60 if word == "slow" else 0)

    lab = Lab(pace=pace)
    results = play(lab, [row("slow"), row("next")], count=1, limits=Limits(beat=0.001, row=0.05))
    assert said(results) == ["WorkerLost", "next"] and "longer than" in str(results[0])


def test_a_failure_is_the_runs_own() -> None:
    lab = Lab()
    assert said(play(lab, [row("fail"), row("next")], count=1)) == ["RunFailed", "next"] and len(lab.workers) == 1


def test_where_no_worker_stays_alive_all_is_over() -> None:
    lab = Lab(deaths=100)
    results = play(lab, [row(f"die{i}") for i in range(20)], count=1, limits=Limits(beat=0.001, losses=4))
    assert said(results).count("WorkerLost") == 4 and said(results).count("HostError") == 16
    assert "4 workers were lost" in str(results[-1])


def test_where_none_can_start_all_is_over() -> None:
    class Absent(Lab):
        async def start(self) -> FakeWorker:
            raise HostError("There is no place.")

    assert said(play(Absent(), [row("a"), row("b")])) == ["HostError", "HostError"]


def test_draining_lets_what_has_begun_end() -> None:
    async def scene() -> list[Any]:
        begun, go = asyncio.Event(), asyncio.Event()

        async def pace(word: str) -> None:
            begun.set()
            await go.wait()

        pool = Pool(Lab(pace=pace).start, 1, LIMITS)
        runs = asyncio.gather(*(pool.run(RowWork(row(f"w{i}"), Path(), "")) for i in range(4)), return_exceptions=True)
        await begun.wait()
        pool.drain()
        go.set()
        with pytest.raises(Cancelled):
            await pool.run(RowWork(row("late"), Path(), ""))
        results = await runs
        await pool.close()
        return results

    assert said(asyncio.run(scene())) == ["w0", "w1", "Cancelled", "Cancelled"]


def test_closing_ends_while_a_worker_answers() -> None:
    """An answer that comes with the cancellation must not swallow it."""

    async def scene() -> None:
        answer = asyncio.Event()

        class Slow(FakeWorker):
            async def silence(self) -> float:
                asked.set()
                await answer.wait()
                return 0.0

        class SlowLab(Lab):
            async def start(self) -> FakeWorker:
                return Slow(self)

        asked = asyncio.Event()
        pool = Pool(SlowLab().start, 1, LIMITS)
        await asked.wait()
        answer.set()
        await asyncio.sleep(0)  # the answer is on its way
        async with asyncio.timeout(30):
            await pool.close()

    asyncio.run(scene())


def test_weights_are_told_by_all_that_leads_to_them() -> None:
    assert weights_of(row("x")) == weights_of(row("y")) != weights_of(row("x", "b"))
    assert len(weights_of(row("x"))) == 1


def test_many_rows_over_many_workers_that_die_are_each_there_once(tmp_path: Path) -> None:
    found = asyncio.run(simulate(tmp_path, rows=100, workers=8, seconds=0.001, die=0.1))
    assert found["rows_in_journal"] == found["files"] == 100 - found["errors"] > 90
    assert found["workers_lost"] > 0 == found["rows_twice"] and not list(tmp_path.glob(".*"))


def test_works_of_one_mold_are_done_together() -> None:
    given: list[list[str]] = []

    class Singers(FakeWorker):
        async def run(self, work: Any) -> Any:
            rows = work.rows if isinstance(work, GroupWork) else (work,)
            words = [each.workflow.prompt["2"]["inputs"]["text"] for each in rows]
            given.append(words)
            if "die" in words and self.lab.dies("die"):
                raise WorkerLost("It is gone.")
            found = [RunFailed("It fails.") if word == "fail" else Result("", texts={"2": [word]}) for word in words]
            return found if isinstance(work, GroupWork) else found[0]

    class Choir(Lab):
        async def start(self) -> FakeWorker:
            return Singers(self)

    async def scene() -> list[Any]:
        pool = Pool(Choir(deaths=1).start, 1, LIMITS, grouped(3))
        run = rows_on(pool, {"Word"})
        try:
            words = ["a", "fail", "b", "c", "die", "d"]
            first = await asyncio.gather(*(run(row(word), Path(), word) for word in words), return_exceptions=True)
            again = ("die", "c", "e")
            return first + await asyncio.gather(*(run(row(word), Path(), word) for word in again))
        finally:
            await pool.close()

    assert said(asyncio.run(scene())) == ["a", "RunFailed", "b", *["WorkerLost"] * 3, "die", "c", "e"]
    assert given == [
        ["a", "fail", "b"],
        ["c", "die", "d"],
        ["die"],
        ["c"],
        ["e"],
    ]  # what was lost is alone from then on


def test_who_goes_before_his_turn_is_not_served() -> None:
    first = asyncio.Event()

    async def scene() -> Lab:
        lab = Lab(pace=lambda word: first.wait())
        pool = Pool(lab.start, 1, Limits(at_hand=1, beat=0.001))
        try:
            runs = [asyncio.create_task(pool.run(RowWork(row(word), Path(), ""))) for word in ("a", "gone", "b")]
            while not lab.ran:
                await asyncio.sleep(0)
            runs[1].cancel()
            first.set()
            await asyncio.gather(runs[0], runs[2])
            assert runs[1].cancelled()
        finally:
            await pool.close()
        return lab

    assert asyncio.run(scene()).ran == ["a", "b"]

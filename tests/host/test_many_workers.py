"""A host in front of several workers: who runs what, what clients hear, and what becomes of lost workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from acestep_core.host.queue.results import WorkerLost
from tests.host.lab_site import Site, eventually, has_ended, open_site
from tests.host.test_executor import node


def sleep(seconds: float, text: str = "") -> dict[str, Any]:
    return {"1": node("LabAsync", text=text, seconds=seconds), "2": node("LabText", text=["1", 0])}


def on_workers(count: int, scenario: Callable[[Site, Any], Awaitable[None]], folder: Path) -> None:
    async def main() -> None:
        async with open_site(folder, count) as site:
            await eventually(lambda: len(pool(site).workers) == count)
            await scenario(site, pool(site))

    asyncio.run(main())


def pool(site: Site) -> Any:
    return site.host.engine._pool  # type: ignore[attr-defined]


async def queued(site: Site, prompt: dict[str, Any], **fields: Any) -> str:
    status, answer = await site.post("/prompt", {"prompt": prompt, **fields})
    assert status == 200, answer
    return answer["prompt_id"]


def shows(event: dict[str, Any], node_id: str) -> bool:
    return event["type"] == "executed" and event["data"]["node"] == node_id


async def at_work(site: Site, prompt_id: str) -> None:
    async def runs() -> bool:
        return any(desk["job"] == prompt_id for desk in (await site.get("/system_stats"))[1].get("workers", []))

    await eventually(runs)


def test_two_prompts_run_at_once_and_one_is_cancelled(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        async with site.listen("a") as of_a, site.listen("b") as of_b:
            first = await queued(site, sleep(600), client_id="a")
            second = await queued(site, sleep(600, "other"), client_id="b")
            third = await queued(site, sleep(0))
            await at_work(site, first)
            await at_work(site, second)
            queue = (await site.get("/queue"))[1]
            assert [item[1] for item in queue["queue_running"]] == [first, second]
            assert [item[1] for item in queue["queue_pending"]] == [third]
            at = {"node": "1", "display_node": "1", "prompt_id": second}
            await eventually(lambda: site.host.engine.node_of("b") == at)
            await site.post("/interrupt", {"prompt_id": second})
            assert (await site.finish(second))["status"]["messages"][-1][0] == "execution_interrupted"
            assert (await site.finish(third))["status"]["completed"]
            await eventually(lambda: has_ended(of_b, second))
            assert not has_ended(of_a, first)
            assert {event["data"]["prompt_id"] for event in of_b if event["type"].startswith("exec")} == {second}
            await site.post("/interrupt", {"prompt_id": first})
            await site.finish(first)

    on_workers(2, scene, tmp_path)


def test_a_prompt_goes_where_most_of_it_is_cached(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        words = {text: sleep(0, text) for text in "ab"}
        more = {"3": node("LabAsync", text="", seconds=600), "4": node("LabText", text=["3", 0])}
        async with site.listen("me") as events:
            both = [await queued(site, prompt | more, client_id="me") for prompt in words.values()]
            await eventually(lambda: {e["data"]["prompt_id"] for e in events if shows(e, "2")} == {*both})
            await site.post("/interrupt")
            for prompt_id in both:
                await site.finish(prompt_id)
        for text in "abba":
            cached = next(
                data for event, data in (await site.run(words[text]))["status"]["messages"] if "nodes" in data
            )
            assert "1" in cached["nodes"], f"{text} went to the other worker"

    on_workers(2, scene, tmp_path)


def test_a_lost_worker_is_replaced_and_its_prompt_runs_again(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        prompt_id = await queued(site, sleep(1.5), client_id="a")
        await at_work(site, prompt_id)
        pool.workers[0].kill()
        assert (await site.finish(prompt_id))["status"]["completed"]
        assert (await site.get("/queue"))[1] == {"queue_running": [], "queue_pending": []}

    on_workers(1, scene, tmp_path)


def test_a_prompt_that_loses_every_worker_fails(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        async def lost(work: Any) -> Any:
            raise WorkerLost("A worker is gone (it was told so).")

        pool.run = lost
        async with site.listen("a") as events:
            prompt_id = await queued(site, sleep(0), client_id="a")
            entry = await site.finish(prompt_id)
            event, said = entry["status"]["messages"][-1]
            await eventually(lambda: has_ended(events, prompt_id))
        assert event == "execution_error" and "execution_error" in [heard["type"] for heard in events]
        assert said["exception_message"] == "A worker is gone (it was told so). The job was tried 3 times.\n"

    on_workers(1, scene, tmp_path)


def test_what_waits_for_a_worker_can_be_stopped(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        asked = asyncio.Event()

        async def never(work: Any) -> Any:
            asked.set()
            await asyncio.Event().wait()

        pool.run = never
        prompt_id = await queued(site, sleep(0))
        await asyncio.wait_for(asked.wait(), 60)
        await site.post("/interrupt", {"prompt_id": prompt_id})
        assert (await site.finish(prompt_id))["status"]["messages"][-1][0] == "execution_interrupted"

    on_workers(1, scene, tmp_path)


def test_workers_are_told_to_free_and_tell_of_themselves(tmp_path: Path) -> None:
    async def scene(site: Site, pool: Any) -> None:
        await site.run(sleep(0, "kept"))
        cache = pool.workers[0].actor._actor._engine.executor.cache
        assert cache._entries
        await site.post("/free", {"free_memory": True})
        await eventually(lambda: not cache._entries)
        (about,) = (await site.get("/system_stats"))[1]["workers"]
        assert about["models"] == ["dit tiny"] and about["jobs_done"] == 1 and about["job"] is None
        assert about["memory"] > 0 and about["jobs_per_hour"] > 0 and about["pid"] > 0
        status, page = await site.get("/workers")
        assert status == 200 and b"<title>Workers</title>" in page

    on_workers(1, scene, tmp_path)

"""Many prompts, many clients, a long life."""

from __future__ import annotations

from typing import Any

from acestep_core.host.queue.history import History
from acestep_core.host.queue.job import Job, Outcome
from tests.host.lab_site import Site, eventually, has_ended, with_site
from tests.host.test_server import text_prompt


def twenty_nodes() -> dict[str, Any]:
    prompt: dict[str, Any] = {"0": {"class_type": "LabWord", "inputs": {"text": "x"}}}
    for index in range(1, 19):
        prompt[str(index)] = {"class_type": "LabWord", "inputs": {"text": [str(index - 1), 0], "tail": "y"}}
    prompt["19"] = {"class_type": "LabText", "inputs": {"text": ["18", 0]}}
    return prompt


@with_site()
async def test_a_cached_graph_of_twenty_nodes_runs_nothing_again(site: Site) -> None:
    """The cost of a cached graph is a fixed handful of messages, however often it is sent."""
    async with site.listen("me") as events:
        await site.told("me", events, twenty_nodes())
        for _ in range(30):
            told = await site.told("me", events, twenty_nodes())
            (cached,) = (event["data"]["nodes"] for event in told if event["type"] == "execution_cached")
            assert set(cached) == set(twenty_nodes())
            assert [event["data"]["node"] for event in told if event["type"] == "executing"] == [None]


@with_site()
async def test_a_thousand_prompts_run_in_order(site: Site) -> None:
    async with site.listen("me") as events:
        ids = []
        for index in range(1000):
            _, answer = await site.post("/prompt", {"prompt": text_prompt(str(index)), "client_id": "me"})
            ids.append(answer["prompt_id"])
        await eventually(lambda: has_ended(events[-1:], ids[-1]), 240)
    started = [event["data"]["prompt_id"] for event in events if event["type"] == "execution_start"]
    ended = [event["data"]["prompt_id"] for event in events if event["type"] == "execution_success"]
    assert started == ids and ended == ids
    assert list((await site.get("/history"))[1]) == ids


@with_site()
async def test_a_hundred_clients_hear_everything(site: Site) -> None:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:
        heard = [await stack.enter_async_context(site.listen(f"client{i}")) for i in range(100)]
        ids = []
        for index in range(100):
            status, answer = await site.post(
                "/prompt", {"prompt": text_prompt(f"{index}"), "client_id": f"client{index}"}
            )
            assert status == 200
            ids.append(answer["prompt_id"])
        await eventually(lambda: all(_count(events, "status") == 1 + 3 * 100 for events in heard), 120)
        await eventually(lambda: all(map(has_ended, heard, ids)))
        run = [
            "execution_start",
            "execution_cached",
            "executing",
            "executing",
            "executed",
            "execution_success",
            "executing",
        ]
        for index, events in enumerate(heard):
            names = [event["type"] for event in events if event["type"] not in ("status", "progress_state")]
            assert names == run, index
        # everybody joined before the first prompt: one status on joining, then one for put, get and done of each prompt
        statuses = [[event["data"]["status"] for event in events if event["type"] == "status"] for events in heard]
        assert all(found == statuses[0] for found in statuses)


def _count(events: list[Any], name: str) -> int:
    return sum(event["type"] == name for event in events)


def test_history_has_a_cap() -> None:
    history = History(max_items=50, max_bytes=200_000)
    for index in range(500):
        job = Job(index, str(index), text_prompt("x" * 1000), ("2",))
        history.add(job, Outcome(outputs={"2": {"text": ["y" * 5000]}}))
        assert history.size <= 200_000
    kept = [summary["id"] for summary in history.summaries()]
    assert kept == [str(index) for index in range(500 - len(kept), 500)]
    assert 10 < len(kept) <= 50


def test_one_huge_entry_is_kept_alone() -> None:
    history = History(max_bytes=1000)
    for index in range(3):
        job = Job(index, str(index), text_prompt("x" * 5000), ("2",))
        history.add(job, Outcome())
    assert [summary["id"] for summary in history.summaries()] == ["2"]

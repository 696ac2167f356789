"""Replays the prompts that were once sent to ComfyUI 0.20.1 and compares everything it said.

Differences that are meant, and therefore removed before comparing:
the flag `extension.manager` (this host has no manager); the traceback's text; the number of a saved file.
"""

from __future__ import annotations

import asyncio
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.host.lab_site import Site, eventually, has_ended, open_site

CLIENT = "0123456789abcdef"
FEATURES = {"supports_preview_metadata": True}
FILE = Path(__file__).parents[1] / "golden" / "host" / "comfyui_0.20.1.json"

if not FILE.is_file():
    pytest.skip(f"the reference traces {FILE.name} are not there", allow_module_level=True)

GOLDEN: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))

RUN = [
    *("first_run", "cached_run", "downstream_change", "seed_change", "bad_values", "type_mismatch", "bad_link"),
    *("missing_class", "no_class_type", "no_outputs", "empty", "partially_valid", "cycle", "dangling"),
    *("node_exception", "partial_targets"),
]
"""In the order in which they were recorded: what is cached depends on it."""

FIELDS: dict[str, dict[str, Any]] = {
    "first_run": {"extra_data": {"extra_pnginfo": {"workflow": {"id": "wf-1", "nodes": []}}}},
    "partial_targets": {"partial_execution_targets": ["4"]},
}


either_engine = pytest.mark.parametrize("workers", [0, 1], ids=["here", "worker"])


def normal(value: Any, ids: list[str]) -> Any:
    """Replaces what differs from run to run, as the recording did."""
    text = json.dumps(value)
    for index, prompt_id in enumerate(ids):
        text = text.replace(prompt_id, f"<prompt{index}>")
    text = re.sub(r'"(timestamp|create_time|execution_start_time|execution_end_time)": \d+', r'"\1": "<ms>"', text)
    # releases from 0.33 on write no line after the number
    text = re.sub(r"ComfyUI_temp_[a-z]{5}_\d{5}_?", "ComfyUI_temp_<rand>_<n>_", text)
    text = re.sub(r"(lab\d?|preview|audio)_\d{5}_?", r"\1_<n>_", text)
    return _replace(json.loads(text))


def _replace(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _replace(item) for key, item in value.items()}
    for key in value.keys() & {"client_id", "sid"}:
        value[key] = "<client>"
    if value.get("traceback"):
        value["traceback"] = "<traceback>"
    for key in value.keys() & {"current_outputs", "executed"}:  # ComfyUI writes sets
        value[key] = sorted(value[key])
    if "errors" in value:  # ComfyUI goes through the inputs as a set
        value["errors"] = sorted(value["errors"], key=lambda error: (error["type"], error["details"]))
    value.pop("data", None) if "binary" in value else None
    return value


def number_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Queue numbers count all prompts ever sent; only their order is compared, elsewhere."""
    for item in entry.values():
        item["prompt"][0] = 0
    return entry


async def record(site: Site, events: list[Any], name: str) -> dict[str, Any]:
    start = len(events)
    prompt = GOLDEN[name]["request"]
    status, body = await site.post("/prompt", {"prompt": prompt, "client_id": CLIENT, **FIELDS.get(name, {})})
    found: dict[str, Any] = {"status": status}
    ids = []
    if status == 200:
        ids = [body["prompt_id"]]
        await eventually(lambda: has_ended(events, ids[0]))
        found["ws"] = normal(events[start:], ids)
        found["history"] = number_of(normal((await site.get(f"/history/{ids[0]}"))[1], ids))
        found["job"] = await job_of(site, ids[0])
        body.pop("number")
    found["body"] = normal(body, ids)
    return found


async def job_of(site: Site, prompt_id: str) -> dict[str, Any]:
    """How `/api/jobs` describes a prompt. Releases from 0.33 on count texts and what can be shown separately."""
    job = {**normal((await site.get(f"/api/jobs/{prompt_id}"))[1], [prompt_id]), "priority": 0}
    if job.pop("previewable_outputs_count", None) is not None:
        job["outputs_count"] += sum(len(shown.get("text", ())) for shown in job["outputs"].values())
    return job


def _executes(event: Any, node_id: str) -> bool:
    return event.get("type") == "executing" and event["data"]["node"] == node_id


@either_engine
def test_every_prompt_is_answered_run_and_remembered_as_by_comfyui(tmp_path: Path, workers: int) -> None:
    async def main() -> dict[str, Any]:
        async with open_site(tmp_path, workers) as site, site.listen(CLIENT, FEATURES) as events:
            return {name: await record(site, events, name) for name in RUN}

    found = asyncio.run(main())
    for name in RUN:
        expected = {key: normal(value, []) for key, value in GOLDEN[name].items() if key != "request"}
        if "history" in expected:
            number_of(expected["history"])
            expected["job"]["priority"] = 0
        for part, value in expected.items():
            assert found[name][part] == value, f"{name}: {part}"


def test_connecting(tmp_path: Path) -> None:
    async def main() -> list[Any]:
        async with open_site(tmp_path) as site, site.listen(CLIENT, FEATURES) as events:
            return list(events)

    expected = deepcopy(GOLDEN["connect"]["ws"])
    del expected[1]["data"]["extension"]
    assert normal(asyncio.run(main()), []) == expected


def test_no_prompt(tmp_path: Path) -> None:
    async def main() -> tuple[int, Any]:
        async with open_site(tmp_path) as site:
            return await site.post("/prompt", {"foo": 1})

    assert asyncio.run(main()) == (GOLDEN["no_prompt"]["status"], GOLDEN["no_prompt"]["body"])


@pytest.mark.parametrize("name", [name for name in GOLDEN if name.startswith("GET ")])
def test_hostile_and_unknown_addresses(name: str, tmp_path: Path) -> None:
    async def main() -> int:
        async with open_site(tmp_path) as site:
            return (await site.get(name.removeprefix("GET ")))[0]

    assert asyncio.run(main()) == GOLDEN[name]["status"]


@either_engine
def test_order_deletion_and_interruption(tmp_path: Path, workers: int) -> None:
    async def main() -> dict[str, Any]:
        async with open_site(tmp_path, workers) as site, site.listen(CLIENT, FEATURES) as events:
            return await record_interruption(site, events)

    check_interruption(asyncio.run(main()))


async def record_interruption(site: Site, events: list[Any]) -> dict[str, Any]:
    """Three prompts: the first is interrupted, the second deleted, the third was put in front of the second."""
    first = GOLDEN["node_exception"]["request"].copy()
    first["5"] = {"class_type": "LabSlow", "inputs": {"audio": ["2", 0], "seconds": 6.0}}
    usual = GOLDEN["first_run"]["request"]

    def seeded(seed: int) -> dict[str, Any]:
        return {**usual, "2": {**usual["2"], "inputs": {**usual["2"]["inputs"], "seed": seed}}}

    await site.run(seeded(101))
    await eventually(lambda: _remaining(events)[-2:] == [1, 0])
    start = len(events)
    ids = []
    for prompt, front in ((first, False), (seeded(7), False), (seeded(8), True)):
        body = {"prompt": prompt, "client_id": CLIENT, "front": front}
        ids.append((await site.post("/prompt", body))[1]["prompt_id"])
        if not front and len(ids) == 1:
            await eventually(lambda: any(_executes(event, "5") for event in events[start:]))
    queue = normal((await site.get("/queue"))[1], ids)
    await site.post("/queue", {"delete": [ids[1]]})
    await site.post("/interrupt", {"prompt_id": "other"})
    running = (await site.get("/queue"))[1]["queue_running"]
    assert [item[1] for item in running] == ids[:1]
    await site.post("/interrupt", {"prompt_id": ids[0]})
    await eventually(lambda: has_ended(events, ids[2]))
    return {
        "queue_order": {key: [item[1] for item in items] for key, items in queue.items()},
        "ws": normal(events[start:], ids),
        "history": number_of(normal((await site.get(f"/history/{ids[0]}"))[1], ids)),
        "job": await job_of(site, ids[0]),
    }


def check_interruption(found: dict[str, Any]) -> None:
    expected = normal(GOLDEN["interrupt"], [])
    number_of(expected["history"])
    expected["job"]["priority"] = 0
    assert found["queue_order"] == expected["queue_order"]
    assert found["history"] == expected["history"]
    assert found["job"] == expected["job"]
    # when a waiting prompt is announced depends on when it was sent, not on the host
    assert _without_status(found["ws"]) == _without_status(expected["ws"])
    assert _remaining(found["ws"]) == _remaining(expected["ws"])


def _without_status(events: list[Any]) -> list[Any]:
    return [event for event in events if event.get("type") != "status"]


def _remaining(events: list[Any]) -> list[int]:
    states = [event["data"]["status"] for event in events if event.get("type") == "status"]
    return [state["exec_info"]["queue_remaining"] for state in states]

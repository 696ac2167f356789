"""The prompts of the embedded host's conformance test, sent to ComfyUI now, and more prompts sent to both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.comfy_server import Comfy, forgotten
from tests.host import test_conformance as conformance
from tests.host.lab_site import LAB_PACK, Site, eventually, has_ended, open_site
from tests.host.test_conformance import CLIENT, FEATURES, GOLDEN, normal

Prompt = dict[str, Any]


def node(kind: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def tone(**changed: Any) -> Prompt:
    inputs = {"seconds": 0.1, "freq": 440.0, "seed": 1, "steps": 2, "instrumental": True, "caption": ""}
    return {
        "1": node("LabLoad", name="base", dtype="auto"),
        "2": node("LabTone", model=["1", 0], **{**inputs, **changed}),
    }


WORDS = {
    "1": node("LabWords", text="a b c"),
    "2": node("LabWords", text="1 2"),
    "3": node("LabWord", text=["1", 0], tail=["2", 0]),
    "4": node("LabJoin", text=["3", 0], mark="+"),
    "5": node("LabText", text=["4", 0]),
}
SWITCH = {
    "1": node("LabWord", text="yes"),
    "2": node("LabWord", text="no"),
    "3": node("LabSwitch", which=True, yes=["1", 0], no=["2", 0]),
    "4": node("LabText", text=["3", 0]),
}
CHAIN = {
    "1": node("LabWord", text="a"),
    "2": node("LabWord", text=["1", 0], tail="b"),
    "3": node("LabText", text=["2", 0]),
}
BOTH: dict[str, list[Prompt]] = {
    "reuse": [CHAIN, CHAIN, {**CHAIN, "2": node("LabWord", text=["1", 0], tail="c")}, CHAIN],
    "lists": [WORDS],
    "empty list": [{"1": node("LabWords", text=""), "2": node("LabText", text=["1", 0])}],
    "lazy": [SWITCH, {**SWITCH, "3": node("LabSwitch", which=False, yes=["1", 0], no=["2", 0])}],
    "coroutine": [{"1": node("LabAsync", text="x", seconds=0.05), "2": node("LabText", text=["1", 0])}],
    "failing coroutine": [{"1": node("LabAsync", text="fail", seconds=0.05), "2": node("LabText", text=["1", 0])}],
    "blocker": [{"1": node("LabBlock", text="x", message=""), "2": node("LabText", text=["1", 0])}],
    "blocker with a message": [{"1": node("LabBlock", text="x", message="no"), "2": node("LabText", text=["1", 0])}],
    "always": [{"1": node("LabAlways", text="a"), "2": node("LabText", text=["1", 0])}] * 2,
    "status line": [{"1": node("LabStatus", text="it"), "2": node("LabText", text=["1", 0])}],
    "same inputs elsewhere": [
        {"1": node("LabWord", text="a"), "2": node("LabText", text=["1", 0])},
        {"7": node("LabWord", text="a"), "9": node("LabText", text=["7", 0])},
    ],
    "rubbish beside": [
        {
            "1": node("LabWord", text="x"),
            "2": node("LabText", text=["1", 0]),
            "3": node("LabWord", text=["3", 0]),
            "4": node("LabWord", text=["nowhere", 3]),
        }
    ],
    "wrapped value": [{"1": node("LabWord", text={"__value__": "x"}), "2": node("LabText", text=["1", 0])}],
    "converted values": [{**tone(seconds="0.1", steps=2.0, seed="7", instrumental=1), **{"3": node("LabResult")}}],
    "preview of anything": [{"1": node("LabWord", text="x"), "2": node("PreviewAny", source=["1", 0])}],
    "primitives": [{"1": node("PrimitiveString", value="x"), "2": node("LabText", text=["1", 0])}],
    "saved sound": [{**tone(), "3": node("SaveAudio", audio=["2", 0], filename_prefix="audio/lab")}],
    "batch of previews": [{**tone(batch=3), "3": node("PreviewAudio", audio=["2", 0])}],
    "undeclared input": [{"1": node("LabWord", text="a", other=1), "2": node("LabText", text=["1", 0])}],
}
BETTER = {
    "empty list": ("exception_message", "exception_type"),  # names the input instead of a missing argument
    "failing coroutine": ("current_inputs",),  # tells them, as for any other node
}
"""Fields in which the embedded host means to differ."""
SINCE = {"supports_model_type_tags"}
"""Flags that releases from 0.33 on have too."""
BOTH["converted values"][0]["3"]["inputs"] = {"audio": ["2", 0], "filename_prefix": "audio/lab", "region": {}}


def test_the_recorded_scenarios_still_hold(comfy: Comfy) -> None:
    """Also shows that the nodes of the tests behave like those of the recording."""

    async def main() -> dict[str, Any]:
        async with comfy.site() as site, site.listen(CLIENT, FEATURES) as events:
            return {name: await conformance.record(site, events, name) for name in conformance.RUN}

    found = asyncio.run(main())
    different = []
    for name in conformance.RUN:
        expected = {key: normal(value, []) for key, value in GOLDEN[name].items() if key != "request"}
        if "history" in expected:
            conformance.number_of(expected["history"])
            expected["job"]["priority"] = 0
        different += [
            f"{name}: {part}" for part, value in expected.items() if _with_cached_of(value, found[name][part]) != value
        ]
    assert not different


def _with_cached_of(expected: Any, found: Any) -> Any:
    """`found`, where results are told as cached only if `expected` does: releases from 0.33 on keep those of older
    prompts too, and tell of them also where they are not asked for. What is executed is told by events of its own.
    """
    if isinstance(found, dict) and isinstance(expected, dict):
        told = {key: _with_cached_of(expected.get(key), value) for key, value in found.items()}
        return told | {"nodes": [n for n in found["nodes"] if n in expected["nodes"]]} if _cached(found) else told
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [_with_cached_of(one, other) for one, other in zip(expected, found)]
    return found


def _cached(event: dict[str, Any]) -> bool:
    return event.keys() == {"nodes", "prompt_id", "timestamp"}


def test_connecting_and_unknown_addresses(comfy: Comfy) -> None:
    async def main() -> dict[str, Any]:
        async with comfy.site() as site, site.listen(CLIENT, FEATURES) as events:
            found: dict[str, Any] = {"connect": normal(list(events), [])}
            found["no_prompt"] = await site.post("/prompt", {"foo": 1})
            for name in GOLDEN:
                if name.startswith("GET "):
                    found[name] = (await site.get(name.removeprefix("GET ")))[0]
            return found

    found = asyncio.run(main())
    flags = found["connect"][1]["data"]
    assert not flags.keys() & SINCE or flags.keys() >= SINCE
    found["connect"][1]["data"] = {flag: value for flag, value in flags.items() if flag not in SINCE}
    assert found.pop("connect") == GOLDEN["connect"]["ws"]
    assert found.pop("no_prompt") == (GOLDEN["no_prompt"]["status"], GOLDEN["no_prompt"]["body"])
    assert found == {name: GOLDEN[name]["status"] for name in found}


def test_order_deletion_and_interruption(comfy: Comfy) -> None:
    async def main() -> dict[str, Any]:
        async with comfy.site() as site, site.listen(CLIENT, FEATURES) as events:
            return await conformance.record_interruption(site, events)

    conformance.check_interruption(asyncio.run(main()))


@pytest.mark.parametrize("name", BOTH)
def test_both_hosts_do_the_same(name: str, comfy: Comfy, tmp_path: Path) -> None:
    async def main() -> tuple[list[Any], list[Any]]:
        async with comfy.site() as real, open_site(tmp_path, packs=(LAB_PACK,)) as ours:
            await forgotten(real)
            return await told(real, name), await told(ours, name)

    real, ours = asyncio.run(main())
    assert len(real) == len(ours)
    for one, other in zip(real, ours):
        assert one.keys() == other.keys()
        for part in one:
            assert without(other[part], BETTER.get(name, ())) == without(one[part], BETTER.get(name, ())), part


async def told(site: Site, name: str) -> list[dict[str, Any]]:
    """Everything a client hears of the prompts of scenario `name`, sent one after the other to a fresh cache."""
    found = []
    async with site.listen(CLIENT, FEATURES) as events:
        for prompt in BOTH[name]:
            start = len(events)
            status, body = await site.post("/prompt", {"prompt": prompt, "client_id": CLIENT})
            assert status == 200, body
            prompt_id = body["prompt_id"]
            await ended(events, prompt_id)
            history = normal((await site.get(f"/history/{prompt_id}"))[1], [prompt_id])
            found.append(
                {
                    "ws": normal([readable(event) for event in events[start:]], [prompt_id]),
                    "history": conformance.number_of(history),
                    "job": await conformance.job_of(site, prompt_id),
                    "body": normal({**body, "number": 0}, [prompt_id]),
                }
            )
    return found


async def ended(events: list[Any], prompt_id: str) -> None:
    await eventually(lambda: has_ended(events, prompt_id))


def without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [without(item, names) for item in value]
    if isinstance(value, dict):
        return {key: without(item, names) for key, item in value.items() if key not in names}
    return value


def readable(event: dict[str, Any]) -> dict[str, Any]:
    """A status line arrives as bytes."""
    return {**event, "text": event["data"].decode("latin-1")} | {"data": None} if event.get("binary") == 3 else event

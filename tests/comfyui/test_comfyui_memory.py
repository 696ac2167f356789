"""Models under ComfyUI's memory management, interrupting, and pictures while sampling."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.comfyui.comfy_server import EXTRA_DIT, PATIENCE, ROOT, Comfy, environment, freed, python_of
from tests.host.lab_site import eventually, has_ended

CLIENT = "fedcba9876543210"


def graph(model: str = "auto", steps: int = 2, seed: int = 0, seconds: float = 10.0) -> dict[str, Any]:
    def node(kind: str, /, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    song = {"caption": "x", "lyrics": "", "instrumental": True, "language": "en", "duration": seconds}
    return {
        "model": node("ACEStepModelLoader", model=model, variant="auto" if model != "auto" else "base"),
        "vae": node("ACEStepVAELoader", vae="auto"),
        "song": node("ACEStepSong", **song, bpm=0, keyscale="auto", timesignature="auto"),
        "task": node("ACEStepTextToMusic", song=["song", 0], codes_strength=1.0),
        "cond": node("ACEStepConditioning", model=["model", 0], song=["song", 0], task=["task", 0]),
        "sigmas": node("ACEStepSchedule", model=["model", 0], steps=steps, shift=0.0),
        "sampler": node(
            "ACEStepSampler",
            **{"model": ["model", 0], "conditioning": ["cond", 0], "sigmas": ["sigmas", 0]},
            **{"seed": seed, "batch_size": 1, "sampler": "euler"},
        ),
        "decode": node("ACEStepDecode", vae=["vae", 0], latent=["sampler", 0]),
        "save": node("ACEStepSaveSong", audio=["decode", 0], filename_prefix="memory", format="wav16"),
    }


def test_models_are_loaded_and_freed_by_comfyui(comfy: Comfy) -> None:
    async def main() -> None:
        async with comfy.site() as site:
            await freed(site)
            entry = await site.run(graph(seed=1))
            assert entry["status"]["status_str"] == "success", entry["status"]
            status = (await site.get("/probe/models"))[1]
            assert status["placement"] == "ComfyPlacement"
            assert sorted(status["known_to_comfyui"]) == ["dit", "text", "vae"]
            assert status["bytes_seen_by_comfyui"] == status["bytes_of_ours"] and min(status["bytes_of_ours"]) > 0
            assert set(status["pins"]) == {0}
            await freed(site)
            entry = await site.run(graph(seed=1))  # and they come back
            assert entry["status"]["status_str"] == "success", entry["status"]
            assert len((await site.get("/probe/models"))[1]["known_to_comfyui"]) == 3

    asyncio.run(main())


def test_a_model_from_extra_model_paths(comfy: Comfy) -> None:
    async def main() -> dict[str, Any]:
        async with comfy.site() as site:
            return await site.run(graph(EXTRA_DIT))

    assert asyncio.run(main())["status"]["status_str"] == "success"


def planning() -> dict[str, Any]:
    """A language model that writes codes for ten minutes of music."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflows" / "api").glob("*.json")))
    prompt = json.loads(next(text for text in texts if "ACEStepPlanCodes" in text))
    song = next(node for node in prompt.values() if node["class_type"] == "ACEStepSong")
    song["inputs"]["duration"] = 600.0
    return prompt


LONG = {"ACEStepSampler": graph(steps=200, seconds=120.0), "ACEStepPlanCodes": planning()}


@pytest.mark.parametrize("kind", LONG)
def test_interrupting_takes_effect_within_a_step(kind: str, comfy: Comfy) -> None:
    prompt = LONG[kind]
    node_id = next(node_id for node_id, node in prompt.items() if node["class_type"] == kind)

    async def main() -> None:
        async with comfy.site() as site, site.listen(CLIENT, {"supports_preview_metadata": True}) as events:
            _, body = await site.post("/prompt", {"prompt": prompt, "client_id": CLIENT})
            await eventually(lambda: len(steps_of(events, node_id)) >= 3, PATIENCE)
            reached = (await site.post("/probe/interrupt", {"node": node_id}))[1]["reached"]
            await eventually(lambda: has_ended(events, body["prompt_id"]), PATIENCE)
            assert sum(step["data"]["value"] > reached for step in steps_of(events, node_id)) <= 2
            entry = await site.finish(body["prompt_id"])
            last = entry["status"]["messages"][-1]
            assert last[0] == "execution_interrupted" and last[1]["node_id"] == node_id
            assert set((await site.get("/probe/models"))[1]["pins"]) == {0}
            entry = await site.run(graph(seed=2))  # nothing is left in a broken state
            assert entry["status"]["status_str"] == "success"

    asyncio.run(main())


def steps_of(events: list[Any], node_id: str) -> list[Any]:
    return [e for e in events if e.get("type") == "progress" and e["data"]["node"] == node_id]


def test_bar_picture_and_line_while_sampling(comfy: Comfy) -> None:
    async def main() -> list[Any]:
        async with comfy.site() as site, site.listen(CLIENT, {"supports_preview_metadata": True}) as events:
            return await site.told(CLIENT, events, graph(steps=30, seed=3, seconds=60.0))

    events = asyncio.run(main())
    assert any(event.get("type") == "execution_success" for event in events)
    assert steps_of(events, "sampler")[-1]["data"] | {"prompt_id": ""} == {
        "value": 30,
        "max": 30,
        "prompt_id": "",
        "node": "sampler",
    }
    pictures = [e["meta"] for e in events if e.get("binary") == 4]
    assert pictures and {(p["node_id"], p["image_type"]) for p in pictures} == {("sampler", "image/jpeg")}
    lines = [e["data"].decode("utf-8", "replace") for e in events if e.get("binary") == 3]
    assert any("Sampling" in line for line in lines) and any("Decoding" in line for line in lines)


def test_a_failure_is_one_sentence_on_its_node(comfy: Comfy, tmp_path: Path) -> None:
    broken = graph()
    broken["decode"]["inputs"]["latent"] = ["empty", 0]
    broken["empty"] = {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}

    async def main() -> dict[str, Any]:
        async with comfy.site() as site:
            return await site.run(broken)

    entry = asyncio.run(main())
    event, error = entry["status"]["messages"][-1]
    assert event == "execution_error" and error["node_id"] == "decode"
    assert error["exception_type"].endswith("InvalidInput")
    assert error["exception_message"].strip().count("\n") == 0 and "ACE-Step 1.5" in error["exception_message"]


def test_models_in_use_stay_when_memory_is_short(comfy: Comfy) -> None:
    """ComfyUI's model management with a device that has room for two models: it takes whole ones, and never one that
    a node is using. Of a model that is larger than the device it sees the part that goes there.
    """
    script = Path(__file__).with_name("short_of_memory.py")
    main = Path(os.environ["COMFYUI_DIR"]).expanduser().resolve()
    command = [python_of(main), str(script), str(main), str(comfy.pack)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment(comfy.base))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for used, placed in found["steps"]:
        assert set(used) <= set(placed) and len(placed) <= 2
    assert [len(placed) for _, placed in found["steps"]] == [1, 2, 2, 2, 2]
    whole, reserve = int(2.5 * 2**30), 256 << 20
    assert found["parts"] == [[["large"], size, size] for size in (whole - reserve - w for w in (0, 1 << 29, 0))]
    assert found["left"] == []

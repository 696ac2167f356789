"""The HTTP and WebSocket interface beyond what the recorded traces cover."""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
import threading
import wave
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from acestep_core.errors import HostError
from acestep_core.host.graph.context import Folders
from acestep_core.host.server.host import HostConfig
from acestep_core.host.server.routes_user import FIRST_LOOK, PRESETS
from acestep_core.host.server.server import running
from tests.host.lab_site import Site, eventually, open_site, with_site


def text_prompt(text: str = "x", kind: str = "LabWord") -> dict[str, Any]:
    return {
        "1": {"class_type": kind, "inputs": {"text": text}},
        "2": {"class_type": "LabText", "inputs": {"text": ["1", 0]}},
    }


SLOW: dict[str, Any] = {
    "1": {"class_type": "LabLoad", "inputs": {"name": "base", "dtype": "auto"}},
    "2": {
        "class_type": "LabTone",
        "inputs": {"model": ["1", 0], "seconds": 0.1, "freq": 440, "seed": 1, "steps": 1}
        | {"instrumental": False, "caption": ""},
    },
    "3": {"class_type": "LabSlow", "inputs": {"audio": ["2", 0], "seconds": 60}},
    "4": {"class_type": "PreviewAudio", "inputs": {"audio": ["3", 0]}},
}


async def runs(site: Site) -> None:
    """Waits until the host has taken a prompt from the queue."""
    await eventually(lambda: site.host.queue.listing()[0] != [])


def wav(seconds: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\2" * int(8000 * seconds))
    return buffer.getvalue()


async def upload(site: Site, name: str, data: bytes, **fields: str) -> tuple[int, Any]:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", data, filename=name)
    for key, value in fields.items():
        form.add_field(key, value)
    return await site.post("/upload/image", data=form)


@with_site()
async def test_every_api_route_exists_twice(site: Site) -> None:
    for path in ("/object_info", "/features", "/queue", "/history", "/jobs", "/settings", "/users", "/i18n"):
        assert await site.get(path) == await site.get(f"/api{path}")


@with_site()
async def test_object_info_describes_classic_nodes(site: Site) -> None:
    _, info = await site.get("/object_info")
    tone = info["LabTone"]
    assert tone["display_name"] == "Lab Tone"
    assert tone["python_module"] == "custom_nodes.lab_pack"
    assert tone["input"]["required"]["model"] == ["LAB_MODEL", {"tooltip": "model"}]
    assert tone["input_order"]["optional"] == ["lyrics", "ref_audio", "batch"]
    assert tone["output_name"] == ["audio", "latent"] and tone["output_is_list"] == [False, False]
    assert tone["input"]["hidden"]["prompt"] == "PROMPT"
    assert info["LabText"]["output_node"] is True
    assert info["LoadAudio"]["input"]["required"]["audio"][1]["audio_upload"] is True
    assert (await site.get("/object_info/LabTone"))[1] == {"LabTone": tone}
    assert (await site.get("/object_info/Nope"))[1] == {}


@with_site()
async def test_what_the_frontend_asks_first(site: Site) -> None:
    assert (await site.get("/api/users"))[1] == {"storage": "server", "migrated": True}
    assert (await site.get("/api/settings"))[1] == PRESETS | FIRST_LOOK
    assert (await site.get("/api/extensions"))[1] == ["/extensions/lab_pack/lab.js"]
    assert (await site.get("/api/workflow_templates"))[1] == {"lab_pack": ["lab_basic"]}
    assert (await site.get("/api/i18n"))[1]["en"]["nodeDefs"]["LabTone"]["display_name"] == "Lab Tone"
    assert (await site.get("/api/global_subgraphs"))[1] == {}
    assert (await site.get("/api/node_replacements"))[1] == {}
    assert (await site.get("/templates/index.json"))[1] == []
    assert (await site.get("/templates/fuse_options.json")) == (200, None)
    assert await site.get("/api/userdata?dir=workflows&recurse=true") == (200, [])
    assert await site.get("/api/userdata/user.css") == (200, b"")
    system = (await site.get("/api/system_stats"))[1]
    assert {"os", "comfyui_version", "python_version", "argv"} <= system["system"].keys()
    assert system["system"]["ram_total"] >= system["system"]["ram_free"] > 0
    assert system["devices"][0]["type"]
    features = (await site.get("/api/features"))[1]
    assert features["supports_preview_metadata"] is True and features["max_upload_size"] == 104857600


@with_site()
async def test_memory_is_told_on_systems_that_do_not_tell_it_by_sysconf(site: Site) -> None:
    """Windows has no `sysconf`, macOS not the name. Where no card is known, the processor's memory stands for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(os, "sysconf", raising=False)
        told = (await site.get("/api/system_stats"))[1]
    assert told["system"]["ram_total"] >= told["system"]["ram_free"] > 0
    assert all(device["vram_total"] >= device["vram_free"] > 0 for device in told["devices"])


@with_site()
async def test_pack_files(site: Site) -> None:
    status, script = await site.get("/extensions/lab_pack/lab.js")
    assert status == 200 and b"registerExtension" in script
    status, page = await site.get("/extensions/lab_pack/docs/LabTone.md")
    assert status == 200 and page.startswith(b"# Lab Tone")
    status, workflow = await site.get("/api/workflow_templates/lab_pack/lab_basic.json")
    assert status == 200 and workflow["nodes"][1]["type"] == "LabTone"
    for path in (
        "/extensions/lab_pack/../__init__.py",
        "/extensions/lab_pack/%2e%2e/__init__.py",
        "/extensions/lab_pack/..%2f__init__.py",
        "/api/workflow_templates/lab_pack/..%2f__init__.py",
        "/extensions/nope/x.js",
    ):
        assert (await site.get(path))[0] == 404, path


@with_site()
async def test_jobs_are_listed_filtered_and_paged(site: Site) -> None:
    for text in "abc":
        await site.run(text_prompt(text), extra_data={"extra_pnginfo": {"workflow": {"id": f"wf-{text}"}}})
    _, answer = await site.get("/api/jobs?status=completed&limit=2")
    assert answer["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    assert len(answer["jobs"]) == 2
    _, answer = await site.get("/api/jobs?workflow_id=wf-b")
    assert [job["workflow_id"] for job in answer["jobs"]] == ["wf-b"]
    assert answer["jobs"][0]["preview_output"] == {"content": "b", "nodeId": "2", "mediaType": "text"}
    for query in ("status=done", "limit=0", "limit=x", "offset=x", "sort_by=name", "sort_order=up"):
        assert (await site.get(f"/api/jobs?{query}"))[0] == 400, query
    _, answer = await site.get("/api/jobs?sort_by=execution_duration&sort_order=asc&offset=1")
    assert len(answer["jobs"]) == 2 and isinstance(answer["pagination"]["limit"], int)


@with_site()
async def test_cancelling_jobs(site: Site) -> None:
    _, running = await site.post("/prompt", {"prompt": SLOW})
    _, waiting = await site.post("/prompt", {"prompt": text_prompt()})
    _, other = await site.post("/prompt", {"prompt": text_prompt()})
    await runs(site)
    assert (await site.get(f"/api/jobs/{waiting['prompt_id']}"))[1]["status"] == "pending"
    assert await site.post(f"/api/jobs/{waiting['prompt_id']}/cancel") == (200, {"cancelled": True})
    both = {"job_ids": ["nope", other["prompt_id"]]}
    assert await site.post("/api/jobs/cancel", both) == (200, {"cancelled": True})
    assert await site.post("/api/jobs/cancel", both) == (200, {"cancelled": False})
    assert (await site.get("/prompt"))[1] == {"exec_info": {"queue_remaining": 1}}
    assert (await site.post(f"/api/jobs/{running['prompt_id']}/cancel"))[0] == 200
    entry = await site.finish(running["prompt_id"])
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    assert (await site.get(f"/api/jobs/{running['prompt_id']}"))[1]["status"] == "cancelled"
    for ended in ("nope", running["prompt_id"]):
        assert await site.post(f"/api/jobs/{ended}/cancel") == (200, {"cancelled": False})
    assert (await site.post("/api/jobs/cancel", {"job_ids": "x"}))[0] == 400


FREED: list[int] = []


@with_site(free_models=lambda: FREED.append(1))
async def test_free_is_done_while_idle(site: Site) -> None:
    await site.run(text_prompt())
    assert site.host.engine.executor.cache._entries
    await site.post("/free", {"unload_models": True})
    await eventually(lambda: FREED == [1])
    assert site.host.engine.executor.cache._entries
    await site.post("/free", {"free_memory": True})
    await eventually(lambda: FREED == [1, 1] and not site.host.engine.executor.cache._entries)


@with_site()
async def test_history_pages_and_deletion(site: Site) -> None:
    ids = []
    for text in "abc":
        _, answer = await site.post("/prompt", {"prompt": text_prompt(text)})
        await site.finish(answer["prompt_id"])
        ids.append(answer["prompt_id"])
    assert list((await site.get("/history?max_items=2"))[1]) == ids[1:]
    assert list((await site.get("/history?max_items=1&offset=1"))[1]) == [ids[1]]
    assert (await site.get("/history?max_items=x"))[0] == 400
    await site.post("/history", {"delete": [ids[0]]})
    assert list((await site.get("/history"))[1]) == ids[1:]
    await site.post("/history", {"clear": True})
    assert (await site.get("/history"))[1] == {}


@with_site()
async def test_clearing_the_queue(site: Site) -> None:
    await site.post("/prompt", {"prompt": SLOW})
    await runs(site)  # what still waits would be cleared, too
    for _ in range(3):
        await site.post("/prompt", {"prompt": text_prompt()})
    await site.post("/queue", {"clear": True})
    assert (await site.get("/prompt"))[1]["exec_info"]["queue_remaining"] == 1
    await site.post("/interrupt")
    await eventually(lambda: site.host.queue.remaining() == 0)


@with_site()
async def test_secrets_are_not_kept(site: Site) -> None:
    entry = await site.run(text_prompt(), extra_data={"auth_token_comfy_org": "s3cret", "api_key_comfy_org": "s3cret"})
    assert "s3cret" not in json.dumps(entry)


@with_site()
async def test_a_prompt_id_of_ones_own(site: Site) -> None:
    status, answer = await site.post("/prompt", {"prompt": SLOW, "prompt_id": "mine"})
    assert (status, answer["prompt_id"]) == (200, "mine")
    assert (await site.post("/prompt", {"prompt": SLOW, "prompt_id": "mine"}))[0] == 429
    await runs(site)
    await site.post("/interrupt", {"prompt_id": "mine"})
    assert (await site.finish("mine"))["status"]["status_str"] == "error"


@with_site()
async def test_upload_view_and_use(site: Site) -> None:
    assert await upload(site, "a.wav", wav()) == (200, {"name": "a.wav", "subfolder": "", "type": "input"})
    assert (await upload(site, "a.wav", wav()))[1]["name"] == "a.wav"
    assert (await upload(site, "a.wav", wav(0.2)))[1]["name"] == "a (1).wav"
    assert (await upload(site, "a.wav", wav(0.3), overwrite="true"))[1]["name"] == "a.wav"
    answer = (await upload(site, "b.wav", wav(), subfolder="takes"))[1]
    assert answer == {"name": "b.wav", "subfolder": "takes", "type": "input"}
    assert (await site.get("/view?filename=b.wav&type=input&subfolder=takes"))[1] == wav()
    assert (await site.get("/view?filename=a.wav [input]"))[1] == wav(0.3)
    assert (await site.get("/internal/files/input"))[1][0].endswith(" [input]")
    _, info = await site.get("/object_info/LoadAudio")
    assert info["LoadAudio"]["input"]["required"]["audio"][1]["options"] == ["a (1).wav", "a.wav"]
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "takes/b.wav"}},
        "2": {"class_type": "SaveAudioMP3", "inputs": {"audio": ["1", 0], "filename_prefix": "x/y", "quality": "V0"}},
        "3": {"class_type": "SaveAudioOpus", "inputs": {"audio": ["1", 0], "filename_prefix": "z", "quality": "64k"}},
    }
    entry = await site.run(prompt)
    assert entry["outputs"]["2"]["audio"] == [{"filename": "y_00001_.mp3", "subfolder": "x", "type": "output"}]
    assert entry["outputs"]["3"]["audio"] == [{"filename": "z_00001_.opus", "subfolder": "", "type": "output"}]
    async with site.session.get(f"{site.url}/view?filename=y_00001_.mp3&subfolder=x") as answer:
        assert answer.status == 200 and answer.headers["Content-Type"] == "audio/mpeg"


@with_site()
async def test_a_changed_file_is_loaded_again(site: Site) -> None:
    await upload(site, "a.wav", wav(0.1))
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "a.wav"}},
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
    }
    cached = []
    for data in (wav(0.1), wav(0.1), wav(0.2)):
        await upload(site, "a.wav", data, overwrite="true")
        cached.append((await site.run(prompt))["status"]["messages"][1][1]["nodes"])
    assert cached == [[], ["1", "2"], []]


@with_site()
async def test_part_of_a_file(site: Site) -> None:
    await upload(site, "a.wav", wav())
    headers = {"Range": "bytes=10-19"}
    async with site.session.get(f"{site.url}/view?filename=a.wav&type=input", headers=headers) as answer:
        assert answer.status == 206
        assert await answer.read() == wav()[10:20]


@with_site()
async def test_saved_flac_carries_its_graph(site: Site) -> None:
    from acestep_core.io.tags import read_tags

    prompt = {**SLOW, "4": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": "audio/s"}}}
    del prompt["3"]
    entry = await site.run(prompt, extra_data={"extra_pnginfo": {"workflow": {"id": "w", "title": "Größe"}}})
    tags = read_tags(site.folders.output / "audio" / entry["outputs"]["4"]["audio"][0]["filename"])
    assert json.loads(tags["prompt"])["4"]["class_type"] == "SaveAudio"
    assert json.loads(tags["workflow"]) == {"id": "w", "title": "Größe"}


@with_site(metadata=False)
async def test_metadata_can_be_switched_off(site: Site) -> None:
    from acestep_core.io.tags import read_tags

    prompt = {**SLOW, "4": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": "s"}}}
    entry = await site.run(prompt, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
    tags = read_tags(site.folders.output / entry["outputs"]["4"]["audio"][0]["filename"])
    assert not {"prompt", "workflow"} & tags.keys()


@with_site()
async def test_settings_are_kept(site: Site) -> None:
    assert (await site.post("/api/settings/Lab.Volume", 0.5))[0] == 200
    assert (await site.post("/api/settings", {"A": [1], "B": None}))[0] == 200
    assert (await site.get("/settings/Lab.Volume"))[1] == 0.5
    assert (await site.get("/settings"))[1] == PRESETS | FIRST_LOOK | {"Lab.Volume": 0.5, "A": [1], "B": None}
    await asyncio.gather(*(site.post(f"/api/settings/S{i}", i) for i in range(20)))
    stored = json.loads((site.folders.user / "default" / "comfy.settings.json").read_text())
    assert {f"S{i}" for i in range(20)} <= stored.keys()


@with_site()
async def test_saved_workflows(site: Site) -> None:
    path = "/api/userdata/workflows%2Fmy%20song.json"
    status, answer = await site.post(f"{path}?overwrite=false&full_info=true", {"nodes": []})
    assert status == 200
    assert answer["path"] == "workflows/my song.json" and answer["size"] > 0 and answer["modified"] > 10**12
    assert (await site.post(f"{path}?overwrite=false", {}))[0] == 409
    assert (await site.get(path))[1] == {"nodes": []}
    assert (await site.get("/userdata?dir=workflows"))[1] == ["my song.json"]
    assert (await site.get("/userdata?dir=workflows&split=true"))[1] == [["my song.json", "my song.json"]]
    _, listed = await site.get("/userdata?dir=workflows&recurse=true&full_info=true")
    assert listed[0]["path"] == "my song.json"
    status, moved = await site.post(f"{path}/move/workflows%2Fold%2Fb.json")
    assert (status, moved) == (200, "workflows/old/b.json")
    assert (await site.get(path))[0] == 404
    async with site.session.delete(f"{site.url}/userdata/workflows%2Fold%2Fb.json") as answer:
        assert answer.status == 204


@with_site()
async def test_older_clients_get_plain_pictures(site: Site) -> None:
    async with site.listen("old") as events:
        prompt = {**SLOW, "4": {"class_type": "PreviewAudio", "inputs": {"audio": ["2", 0]}}}
        told = await site.told("old", events, prompt)
        frame = next(event["data"] for event in told if event.get("binary") == 1)
        assert struct.unpack(">I", frame[:4]) == (1,) and frame[4:6] == b"\xff\xd8"


@with_site()
async def test_status_lines_come_in_two_forms(site: Site) -> None:
    for features, pieces in (({}, ["1"]), ({"supports_progress_text_metadata": True}, ["ID", "1"])):
        async with site.listen("me", features) as events:
            assert events[1]["data"].get("supports_progress_text_metadata", False) == bool(features)
            told = await site.told("me", events, text_prompt(str(len(pieces)), "LabStatus"))
            data = next(event["data"] for event in told if event.get("binary") == 3)
            for piece in pieces:
                (length,) = struct.unpack(">I", data[:4])
                expected = told[-1]["data"]["prompt_id"] if piece == "ID" else piece
                assert data[4 : 4 + length].decode() == expected
                data = data[4 + length :]
            assert data.decode() == f"working on {len(pieces)}"


@with_site()
async def test_a_client_that_comes_back_learns_what_runs(site: Site) -> None:
    async with site.listen("me"):
        await site.post("/prompt", {"prompt": SLOW, "client_id": "me"})
        await eventually(lambda: (site.host.engine.node_of("me") or {}).get("node") == "3")
    async with site.listen("me") as events:
        await eventually(lambda: len(events) > 1)
        assert events[1]["type"] == "executing" and events[1]["data"]["node"] == "3"
    await site.post("/interrupt")


@with_site()
async def test_nobody_hears_of_a_prompt_without_client(site: Site) -> None:
    async with site.listen("me") as events:
        await site.run(text_prompt())
        await eventually(lambda: len(events) >= 4)
        assert {event["type"] for event in events} == {"status"}


@with_site()
async def test_the_second_connection_of_a_client_takes_over(site: Site) -> None:
    async with site.listen("me") as first, site.listen("me") as second:
        await site.told("me", second, text_prompt())
        assert [event["type"] for event in first] == ["status"]
    async with site.listen("other"):
        pass


LEFT = ("ComfyUI_temp_abcde_00001_.flac", ".upload-1234", "precious.txt")


def left_in(site: Site) -> list[str]:
    return sorted(path.name for path in site.folders.temp.iterdir() if not path.name.endswith(".lock"))


@with_site()
async def test_another_host_on_the_same_folder_leaves_previews_and_uploads_alone(site: Site) -> None:
    for name in LEFT:
        (site.folders.temp / name).write_text("x")
    async with open_site(site.folders.temp.parent) as second:
        assert left_in(site) == sorted(LEFT)
        await site.run(text_prompt(), prompt_id="of the first")
        await second.run(text_prompt(), prompt_id="of the second")
        async with open_site(site.folders.temp.parent):
            assert left_in(site) == sorted(LEFT)
    async with open_site(site.folders.temp.parent) as again:  # takes the place, and the history, of the second
        assert [summary["id"] for summary in again.host.history.summaries()] == ["of the second"]


def test_old_temporary_files_go_at_the_next_start(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_site(tmp_path) as site:
            for name in LEFT:
                (site.folders.temp / name).write_text("x")
            (site.folders.temp / ".host-7.lock").write_text("1")  # of one that was killed
        async with open_site(tmp_path) as site:
            assert left_in(site) == ["precious.txt"]
        assert sorted(path.name for path in (tmp_path / "temp").iterdir()) == ["precious.txt"]

    asyncio.run(main())


@with_site()
async def test_a_port_that_is_taken(site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with pytest.raises(HostError, match="--port"):
        async with open_site(site.folders.temp.parent, port=port):
            pass


@with_site()
async def test_a_result_is_found_below_subfolders(site: Site) -> None:
    """Pickers of the canvas name results without their folders; the newest of that name is meant."""
    for folder, seconds in (("a", 0.1), ("b/c", 0.2)):
        (site.folders.output / folder).mkdir(parents=True)
        (site.folders.output / folder / "song_1.wav").write_bytes(wav(seconds))
    os.utime(site.folders.output / "a" / "song_1.wav", (1, 1))
    assert (await site.get("/view?filename=song_1.wav&type=output"))[1] == wav(0.2)
    assert (await site.get("/view?filename=song_1.wav&type=output&subfolder=a"))[1] == wav(0.1)
    assert (await site.get("/view?filename=song_1.wav&type=input"))[0] == 404
    prompt = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "song_1.wav [output]"}},
        "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
    }
    assert (await site.run(prompt))["status"]["completed"]
    for name in ("song_2.wav [output]", "../song_1.wav [output]"):
        prompt["1"]["inputs"]["audio"] = name
        assert (await site.post("/prompt", {"prompt": prompt}))[0] == 400


@pytest.mark.parametrize("hurried", [False, True])
def test_a_host_that_stops_waits_for_its_work_or_until_it_is_hurried(
    hurried: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acestep_core.host.server.host.PATIENCE", 0.0)
    began, held = threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        held.wait()

    async def scenario() -> None:
        hurry, stack = asyncio.Event(), AsyncExitStack()
        config = HostConfig(Folders.under(tmp_path).made(), port=0, free_models=work, hurry=hurry)
        server = await stack.enter_async_context(running(config))
        server.host.queue.ask(True, False)
        await eventually(began.is_set)
        closing = asyncio.create_task(stack.aclose())
        await eventually(lambda: server.host.queue.closed)
        await asyncio.wait([closing], timeout=0.1)
        assert not closing.done()
        if hurried:
            hurry.set()
        else:
            held.set()
        await closing
        assert held.is_set() is not hurried
        held.set()

    asyncio.run(scenario())

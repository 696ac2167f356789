"""The pack inside a real ComfyUI: `COMFYUI_DIR=<checkout> [COMFYUI_PYTHON=<its python>] pytest tests/nodes`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.audio import read_audio, write_audio
from acestep_core.host.context import Folders, hosting
from acestep_core.host.packs import Pack
from acestep_core.host.wire import clean

ROOT = Path(__file__).parents[2]
COMFYUI = os.environ.get("COMFYUI_DIR")
NAMES = sorted(path.stem for path in (ROOT / "workflows" / "api").glob("*.json"))
QUICK = {"duration": 10.0, "steps": 2, "after": 4.0, "max_duration": 12.0}

pytestmark = pytest.mark.skipif(not COMFYUI, reason="COMFYUI_DIR names no ComfyUI checkout, so its tests are left out")


class ComfyUI:
    """A running server and its base folder."""

    def __init__(self, url: str, base: Path) -> None:
        self.url = url
        self.base = base

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            pytest.fail(f"{path}: {error.read().decode()}")
        return json.loads(text) if text else None

    def run(self, prompt: dict[str, Any], seconds: float = 180) -> dict[str, Any]:
        number = self.post("/prompt", {"prompt": prompt})["prompt_id"]
        return self.finished(number, seconds)

    def finished(self, number: str, seconds: float = 180) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if history := self.get(f"/history/{number}"):
                return history[number]
            time.sleep(0.1)
        pytest.fail("the prompt did not finish")


@pytest.fixture(scope="module")
def comfyui(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Iterator[ComfyUI]:
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("custom_nodes", "input", "models", "user"):
        (base / name).mkdir()
    (base / "custom_nodes" / "acestep-nodes").symlink_to(ROOT, target_is_directory=True)
    (base / "models" / "acestep").symlink_to(tiny_root, target_is_directory=True)
    tone = torch.sin(2 * torch.pi * 220 * torch.arange(6 * 48_000) / 48_000) * 0.4
    write_audio(base / "input" / "recording.flac", tone.expand(2, -1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ.get("COMFYUI_PYTHON", sys.executable), "main.py", "--cpu", "--disable-api-nodes"]
    command += ["--port", str(port), "--base-directory", str(base)]
    environment = os.environ | {"XDG_CACHE_HOME": str(base / "cache"), "OMP_NUM_THREADS": "1"}
    with (base / "log.txt").open("w") as log:
        server = subprocess.Popen(command, cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            running = ComfyUI(f"http://127.0.0.1:{port}", base)
            _wait(running, server, base / "log.txt")
            yield running
        finally:
            server.terminate()
            server.wait(30)


def _wait(comfyui: ComfyUI, server: subprocess.Popen, log: Path) -> None:
    for _ in range(1200):
        try:
            comfyui.get("/system_stats")
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.1)
    pytest.fail(f"ComfyUI did not start:\n{log.read_text()[-3000:]}")


def quick(name: str, pack: Pack) -> dict[str, Any]:
    prompt = json.loads((ROOT / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    for node in prompt.values():
        if node["class_type"] in pack.classes:
            declared = pack.classes[node["class_type"]].INPUT_TYPES()
            names = {**declared.get("required", {}), **declared.get("optional", {})}
            node["inputs"] |= {key: value for key, value in QUICK.items() if key in names}
    return prompt


def test_it_describes_our_nodes_as_the_embedded_host_does(comfyui: ComfyUI, registry: Any, tiny_root: Path) -> None:
    theirs = comfyui.get("/object_info")
    with hosting(Folders.under(comfyui.base / "ours", models=tiny_root)):
        ours = {name: clean(registry.describe(name)) for name in registry if name.startswith("ACEStep")}
    for name, entry in ours.items():
        assert theirs[name].pop("python_module") == "custom_nodes.acestep-nodes"
        entry.pop("python_module")
        assert json.loads(json.dumps(entry)) == {key: theirs[name].get(key) for key in entry}, name


@pytest.mark.parametrize("name", NAMES)
def test_workflows_run(name: str, comfyui: ComfyUI, pack: Pack) -> None:
    history = comfyui.run(quick(name, pack))
    assert history["status"]["status_str"] == "success", history["status"]["messages"][-1]


def test_the_same_graph_sounds_the_same_on_both_hosts(comfyui: ComfyUI, pack: Pack, bench: Any) -> None:
    prompt = quick("text2music", pack)
    shown = comfyui.run(prompt)["outputs"]["7"]["audio"][0]
    theirs, _ = read_audio(comfyui.base / "output" / shown["subfolder"] / shown["filename"])
    assert bench.run(prompt).success
    ours, _ = read_audio(next((bench.folders.output / "acestep").glob("*.flac")))
    assert torch.equal(ours, theirs)


def test_interrupt_and_free(comfyui: ComfyUI, pack: Pack) -> None:
    prompt = quick("base_guidance", pack)
    for node in prompt.values():
        node["inputs"] |= {"steps": 200} if "steps" in node["inputs"] else {}
        node["inputs"] |= {"duration": 300.0} if "duration" in node["inputs"] else {}
    number = comfyui.post("/prompt", {"prompt": prompt})["prompt_id"]
    time.sleep(3)
    comfyui.post("/interrupt", {})
    history = comfyui.finished(number, 30)
    assert history["status"]["messages"][-1][0] == "execution_interrupted"
    comfyui.post("/free", {"unload_models": True, "free_memory": True})
    time.sleep(1)
    assert comfyui.run(quick("text2music", pack))["status"]["status_str"] == "success"

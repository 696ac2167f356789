"""The process is killed while it writes: nothing is half-written, and what the user saved before is still there."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from acestep_core.io.audio import read_audio
from tests.capabilities import needs_kills
from tests.host.lab_site import open_site

pytestmark = needs_kills

SERVE = """
import asyncio, sys
from pathlib import Path
from acestep_core.host.graph.context import Folders
from acestep_core.host.server.host import HostConfig
from acestep_core.host.server.server import running

async def main():
    config = HostConfig(Folders.under(Path(sys.argv[1])), (Path(sys.argv[2]),), port=0)
    async with running(config) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

WRITE = """
import asyncio, sys
import aiohttp

async def main(url):
    tone = {"model": ["1", 0], "seconds": 3.0, "freq": 440, "steps": 1, "instrumental": False, "caption": ""}
    async with aiohttp.ClientSession() as session:
        for index in range(10**6):
            prompt = {
                "1": {"class_type": "LabLoad", "inputs": {"name": "base", "dtype": "auto"}},
                "2": {"class_type": "LabTone", "inputs": {**tone, "seed": index}},
                "3": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": "song"}},
            }
            await session.post(f"{url}/prompt", json={"prompt": prompt})
            await session.post(f"{url}/settings/Lab.Counter", json=index)
            body = {"nodes": ["x" * 1000] * 200, "index": index}
            await session.post(f"{url}/userdata/workflows%2Fmine.json", json=body)
            print(index, flush=True)

asyncio.run(main(sys.argv[1]))
"""


LINE = """
import asyncio, sys
import aiohttp

async def main(url):
    slow = {"audio": ["2", 0], "seconds": 3600}
    def prompt(seed, **more):
        tone = {"model": ["1", 0], "seconds": 0.1, "freq": 440, "steps": 1, "instrumental": False, "caption": ""}
        return {
            "1": {"class_type": "LabLoad", "inputs": {"name": "base", "dtype": "auto"}},
            "2": {"class_type": "LabTone", "inputs": {**tone, "seed": seed}},
            "3": {"class_type": "SaveAudio", "inputs": {"audio": ["2", 0], "filename_prefix": "song"}},
            **more,
        }
    async with aiohttp.ClientSession() as session:
        async def send(name, prompt):
            await session.post(f"{url}/prompt", json={"prompt": prompt, "prompt_id": name})
        await send("ended", prompt(1))
        while not await (await session.get(f"{url}/history/ended")).json():
            await asyncio.sleep(0.01)
        show = {"class_type": "PreviewAudio", "inputs": {"audio": ["4", 0]}}
        end = {"4": {"class_type": "LabSlow", "inputs": slow}, "5": show}
        await send("running", prompt(2, **end))
        await send("waiting", prompt(3))
        async def running():
            queue = await (await session.get(f"{url}/queue")).json()
            return [item[1] for item in queue["queue_running"]]
        while await running() != ["running"]:  # what has ended may still be listed for a moment
            assert "running" not in await (await session.get(f"{url}/history")).json()
            await asyncio.sleep(0.01)
        print("ready", flush=True)

asyncio.run(main(sys.argv[1]))
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def test_kill_while_saving(tmp_path: Path) -> None:
    pack = str(Path(__file__).parent / "lab_pack")
    before, rng = -1, random.Random(0)
    for _ in range(3):
        server = start(SERVE, str(tmp_path), pack)
        assert server.stdout is not None
        writer = start(WRITE, server.stdout.readline().strip())
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        while not any((tmp_path / "output").glob("song_*.flac")):
            assert writer.stdout.readline(), "the writer ended"
        for _ in range(rng.randrange(1, 20)):  # somewhere in the midst of writing
            writer.stdout.readline()
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        writer.kill()
        writer.wait()
        settings = json.loads((tmp_path / "user/default/comfy.settings.json").read_text())
        saved = json.loads((tmp_path / "user/default/workflows/mine.json").read_text())
        assert settings["Lab.Counter"] >= 3 and saved["index"] >= 3 and len(saved["nodes"]) == 200
        files = sorted((tmp_path / "output").glob("song_*.flac"))
        assert len(files) >= before
        before = len(files)
        for file in files:
            waveform, sample_rate = read_audio(file)
            assert waveform.shape == (2, 3 * sample_rate)


def test_queue_and_history_outlive_a_kill(tmp_path: Path) -> None:
    pack = Path(__file__).parent / "lab_pack"
    server = start(SERVE, str(tmp_path), str(pack))
    assert server.stdout is not None
    writer = start(LINE, server.stdout.readline().strip())
    assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    writer.wait()

    async def third() -> None:
        async with open_site(tmp_path) as site:
            _, history = await site.get("/history")
            assert history["ended"]["status"]["completed"]
            assert "killed 2 times" in history["running"]["status"]["messages"][0][1]["exception_message"]
            assert (await site.finish("waiting"))["status"]["completed"]
            assert site.host.next_number(front=False) == 3

    server = start(SERVE, str(tmp_path), str(pack))  # runs the job again, and is killed by it again
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    with urllib.request.urlopen(f"{url}/queue") as answer:
        queue = json.loads(answer.read())
    listed = [item[1] for item in (*queue["queue_running"], *queue["queue_pending"])]
    with urllib.request.urlopen(f"{url}/history") as answer:
        assert listed == ["running", "waiting"], (answer.read(), listed)
    while not queue["queue_running"]:
        with urllib.request.urlopen(f"{url}/queue") as answer:
            queue = json.loads(answer.read())
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    asyncio.run(third())

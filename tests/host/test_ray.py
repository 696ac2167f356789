"""A batch on Ray: what workers meet with costs no row, and nobody else hears of it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import aiohttp
import psutil
import pytest

from acestep_core.errors import HostError
from acestep_core.host.client.pool import Limits
from acestep_core.host.client.ray_jobs import ray_engine
from acestep_core.host.client.ray_rows import row_pool
from acestep_core.host.client.ray_workers import _ALONE, RayOptions
from acestep_core.host.graph.context import Folders
from acestep_core.host.server.host import HostConfig
from acestep_core.host.server.server import running
from tests.host.lab_site import LAB_PACK, Site
from tests.host.test_executor import node

ROOT = Path(__file__).parents[2]
PACK = Path(__file__).parent / "fate_pack"
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@pytest.fixture(autouse=True)
def of_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray ends its workers where a machine's memory is nearly full, as it may be by what runs beside these tests."""
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")


def started(before: list[psutil.Process]) -> list[psutil.Process]:
    """What this process started since `before`, and what that started; other tests may have left processes."""
    new = [process for process in psutil.Process().children() if process not in before]
    found = [*new]
    for process in new:
        with suppress(psutil.NoSuchProcess):
            found += process.children(recursive=True)
    return found


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses at which these processes and this one listen."""
    found = set()
    for process in (psutil.Process(), *processes):
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections("inet")
            found |= {connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN}
    return found


@contextmanager
def cluster(token: str) -> Iterator[str]:
    """A cluster of two processors on this machine, which asks for a token; its address for those outside."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(str(server.getsockname()[1]))
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} | _ALONE
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        where = ["--node-ip-address=127.0.0.1", f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}"]
        where += ["--include-dashboard=false", f"--temp-dir={folder}"]
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2", *where],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert head.stdout is not None
        assert any("Ray runtime started" in line for line in head.stdout)
        try:
            yield f"ray://127.0.0.1:{ports[1]}"
        finally:
            its_own = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
            head.terminate()
            for process in psutil.wait_procs(its_own, timeout=30)[1]:
                process.kill()
            head.stdout.close()
            head.wait()


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_batch_on_a_cluster_elsewhere(tmp_path: Path) -> None:
    """The command from outside, with the token of the cluster; what workers meet with on the way."""
    grpc = pytest.importorskip("grpc")
    texts = ["a", "dies once", "fails", "b", "is too large", "a", *(f"more {n}" for n in range(6))]
    (tmp_path / "graph.json").write_text(json.dumps({"1": {"class_type": "Fate", "inputs": {"text": "", "mark": ""}}}))
    rows = ({"fate.text": text, "fate.mark": str(tmp_path / "mark")} for text in texts)
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def run(address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "acestep_core.commands", "run", "graph.json", "--batch=rows.jsonl", "--json"]
        engine = ["--engine", "ray", "--address", address, "--workers", "2", "--rows-per-folder", "4"]
        places = ["--pack", str(PACK), "--base-directory", ".", "--output", "out"]
        secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command + engine + places, env=os.environ | secret, cwd=tmp_path, capture_output=True, text=True
        )

    token = secrets.token_hex(32)
    with cluster(token) as address:
        with grpc.insecure_channel(address.removeprefix("ray://")) as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary("/ray.rpc.RayletDriver/ClusterInfo")(b"", timeout=60, wait_for_ready=True)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED  # so that the token is what lets the batch in
        done = run(address)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert all("row" in line for line in told), f"{done.stdout}\n{done.stderr}"  # else the batch ended as a whole
    errors = {texts[line["row"] - 1]: line["error"] for line in told if "error" in line}
    assert sorted(line["row"] for line in told) == list(range(1, len(texts) + 1)), done.stderr
    assert errors.keys() == {"fails", "is too large"} and done.returncode == 1
    assert "as it was told" in errors["fails"]
    assert "no room" in errors["is too large"] and "3 times" in errors["is too large"]
    made = {line["row"] - 1: Path(path) for line in told if "files" in line for path in line["files"]["1"]}
    assert all(path.read_text() == texts[index] * 10 for index, path in made.items())
    assert {path.parent.name for path in made.values()} == {"0000000000", "0000000004", "0000000008"}
    output = tmp_path / "out"
    assert {path for path in output.rglob("*") if path.is_file()} - {*made.values()} == {output / "rows.journal.jsonl"}
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_host_on_ray(tmp_path: Path) -> None:
    """Two prompts at once, one of which is stopped and one whose worker dies; what workers tell comes through."""
    config = HostConfig(Folders.under(tmp_path).made(), (PACK, LAB_PACK), port=0)
    heard: set[str] = set()
    before, its_own = psutil.Process().children(), []
    long = {"1": node("LabAsync", text="", seconds=600), "2": node("LabText", text=["1", 0])}
    dies = {"1": node("Fate", text="dies once", mark=str(tmp_path / "mark"))}

    async def scene() -> None:
        async with (
            ray_engine(RayOptions(workers=2), config, list) as engine,
            running(config, engine) as server,
            aiohttp.ClientSession() as session,
        ):
            site = Site(server, session)
            async with site.listen("a") as events:
                stopped, done = [
                    (await site.post("/prompt", {"prompt": prompt, "client_id": "a"}))[1]["prompt_id"]
                    for prompt in (long, dies)
                ]
                assert (await site.finish(done))["status"]["completed"]
                told = [e["data"] for e in events if e["type"] == "executing"]
                assert {"node": "1", "display_node": "1", "prompt_id": stopped} in told
                assert [item[1] for item in (await site.get("/queue"))[1]["queue_running"]] == [stopped]
                await site.post("/interrupt", {"prompt_id": stopped})
                assert (await site.finish(stopped))["status"]["messages"][-1][0] == "execution_interrupted"
            workers = (await site.get("/system_stats"))[1]["workers"]
            assert workers and psutil.Process().pid not in {worker["pid"] for worker in workers}
            its_own.extend(started(before))
            heard.update(listening(its_own))

    asyncio.run(scene())
    assert (config.folders.output / "dies once.txt").read_text() == "dies once" * 10
    assert heard and heard <= set(LOOPBACK)
    assert its_own and not psutil.wait_procs([*its_own, *started(before)], timeout=60)[1]


def test_a_host_has_to_be_part_of_the_cluster(tmp_path: Path) -> None:
    config = HostConfig(Folders.under(tmp_path), (), port=0)

    async def scene() -> None:
        async with ray_engine(RayOptions("ray://127.0.0.1:1"), config, list):
            pass

    with pytest.raises(HostError, match="--address auto"):
        asyncio.run(scene())


def test_without_ray_it_is_said_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    async def scene() -> None:
        async with row_pool(RayOptions(), Folders.under(tmp_path), [PACK], True, Limits()):
            pass

    with pytest.raises(HostError, match=r"pip install acestep-nodes\[ray\]"):
        asyncio.run(scene())


def test_a_ray_that_does_not_start_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: Any) -> None:
        raise Exception("The node timed out during startup.\nSee its logs.")

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))

    async def scene(address: str) -> None:
        async with row_pool(RayOptions(address), Folders.under(tmp_path), [PACK], True, Limits()):
            pass

    for address, told in (("local", "does not start here"), ("auto", "Ray at auto does not answer")):
        with pytest.raises(HostError, match=rf"{told} \(The node timed out during startup\)"):
            asyncio.run(scene(address))


@pytest.mark.parametrize(
    "address, deaths, asked, told",
    [
        ("ray://a:1", 3, 4, r"does not answer \(after these\)"),
        ("ray://a:1", 4, 4, r"does not answer \(RuntimeError: It died\)"),
        ("auto", 1, 1, r"does not answer \(RuntimeError: It died\)"),
    ],
)
def test_a_cluster_whose_process_for_us_dies_is_asked_again(
    address: str,
    deaths: int,
    asked: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[str] = []
    died = "Initialization failure from server:\nTraceback (most recent call last):\n  File\nRuntimeError: It died."

    def init(address: str, **_: Any) -> None:
        tries.append(address)
        raise ConnectionAbortedError(died) if len(tries) <= deaths else ConnectionError("after these")

    async def scene() -> None:
        async with row_pool(RayOptions(address), Folders.under(tmp_path), [PACK], True, Limits()):
            pass

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init))
    with pytest.raises(HostError, match=told):
        asyncio.run(scene())
    assert len(tries) == asked and len(caplog.messages) == asked - 1

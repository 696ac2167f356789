"""`acestep queue`, as a process of its own against a running host."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.host.lab_site import LAB_PACK, Site, eventually, with_site
from tests.host.test_server import SLOW, wav

EXAMPLE = LAB_PACK / "example_workflows" / "lab_basic.json"

COMMAND = """
import argparse, sys
from acestep_core.commands import queue
from acestep_core.errors import AceStepError, Cancelled
parser = argparse.ArgumentParser()
queue.add_parser(parser.add_subparsers())
try:
    sys.exit(queue.run(parser.parse_args(sys.argv[1:])))
except AceStepError as error:
    sys.exit(f"acestep: {error}")
"""


async def start(site: Site, *arguments: str) -> asyncio.subprocess.Process:
    fixed = ("--server", site.url, "--output", str(output(site)))
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "queue", *arguments, *fixed),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def call(site: Site, *arguments: str) -> tuple[int, str, str]:
    process = await start(site, *arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def output(site: Site) -> Path:
    return site.folders.output.parent / "fetched"


@with_site()
async def test_results_are_fetched(site: Site) -> None:
    status, out, err = await call(site, str(EXAMPLE), "--set", "tone.seconds=0.3")
    assert status == 0, err
    assert Path(out.strip()) == output(site) / "audio" / "lab_00001_.flac"
    assert Path(out.strip()).read_bytes() == (site.folders.output / "audio" / "lab_00001_.flac").read_bytes()


@with_site()
async def test_the_nodes_error_is_the_commands(site: Site) -> None:
    failing = {**SLOW, "3": {"class_type": "LabError", "inputs": {"audio": ["2", 0], "kind": "value"}}}
    file = site.folders.output.parent / "failing.json"
    file.write_text(json.dumps(failing))
    status, out, err = await call(site, str(file))
    assert status == 1 and out == ""
    assert "lab error: bad value" in err and "LabError" in err and "Traceback" not in err


@with_site()
async def test_a_batch_killed_in_the_middle_is_resumed(site: Site) -> None:
    rows = site.folders.output.parent / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"tone.seed": i, "tone.seconds": 2.0, "tone.steps": 60}) + "\n" for i in range(6))
    )
    process = await start(site, str(EXAMPLE), "--batch", str(rows), "--json")
    assert process.stdout is not None
    await process.stdout.readline()
    await process.stdout.readline()
    process.kill()
    await process.wait()
    await eventually(lambda: site.host.queue.remaining() == 0)
    done = len(site.host.history.summaries())
    assert 2 <= done < 6
    status, out, err = await call(site, str(EXAMPLE), "--batch", str(rows), "--json")
    assert status == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["repeated"] for line in lines[:2]] == [True, True]
    assert len(site.host.history.summaries()) == 6  # nothing ran twice
    files = [path for line in lines for paths in line["files"].values() for path in paths]
    assert len(set(files)) == 6 and all(Path(file).is_file() for file in files)
    found = [path for path in output(site).rglob("*") if path.is_file()]
    assert len(found) == 7  # six songs and the journal


@with_site()
async def test_files_of_the_workflow(site: Site) -> None:
    """Its own folder's recordings are sent, and that is said; a file from elsewhere has to be allowed."""
    folder = site.folders.output.parent / "from-a-stranger"
    folder.mkdir()
    (folder / "voice.wav").write_bytes(wav(0.1))
    secret = site.folders.output.parent / "secret.wav"
    secret.write_bytes(wav(0.2))
    graph = {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "voice.wav"}},
        "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "x"}},
    }
    file = folder / "graph.json"
    file.write_text(json.dumps(graph))
    status, _, err = await call(site, str(file))
    assert status == 0 and f"sent {(folder / 'voice.wav').resolve()} to {site.url} as voice.wav" in err
    graph["1"]["inputs"]["audio"] = str(secret)
    file.write_text(json.dumps(graph))
    status, _, err = await call(site, str(file))
    assert status == 1 and "--allow-file" in err and "Traceback" not in err
    assert not (site.folders.input / "secret.wav").exists()
    assert (await call(site, str(file), "--allow-file", str(secret)))[0] == 0
    assert (await call(site, str(folder / "graph.json"), "--set", f"1.audio={secret}"))[0] == 0

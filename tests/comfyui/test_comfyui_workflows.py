"""The example workflows in ComfyUI and in the embedded host: both succeed, and the songs are equal bit for bit."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from acestep_core.commands.main import main as cli
from acestep_core.host.client.client import HostClient
from acestep_core.host.client.sources import Sources
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.workflow import Workflow, load_workflow
from acestep_core.host.queue.results import Result, Update
from acestep_core.io.audio import read_audio
from tests.comfyui.comfy_server import LORA, ROOT, Comfy, freed
from tests.host.lab_site import open_site
from tests.workflows.material import QUICK, lay_dataset, lay_recording

WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
QUICKLY = QUICK | {"format": "wav32"}
"""Samples are compared as they left the decoder."""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the file that the workflows name, which the client uploads."""
    return lay_recording(tmp_path_factory.mktemp("recordings"))


@dataclass
class Run:
    result: Result
    updates: list[Update]


async def in_both(comfy: Comfy, file: Path, recording: Path, folder: Path, **inputs: Any) -> tuple[Run, Run]:
    """A workflow run in ComfyUI and in the embedded host with the pack and the models of ComfyUI's folders."""
    async with comfy.site() as site:
        await freed(site)
    shutil.rmtree(comfy.base / "output" / "acestep" / "runs", ignore_errors=True)  # each training begins anew
    lay_dataset(comfy.base / "input", comfy.base / "output")
    real = await run(comfy.url, file, recording, folder / "real", inputs)
    folders = Folders.under(folder / "embedded", models=comfy.base / "models")
    lay_dataset(folders.input, folders.output)
    async with open_site(folder, folders=folders, packs=(comfy.pack,)) as site:
        return real, await run(site.url, file, recording, folder / "ours", inputs)


async def run(url: str, path: Path, recording: Path, output: Path, inputs: Mapping[str, Any] = {}) -> Run:
    updates: list[Update] = []
    async with HostClient(url) as client:
        workflow = quick(await client.load(path)).with_inputs(inputs)
        prepared = await client.prepare(workflow, Sources((recording,)))
        return Run(await client.run(prepared, output, updates.append), updates)


def quick(workflow: Workflow) -> Workflow:
    """The workflow with short songs and few steps."""
    for node_id, node in workflow.prompt.items():
        declared = workflow.definitions[node["class_type"]]["input"]
        for name, value in QUICKLY.items():
            entry = declared["required"].get(name) or declared.get("optional", {}).get(name)
            if entry is None or isinstance(node["inputs"].get(name), list):
                continue
            if not isinstance(entry[0], list) or value in entry[0]:
                workflow.put(node_id, name, value)
    return workflow


@pytest.mark.parametrize("name", NAMES)
def test_the_same_song_in_both(name: str, comfy: Comfy, recording: Path, tmp_path: Path) -> None:
    file = WORKFLOWS / "api" / f"{name}.json"

    real, ours = asyncio.run(in_both(comfy, file, recording, tmp_path))
    assert shape(real) == shape(ours) and (real.result.paths or real.result.texts)
    for one, other in zip(songs(real), songs(ours), strict=True):
        assert torch.equal(one, other) and one.abs().max() > 0.05
    assert told(real, comfy.base) == told(ours, tmp_path / "embedded")
    assert seen(real) == seen(ours)


def songs(run: Run) -> list[torch.Tensor]:
    """The samples of every song that was written, node by node."""
    files = [path for _, paths in sorted(run.result.files.items()) for path in paths]
    return [read_audio(path)[0] for path in files if path.suffix in (".wav", ".flac")]


def shape(run: Run) -> dict[str, list[str]]:
    """Files per node; their numbers go on from run to run."""
    return {node_id: [path.suffix for path in paths] for node_id, paths in run.result.files.items()}


def told(run: Run, base: Path) -> dict[str, list[str]]:
    """The texts of every node, without the folder of the host, and without numbers: both write into one LoRA folder."""
    plain = lambda text: re.sub(r"_\d{5}(?=\.)", "", text.replace(str(base), ""))  # noqa: E731
    return {node_id: [plain(text) for text in texts] for node_id, texts in run.result.texts.items()}


def seen(run: Run) -> dict[str, list[Any]]:
    """What a user sees happening on the nodes: order, bars, and the lines under them."""
    return {
        "nodes": sorted(update.node_id for update in run.updates if update.kind == "node"),
        "ends of bars": sorted(
            {(u.node_id, u.total) for u in run.updates if u.kind == "progress" and u.value == u.total}
        ),
    }


def test_a_lora_of_comfyuis_folder(comfy: Comfy, recording: Path, tmp_path: Path) -> None:
    file = WORKFLOWS / "api" / "lora.json"
    real, ours = asyncio.run(in_both(comfy, file, recording, tmp_path, **{"lora.lora": LORA}))
    (one,), (other,) = songs(real), songs(ours)
    assert torch.equal(one, other)
    (without,) = songs(asyncio.run(run(comfy.url, file, recording, tmp_path / "without")))
    assert not torch.equal(one, without)


def test_canvas_files_run_as_well(comfy: Comfy, recording: Path, tmp_path: Path) -> None:
    """A canvas file, converted with ComfyUI's own definitions, is the same prompt; its graph lands in the song."""

    async def main() -> tuple[list[tuple[Workflow, Workflow]], Run]:
        async with HostClient(comfy.url) as client:
            known = await client.definitions()
        files = [(WORKFLOWS / f"{name}.json", WORKFLOWS / "api" / f"{name}.json") for name in NAMES]
        pairs = [(load_workflow(canvas, known), load_workflow(api, known)) for canvas, api in files]
        return pairs, await run(comfy.url, WORKFLOWS / "round_trip.json", recording, tmp_path)

    pairs, done = asyncio.run(main())
    for name, (canvas, api) in zip(NAMES, pairs):
        assert canvas.prompt == api.prompt, name
    assert done.result.paths


def test_the_queue_command(comfy: Comfy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = WORKFLOWS / "api" / "text2music.json"
    command = ["queue", str(file), "--server", comfy.url, "--output", str(tmp_path), "--json"]
    sets = ["song.duration=10", "song.caption=lo-fi piano", "sampler.seed=5"]
    assert cli([*command, *(part for item in sets for part in ("--set", item))]) == 0
    result = json.loads(capfd.readouterr().out.splitlines()[-1])
    paths = [Path(path) for paths in result["files"].values() for path in paths]
    assert all(path.is_relative_to(tmp_path) for path in paths)
    (path,) = [path for path in paths if path.suffix == ".flac"]
    assert read_audio(path)[0].shape == (2, 480_000)


def test_the_queue_command_says_what_failed(comfy: Comfy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = WORKFLOWS / "api" / "text2music.json"
    command = ["queue", str(file), "--server", comfy.url, "--output", str(tmp_path), "--set", "song.bpm=7"]
    assert cli(command) != 0
    error = capfd.readouterr().err
    assert "Traceback" not in error and error.strip()


@pytest.fixture
def stock(comfy: Comfy, recording: Path) -> Iterator[dict[str, Any]]:
    """Sound through ComfyUI's own nodes into ours and back."""
    yield {
        "1": {"class_type": "LoadAudio", "inputs": {"audio": "acestep_example_voice.flac"}},
        "2": {"class_type": "ACEStepVAELoader", "inputs": {"vae": "auto"}},
        "3": {"class_type": "ACEStepEncodeAudio", "inputs": {"vae": ["2", 0], "audio": ["1", 0]}},
        "4": {"class_type": "ACEStepDecode", "inputs": {"vae": ["2", 0], "latent": ["3", 0]}},
        "5": {"class_type": "SaveAudio", "inputs": {"audio": ["4", 0], "filename_prefix": "stock/flac"}},
        "6": {
            "class_type": "SaveAudioMP3",
            "inputs": {"audio": ["4", 0], "filename_prefix": "stock/mp3", "quality": "320k"},
        },
        "7": {
            "class_type": "SaveAudioOpus",
            "inputs": {"audio": ["4", 0], "filename_prefix": "stock/opus", "quality": "128k"},
        },
        "8": {"class_type": "PreviewAudio", "inputs": {"audio": ["4", 0]}},
        "9": {
            "class_type": "ACEStepSaveSong",
            "inputs": {"audio": ["4", 0], "filename_prefix": "stock/ours", "format": "wav32"},
        },
        "10": {"class_type": "AudioConcat", "inputs": {"audio1": ["4", 0], "audio2": ["1", 0], "direction": "after"}},
        "11": {"class_type": "ACEStepPreviewSong", "inputs": {"audio": ["10", 0]}},
    }


def test_sound_of_comfyuis_nodes_and_ours(comfy: Comfy, stock: dict[str, Any], recording: Path, tmp_path: Path) -> None:
    async def main() -> Result:
        async with HostClient(comfy.url) as client:
            stock["1"]["inputs"]["audio"] = await client.upload(recording / "acestep_example_voice.flac")
            workflow = Workflow(stock, await client.definitions())
            return await client.run(workflow, tmp_path)

    files = asyncio.run(main()).files
    ours = read_audio(files["9"][0])[0]
    assert ours.shape == (2, 6 * 48_000)
    flac = read_audio(files["5"][0])[0]
    assert flac.shape == ours.shape and (flac - ours).abs().max() < 1e-4  # 16 bit
    for node_id, suffix in (("6", ".mp3"), ("7", ".opus"), ("8", ".flac")):
        assert files[node_id][0].suffix == suffix and files[node_id][0].stat().st_size > 5000
    joined = read_audio(files["11"][0])[0]
    assert joined.shape == (2, 12 * 48_000) and (joined[:, : 6 * 48_000] - ours).abs().max() < 1e-4

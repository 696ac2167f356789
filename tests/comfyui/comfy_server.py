"""A real ComfyUI with our pack, in a process of its own, below a temporary base directory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import torch
from safetensors.torch import save_file

from acestep_core.builtin.tiny import build_tiny
from acestep_core.checkpoints.find import TINY_MARK
from acestep_core.checkpoints.weights import open_weights
from acestep_core.host.graph.context import Folders
from tests.host.lab_site import LAB_PACK, Site, eventually

ROOT = Path(__file__).parents[2]
PACK = "acestep-nodes"
PARTS = ("__init__.py", "acestep_core", "nodes", "web", "locales", "workflows", "subgraphs", "pyproject.toml")
"""What a user's `custom_nodes` folder gets to see; nothing of the tests, nothing installed."""
EXTRA_DIT = "acestep-v15-xl-turbo"
"""This model lies in a folder that only `extra_model_paths.yaml` names."""
LORA = "some_lora"
FOREIGN_MODELS = 60
"""Other people's models in ComfyUI's folders, with headers of the usual size."""
PATIENCE = 600
"""Seconds after which something has hung; a busy machine is slow for minutes."""
SLEEPS = 20
"""Seconds after which ComfyUI is asked again."""


@dataclass(frozen=True)
class Comfy:
    """The running server and its folders."""

    url: str
    base: Path
    extra: Path
    log: Path

    @property
    def pack(self) -> Path:
        return self.base / "custom_nodes" / PACK

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE) as answer:
            data = answer.read()
            return json.loads(data) if "json" in answer.headers.get("Content-Type", "") else data

    def post(self, path: str, body: Any) -> None:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    @asynccontextmanager
    async def site(self) -> AsyncIterator[Site]:
        """A client with the methods that the tests of the embedded host use, and the server's folders."""
        host = SimpleNamespace(folders=Folders.under(self.base))
        async with aiohttp.ClientSession() as session:
            yield Site(SimpleNamespace(url=self.url, host=host), session)  # type: ignore[arg-type]


async def freed(site: Site) -> None:
    """Asks ComfyUI to free its memory, and waits until neither ComfyUI nor the library holds a model of ours."""

    async def empty() -> bool:
        status = (await site.get("/probe/models"))[1]
        return not status["known_to_comfyui"] and not status["manager"]

    await _asked(site, {"unload_models": True, "free_memory": True}, empty)


async def forgotten(site: Site) -> None:
    """Asks ComfyUI to forget all results, and waits until it has: what is queued from now on finds none."""

    async def done() -> bool:
        return not (await site.get("/probe/flags"))[1]

    await _asked(site, {"free_memory": True}, done)


async def _asked(site: Site, wish: dict[str, bool], held: Callable[[], Awaitable[bool]]) -> None:
    """Asks until it holds: ComfyUI sleeps over a wish that comes just as it turns to its queue."""
    for _ in range(int(PATIENCE / SLEEPS)):
        await site.post("/free", wish)
        with suppress(TimeoutError):
            return await eventually(held, SLEEPS)
    raise TimeoutError(f"ComfyUI did not grant {wish}")


@contextmanager
def started(
    main: Path, python: str, base: Path, fill: Callable[[Path, Path], None] | None = None, flags: Sequence[str] = ()
) -> Iterator[Comfy]:
    """Starts ComfyUI and ends it with the block.

    Args:
        fill: puts models into the base folder and the one elsewhere; None for tiny ones of every kind.
        flags: more for its command line.

    Raises:
        RuntimeError: it ended early or did not answer in time; the message has the end of its log.
    """
    extra = base / "elsewhere"
    _install(base, extra)
    (fill or _fill)(base, extra)
    port = _free_port()
    comfy = Comfy(f"http://127.0.0.1:{port}", base, extra, base / "comfyui.log")
    options = {
        "--base-directory": base,
        "--database-url": f"sqlite:///{base / 'user' / 'comfyui.db'}",
        "--extra-model-paths-config": base / "extra_model_paths.yaml",
        "--listen": "127.0.0.1",
        "--port": port,
    }
    # as from the second start on
    subprocess.run([python, "-m", "compileall", "-q", str(comfy.pack)], check=True, env=environment(base))
    command = [python, str(main), "--cpu", "--disable-api-nodes", "--disable-auto-launch", *flags]
    command += [str(part) for option in options.items() for part in option]
    with comfy.log.open("wb") as log:
        process = subprocess.Popen(command, cwd=base, env=environment(base), stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(comfy, process)
        yield comfy
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


def _install(base: Path, extra: Path) -> None:
    """Folders and packs. Packs of the tests come second, from the folder in `extra_model_paths.yaml`."""
    ignored = shutil.ignore_patterns("__pycache__")
    pack = base / "custom_nodes" / PACK
    pack.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, pack / part, ignore=ignored)
        else:
            shutil.copy(source, pack / part)
    shutil.copytree(Path(__file__).parent / "packs", extra / "custom_nodes", ignore=ignored)
    shutil.copytree(LAB_PACK, extra / "custom_nodes" / "lab_pack" / "lab", ignore=ignored)
    (base / "user").mkdir()
    (extra / "acestep").mkdir()
    paths = f"test:\n  base_path: {extra}\n  acestep: acestep\n  custom_nodes: custom_nodes\n"
    (base / "extra_model_paths.yaml").write_text(paths, encoding="utf-8")


def _fill(base: Path, extra: Path) -> None:
    build_tiny(base / "models" / "acestep")
    _write_lora(base / "models" / "loras" / LORA, base / "models" / "acestep" / "acestep-v15-turbo")
    _write_foreign(base / "models" / "diffusion_models")
    (base / "models" / "acestep" / EXTRA_DIT).rename(extra / "acestep" / EXTRA_DIT)
    shutil.copy(base / "models" / "acestep" / TINY_MARK, extra / "acestep" / TINY_MARK)


def _write_lora(folder: Path, dit: Path) -> None:
    """A PEFT folder for every attention projection of the decoder."""
    draws = torch.Generator().manual_seed(0)
    tensors = {}
    for name, info in open_weights(dit).infos.items():
        module = name.removeprefix("decoder.").removesuffix(".weight")
        if name.startswith("decoder.layers.") and module.endswith("_proj") and "self_attn" in module:
            out, into = info.shape
            tensors[f"base_model.model.{module}.lora_A.weight"] = torch.randn(4, into, generator=draws) * 0.2
            tensors[f"base_model.model.{module}.lora_B.weight"] = torch.randn(out, 4, generator=draws) * 0.2
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def _write_foreign(folder: Path) -> None:
    folder.mkdir(parents=True)
    entry = {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"model.diffusion_model.blocks.{i}.attn.to_q.weight": entry for i in range(1500)}).encode()
    for index in range(FOREIGN_MODELS):
        (folder / f"other_{index}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)


def environment(base: Path) -> dict[str, str]:
    left_out = ("ACESTEP_", "COMFYUI_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    caches = {"XDG_CACHE_HOME": str(base / "cache"), "LOCALAPPDATA": str(base / "cache")}
    return kept | caches | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(comfy: Comfy, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(urllib.error.URLError, OSError):
            comfy.get("/system_stats")
            return
        time.sleep(0.2)
    tail = comfy.log.read_text(encoding="utf-8", errors="replace")[-4000:]
    raise RuntimeError(f"ComfyUI did not start (exit status {process.poll()}):\n{tail}")


def checkout() -> Path:
    """The `main.py` of the ComfyUI that `COMFYUI_DIR` names; the test is skipped where it names none."""
    folder = os.environ.get("COMFYUI_DIR")
    if not folder:
        pytest.skip("COMFYUI_DIR names no ComfyUI checkout (and COMFYUI_PYTHON no interpreter for it)")
    main = Path(folder).expanduser().resolve() / "main.py"
    if not main.is_file():
        pytest.fail(f"COMFYUI_DIR is {folder}, but there is no main.py in it")
    return main


def python_of(folder: Path) -> str:
    """The interpreter for a ComfyUI checkout: `COMFYUI_PYTHON`, its own environment, or this one."""
    named = os.environ.get("COMFYUI_PYTHON")
    own = [folder / name / "bin" / "python" for name in (".venv", "venv")]
    return named or next((str(path) for path in own if path.is_file()), sys.executable)

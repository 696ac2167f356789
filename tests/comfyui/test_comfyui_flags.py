"""What ComfyUI's command line says of number formats and mapped files, in a ComfyUI that was started with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from acestep_core.builtin.tiny import build_tiny
from tests.comfyui.comfy_server import checkout, python_of, started
from tests.comfyui.test_comfyui_memory import graph

NOT_FP16 = "--fp16-unet is not followed: the diffusion model of ACE-Step cannot be computed in it."


@pytest.mark.parametrize(
    ("flags", "formats", "mapped", "said"),
    [
        (
            ("--bf16-unet", "--fp32-vae"),
            {"dit": "bfloat16", "text": "float32", "vae": "float32"},
            {"acestep-v15-turbo", "vae"},  # what stays in the format of its file
            [],
        ),
        (
            ("--fp16-unet", "--bf16-text-enc", "--disable-mmap"),
            {"dit": "float32", "text": "bfloat16", "vae": "float32"},
            set(),
            [NOT_FP16],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_models_are_loaded_as_comfyui_was_started(
    flags: tuple[str, ...], formats: dict[str, str], mapped: set[str], said: list[str], tmp_path: Path
) -> None:
    main = checkout()

    def fill(base: Path, extra: Path) -> None:
        build_tiny(base / "models" / "acestep", variants=["turbo"])

    async def run() -> tuple[dict[str, Any], dict[str, Any]]:
        async with comfy.site() as site:
            return await site.run(graph("acestep-v15-turbo")), (await site.get("/probe/models"))[1]

    with started(main, python_of(main.parent), tmp_path, fill, flags) as comfy:
        entry, status = asyncio.run(run())
    assert entry["status"]["status_str"] == "success", entry["status"]
    assert status["formats"] == formats
    told = "\n".join(entry["outputs"]["model"]["text"])
    assert [line for line in (NOT_FP16,) if line in told] == said, told
    if status["mapped"] is not None:
        assert {Path(path).parent.name for path in status["mapped"]} == mapped

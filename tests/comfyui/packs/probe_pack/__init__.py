"""Tells the tests what they cannot see from outside: cost of the import, of the definitions, and who holds models."""

import sys
import time
from pathlib import Path

import comfy.model_management
from aiohttp import web
from comfy_execution.progress import get_progress_state
from server import PromptServer

import nodes

NODE_CLASS_MAPPINGS = {}
_routes = PromptServer.instance.routes


@_routes.get("/probe/import")
async def imported(request):
    return web.json_response(sys.acestep_import)


@_routes.get("/probe/input_types")
async def input_types(request):
    for module in [module for name, module in sys.modules.items() if name.endswith("acestep-nodes.nodes.models")]:
        module._scanned.clear()  # a moment when the folders are looked at again
    ours = [cls for name, cls in nodes.NODE_CLASS_MAPPINGS.items() if name.startswith("ACEStep")]
    start = time.thread_time()
    for cls in ours:
        cls.INPUT_TYPES()
    return web.json_response({"nodes": len(ours), "cpu_seconds": time.thread_time() - start})


@_routes.get("/probe/models")
async def models(request):
    module = sys.modules.get("acestep_core.models.manager")
    manager = None if module is None else module.manager
    loaded = [model.model for model in comfy.model_management.current_loaded_models if model.model is not None]
    ours = [patcher for patcher in loaded if type(patcher.model).__name__ == "ACEStepWeights"]
    entries = [entry for patcher in ours if (entry := patcher.model.entry) is not None]  # None: just being unloaded
    return web.json_response(
        {
            "manager": [] if manager is None else manager.loaded(),
            "placement": None if manager is None else type(manager.placement).__name__,
            "known_to_comfyui": [str(entry.key[0]) for entry in entries],
            "bytes_seen_by_comfyui": [patcher.loaded_size() for patcher in ours],
            "bytes_of_ours": [entry.nbytes for entry in entries],
            "pins": [entry.pins for entry in entries],
            "formats": {entry.key[0]: entry.key[4].removeprefix("torch.") for entry in entries},
            "mapped": _mapped(),
        }
    )


def _mapped():
    """The weights files that are mapped into this process; None where the system does not tell."""
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return None
    paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()}
    return sorted(path for path in paths if path.endswith(".safetensors"))


@_routes.get("/probe/flags")
async def flags(request):
    """What the queue is still to do before its next prompt, such as freeing memory."""
    return web.json_response(list(PromptServer.instance.prompt_queue.flags))


@_routes.post("/probe/interrupt")
async def interrupt(request):
    """Interrupts, and says how far a node was at that moment."""
    reached = get_progress_state().nodes[(await request.json())["node"]]["value"]
    comfy.model_management.interrupt_current_processing()
    return web.json_response({"reached": reached})

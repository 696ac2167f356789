"""Run by ComfyUI's interpreter: its model management with a made-up device that has room for two of three models, and
for a part of a fourth.
"""

import importlib.util
import json
import sys
from pathlib import Path

comfyui, pack = map(Path, sys.argv[1:])
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [str(comfyui), str(pack)]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.model_management as memory  # noqa: E402
import comfy.model_patcher  # noqa: E402
import torch  # noqa: E402

from acestep_core import devices  # noqa: E402

DEVICE = torch.device("meta")
memory.soft_empty_cache = lambda *_: None
memory.minimum_inference_memory = memory.extra_reserved_memory = lambda: 0


def load_placement():
    """`nodes/comfy_memory.py`, without the rest of the pack: ComfyUI has a module called `nodes` of its own."""
    spec = importlib.util.spec_from_file_location("comfy_memory", pack / "nodes" / "comfy_memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ComfyPlacement()


class Model:
    """Stands for an `Entry` of the model manager; only notes where it is."""

    device = DEVICE
    passing = 0

    def __init__(self, key, nbytes=1 << 30, streams=False):
        self.key, self.pins, self.placed = key, 0, False
        self.nbytes = self.going = nbytes
        self.streams = streams

    @property
    def there(self):
        return self.going if self.placed else 0

    def settle(self, spare):
        self.going = self.nbytes + min(spare, 0)

    def go_out(self):
        self.placed = True

    def go_home(self):
        self.placed = False


placement = load_placement()
models = [Model(key) for key in range(3)]
large = Model("large", 3 << 30, streams=True)
models.append(large)
room = 2.5 * (1 << 30)


def free_memory(device=None, torch_free_too=False):
    free = room - sum(model.there for model in models)
    return (free, free) if torch_free_too else free


memory.get_free_memory = devices.free_memory = free_memory


def placed():
    return [model.key for model in models if model.placed]


steps = []
for pinned, wanted in (((), 0), ((), 1), ((), 2), ((2,), 0), ((0,), 1)):
    for model in models:
        model.pins = int(model.key in (*pinned, wanted))
    placement.place(models[wanted], 0)
    steps.append([sorted((*pinned, wanted)), placed()])
for model in models:
    model.pins = 0
large.pins = 1
parts = []
for working in (0, 1 << 29, 0):
    placement.place(large, working)
    parts.append([placed(), large.going, placement.patchers[large].model_size()])
large.pins = 0
memory.free_memory(1e30, DEVICE)
sys.stdout.write(json.dumps({"steps": steps, "parts": parts, "left": placed()}) + "\n")

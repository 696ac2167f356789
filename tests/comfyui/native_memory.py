"""Run by ComfyUI's interpreter: how much memory a larger model takes that crosses the bridges.

    python tests/comfyui/native_memory.py COMFYUI . FOLDER in|out

`in`: ComfyUI loads a model and our nodes sample with it; `out`: our nodes load it and ComfyUI's network samples. Prints
one JSON object in MiB.
"""

import json
import sys
from pathlib import Path

from native_parts import more, out, place, tiny_clip, tiny_model, tiny_vae, vae_file

# isort: split

import comfy.samplers
import comfy_extras.nodes_custom_sampler as custom
import torch
from safetensors.torch import save_file

from acestep_core.builtin import tiny
from acestep_core.checkpoints.shapes import dit_shapes, layer_types
from acestep_core.models.handles import ModelHandle, TextHandle, VAEHandle

WIDTH, LAYERS = 1024, 8
MIB = 1 << 20
(way,) = more
found = {}


def note(what):
    """Most memory of this process since the last note, and what it holds now, of it what is no page of a file."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found[what] = {name: int(told[key].split()[0]) >> 10 for name, key in NAMES.items()}
    Path("/proc/self/clear_refs").write_text("5")


NAMES = {"most": "VmHWM", "now": "VmRSS", "not of files": "RssAnon"}


def larger_file():
    size = {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "fsq_dim": WIDTH}
    size = {**tiny.DIT, **size, "num_hidden_layers": LAYERS, "layer_types": layer_types(LAYERS)}
    draws = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=draws) * (1.0 if len(shape) < 2 else shape[-1] ** -0.5)
        for name, shape in dit_shapes(size).items()
    }
    file = place / "acestep_v1.5_turbo.safetensors"
    save_file(tensors, file)
    return file


file = larger_file()
found["file"] = file.stat().st_size // MIB
song = out("ACEStepSong", caption="calm", lyrics="[Verse]\nla la", duration=10.0)[0]
task = out("ACEStepTextToMusic", song=song)[0]
sigmas = torch.tensor([1.0, 0.5, 0.0])
clip, vae = tiny_clip(), tiny_vae()
note("before")
if way == "in":
    model = tiny_model(file, WIDTH, LAYERS)
    note("loaded by ComfyUI")
    model, vae, _ = out("ACEStepFromNative", model=model, clip=clip, vae=vae)
else:
    text = TextHandle(place / "made" / "Qwen3-Embedding-0.6B", "fp32", "cpu")
    vae = VAEHandle(vae_file, "fp32", "cpu")
    model = ModelHandle(file, "fp32", "cpu", "turbo", text, vae)
told = out("ACEStepConditioning", model=model, song=song, task=task)[0]
ours = out("ACEStepSampler", model=model, conditioning=told, seed=1, batch_size=1, sampler="euler", sigmas=sigmas)[0]
note("sampled by ACE-Step Sampler")
if way == "out":
    native, _, positive, empty = out("ACEStepToNative", model=model, vae=vae, conditioning=told)
    guider = custom.Guider_Basic(native)
    guider.set_conds(positive)
    euler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        custom.SamplerCustomAdvanced.execute(custom.Noise_RandomNoise(1), guider, euler, sigmas, empty)
    note("sampled by SamplerCustomAdvanced")
sys.stdout.write(json.dumps(found) + "\n")

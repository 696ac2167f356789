"""Run by ComfyUI's interpreter: how fast its loop writes codes beside ours, over the same random weights.

    python tests/comfyui/native_speed.py COMFYUI . [SIZE]

One song with guidance on one thread of a processor, as `acestep bench lm` has it: in turn, the prompt taken off. Prints
one JSON object with milliseconds per token, the least of three rounds.
"""

import functools
import json
import sys
from argparse import Namespace
from pathlib import Path

comfyui, pack = map(Path, sys.argv[1:3])
size = sys.argv[3] if len(sys.argv) > 3 else "tiny"
sys.argv = ["main.py", "--cpu"]
sys.path[:0] = [str(comfyui), str(pack)]

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.text_encoders.ace15 as ace15  # noqa: E402
import comfy.text_encoders.llama as llama  # noqa: E402
import torch  # noqa: E402

from acestep_core.commands.benches import lm_bench  # noqa: E402
from acestep_core.options import LMSampling  # noqa: E402
from acestep_core.planner.decode import CodesPrompt, decode_codes  # noqa: E402

OPTIONS = Namespace(prompt=400, tokens=60, cfg=2.0, batch=1, rounds=3)
FIELDS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
PROCESSOR = torch.device("cpu")


def their_writer(lm):
    config = lm.model.config
    llama.Qwen3_2B_ACE15_lm_Config.head_dim = config.head_dim
    sized = {name: getattr(config, name) for name in (*FIELDS, "num_key_value_heads")}
    llama.Qwen3_2B_ACE15_lm_Config = functools.partial(llama.Qwen3_2B_ACE15_lm_Config, **sized)
    model = ace15.Qwen3_2B_ACE15(dtype=torch.float32)
    model.load_sd({f"model.{name}": tensor for name, tensor in lm.model.state_dict().items()})
    codes = {"audio_start_id": lm.ids.first_code, "audio_end_id": lm.ids.first_code + lm.ids.codes}

    def write(count, temperature=0.85):
        told = {"min_tokens": count, "max_new_tokens": count, "temperature": temperature, **codes}
        ids = [*lm_bench.prompts(lm, OPTIONS.prompt)]
        return ace15.sample_manual_loop_no_classes(model, ids, torch.float32, OPTIONS.cfg, **told)

    return write


torch.set_grad_enabled(False)
torch.set_num_threads(1)
lm = lm_bench.random_model(size, PROCESSOR, torch.float32)
writers = {"acestep": lm_bench.our_writer(lm, OPTIONS), "ComfyUI": their_writer(lm)}
song = CodesPrompt(*lm_bench.prompts(lm, OPTIONS.prompt), seed=0)
(likeliest,) = decode_codes(lm, [song], LMSampling(temperature=0.0, cfg_scale=OPTIONS.cfg), 12)
assert list(likeliest) == writers["ComfyUI"](12, 0.0), "both must choose the same codes"
found = lm_bench.seconds_per_token(writers, OPTIONS, PROCESSOR)
best = {name: 1000 * min(times) for name, times in found.items()}
sys.stdout.write(json.dumps({"size": size, **best, "times": best["ComfyUI"] / best["acestep"]}) + "\n")

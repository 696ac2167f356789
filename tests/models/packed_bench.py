"""Memory and time of a random DiT of middle size whose weights stay packed, or are unpacked when it is loaded.

`python -m tests.models.packed_bench [TYPE ...]` prints two lines for each type, every one measured in a process of its
own: memory that is not mapped from the file, and time of the processor. The blocks are random: neither time nor memory
depends on their values.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gguf
import torch

from acestep_core.builtin.tiny import DIT
from acestep_core.checkpoints import shapes
from acestep_core.checkpoints.stored import BLOCKS
from acestep_core.models import loading
from acestep_core.models.handles import ModelHandle
from tests.checkpoints.test_packing import blocks
from tests.gguf_files import CONFIG

MIDDLE = DIT | {
    **{"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 8, "layer_types": shapes.layer_types(8)},
    **{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 128, "fsq_dim": 1024, "is_turbo": True},
}
FRAMES, STATES, STEPS = 750, 200, 3  # half a minute


def write(path: Path, kind: str) -> None:
    writer = gguf.GGUFWriter(path, "acestep-dit")
    writer.add_string(CONFIG, json.dumps(MIDDLE))
    for name, shape in shapes.dit_shapes(MIDDLE).items():
        if len(shape) == 2 and shape[1] % BLOCKS[kind][0] == 0:
            packed = blocks(kind, *shape, size=1e-4).data.view(shape[0], -1).numpy()
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType[kind])
        else:
            writer.add_tensor(name, (torch.randn(shape) * 0.02).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def memory(name: str) -> float:
    """A line of the kernel's account of this process, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def measure(path: Path, packed: bool, dtype: torch.dtype) -> str:
    loading.stays_packed = lambda *_: packed  # type: ignore[assignment]
    how = loading.How(dtype, torch.device("cpu"), mapped=True)
    before, start = memory("RssAnon"), time.process_time()
    model, _ = loading.load_model(ModelHandle(path), how)
    loaded, own = time.process_time() - start, memory("RssAnon") - before
    x, context, condition = (torch.randn(1, *s).to(dtype) for s in ((FRAMES, 64), (FRAMES, 128), (STATES, 1024)))
    with torch.inference_mode():
        prepared = model.decoder.prepare(condition, FRAMES)
        seconds = []
        for _ in range(STEPS):
            start = time.process_time()
            model.decoder(x, torch.tensor([0.5], dtype=dtype), context, prepared)
            seconds.append(time.process_time() - start)
    work = memory("RssAnon") - before
    return f"{own:5.0f} MB once loaded, {work:5.0f} MB at work; load {loaded:4.1f} s, step {min(seconds):4.2f} s"


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        print(measure(Path(sys.argv[2]), sys.argv[3] == "packed", getattr(torch, sys.argv[4])))  # noqa: T201
        return
    for kind in sys.argv[1:] or ("Q8_0", "Q4_K"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"acestep-v15-turbo-{kind}.gguf"
            write(path, kind)
            for dtype in ("float32", "bfloat16"):
                for how in ("packed", "unpacked"):
                    command = [sys.executable, "-m", "tests.models.packed_bench", "one", str(path), how, dtype]
                    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
                    print(f"{kind} of {path.stat().st_size / 1e6:.0f} MB, {dtype:8} {how:8} {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()

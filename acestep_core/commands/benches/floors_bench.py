"""What the stages of a song cost at least on this machine: operations and bytes counted at real size, without running
them, over what the machine was seen to do in the same run.

Words, codes and lengths are those of a usual song: 350 words, five codes a second for two rows, 150 tokens of a plan.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner, sizes
from acestep_core.vocabulary import CODE_RATE, LATENT_RATE

if TYPE_CHECKING:
    import torch

HELP = "the least that songs cost on this machine"
STEPS, GUIDED_STEPS = 8, 50
STATES, PROMPT, PLAN = 350, 120, 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = ("2b", "xl", "vae", "0.6b", "1.7b", "4b")
    runner.add_arguments(parser, names, seconds=(30, 120, 240, 600))
    parser.set_defaults(size=list(names))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from acestep_core import devices
    from acestep_core.io import system

    device = devices.pick_device(options.device)
    dtype = devices.dtype_for("dit", device, options.dtype)
    with devices.threads(options.threads):
        roofline = runner.Roofline.of(device, dtype)
    rows = []
    with torch.inference_mode(), torch.device("meta"):
        for size in options.size:
            for seconds in options.seconds:
                for batch in options.batch:
                    for what, flops, reads in works(size, seconds, batch, dtype):
                        floor = roofline.floor(flops, reads)
                        rows.append({"what": what, "seconds": seconds, "batch": batch, "flops": flops, "reads": reads,
                                     "floor": floor, "realtime": seconds * batch / floor})  # fmt: skip
    return {
        "benchmark": "floors",
        "device": system.processor_name() if devices.is_host(device) else devices.device_name(device),
        "dtype": devices.dtype_name(dtype),
        "threads": options.threads,
        "roofline": {"flops": roofline.flops, "bandwidth": roofline.bandwidth},
        "rows": rows,
        "ratios": {},
    }


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    top = result["roofline"]
    lines = [
        f"{result['device']}, {result['dtype']}, {result['threads']} threads: matrix product "
        f"{top['flops'] / 1e9:,.0f} GFLOP/s, copy {top['bandwidth'] / 1e9:,.1f} GB/s",
        "",
        f"{'':28}{'music s':>8}{'songs':>6}{'TFLOP':>10}{'GB':>9}{'least s':>10}{'x time':>9}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['what']:28}{row['seconds']:8g}{row['batch']:6}{row['flops'] / 1e12:10.2f}{row['reads'] / 1e9:9.1f}"
            f"{row['floor']:10.3f}{row['realtime']:9.1f}"
        )
    return "\n".join(lines)


def works(size: str, seconds: float, batch: int, dtype: torch.dtype) -> Iterator[tuple[str, float, float]]:
    """What is done with networks of this size, with operations and bytes. Everything stands on the meta device."""
    frames = round(seconds * LATENT_RATE)
    if size in sizes.DIT:
        decoder = _on_meta(lambda: _decoder(size), dtype)
        one = runner.flops_of(partial(_step, decoder, frames, dtype))
        for what, steps, rows in (("turbo", STEPS, 1), ("guided", GUIDED_STEPS, 2)):
            flops = one * batch * rows
            yield f"{size}, {steps} steps, {what}", steps * flops, steps * sizes.weight_bytes(decoder)
    elif size == "vae":
        vae = _on_meta(_vae, dtype)
        one = runner.flops_of(lambda: vae.decode(_empty(1, 64, LATENT_RATE, dtype=dtype)))
        yield "vae, decoding", one * seconds * batch, sizes.weight_bytes(vae.decoder)
    else:
        yield f"lm {size}, plan and codes", *_lm(size, seconds, batch, dtype)


def _lm(size: str, seconds: float, batch: int, dtype: torch.dtype) -> tuple[float, float]:
    """Each token reads the body, the rows of the head that it may become, and all keys and values before it."""
    hidden, width, layers, heads, kv_heads, head_dim = sizes.LM[size]
    body = layers * (hidden * head_dim * (2 * heads + 2 * kv_heads) + 3 * hidden * width)
    kept = 2 * layers * kv_heads * head_dim
    codes, prompt = seconds * CODE_RATE, PROMPT + 2 * seconds
    rows = 2 * batch
    reads = PLAN * (body + sizes.TEXT_ROWS * hidden + kept * (prompt + PLAN / 2))
    reads += codes * (body + 64_000 * hidden + rows * kept * (prompt + PLAN + codes / 2))
    flops = 2 * body * (prompt * rows + PLAN + codes * rows) + 2 * hidden * (
        PLAN * sizes.TEXT_ROWS + codes * rows * 64_000
    )
    return flops, reads * dtype.itemsize


def _decoder(size: str) -> Any:
    from acestep_core.models.dit import DiT

    return DiT(sizes.config_of(size))


def _vae() -> Any:
    from acestep_core.models.oobleck import OobleckConfig, OobleckVAE

    return OobleckVAE(OobleckConfig())


def _step(decoder: Any, frames: int, dtype: torch.dtype) -> None:
    prepared = decoder.prepare(_empty(1, STATES, decoder.config.encoder_dim, dtype=dtype), frames)
    decoder(_empty(1, frames, 64, dtype=dtype), _empty(1, dtype=dtype), _empty(1, frames, 128, dtype=dtype), prepared)


def _empty(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    import torch

    return torch.empty(shape, dtype=dtype)


def _on_meta(build: Callable[[], Any], dtype: torch.dtype) -> Any:
    return build().to(dtype).eval().requires_grad_(False)

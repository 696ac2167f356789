"""How much memory a long song takes, each measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.capabilities import needs_rusage

MEASURE = """
import resource, sys
import torch
from acestep_core.pipeline.opening import open_models
from acestep_core.render.stages import decode_latents

torch.set_num_threads(1)
latents = torch.randn(1, 25 * int(sys.argv[2]), 64, generator=torch.Generator().manual_seed(0))
audio = decode_latents(open_models(sys.argv[1], "turbo").vae, latents)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, audio.nbytes)
"""


def peak_and_output(root, seconds: int) -> tuple[int, int]:
    command = [sys.executable, "-c", MEASURE, str(root), str(seconds)]
    peak, output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(peak), int(output)


@needs_rusage
@pytest.mark.skipif(sys.platform == "darwin", reason="it counts bytes there, not kibibytes")
def test_ten_minutes_decode_in_little_more_memory_than_one(tiny_root):
    short, _ = peak_and_output(tiny_root, 60)
    long, output = peak_and_output(tiny_root, 600)
    assert output == 600 * 48000 * 2 * 4
    assert long <= 1.5 * short + output

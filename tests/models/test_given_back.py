"""What models took in main memory is the system's again once they are unloaded."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from tests.capabilities import needs_proc


def _glibc() -> bool:
    try:
        return hasattr(ctypes.CDLL(None), "malloc_trim")
    except TypeError:  # Windows has no library of everything
        return False


SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from acestep_core.models.entry import Entry
from acestep_core.models.manager import ModelManager

def held():
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0]) >> 10

def model():
    return nn.ModuleList(nn.Linear(512, 512) for _ in range(200))  # 200 MiB in pieces that glibc takes from its heap

model()  # the first ones were mapped each by itself; from now on they are not
manager = ModelManager()
before = held()
entry = Entry(("dit", "x"), model(), torch.device("cpu"))
manager._entries[entry.key] = entry
above = [torch.ones(64) for _ in range(1000)]
full = held()
manager.forget(entry) if sys.argv[1] == "forget" else manager.unload()
print(before, full, held())
"""


@needs_proc
@pytest.mark.skipif(not _glibc(), reason="only glibc keeps what was freed")
@pytest.mark.parametrize("way", ["unload", "forget"])
def test_unloaded_models_leave_the_process(way: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, way], capture_output=True, text=True, check=True)
    before, full, after = map(int, done.stdout.split())
    assert full - before > 150
    assert after - before < 50

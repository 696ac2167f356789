"""Runs before ComfyUI loads node packs: notes what loading ours costs and which modules it brings along."""

import importlib.machinery
import sys
import time
from pathlib import Path

_exec_module = importlib.machinery.SourceFileLoader.exec_module


def exec_module(self, module):
    if Path(self.path).parts[-2:] != ("acestep-nodes", "__init__.py"):
        return _exec_module(self, module)
    before, clock, cpu = set(sys.modules), time.perf_counter(), time.thread_time()
    _exec_module(self, module)
    sys.acestep_import = {
        "seconds": time.perf_counter() - clock,
        "cpu_seconds": time.thread_time() - cpu,
        "modules": sorted(set(sys.modules) - before),
    }


importlib.machinery.SourceFileLoader.exec_module = exec_module

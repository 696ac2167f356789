"""Our models under ComfyUI's memory management, with a made-up ComfyUI."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import OutOfMemory
from acestep_core.models.manager import ModelManager


class Patcher:
    """Stands for ComfyUI's `ModelPatcher`."""

    def __init__(self, model: Any, load_device: torch.device, offload_device: torch.device, size: int) -> None:
        self.model, self.load_device, self.size = model, load_device, size

    def add_callback(self, kind: str, call: Any) -> None:
        pass

    def detach(self) -> None:
        pass


class Comfy:
    """Stands for `comfy.model_management`; notes what it is asked."""

    def __init__(self) -> None:
        self.device, self.error = torch.device("cpu"), None
        self.asked: list[tuple[list[Any], float]] = []
        self.freed: list[tuple[float, torch.device, list[Any]]] = []
        self.current_loaded_models: list[Any] = []

    def get_torch_device(self) -> torch.device:
        return self.device

    def unet_offload_device(self) -> torch.device:
        return torch.device("cpu")

    def load_models_gpu(self, models: list[Any], memory_required: float, force_full_load: bool) -> None:
        if self.error is not None:
            raise self.error
        self.asked.append((models, memory_required))
        self.current_loaded_models = [SimpleNamespace(model=model) for model in models]

    def free_memory(self, wanted: float, device: torch.device, keep_loaded: list[Any]) -> list[Any]:
        self.freed.append((wanted, device, [loaded.model for loaded in keep_loaded]))
        return ["another pack's model"]


@pytest.fixture
def comfy(pack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The made-up ComfyUI, with a manager that leaves the moving to it."""
    found = Comfy()
    callbacks = SimpleNamespace(CallbacksMP=SimpleNamespace(ON_DETACH="detach"))
    monkeypatch.setitem(sys.modules, "comfy.model_management", found)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "comfy.model_patcher", SimpleNamespace(ModelPatcher=Patcher))  # type: ignore
    monkeypatch.setitem(sys.modules, "comfy.patcher_extension", callbacks)  # type: ignore[arg-type]
    found.seam = seam_of(pack)
    found.manager = ModelManager()
    found.manager.placement = found.seam.ComfyPlacement()
    return found


def seam_of(pack: Any) -> ModuleType:
    return import_module(pack.classes["ACEStepSong"].__module__.removesuffix("song") + "comfy_memory")


def test_comfyui_hears_what_the_work_needs(comfy: Any, tiny_models: Any) -> None:
    manager, text = comfy.manager, tiny_models.model.text
    with manager.resident(tiny_models.vae, 7 << 20), manager.resident(text, lambda text: 5 << 20):
        pass
    (first, seven), (both, five) = comfy.asked
    assert (seven, five) == (7 << 20, 5 << 20)
    assert set(first) < set(both), "a model in use is named again"
    assert [(wanted, len(kept)) for wanted, _, kept in comfy.freed] == [(7 << 20, 1), (5 << 20, 2)]


def test_after_running_out_others_leave_and_the_work_is_done_in_halves(comfy: Any, tiny_models: Any) -> None:
    tried = []

    def work(vae: Any, size: int) -> int:
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return size

    assert comfy.manager.run(tiny_models.vae, work, lambda vae, size: 0, 4) == 2
    assert tried == [4, 2]
    ((wanted, device, kept),) = comfy.freed
    assert wanted == devices.UNLIMITED and device == torch.device("cpu") and len(kept) == 1


def test_a_model_that_comfyui_cannot_place_is_one_sentence(comfy: Any, tiny_models: Any) -> None:
    comfy.error = torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(OutOfMemory, match="MiB free"), comfy.manager.resident(tiny_models.vae):
        pytest.fail("nothing runs")


def test_comfyui_finds_our_models_under_its_own_name_for_the_device(comfy: Any) -> None:
    """It says mps where tensors say mps:0, and compares the two to find what may leave."""
    comfy.device = torch.device("mps")
    placement = comfy.manager.placement
    assert placement._device(SimpleNamespace(device=torch.device("mps:0"))) == torch.device("mps")
    assert placement._device(SimpleNamespace(device=torch.device("cpu"))) == torch.device("cpu")
    moved = []
    entry = SimpleNamespace(
        device=torch.device("mps:0"), go_out=lambda: moved.append("out"), go_home=lambda: moved.append("home")
    )
    weights = comfy.seam.ACEStepWeights(entry)
    weights.to(torch.device("mps"))
    weights.to(torch.device("cpu"))
    assert moved == ["out", "home"]

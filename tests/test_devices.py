from __future__ import annotations

import os
import platform
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from acestep_core import devices
from acestep_core.errors import InvalidInput

CPU = torch.device("cpu")


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_devices_carry_their_number(two_cards):
    named = {"cuda": "cuda:0", "cuda:1": "cuda:1", "mps": "mps:0", "mps:0": "mps:0", "cpu": "cpu", "auto": "cuda:0"}
    assert {name: str(devices.pick_device(name)) for name in named} == named
    assert devices.pick_device("cpu:0") == torch.zeros(1).device
    assert devices.device_choices() == ["auto", "cuda:0", "cuda:1", "mps:0", "cpu"]


@pytest.mark.parametrize(
    "name", ["cuda:7", "cuda:-1", "xpu", "xpu:0", "mps:1", "warp drive", "meta", "privateuseone:0"]
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(two_cards, name):
    with pytest.raises(InvalidInput, match=r"auto, cuda:0, cuda:1, mps:0, cpu\.$"):
        devices.pick_device(name)


def test_a_back_end_that_only_the_host_knows_is_taken_once_it_works(monkeypatch):
    """DirectML calls itself privateuseone."""

    class Made:
        device = torch.device("privateuseone:0")

    monkeypatch.setattr(torch, "empty", lambda size, device: Made)
    assert str(devices.pick_device("privateuseone")) == "privateuseone:0"
    assert devices.free_memory(Made.device) == devices.UNLIMITED


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        RuntimeError("Could not allocate tensor with 9 bytes. There is not enough GPU video memory available!"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("Native API returns: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    ],
)
def test_every_back_ends_word_for_full_is_known(error):
    assert devices.is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), OSError("full")])
def test_other_errors_are_other_errors(error):
    assert not devices.is_out_of_memory(error)


@pytest.mark.parametrize(
    "version, longest", [("14.6.1", 65_536), ("15.0", 65_536), ("15.1", None), ("26.1", None), ("", 65_536)]
)
def test_what_apples_gpus_cannot_do(monkeypatch, version, longest):
    devices.limits.cache_clear()
    monkeypatch.setattr(platform, "mac_ver", lambda: (version, ("", "", ""), ""))
    found = devices.limits(torch.device("mps:0"))
    devices.limits.cache_clear()
    assert found.convolution == longest
    assert not (found.float64 or found.fused_attention or found.grouped_attention or found.shifts)


def test_whoever_uses_what_some_device_cannot_do_asks_first():
    """Double precision, the flags of fused attention and shifts: those who name them ask `devices.limits`."""
    risky = re.compile(r"torch\.(float64|complex|double)|\.double\(\)|is_causal|enable_gqa|bits >> ")
    folder = Path(devices.__file__).parent
    for room in ("models", "render", "planner", "judge", "pipeline", "train"):
        for path in (folder / room).glob("*.py"):
            text = path.read_text(encoding="utf-8")
            in_main_memory = path.name == "lm_score.py"  # whose results are brought there first
            assert not risky.search(text) or "devices.limits(" in text or in_main_memory, path.name


def test_every_kind_of_card_is_described(two_cards, monkeypatch):
    about = SimpleNamespace(total_memory=8 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: about)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5 << 30, 8 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1 << 30)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 16 << 30)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 3 << 30)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 1 << 30)
    cards = devices.describe_accelerators()
    assert [(card["type"], card["index"], card["vram_total"] >> 30, card["vram_free"] >> 30) for card in cards] == [
        ("cuda", 0, 8, 6), ("cuda", 1, 8, 6), ("mps", 0, 16, 15),
    ]  # fmt: skip
    assert [(card["torch_vram_total"] >> 30, card["torch_vram_free"] >> 30) for card in cards] == [
        (2, 1),
        (2, 1),
        (3, 2),
    ]


def test_a_card_that_torch_cannot_use_is_said(monkeypatch):
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not devices.unused_card()
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "pytorch.org" in devices.unused_card()
    monkeypatch.setattr(devices, "available_devices", lambda: ["cuda:0", "cpu"])
    assert not devices.unused_card()


@pytest.mark.parametrize("told", [{"avx512_bf16": True}, {"amx_bf16": True, "avx512_bf16": False}])
def test_a_processor_computes_large_models_in_bf16_if_it_can(monkeypatch, told):
    devices._processor_has_bf16.cache_clear()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    try:
        for role in ("dit", "text", "lm"):
            assert devices.dtype_for(role, CPU, values=lambda: devices.WORTH_BF16) is torch.bfloat16
            assert devices.dtype_for(role, CPU, values=lambda: devices.WORTH_BF16 - 1) is torch.float32
            assert devices.dtype_for(role, CPU, "fp32", lambda: devices.WORTH_BF16) is torch.float32
        assert devices.dtype_for("vae", CPU, values=lambda: 1 << 40) is torch.float32
    finally:
        devices._processor_has_bf16.cache_clear()


@pytest.mark.parametrize("told", [{}, {"avx512_bf16": False, "avx2": True}, None])
def test_a_processor_that_cannot_stays_with_fp32(monkeypatch, told):
    devices._processor_has_bf16.cache_clear()
    if told is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)
    try:
        assert devices.dtype_for("dit", CPU, values=lambda: 1 << 40) is torch.float32
    finally:
        devices._processor_has_bf16.cache_clear()


def test_free_memory_is_known_on_systems_that_do_not_tell_it_by_sysconf(monkeypatch):
    """Windows has no `sysconf`, macOS not the name."""
    import psutil  # which reads it itself, once, where it is there

    assert psutil
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert 0 < devices.free_ram() < devices.total_memory(torch.device("cpu"))

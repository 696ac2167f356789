"""ComfyUI's number formats, where a loader leaves its own open."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

PARTS = {
    "unet": ("fp32", "fp64", "bf16", "fp16", "fp8_e4m3fn", "fp8_e5m2", "fp8_e8m0fnu"),
    "vae": ("fp16", "fp32", "bf16"),
    "text_enc": ("fp8_e4m3fn", "fp8_e5m2", "fp16", "fp32", "bf16"),
}


def started(*flags: str) -> Namespace:
    """ComfyUI's arguments with some of these flags."""
    known = [f"{name}_{part}" for part, names in PARTS.items() for name in names]
    known += ["force_fp32", "force_fp16", "cpu_vae", "fp16_intermediates", "supports_fp8_compute"]
    return Namespace(**{name: name in flags for name in known}, preview_size=512)


@pytest.fixture
def seam(pack: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = pack.classes["ACEStepSong"].__module__.removesuffix("song")
    return import_module(module + "comfy_flags"), sys.modules[module + "host"]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((), ("auto", "auto", "auto", "auto")),
        (("cpu_vae", "fp16_intermediates", "supports_fp8_compute"), ("auto", "auto", "auto", "auto")),
        (("fp32_unet",), ("fp32", "auto", "auto", "auto")),
        (("bf16_unet", "fp32_vae"), ("bf16", "fp32", "auto", "auto")),
        (("bf16_vae", "fp16_text_enc"), ("auto", "bf16", "fp16", "fp16")),
        (("force_fp32",), ("fp32", "fp32", "fp32", "fp32")),
        (("force_fp32", "bf16_text_enc"), ("fp32", "fp32", "bf16", "bf16")),
    ],
)
def test_what_the_command_line_names_is_taken(seam: Any, flags: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    flags_of, _ = seam
    args = started(*flags)
    assert [flags_of.precision(role, args) for role in ("dit", "vae", "text", "lm")] == [(w, "") for w in wanted]


@pytest.mark.parametrize(
    ("flags", "role", "said"),
    [
        (("fp16_unet",), "dit", "--fp16-unet is not followed: the diffusion model of"),
        (("fp16_unet", "force_fp16"), "dit", "--force-fp16 is not followed: the diffusion model of"),
        (("fp64_unet",), "dit", "--fp64-unet is"),
        (("fp8_e4m3fn_unet",), "dit", "--fp8_e4m3fn-unet is"),
        (("fp16_vae",), "vae", "--fp16-vae is not followed: the VAE of"),
        (("fp8_e5m2_text_enc",), "lm", "--fp8_e5m2-text-enc is not followed: the language model of"),
    ],
)
def test_what_cannot_be_followed_is_said(seam: Any, flags: tuple[str, ...], role: str, said: str) -> None:
    flags_of, _ = seam
    dtype, remark = flags_of.precision(role, started(*flags))
    assert dtype == "auto" and remark.startswith(said) and remark.endswith(".")


def test_loaders_open_models_as_comfyui_was_started(
    seam: Any, call: Callable[..., Any], pack: Any, folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags_of, host = seam
    args = started("bf16_unet", "fp16_vae", "fp32_text_enc", "cpu_vae")
    monkeypatch.setattr(host.EmbeddedHost, "precision", lambda self, role: flags_of.precision(role, args))
    monkeypatch.setattr(host.EmbeddedHost, "device", lambda self, role="dit": "cpu" if role == "vae" else "auto")
    model, vae, lm = call("ACEStepLoader", preset="auto")
    assert [part.dtype for part in (model, model.text, model.vae, vae, lm)] == ["bf16", "fp32", "auto", "auto", "fp32"]
    assert [part.device for part in (model, model.text, model.vae, vae)] == ["auto", "auto", "cpu", "cpu"]
    small = call("ACEStepLoader", preset="under 6 GB: 0.6B language model, all in int8")
    assert [part.dtype for part in (small[0], small[0].text, small[2])] == ["int8"] * 3, "the preset decided it"
    assert [part.dtype for part in (small[0].vae, small[1])] == ["auto"] * 2, "of a VAE it says nothing"
    (model,) = call("ACEStepModelLoader", model="auto", dtype="fp32")
    assert (model.dtype, model.vae.dtype) == ("fp32", "fp32")
    assert call("ACEStepVAELoader", vae="auto")[0] == vae and call("ACEStepLMLoader", lm="auto")[0] == lm

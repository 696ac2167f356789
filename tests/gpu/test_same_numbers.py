"""A card computes what the processor computes: every network, and whole songs of every kind."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from acestep_core import generate
from acestep_core.commands.benches import sizes
from acestep_core.devices import supports_bf16
from acestep_core.models.entry import Entry
from acestep_core.models.handles import Models
from acestep_core.planner.think import Thinking
from tests.gpu.cards import Card, lively

CPU = torch.device("cpu")
Network = Callable[[Any, Callable[..., Tensor]], Tensor]
"""From a module and what makes its inputs to what it computes."""


def _step(model: Any, drawn: Callable[..., Tensor]) -> Tensor:
    frames = 501
    states = drawn(2, 70, model.config.encoder_dim)
    prepared = model.decoder.prepare(states, frames).joined(
        model.decoder.prepare(model.null_condition_emb.expand(2, -1, -1), frames)
    )
    t = torch.full((4,), 0.6, dtype=model.dtype, device=model.device)
    return model.decoder(drawn(4, frames, 64), t, drawn(4, frames, 128), prepared)


def _hints(model: Any, drawn: Callable[..., Tensor]) -> Tensor:
    return model.hints(torch.arange(100, device=model.device)[None] * 601)


def _conditions(model: Any, drawn: Callable[..., Tensor]) -> Tensor:
    config = model.config
    width = config.text_hidden_dim
    return model.encoder(drawn(1, 60, width), drawn(1, 300, width), drawn(2, config.timbre_fix_frame, 64))[0]


def _read(model: Any, drawn: Callable[..., Tensor]) -> Tensor:
    device = next(model.parameters()).device
    return model((torch.arange(260, device=device) * 7 % 2000)[None])


def _decoded(vae: Any, drawn: Callable[..., Tensor]) -> Tensor:
    return vae.decode(drawn(1, 64, 60))


def _encoded(vae: Any, drawn: Callable[..., Tensor]) -> Tensor:
    return vae.posterior(0.1 * drawn(1, 2, 1920 * 60))[0]


MODULES: dict[str, Callable[[], Any]] = {
    "model": lambda: lively(sizes.random_model("mid", CPU, torch.float32)),
    "qwen": lambda: sizes.random_qwen("tiny", 2000, CPU, torch.float32),
    "vae": lambda: lively(sizes.random_vae("mid", CPU, torch.float32)),
}
NETWORKS: dict[str, tuple[str, Network, float]] = {
    "dit": ("model", _step, 0.05),
    "hints": ("model", _hints, 0.05),
    "conditions": ("model", _conditions, 0.05),
    "text": ("qwen", _read, 0.05),
    "decode": ("vae", _decoded, 0.2),
    "encode": ("vae", _encoded, 0.2),
}
"""By name: of which module, what it computes, and how far bf16 may lead away."""
EXACT = 2e-4


def drawn_for(device: torch.device, dtype: torch.dtype) -> Callable[..., Tensor]:
    draws = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, generator=draws).to(device, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network(name: str, dtype: torch.dtype, card: Card) -> None:
    if dtype == torch.bfloat16 and card.real and not supports_bf16(card.device):
        pytest.skip("this card does not compute in bf16")
    part, network, rounded = NETWORKS[name]
    module = MODULES[part]()
    moved = deepcopy(module).to(card.device, dtype)

    with torch.inference_mode():
        right = network(module, drawn_for(CPU, torch.float32))
        found = network(moved, drawn_for(card.device, dtype)).float().cpu()
    assert (found - right).norm() / right.norm() < (EXACT if dtype == torch.float32 else rounded)


def test_layers_that_come_in_turns(card: Card) -> None:
    """The same to the bit as with all of them there."""
    entry = Entry("turns", MODULES["model"]().to(card.dtype), card.device, streams=True)

    def made() -> Tensor:
        with torch.inference_mode():
            return _step(entry.module, drawn_for(card.device, card.dtype))

    entry.settle(1 << 60)
    entry.go_out()
    whole = made()
    entry.go_home()
    entry.settle(-(1 << 60))
    entry.go_out()
    assert entry.streaming.count and entry.placed
    assert torch.equal(made(), whole)


@pytest.fixture
def both(tiny_models: Models, card: Card) -> tuple[Models, Models]:
    """The tiny checkpoint in fp32 on the processor and on the card."""

    def on(device: str) -> Models:
        def placed(handle: Any) -> Any:
            return replace(handle, device=device, dtype="fp32")

        model = replace(placed(tiny_models.model), text=placed(tiny_models.model.text))
        return replace(tiny_models, model=model, vae=placed(tiny_models.vae), lm=placed(tiny_models.lm))

    return on("cpu"), on(str(card.device))


@pytest.mark.parametrize("kind", ["text2music", "thought", "batch", "repaint", "cover", "reference"])
def test_a_song(kind: str, both: tuple[Models, Models]) -> None:
    def made(models: Models) -> Any:
        asked: dict[str, Any] = {"duration": 12, "seed": 3, "models": models, "progress": False}
        if kind == "thought":
            return generate("calm piano", think=Thinking(), **asked)
        if kind == "batch":
            return generate("calm piano", lyrics="[Verse]\nhello", batch=3, **asked)
        song = generate("calm piano", **asked)
        if kind == "repaint":
            return song.repaint(3, 6, "rock", seed=4)
        if kind == "cover":
            return song.cover("rock", strength=0.7, seed=4)
        if kind == "reference":
            return generate("rock", references=[song], **asked)
        return song

    right, found = (made(models) for models in both)
    if kind == "thought":
        assert found.origin.codes == right.origin.codes
    for name in ("latents", "audio"):
        a, b = getattr(right, name), getattr(found, name)
        assert (a - b).norm() / a.norm() < 2e-3, name

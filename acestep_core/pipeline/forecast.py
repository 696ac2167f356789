"""How much memory a song takes, stage by stage, before anything is loaded: from headers and shapes, and by the rules by
which models are placed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from acestep_core import devices
from acestep_core.errors import InvalidInput
from acestep_core.judge.attention import BLOCK
from acestep_core.judge.lm_score import AT_ONCE
from acestep_core.models.acestep import tokenizing_bytes
from acestep_core.models.fits import STATES, USUAL
from acestep_core.models.handles import Handle, Models
from acestep_core.models.linear import narrower_in_int8, or_int8
from acestep_core.models.loading import How, outline
from acestep_core.models.manager import side_bytes
from acestep_core.models.memory import (
    at_once,
    conditioning_bytes,
    denoising_bytes,
    listening_bytes,
    reading_bytes,
    scoring_bytes,
    windowed,
)
from acestep_core.models.placement import RESERVE
from acestep_core.models.streaming import STREAMED, Streaming
from acestep_core.planner.decode import written_bytes
from acestep_core.planner.planning import CHUNK
from acestep_core.render import vae
from acestep_core.values import lasting, shown_size
from acestep_core.vocabulary import CAPTION_TOKENS, CODE_RATE, CODEBOOK_SIZE, FRAMES_PER_CODE, LATENT_RATE, LYRIC_TOKENS

PROMPT = 700
"""Tokens of a song with lyrics and its plan, as the language model reads it."""


@dataclass(frozen=True)
class Place:
    """A device, and how many bytes of memory it has; `name` is what it is called."""

    device: torch.device
    memory: int
    name: str

    @classmethod
    def of(cls, handle: Handle, card: int | None) -> Place:
        """Where a model computes; `card`: on a graphics card of so many bytes, which need not be there."""
        if card is not None:
            return cls(devices.SOME_CARD, card, "the card")
        device = devices.pick_device(handle.device)
        return cls(device, devices.total_memory(device), str(device))

    def how(self, handle: Handle) -> How:
        """In which form the model lies there."""
        dtype = handle.format_on(self.device)
        return How(dtype, self.device, True, handle.eight_bits, self.memory)


@dataclass(frozen=True)
class Stage:
    """What one stage takes on its device; sizes in bytes.

    Attributes:
        name: what it does, and `model`: with which files.
        weights: of the model; `home`: what of it stays in main memory, because the device is too small.
        work: besides the weights, with `at_once` songs, or frames of a tile, at a time.
        memory: what the device has.
        narrower: whether the number format int8 would make the weights smaller.
    """

    name: str
    model: str
    device: str
    weights: int
    home: int
    work: int
    at_once: int
    memory: int
    narrower: bool

    @property
    def total(self) -> int:
        return self.weights - self.home + self.work

    @property
    def fits(self) -> bool:
        return self.total + RESERVE <= self.memory

    def __str__(self) -> str:
        stays = f", {shown_size(self.home)} of it stay in main memory" if self.home else ""
        verdict = "" if self.fits else f": too much for {shown_size(self.memory)}"
        return (
            f"{self.name:9} {shown_size(self.total):>9} of {self.device}{verdict} ({self.model} "
            f"{shown_size(self.weights)}{stays}, work {shown_size(self.work)})"
        )


def forecast(
    models: Models,
    seconds: float,
    songs: int = 1,
    *,
    think: bool = False,
    coded: bool = False,
    guided: bool | None = None,
    draws: int = 0,
    listens: bool = False,
    times: bool = False,
    scores: bool = False,
    card: int | None = None,
) -> tuple[Stage, ...]:
    """The stages of a song, in their order.

    Args:
        seconds: of each song, and how many there are.
        think: whether the language model plans and writes codes, and `coded`: whether codes are given.
        guided: whether the null branch runs beside it; None is as the model's preset has it.
        draws: of noise in each step, where it goes from one caption to another; 0 where it does not.
        listens: whether recordings are encoded first, to work on or for their timbre.
        times: whether it is heard in the end when lyrics are sung, and `scores`: rated by the language model.
        card: on a graphics card of so many bytes, instead of on the models' own devices.

    Raises:
        InvalidInput: a host holds the models, and alone knows what they take.
    """
    if models.model.lent is not None or models.vae.lent is not None:
        raise InvalidInput("These models are ComfyUI's own, which has its own memory management.")
    frames, codes = round(seconds * LATENT_RATE), math.ceil(seconds * CODE_RATE)
    guided = not models.model.info.is_turbo if guided is None else guided

    def thinking(module: Any, size: int, place: Place) -> int:
        told = (module.config, _itemsize(module), place.device, size, 2 * size, PROMPT)
        return written_bytes(*told, codes, CODEBOOK_SIZE + 1)

    def reading(module: Any, size: int, place: Place) -> int:
        return reading_bytes(module.config, CAPTION_TOKENS, _itemsize(module))

    def conditioning(module: Any, size: int, place: Place) -> int:
        longest = windowed(module.config, LYRIC_TOKENS // 2)
        return conditioning_bytes(module.config, longest, STATES, codes * FRAMES_PER_CODE, _itemsize(module))

    def sampling(module: Any, size: int, place: Place) -> int:
        told = (module.config, size, frames, STATES * (1 + guided + (draws > 0)), _itemsize(module))
        return denoising_bytes(*told, guided=guided, draws=draws)

    def timing(module: Any, size: int, place: Place) -> int:
        return listening_bytes(module.config, frames, STATES, LYRIC_TOKENS // 2, BLOCK, _itemsize(module))

    def hearing(module: Any, size: int, place: Place) -> int:
        return tokenizing_bytes(module, frames)

    def scoring(module: Any, size: int, place: Place) -> int:
        return scoring_bytes(module.config, 1, PROMPT + codes, AT_ONCE, _itemsize(module))

    def encoding(module: Any, size: int, place: Place) -> int:
        return vae.encoding(module, size)

    def decoding(module: Any, size: int, place: Place) -> int:
        return vae.decoding(module, min(size, frames))

    def stage(name: str, handle: Handle, needs: Needs, size: int = 1, least: int = 1) -> Stage:
        place = Place.of(handle, card)
        return _stage(name, handle, outlined(handle, place.how(handle)), place, needs, size, least)

    outlined = cache(outline)  # several stages share a model

    model, lm = models.model, models.lm
    thought = [stage("think", lm, thinking, min(CHUNK, songs))] if think and lm is not None else []
    read = [stage("text", model.text, reading)] if model.text is not None else []
    tile = vae.largest_tile(Place.of(models.vae, card).device)
    heard = [stage("encode", models.vae, encoding, tile, vae.SMALLEST_TILE)] if listens else []
    return (
        *thought,
        *heard,
        *read,
        stage("condition", model.bare, conditioning),
        stage("sample", model, sampling, songs),
        stage("decode", models.vae, decoding, tile, vae.SMALLEST_TILE),
        *([stage("times", model, timing)] if times else []),
        *([stage("codes", model.bare, hearing)] if scores and lm is not None and not (think or coded) else []),
        *([stage("scores", lm, scoring)] if scores and lm is not None else []),
    )


def shortages(models: Models, seconds: float = USUAL) -> tuple[str, ...]:
    """What to say where a song of usual length is too much for a graphics card, or makes it slower; nothing where main
    memory is all there is.
    """
    if devices.is_host(devices.pick_device(models.model.device)) or models.model.lent or models.vae.lent:
        return ()
    told = {}
    for stage in forecast(models, seconds, think=True):
        has = shown_size(stage.memory)
        if not stage.fits:
            told[stage.model] = (
                f"{stage.model} takes about {shown_size(stage.total)} for a song of {lasting(seconds)}, and "
                f"{stage.device} has {has}; choose a smaller model{or_int8(stage.narrower)}."
            )
        elif stage.home and stage.name == "sample":
            told[stage.model] = (
                f"{stage.model} is slower here, because a part of it stays in main memory: {stage.device} has {has}."
            )
    return tuple(told.values())


Needs = Callable[[nn.Module, int, Place], int]


def _stage(name: str, handle: Handle, module: nn.Module, place: Place, needs: Needs, size: int, least: int) -> Stage:
    streaming, side = Streaming(module), side_bytes(handle, place.device)
    room = place.memory - streaming.whole - streaming.unpacking - side
    size = at_once(size, least, lambda size: needs(module, size, place), room)
    work = needs(module, size, place) + side
    if handle.role in STREAMED and not devices.is_host(place.device):
        streaming.keep(streaming.fitting(place.memory - work - RESERVE))
    sizes = (streaming.whole, streaming.staying, work + streaming.passing, size)
    return Stage(name, handle.path.name, place.name, *sizes, place.memory, narrower_in_int8(module))


def _itemsize(module: nn.Module) -> int:
    return next(module.parameters()).dtype.itemsize

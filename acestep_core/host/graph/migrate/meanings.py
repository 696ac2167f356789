"""What comes out of nodes that are not ours, in the terms of our chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acestep_core.host.graph.migrate.native_times import SHIFT
from acestep_core.host.graph.sketch import Out


@dataclass(frozen=True)
class Node:
    id: str
    kind: str
    title: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Model:
    file: str
    loras: tuple[tuple[str, float], ...] = ()
    shift: float = SHIFT
    guidance: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Clip:
    """Text encoder and language model; `lm` is the file of the latter, None for none."""

    lm: str | None


@dataclass(frozen=True)
class Vae:
    file: str


@dataclass(frozen=True)
class Text:
    """A text to follow. `lm` is None where no codes are written; `references` are recordings, `first` ACE-Step 1.0."""

    song: tuple[tuple[str, Any], ...]
    lm: str | None = None
    seed: Any = 0
    sampling: tuple[tuple[str, Any], ...] = ()
    references: tuple[Sound, ...] = ()
    first: bool = False


@dataclass(frozen=True)
class Nothing:
    """A text that was zeroed out."""


@dataclass(frozen=True)
class Sound:
    out: Out


@dataclass(frozen=True)
class Latent:
    out: Out


@dataclass(frozen=True)
class Empty:
    seconds: Any
    batch: Any


@dataclass(frozen=True)
class Encoded:
    """A recording as latents."""

    sound: Sound


@dataclass(frozen=True)
class Noise:
    """Of a seed; None for no noise at all."""

    seed: Any


@dataclass(frozen=True)
class Method:
    name: str


@dataclass(frozen=True)
class Steps:
    """What a scheduler was told; `values` where the times are written out."""

    scheduler: str
    steps: int
    denoise: float = 1.0
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Guider:
    model: Model
    positive: Text
    negative: Text | Nothing | None
    cfg: float

"""What published models weigh, and how long a song may be with them: from shapes alone, before anything is downloaded.

Sizes of the parts that are not DiTs are those of the published files.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cache
from math import prod

import torch

from acestep_core.checkpoints.catalog import LANGUAGE_MODELS, MAIN_FOLDERS, TEXT_ENCODER, VAE, VARIANTS, Variant
from acestep_core.checkpoints.shapes import dit_shapes
from acestep_core.models.acestep import AceStepModel
from acestep_core.models.config import AceStepConfig
from acestep_core.models.memory import denoising_bytes
from acestep_core.models.placement import RESERVE
from acestep_core.models.streaming import Streaming
from acestep_core.song.description import DURATION_MAX

BYTES = 2
"""Of a number, in bfloat16."""
FRAMES = 25
STATES = 1_500
"""Encoder states of a song with long lyrics."""
LENGTHS = (30, 60, 120, 240, 300, 480, int(DURATION_MAX))
"""Seconds that are tried."""
USUAL = 240
"""Seconds of a usual song. For what is longer some layers may come by turns without a word."""
BASE_CONFIG = AceStepConfig()
XL_CONFIG = AceStepConfig(
    hidden_size=2560,
    intermediate_size=9728,
    num_hidden_layers=32,
    num_attention_heads=32,
    encoder_hidden_size=2048,
    encoder_intermediate_size=6144,
    encoder_num_attention_heads=16,
    encoder_num_key_value_heads=8,
)
OTHERS = {VAE: 337_000_000, TEXT_ENCODER: 1_190_000_000} | dict(
    zip(LANGUAGE_MODELS, (1_200_000_000, 3_700_000_000, 8_400_000_000), strict=True)
)


@dataclass(frozen=True)
class Offer:
    """A model that can be downloaded.

    Attributes:
        name: as `checkpoints.catalog.downloads` knows it.
        bytes: of its files, about.
        longest: seconds of one song that the asked memory has room for with it; 0 where it does not fit, None for what
            is no DiT.
        streams: whether some of its layers have to stay in main memory for that, which is slower.
    """

    name: str
    bytes: int
    longest: int | None = None
    streams: bool = False


def config_of(variant: Variant) -> AceStepConfig:
    return XL_CONFIG if variant.xl else BASE_CONFIG


def weights(config: AceStepConfig) -> int:
    """Bytes of a DiT with its condition encoder and audio tokenizer."""
    return sum(prod(shape) for shape in dit_shapes(asdict(config)).values()) * BYTES


def longest_song(variant: Variant, memory: int, *, streams: bool = False) -> int:
    """Seconds of one song that fit into `memory` bytes beside the weights; 0 where nothing does.

    Args:
        streams: whether layers may stay in main memory.
    """
    config = config_of(variant)
    free = memory - (least_weights(config) if streams else weights(config)) - RESERVE
    fitting = [
        seconds
        for seconds in LENGTHS
        if denoising_bytes(config, 1, seconds * FRAMES, STATES, BYTES, guided=not variant.is_turbo) <= free
    ]
    return max(fitting, default=0)


@cache
def least_weights(config: AceStepConfig) -> int:
    """Bytes of it that are on a device if all layers that can stay in main memory do, with what comes by turns."""
    with torch.device("meta"):
        streaming = Streaming(AceStepModel(config).to(torch.bfloat16))
    streaming.keep(len(streaming.layers))
    return streaming.whole - streaming.staying + streaming.passing


def offers(memory: int, *, streams: bool = False) -> list[Offer]:
    """Everything that is published, in the order in which to look at it, for `memory` bytes.

    Args:
        streams: whether layers may stay in main memory, because that is another one.
    """
    dits = [_offer(variant, memory, streams) for variant in VARIANTS.values()]
    sizes = {offer.name: offer.bytes for offer in dits} | OTHERS
    main = replace(dits[0], name="main", bytes=sum(sizes[name] for name in MAIN_FOLDERS))
    return [main, *dits, *(Offer(name, size) for name, size in OTHERS.items())]


def _offer(variant: Variant, memory: int, streams: bool) -> Offer:
    size, whole = weights(config_of(variant)), longest_song(variant, memory)
    if whole >= USUAL or not streams:
        return Offer(variant.folder, size, whole)
    return Offer(variant.folder, size, longest_song(variant, memory, streams=True), True)

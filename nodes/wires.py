"""What flows between nodes: the names of the types, and the two native ones turned into the library's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from acestep_core.errors import InvalidInput
from acestep_core.vocabulary import SAMPLE_RATE

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.pipeline.made import Made

MODEL = "ACESTEP_MODEL"
LM = "ACESTEP_LM"
VAE = "ACESTEP_VAE"
SONG = "ACESTEP_SONG"
CODES = "ACESTEP_CODES"
TASK = "ACESTEP_TASK"
CONDITIONING = "ACESTEP_CONDITIONING"
GUIDANCE = "ACESTEP_GUIDANCE"
SAMPLING = "ACESTEP_SAMPLING"
TIMING = "ACESTEP_TIMING"
SETTINGS = "ACESTEP_SETTINGS"
SCORES = "ACESTEP_SCORES"
DATASET = "ACESTEP_DATASET"
TRAINSET = "ACESTEP_TRAINSET"
TRAIN_SETTINGS = "ACESTEP_TRAIN_SETTINGS"
CHOICE = "STRING,COMBO"
"""Text that may be connected to a text and to a choice."""


CARGO = "acestep"
"""Key in LATENT and AUDIO of what made the songs."""
ENCODED = "encoded"
"""What stands there for latents of a recording, which no song made."""


def to_latent(latents: Tensor, made: Made | None = None) -> dict[str, Any]:
    """Library latents `[B, T, 64]` as ComfyUI's LATENT, with what made them."""
    return _laden({"samples": latents.transpose(1, 2).contiguous(), "type": "audio"}, "samples", made)


def from_latent(latent: Mapping[str, Any]) -> Tensor:
    """ComfyUI's LATENT as library latents `[B, T, 64]`.

    Raises:
        InvalidInput: it is not an audio latent of ACE-Step 1.5.
    """
    from acestep_core.pipeline.starting import from_native

    return from_native(latent.get("samples")).float()


def to_audio(waveform: Tensor, made: Made | None = None, places: Sequence[int | None] = ()) -> dict[str, Any]:
    """A waveform `[B, 2, S]` at 48 kHz as ComfyUI's AUDIO, with what made it (`places`: as `story` tells)."""
    audio = {"waveform": waveform.float().cpu(), "sample_rate": SAMPLE_RATE}
    return _laden(audio, "waveform", made, [item for item, place in enumerate(places) if place is not None])


def story(carrier: Mapping[str, Any]) -> tuple[Made | None, tuple[int | None, ...]]:
    """What made the songs that a LATENT or AUDIO holds, and for each of them its place there.

    Nodes of others may reorder, join, cut or change songs, and copy our key along. So songs are known by their content:
    one that is not, or no longer, what was made has no place.
    """
    songs = carrier.get("samples", carrier.get("waveform"))
    cargo = carrier.get(CARGO)
    if songs is None:
        return None, ()
    from acestep_core.pipeline.made import Cargo

    if not isinstance(cargo, Cargo):
        return None, (None,) * len(songs)
    places = cargo.found(songs)
    known = [place for place in places if place is not None]
    numbers = iter(range(len(known)))
    return (cargo.made.select(known) if known else None), tuple(None if p is None else next(numbers) for p in places)


def unknown(latent: Mapping[str, Any], places: Sequence[int | None], tasks: Sequence[Any]) -> str:
    """A sentence about songs whose story was lost on the way; empty where there was none to lose."""
    lost = [str(item + 1) for item, place in enumerate(places) if place is None]
    if not lost or tasks or latent.get(CARGO) == ENCODED:
        return ""
    which = "These latents do" if len(lost) == len(places) else f"Song {', '.join(lost)} does"
    return (
        f"{which} not say what made them, because another node changed them; they get no record, and no recording is "
        "put back around them unless a task is connected here."
    )


def _laden(
    carrier: dict[str, Any], songs: str, made: Made | None, known: Sequence[int] | None = None
) -> dict[str, Any]:
    """A carrier with the story of the songs that are `known` (None: of all)."""
    if made is None:
        return carrier
    from acestep_core.pipeline.made import Cargo

    return carrier | {CARGO: Cargo.of(made, carrier[songs] if known is None else carrier[songs][known])}


def from_audio(audio: Any) -> tuple[Tensor, str]:
    """ComfyUI's AUDIO as `[B, 2, S]` at 48 kHz, and what a user should know about that; empty for nothing.

    Raises:
        InvalidInput: nothing is connected.
        AudioError: it holds no audio.
    """
    import torch

    from acestep_core.io.recordings import batch_of, from_waveform

    if audio is None:
        raise InvalidInput("The audio input holds no audio; connect a node that loads or makes some.")
    waveforms, rate = batch_of(audio)
    names = (
        [f"Recording {number}" for number in range(1, len(waveforms) + 1)] if len(waveforms) > 1 else ["The recording"]
    )
    items = [from_waveform(waveform, rate, name=name) for waveform, name in zip(waveforms, names)]
    said = [items[0].conversion, *(remark for item in items for remark in item.remarks)]
    return torch.stack([item.waveform for item in items]), " ".join(filter(None, said))

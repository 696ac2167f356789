"""What the tasks that start from a recording have in common: inputs, and from the recording to the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import inputs, wires
from .host import host, monitor

if TYPE_CHECKING:
    from acestep_core.models.handles import VAEHandle
    from acestep_core.render.repaint import Region
    from acestep_core.render.task import Task

Tasks = tuple["Task", ...]
"""What travels on the wire: one task for the whole batch, or one for each song of it."""

MODES = ["balanced", "conservative", "aggressive"]
CHUNK_MASKS = ["ones", "window", "twos"]
TASK_CATEGORY = "ACE-Step/task"
TASK_TIP = "What to do, for the conditioning."


def source_inputs() -> dict[str, Any]:
    return {
        "vae": inputs.wire(wires.VAE, "The VAE that encodes the recording."),
        "audio": inputs.wire("AUDIO", "The recording to work on, up to 600 seconds."),
    }


def mode_inputs(default: str) -> dict[str, Any]:
    return {
        "mode": inputs.choice(
            MODES,
            default,
            "How closely the rest is held while sampling: conservative throughout, aggressive not at all.",
        ),
        "strength": inputs.number(0.5, 0.0, 1.0, 0.05, "For balanced: 0 is like conservative, 1 like aggressive."),
    }


def mask_input() -> dict[str, Any]:
    return {
        "chunk_mask": inputs.choice(
            CHUNK_MASKS,
            "ones",
            "What the model is told about the region: nothing (ones), where it is (window), decide yourself (twos).",
            advanced=True,
        )
    }


def keep_input() -> dict[str, Any]:
    return {
        "keep_outside": inputs.switch(True, "Put the recording's own samples back outside the region.", advanced=True)
    }


def start_end() -> dict[str, Any]:
    return {
        "start": inputs.number(0.0, -600.0, 600.0, 0.1, "Seconds where the region begins; below 0 adds a beginning."),
        "end": inputs.number(
            -1.0, -1.0, 1200.0, 0.1, "Seconds where it ends; -1 is the end of the recording, beyond it adds an ending."
        ),
    }


def from_recordings(
    vae: VAEHandle,
    audio: dict[str, Any],
    task: Callable[..., Any],
    regions_of: Callable[[int], tuple[Region, ...]] = lambda samples: (),
) -> tuple[Any, ...]:
    """Pads, checks and encodes each recording of a batch, and makes of it what `task` returns."""
    from acestep_core.render.stages import encode_audio
    from acestep_core.render.tasks import check_source, whole_frames

    tasks = []
    for wave in wires.from_audio(audio):
        check_source(wave.shape[-1])
        regions = regions_of(wave.shape[-1])
        canvas = regions[0].pad(wave) if regions else wave
        latents = encode_audio(vae, whole_frames(canvas)[None], monitor=monitor())
        tasks.append(task(latents, canvas, *regions))
    if remark := wires.conversion(audio):
        host().say(remark)
    return tuple(tasks)

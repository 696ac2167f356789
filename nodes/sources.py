"""What the tasks that start from a recording have in common: inputs, and from the recording to the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acestep_core.options import TaskOptions

from . import inputs, wires
from .host import monitor
from .remarks import Told, told

if TYPE_CHECKING:
    from acestep_core.models.handles import VAEHandle
    from acestep_core.render.task import Task

Tasks = tuple["Task", ...]
"""What travels on the wire: one task for the whole batch, or one for each song of it."""

TASK_CATEGORY = "ACE-Step/task"
TASK_TIP = "What to do, for the conditioning."


def source_inputs() -> dict[str, Any]:
    return {
        "vae": inputs.wire(wires.VAE, "The VAE that encodes the recording."),
        "audio": inputs.wire("AUDIO", "The recording to work on, up to 600 seconds."),
    }


class SourceTask:
    """A node that makes a task of a recording as its `OPTIONS` say."""

    OPTIONS: type[TaskOptions]
    OPTIONAL: tuple[str, ...] = ()
    """Inputs that graphs may leave out though they are not advanced."""
    CATEGORY = TASK_CATEGORY
    RETURN_TYPES: tuple[str, ...] = (wires.TASK,)
    RETURN_NAMES: tuple[str, ...] = ("task",)
    OUTPUT_TOOLTIPS: tuple[str, ...] = (TASK_TIP,)
    FUNCTION = "make"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        required = {**source_inputs(), **inputs.widgets(cls.OPTIONS, advanced=False)}
        optional = {name: required.pop(name) for name in cls.OPTIONAL} | inputs.widgets(cls.OPTIONS, advanced=True)
        return {"required": required} | ({"optional": optional} if optional else {})

    def make(self, vae: VAEHandle, audio: dict[str, Any], **widgets: Any) -> Told:
        (tasks,), remark = from_recordings(vae, audio, self.OPTIONS.from_widgets(widgets))
        return told((tasks,), remark)


def from_recordings(vae: VAEHandle, audio: dict[str, Any], *several: TaskOptions) -> tuple[list[Tasks], str]:
    """For each of several things to do, the tasks of all recordings of a batch; and what to know of the recordings."""
    from acestep_core.pipeline.steps import meter_of, source_tasks
    from acestep_core.vocabulary import SAMPLE_RATE

    waveforms, remark = wires.from_audio(audio)
    if any(options.in_bars for options in several):
        made, _ = wires.story(audio)
        several = tuple(options.in_seconds(None if made is None else meter_of(made)) for options in several)
    songs = [source_tasks(vae, (wave, SAMPLE_RATE), several, monitor=monitor()) for wave in waveforms]
    return list(zip(*songs, strict=True)), remark

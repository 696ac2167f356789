"""Songs of tasks made by hand, by the same steps as the front door."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acestep_core.models.handles import Models
from acestep_core.options import Finish, RenderSettings
from acestep_core.pipeline.generation import Generation
from acestep_core.pipeline.made import Made
from acestep_core.pipeline.steps import conditioned, decoded, sampled
from acestep_core.render.task import Task
from acestep_core.song.description import Song


def render(
    song: Song, tasks: Sequence[Task], seed: int, models: Models, settings: RenderSettings | None = None
) -> Generation:
    settings = settings or RenderSettings()
    what = conditioned(models.model, song, tasks)
    latents, made = sampled(models.model, what, seed, len(tasks), settings)
    done = decoded(models.vae, latents, made, settings.decode, Finish())
    story: dict[str, Any] = {name: getattr(done.made, name) for name in Made.__dataclass_fields__}
    return Generation(audio=done.audio, latents=latents, **story)

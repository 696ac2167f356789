"""A saved song taken apart, to be made again or changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.io.confine import confine

from . import inputs, wires
from .host import host, monitor
from .remarks import Told, told

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from acestep_core.models.handles import VAEHandle
    from acestep_core.options import RenderSettings
    from acestep_core.pipeline.recipe import Recipe
    from acestep_core.records.song_record import SongRecord
    from acestep_core.render.task import Task


class ACEStepLoadRecord:
    TITLE = "Load Song Record"
    CATEGORY = "ACE-Step/song"
    DESCRIPTION = (
        "Reads what made a saved song: its text, plan, codes, seed and settings, to make it again or change it."
    )
    SEARCH_ALIASES: ClassVar = ["regenerate", "recreate", "load metadata", "sidecar", "remake"]
    RETURN_TYPES = (
        wires.SONG,
        "STRING",
        wires.CODES,
        "INT",
        "SIGMAS",
        wires.GUIDANCE,
        wires.TASK,
        wires.SETTINGS,
        "STRING",
        "LATENT",
    )
    RETURN_NAMES = (
        "song",
        "plan",
        "codes",
        "seed",
        "sigmas",
        "guidance",
        "task",
        "settings",
        "album_caption",
        "latent",
    )
    OUTPUT_TOOLTIPS = (
        "The song.",
        "Its plan; empty if there was none.",
        "Its codes, for text to music; none if there were none.",
        "The seed of its noise.",
        "Its schedule.",
        "Its guidance.",
        "What was done, and with which recording and references; these need a VAE.",
        "Everything else, for sampler and decoder: connected to both, the song is made again exactly.",
        "The album caption, for stems checkpoints.",
        "What it started from instead of noise, for the sampler; none if it started from noise.",
    )
    FUNCTION = "read"
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "record": inputs.text(
                    "A saved song (.json, .flac, .mp3, .opus or .wav) below the output or input folder, "
                    "or the text of its record.",
                    "acestep/song_00001.json",
                    multiline=True,
                ),
            },
            "optional": {
                "vae": inputs.wire(wires.VAE, "Encodes the recording and the references that the song was made with."),
                "audio": inputs.wire("AUDIO", "The recording, where it is no file of the input or output folder."),
                "reference": inputs.wire("AUDIO", "The references as a batch, where they are no such files."),
                "latent": inputs.wire("LATENT", "What it started from, where that is no such file."),
            },
        }

    @classmethod
    def IS_CHANGED(cls, record: str, **wired: Any) -> Any:
        try:
            return "" if _is_text(record) else _path(record).stat().st_mtime_ns
        except (InvalidInput, OSError):
            return float("nan")

    def read(
        self,
        record: str,
        vae: VAEHandle | None = None,
        audio: dict[str, Any] | None = None,
        reference: dict[str, Any] | None = None,
        latent: dict[str, Any] | None = None,
    ) -> Told:
        from acestep_core.pipeline.recipe import Recipe, settings_of
        from acestep_core.records.song_record import SongRecord

        found = SongRecord.from_json(record) if _is_text(record) else SongRecord.load(_path(record))
        if not found.task.get("call") and found.task.get("name", "text2music") == "text2music":
            found = replace(found, task={**found.task, "call": "generate"})  # of a graph, until version 0.1
        recipe = Recipe.of(found) if found.task.get("call") else None
        settings = settings_of(found.settings)
        tasks = None if recipe is None else _tasks(recipe, found, vae, audio, reference)
        codes = (found.codes,) if found.codes else ()
        guidance = None if settings.guidance.scale is None else settings.guidance
        sigmas, album = _schedule(settings), "" if recipe is None else recipe.album_caption
        begin = None if recipe is None else _begin(recipe, vae, latent)
        read = found.to_song(), found.plan, codes, found.seeds["noise"], sigmas, guidance, tasks, recipe, album, begin
        return told(read, "\n".join(f"{file.role}: {file.name}" for file in found.files))


def _tasks(
    recipe: Recipe,
    record: SongRecord,
    vae: VAEHandle | None,
    audio: dict[str, Any] | None,
    reference: dict[str, Any] | None,
) -> tuple[Task, ...] | None:
    """What was done; None where that needs a VAE and there is none."""
    from acestep_core.pipeline.replay import find_recording, recordings_of
    from acestep_core.pipeline.steps import tasks_for
    from acestep_core.vocabulary import SAMPLE_RATE

    def waves(wired: dict[str, Any]) -> list[Any]:
        return [(wave, SAMPLE_RATE) for wave in wires.from_audio(wired)[0]]

    if vae is None and (recipe.sources or recipe.references):
        return None
    places = [host().input_folder(), host().output_folder()]
    heard = [find_recording(file, places) for file in recipe.references] if reference is None else waves(reference)
    seeds = [recipe.clip_seed(record, file) for file in recipe.references]
    found = tasks_for(
        recipe.options,
        recipe.song,
        vae,  # type: ignore[arg-type]
        recordings=recordings_of(recipe, places) if audio is None else waves(audio),
        codes=recipe.codes,
        references=list(zip(heard, seeds, strict=True)),
        tile=recipe.encode_tile,
        monitor=monitor(),
    )
    return tuple(found)


def _begin(recipe: Recipe, vae: VAEHandle | None, wired: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the song started from; None for noise, and where a recording needs a VAE and there is none."""
    from acestep_core.pipeline.replay import find_recording
    from acestep_core.pipeline.starting import SUFFIXES, started_again

    file = recipe.latent
    if file is None or (wired is None and vae is None and not file.name.endswith(SUFFIXES)):
        return None
    given = find_recording(file, [host().input_folder(), host().output_folder()]) if wired is None else wired
    found = started_again(file, given, None, vae=vae, tile=recipe.encode_tile, monitor=monitor())
    mask = {} if found.mask is None else {"noise_mask": found.mask[:, None]}
    return wires.to_latent(found.latents) | mask | {wires.CARGO: wires.ENCODED}


def _is_text(record: str) -> bool:
    return record.lstrip().startswith("{")


def _path(record: str) -> Path:
    from acestep_core.host.graph.paths import split_annotation

    name, kind = split_annotation(record.strip())
    places = {"output": host().output_folder, "input": host().input_folder, "temp": host().temp_folder}
    path = confine(name, [places[where]() for where in ([kind] if kind else ["output", "input"])])
    if not path.is_file():
        if kind:
            raise InvalidInput(f"There is no file {name[:80]!r} in the folder {kind}; correct the name.")
        raise InvalidInput(f"There is no file {name[:80]!r} in the output or input folder; correct the name.")
    return path


def _schedule(settings: RenderSettings) -> Tensor | None:
    """The flow times of the record; None where it leaves them to the model."""
    from acestep_core.render.settings import flow_times

    times = settings.schedule
    return None if times.timesteps is None and None in (times.steps, times.shift) else flow_times(settings)

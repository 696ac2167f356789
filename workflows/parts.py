"""What the workflows are built from: chains of nodes that several of them share, and what they say by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from acestep_core.host.graph.sketch import Out, Sketch

Nodes = dict[str, tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Graph:
    """One workflow.

    Args:
        title: what it is called.
        note: what stands beside it on the canvas (Markdown).
        nodes: see above.
        form: `Title.input` of every field of its app, most important first.
        shows: titles of the nodes whose results the app shows.
        extra: what else the canvas file says, such as the form of `web/make.js`.
    """

    title: str
    note: str
    nodes: Nodes
    form: tuple[str, ...]
    shows: tuple[str, ...] = ("Save",)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def sketch(self) -> Sketch:
        nodes = {
            title: (kind, {name: self._read(value) for name, value in given.items()})
            for title, (kind, given) in self.nodes.items()
        }
        return Sketch(self.title, self.note, nodes)

    def _read(self, value: Any) -> Any:
        """`"Load.0"` is an output of the node Load."""
        source, _, slot = value.rpartition(".") if isinstance(value, str) else ("", "", "")
        return Out(source, int(slot)) if source in self.nodes and slot.isdigit() else value


LOAD: Nodes = {"Load": ("ACEStepLoader", {})}
LYRICS = """[Verse]
City lights are fading slow
Footsteps where the rivers go

[Chorus]
Hold the night a little more
Leave the moon outside the door"""
SONG = {
    "caption": "dreamy synth pop, airy female vocals, warm analog pads, gentle drum machine, nostalgic",
    "lyrics": LYRICS,
    "language": "en",
    "duration": 60.0,
}
RECORDING: Nodes = {"Recording": ("LoadAudio", {"audio": "acestep_example_song.mp3"})}
VOICE: Nodes = {"Recording": ("LoadAudio", {"audio": "acestep_example_voice.flac"})}
"""Made by `examples.py`; the pack puts them into the input folder."""
SONG_FIELDS = ("Song.caption", "Song.lyrics", "Song.language", "Song.instrumental", "Song.duration")


def rendered(
    task: str = "Task.0",
    song: str = "Song.0",
    model: str = "Load.0",
    vae: str = "Load.1",
    label: str = "",
    save: dict[str, Any] | None = None,
    told: dict[str, Any] | None = None,
    **sampler: Any,
) -> Nodes:
    """From a task to a saved file. The label tells the nodes apart where there are several such chains."""
    return {
        f"Conditioning{label}": ("ACEStepConditioning", {"model": model, "song": song, "task": task, **(told or {})}),
        **sampled(model, vae, label, save, conditioning=f"Conditioning{label}.0", **sampler),
    }


def sampled(
    model: str = "Load.0",
    vae: str = "Load.1",
    label: str = "",
    save: dict[str, Any] | None = None,
    conditioning: str = "Conditioning.0",
    decode: dict[str, Any] | None = None,
    **sampler: Any,
) -> Nodes:
    """From conditioning to a saved file."""
    return {
        f"Sampler{label}": ("ACEStepSampler", {"model": model, "conditioning": conditioning, **sampler}),
        f"Decode{label}": ("ACEStepDecode", {"vae": vae, "latent": f"Sampler{label}.0", **(decode or {})}),
        f"Save{label}": ("ACEStepSaveSong", {"audio": f"Decode{label}.0", **(save or {})}),
    }


def text2music(song: dict[str, Any] | None = None, **sampler: Any) -> Nodes:
    return {
        **LOAD,
        "Song": ("ACEStepSong", SONG | (song or {})),
        "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
        **rendered(**sampler),
    }


def edited(
    kind: str,
    given: dict[str, Any],
    caption: str,
    lyrics: str = "",
    base: bool = False,
    save: dict[str, Any] | None = None,
    recording: Nodes = RECORDING,
) -> Nodes:
    """A task that starts from a recording."""
    load, model, vae = LOAD, "Load.0", "Load.1"
    sampler = {}
    if base:  # many steps, so that their number is within reach
        model, vae = "Model.0", "VAE.0"
        load = {
            "Model": ("ACEStepModelLoader", {"variant": "base"}),
            "VAE": ("ACEStepVAELoader", {}),
            "Schedule": ("ACEStepSchedule", {"model": model}),
        }
        sampler = {"sigmas": "Schedule.0"}
    song = {"caption": caption, "lyrics": lyrics, "instrumental": not lyrics, "duration": 0.0}
    return {
        **load,
        **recording,
        "Song": ("ACEStepSong", song),
        "Task": (kind, {"vae": vae, "audio": "Recording.0", **given}),
        **rendered(model=model, vae=vae, save=save, **sampler),
    }


PLAN = """bpm: 96
caption: dreamy synth pop with airy female vocals, warm analog pads and a gentle drum machine
duration: 30
keyscale: A minor
language: en
timesignature: 4"""
RECORD = """{
  "format": "acestep-song",
  "version": 1,
  "song": {"caption": "calm piano, soft rain", "lyrics": "[Instrumental]", "instrumental": true, "duration": 30},
  "seeds": {"noise": 7},
  "settings": {"steps": 8, "shift": 3.0, "guidance": 1.0}
}"""


def cover_sweep(strengths: tuple[float, ...]) -> Nodes:
    """The same cover in several strengths, all with one seed."""
    nodes: Nodes = {
        **LOAD,
        **RECORDING,
        "Song": (
            "ACEStepSong",
            {"caption": "bossa nova, nylon guitar, soft brushes", "lyrics": LYRICS, "duration": 0.0},
        ),
        "Seed": ("PrimitiveInt", {"value": 1}),
    }
    for strength in strengths:
        label = f" {strength:.0%}"
        cover = {"vae": "Load.1", "audio": "Recording.0", "strength": strength}
        nodes[f"Cover{label}"] = ("ACEStepCover", cover)
        save = {"filename_prefix": f"acestep/cover_{strength * 100:.0f}"}
        nodes |= rendered(f"Cover{label}.0", label=label, save=save, seed="Seed.0")
    return nodes


def retakes(variations: tuple[float, ...]) -> Nodes:
    """One song, and takes that depart from it more and more."""
    nodes: Nodes = {
        **LOAD,
        "Song": ("ACEStepSong", SONG),
        "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
        "Conditioning": ("ACEStepConditioning", {"model": "Load.0", "song": "Song.0", "task": "Task.0"}),
        "Seed": ("PrimitiveInt", {"value": 1}),
        "Retake seed": ("PrimitiveInt", {"value": 2}),
        **sampled(label=" original", save={"filename_prefix": "acestep/original"}, seed="Seed.0"),
    }
    for variation in variations:
        save = {"filename_prefix": f"acestep/retake_{variation * 100:.0f}"}
        nodes |= sampled(
            label=f" retake {variation:.0%}",
            save=save,
            seed="Seed.0",
            variation=variation,
            variation_seed="Retake seed.0",
        )
    return nodes


def two_models(variants: tuple[str, ...]) -> Nodes:
    """The same song with the same seed from two checkpoints, side by side in one player."""
    nodes: Nodes = {
        "VAE": ("ACEStepVAELoader", {}),
        "Song": ("ACEStepSong", SONG),
        "Task": ("ACEStepTextToMusic", {"song": "Song.0"}),
        "Seed": ("PrimitiveInt", {"value": 1}),
    }
    for label, variant in zip((" A", " B"), variants, strict=True):
        save = {"filename_prefix": f"acestep/compare{label.replace(' ', '_')}"}
        nodes[f"Model{label}"] = ("ACEStepModelLoader", {"variant": variant})
        nodes[f"Schedule{label}"] = ("ACEStepSchedule", {"model": f"Model{label}.0"})
        nodes |= rendered(
            model=f"Model{label}.0", vae="VAE.0", label=label, save=save, seed="Seed.0", sigmas=f"Schedule{label}.0"
        )
    listen = {"audio": "Decode A.0", "audio_2": "Decode B.0"}
    return nodes | {"Preview": ("ACEStepPreviewSong", listen)}

"""Keeping songs: as files that carry how they were made, or just to listen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar

from acestep_core.errors import InvalidInput
from acestep_core.host.graph import file_tokens as tokens
from acestep_core.io.formats import FORMATS

from . import inputs, wires
from .host import host
from .remarks import about, filled, songs_shown
from .routes import item_of

if TYPE_CHECKING:
    from torch import Tensor

    from acestep_core.pipeline.made import Made
    from acestep_core.pipeline.saving import Batch

    from .judge import Scores, Timing

SUBTITLE_CHOICES = ["lrc", "vtt", "srt", "json", "all"]
BITRATE_CHOICES = ["auto", "64", "96", "128", "160", "192", "224", "256", "320"]
PLAYER: inputs.Declaration = ("AUDIO_UI", {})
"""The canvas puts its audio player where a node declares this input. Nothing arrives through it, and it stays the last
widget: a saved workflow keeps no value for it, so values after it would move up."""
APART = "Songs that were made apart, beside the others. Timing, scores and plan are of the first audio alone."


class ACEStepSaveSong:
    TITLE = "Save Song"
    CATEGORY = "ACE-Step/save"
    DESCRIPTION = (
        "Writes every song of up to four inputs to the output folder. "
        "Drop a saved FLAC or MP3 file on the canvas to get its graph back."
    )
    SEARCH_ALIASES: ClassVar = ["save audio", "export", "flac", "mp3", "wav", "opus"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same audio, for nodes that come after.",)
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": inputs.wire("AUDIO", "The songs to save."),
                "filename_prefix": inputs.text(
                    "Name below the output folder; '/' makes folders. A number is added, nothing is overwritten. "
                    "%seed%, %task%, %track%, %bpm%, %key% and %date% are filled in.",
                    "acestep/song",
                ),
                "format": inputs.choice(
                    sorted(FORMATS),
                    "flac",
                    "flac is lossless, wav32 keeps the exact samples. The canvas reads graphs back from flac and mp3.",
                ),
            },
            "optional": {
                "bitrate": inputs.choice(
                    BITRATE_CHOICES,
                    "auto",
                    "kbit/s of mp3 and opus. 'auto' is 192 for mp3 and 128 for opus.",
                    **inputs.counting(format=[name for name, form in FORMATS.items() if form.bitrates]),
                ),
                "timing": inputs.wire(wires.TIMING, "Timed lyrics, saved as a file beside each song."),
                "save_graph": inputs.switch(
                    True, "Store the graph in the file, so that it can be made again.", advanced=True
                ),
                "sidecar": inputs.switch(
                    True,
                    "Also write what made the song into a .json file, from which `acestep run` makes it again.",
                    advanced=True,
                ),
                "subtitles": inputs.choice(
                    SUBTITLE_CHOICES,
                    "lrc",
                    "What timed lyrics become: lrc for players, vtt and srt for video, json for programs.",
                    advanced=True,
                ),
                "zip": inputs.switch(False, "Also put all files of the batch into one .zip file.", advanced=True),
                "plan": inputs.text("The plan that the songs came from, for the record.", forceInput=True),
                "audioUI": PLAYER,
                **inputs.further("audio", "AUDIO", APART),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def save(
        self,
        audio: dict[str, Any],
        filename_prefix: str,
        format: str,
        bitrate: str = "auto",
        timing: Timing | None = None,
        save_graph: bool = True,
        sidecar: bool = True,
        subtitles: str = "lrc",
        zip: bool = False,
        plan: str = "",
        audioUI: Any = None,
        prompt: Any = None,
        extra_pnginfo: Any = None,
        audio_2: dict[str, Any] | None = None,
        audio_3: dict[str, Any] | None = None,
        audio_4: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        from acestep_core.pipeline.saving import Keep, save_songs

        root = host().output_folder().resolve()
        kept = save_graph and host().metadata_allowed()
        kinds = tuple(SUBTITLE_CHOICES[:-1] if subtitles == "all" else [subtitles]) if timing is not None else ()
        kbits = int(bitrate) if bitrate != "auto" and FORMATS[format].bitrates else None
        graph, workflow = (prompt, _graph(prompt, extra_pnginfo)) if kept else (None, None)
        keep = Keep(format, kbits, sidecar, kinds, graph, workflow)
        prefix = tokens.filled(filename_prefix, datetime.now(), prompt, (extra_pnginfo or {}).get("workflow"))
        batches = _batches(
            (audio, audio_2, audio_3, audio_4),
            timing,
            plan,
            lambda made, place: _target(root, filled(prefix, made, place)),
        )
        files = save_songs(batches, keep)
        shown = _listed(files, root, "output")
        if zip:
            archive = _zipped(*batches[0].where[0], [path for song in files for path in song])
            shown["zip"] = [item_of(archive, root, "output")]
        return _heard(audio, shown, batches, timing, None, "")


class ACEStepPreviewSong:
    TITLE = "Preview Song"
    CATEGORY = "ACE-Step/save"
    DESCRIPTION = "Plays the songs of up to four inputs side by side, without keeping them."
    SEARCH_ALIASES: ClassVar = ["preview audio", "player", "listen"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The same audio, for nodes that come after.",)
    FUNCTION = "preview"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"audio": inputs.wire("AUDIO", "The songs to play.")},
            "optional": {
                "timing": inputs.wire(wires.TIMING, "Shows how well the lyrics of each song are sung."),
                "lm_scores": inputs.wire(wires.SCORES, "Shows the language model's score of each song."),
                "plan": inputs.text("Shows the plan that the songs came from.", forceInput=True),
                "audioUI": PLAYER,
                **inputs.further("audio", "AUDIO", APART),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def preview(
        self,
        audio: dict[str, Any],
        timing: Timing | None = None,
        lm_scores: Scores | None = None,
        plan: str = "",
        audioUI: Any = None,
        prompt: Any = None,
        extra_pnginfo: Any = None,
        audio_2: dict[str, Any] | None = None,
        audio_3: dict[str, Any] | None = None,
        audio_4: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        from acestep_core.pipeline.saving import Keep, save_songs

        root = host().temp_folder().resolve()
        graph = _graph(prompt, extra_pnginfo) if host().metadata_allowed() else None
        keep = Keep(record=False, subtitles=("lrc",) if timing is not None else (), workflow=graph)
        batches = _batches(
            (audio, audio_2, audio_3, audio_4), timing, plan, lambda made, place: (root, "acestep_preview")
        )
        files = save_songs(batches, keep)
        return _heard(audio, _listed(files, root, "temp"), batches, timing, lm_scores, plan)


class ACEStepShowText:
    TITLE = "Show Text"
    CATEGORY = "ACE-Step/save"
    DESCRIPTION = "Shows a text after the run, on the node and in an app: a plan, a report, lyrics."
    SEARCH_ALIASES: ClassVar = ["preview text", "display", "read", "report"]
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("The same text, for nodes that come after.",)
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"text": inputs.text("The text to show.", forceInput=True)}}

    def show(self, text: str) -> dict[str, Any]:
        from acestep_core.io.staging import write_song

        ui: dict[str, Any] = {"text": [text]}
        if text.strip():  # an app shows files among its results
            root = host().temp_folder().resolve()
            path = write_song(root, "acestep_text", {".txt": text})[".txt"]
            ui["files"] = [item_of(path, root, "temp")]
        return {"ui": ui, "result": (text,)}


def _batches(
    carriers: Sequence[dict[str, Any] | None],
    timing: Timing | None,
    plan: str,
    target: Callable[[Made | None, int | None], tuple[Path, str]],
) -> list[Batch]:
    """The songs of every connected input; timing and plan are of the first, `target` says where each song goes."""
    from acestep_core.pipeline.saving import Batch

    first, *others = carriers
    batches = []
    for carrier in (first, *(other for other in others if other is not None)):
        songs, (made, places) = _items(carrier), _told(carrier, "" if batches else plan)
        where = [target(made, place) for place in places]
        batches.append(Batch(where, songs, int(carrier["sample_rate"]), made, places, () if batches else timing or ()))
    return batches


def _listed(files: list[list[Path]], root: Path, kind: str) -> dict[str, Any]:
    """All files of some songs as the canvas names them: the audio, and what lies beside it."""
    shown = {"audio": [item_of(song[0], root, kind) for song in files]}
    beside = [item_of(path, root, kind) for song in files for path in song[1:]]
    return shown | ({"files": beside} if beside else {})


def _heard(
    audio: dict[str, Any],
    files: dict[str, Any],
    batches: Sequence[Batch],
    timing: Timing | None,
    lm_scores: Scores | None,
    plan: str,
) -> dict[str, Any]:
    """What Save Song and Preview Song return: the audio, its files, and what there is to know of each song."""
    first, *others = batches
    known = songs_shown(first.made, first.places, timing, lm_scores, plan)
    for batch in others:
        known += songs_shown(batch.made, batch.places, None, None, "")
    text = about([batch.made for batch in batches], known, plan)
    return {"ui": files | {"songs": known} | ({"text": [text]} if text else {}), "result": (audio,)}


def _items(audio: dict[str, Any]) -> Tensor:
    waveform = audio.get("waveform")
    if waveform is None or waveform.ndim != 3 or 0 in waveform.shape:
        raise InvalidInput("The audio input holds no audio; connect a node that loads or makes some.")
    return waveform


def _target(root: Path, prefix: str) -> tuple[Path, str]:
    """Folder and stem that a prefix names, always inside `root`."""
    from acestep_core.io.confine import confine
    from acestep_core.io.names import safe_name
    from acestep_core.pipeline.saving import make_folder

    parts = PurePosixPath(prefix.replace("\\", "/"))
    folders = [part if part in ("..", "/") else safe_name(part) for part in parts.parent.parts]
    folder = confine(Path(*folders), [root])
    make_folder(folder)
    return folder, safe_name(parts.name, "song")


def _zipped(folder: Path, stem: str, files: list[Path]) -> Path:
    from acestep_core.io.staging import write_song
    from acestep_core.records.keeping import archive

    return write_song(folder, stem, {".zip": lambda path: archive(path, files)})[".zip"]


def _graph(prompt: Any, extra: Any) -> dict[str, str]:
    """The graph in the form the canvas reads back; ASCII, as it reads bytes as Latin-1."""
    parts = {} if prompt is None else {"prompt": prompt}
    parts |= extra if isinstance(extra, dict) else {}
    return {name: json.dumps(part) for name, part in parts.items() if str(name).isidentifier()}


def _told(audio: dict[str, Any], plan: str) -> tuple[Made | None, tuple[int | None, ...]]:
    """What made the songs, with the plan that came beside them."""
    from acestep_core.planner.plan import Plan

    made, places = wires.story(audio)
    return (replace(made, plan=Plan.from_text(plan)) if made is not None and plan.strip() else made), places

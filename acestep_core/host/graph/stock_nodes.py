"""The few nodes of ComfyUI itself that audio graphs use, under its ids, inputs and outputs.

They exist so that a workflow opens on either host. On ComfyUI its own nodes are used, these are never loaded there.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from acestep_core.errors import InvalidInput
from acestep_core.host.graph import context
from acestep_core.host.graph.canvas_widgets import DYNAMIC_COMBO
from acestep_core.host.graph.context import Folders
from acestep_core.host.graph.file_tokens import filled
from acestep_core.host.graph.packs import Pack
from acestep_core.host.graph.paths import PREVIEW, annotated, listed_audio, save_place
from acestep_core.host.graph.stock_audio import AUDIO_EDITS
from acestep_core.host.graph.stock_latents import LATENT_EDITS
from acestep_core.io.audio import read_audio, write_audio
from acestep_core.io.formats import FORMATS
from acestep_core.io.staging import write_song

_HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}


def _folders() -> Folders:
    folders = context.folders()
    if folders is None:
        raise RuntimeError("stock nodes run only inside the embedded host")
    return folders


def _say(remark: str) -> None:
    """Shows a remark under the running node."""
    execution = context.current()
    if execution is not None:
        execution.status_text(remark)


def tags_of(prompt: dict[str, Any] | None, extra_pnginfo: dict[str, Any] | None) -> dict[str, str]:
    """The tags that let the canvas restore a graph from a saved file."""
    tags = {"prompt": json.dumps(prompt)} if prompt else {}
    if isinstance(extra_pnginfo, dict):
        tags |= {name: json.dumps(value) for name, value in extra_pnginfo.items() if name.isidentifier()}
    return tags


def save(
    audio: dict[str, Any], kind: str, prefix: str, tags: dict[str, str], form: str = "flac", bitrate: int | None = None
) -> dict[str, Any]:
    """Saves each item of a batch as its own file into the `kind` folder.

    Returns:
        The node result that makes the canvas show a player, and hands the audio on.
    """
    root: Path = getattr(_folders(), kind)
    folder, stem, subfolder = save_place(root, prefix)
    shown = []
    for index, waveform in enumerate(audio["waveform"]):
        write = partial(
            write_audio,
            waveform=waveform,
            sample_rate=audio["sample_rate"],
            format=form,
            bitrate=bitrate,
            metadata=tags,
        )
        suffix = FORMATS[form].suffix
        path = write_song(folder, stem.replace("%batch_num%", str(index)), {suffix: write}, end="_")[suffix]
        shown.append({"filename": path.name, "subfolder": subfolder, "type": kind})
    return {"ui": {"audio": shown}, "result": (audio,)}


class LoadAudio:
    CATEGORY = "audio"
    DESCRIPTION = "Loads an audio file from the input folder."
    SEARCH_ALIASES = ["import audio", "open audio", "audio file"]
    ESSENTIALS_CATEGORY = "Audio"
    RETURN_TYPES = ("AUDIO",)
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        folders = context.folders()
        files = [] if folders is None else listed_audio(folders.input)
        return {"required": {"audio": ("COMBO", {"options": files, "audio_upload": True})}}

    def load(self, audio: str) -> tuple[dict[str, Any]]:
        waveform, sample_rate = read_audio(annotated(_folders(), audio), remark=_say)
        return ({"waveform": waveform.unsqueeze(0), "sample_rate": sample_rate},)

    @classmethod
    def IS_CHANGED(cls, audio: str) -> str:
        with annotated(_folders(), audio).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @classmethod
    def VALIDATE_INPUTS(cls, audio: Any) -> bool | str:
        if audio is None:  # linked: known only when the graph runs
            return True
        try:
            exists = isinstance(audio, str) and annotated(_folders(), audio).is_file()
        except InvalidInput:
            exists = False
        return True if exists else f"Invalid audio file: {audio}"


class PreviewAudio:
    CATEGORY = "audio"
    DESCRIPTION = "Plays the audio on the node; the file is temporary."
    SEARCH_ALIASES = ["play audio"]
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_NODE = True
    FUNCTION = "preview"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"audio": ("AUDIO", {})}, "hidden": _HIDDEN}

    def preview(self, audio: dict[str, Any], prompt: Any = None, extra_pnginfo: Any = None) -> dict[str, Any]:
        name = PREVIEW + "".join(secrets.choice(ascii_lowercase) for _ in range(5))
        return save(audio, "temp", name, tags_of(prompt, extra_pnginfo))


class SaveAudio:
    CATEGORY = "audio"
    DESCRIPTION = "Saves the audio as FLAC into the output folder, with the graph that made it."
    SEARCH_ALIASES = ["export flac"]
    ESSENTIALS_CATEGORY = "Audio"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_NODE = True
    FUNCTION = "save"
    FORM = "flac"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        required = {"audio": ("AUDIO", {}), "filename_prefix": ("STRING", {"default": "audio/ComfyUI"})}
        return {"required": required, "hidden": _HIDDEN}

    def save(
        self,
        audio: dict[str, Any],
        filename_prefix: str,
        quality: str | None = None,
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> dict[str, Any]:
        return self._saved(audio, filename_prefix, self.FORM, quality, prompt, extra_pnginfo)

    def _saved(
        self, audio: dict[str, Any], prefix: str, form: str, quality: str | None, prompt: Any, extra_pnginfo: Any
    ) -> dict[str, Any]:
        canvas = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
        prefix = filled(prefix, datetime.now(), prompt, canvas)
        return save(audio, "output", prefix, tags_of(prompt, extra_pnginfo), form, _bitrate(quality))


def _bitrate(quality: str | None) -> int | None:
    """kbit/s of a quality as ComfyUI names it; V0, which is variable, becomes the constant rate next above it."""
    if quality is None:
        return None
    return 256 if quality == "V0" else int(quality.removesuffix("k"))


_QUALITIES = {
    "mp3": ("COMBO", {"options": ["V0", "128k", "320k"], "default": "V0"}),
    "opus": ("COMBO", {"options": ["64k", "96k", "128k", "192k", "320k"], "default": "128k"}),
}


class SaveAudioMP3(SaveAudio):
    DESCRIPTION = "Saves the audio as MP3 into the output folder, with the graph that made it."
    SEARCH_ALIASES = ["export mp3"]
    FORM = "mp3"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        types = super().INPUT_TYPES()
        types["required"]["quality"] = _QUALITIES[cls.FORM]
        return types


class SaveAudioOpus(SaveAudioMP3):
    DESCRIPTION = "Saves the audio as Opus into the output folder, with the graph that made it."
    SEARCH_ALIASES = ["export opus"]
    FORM = "opus"


class SaveAudioAdvanced(SaveAudio):
    DESCRIPTION = "Saves the audio as FLAC, MP3 or Opus into the output folder, with the graph that made it."
    SEARCH_ALIASES = ["save audio", "export audio", "output audio", "write audio", "flac", "mp3", "opus"]
    FUNCTION = "save_as"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        types = super().INPUT_TYPES()
        kinds = {"flac": {}, **{form: {"required": {"quality": entry}} for form, entry in _QUALITIES.items()}}
        options = [{"key": form, "inputs": inputs or {"required": {}}} for form, inputs in kinds.items()]
        types["required"]["format"] = (DYNAMIC_COMBO, {"options": options})
        return types

    def save_as(
        self,
        audio: dict[str, Any],
        filename_prefix: str,
        format: dict[str, Any],
        prompt: Any = None,
        extra_pnginfo: Any = None,
    ) -> dict[str, Any]:
        form, quality = format["format"], format.get("quality")
        return self._saved(audio, filename_prefix, form, quality, prompt, extra_pnginfo)


class RecordAudio(LoadAudio):
    DESCRIPTION = "Loads what was recorded on the node."
    SEARCH_ALIASES = ["microphone input", "audio capture", "voice input"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"audio": ("AUDIO_RECORD", {})}}


class PreviewAny:
    CATEGORY = "utils"
    DESCRIPTION = "Shows any value as text."
    SEARCH_ALIASES = ["show output", "inspect", "debug", "print value", "show text"]
    RETURN_TYPES = ("STRING",)
    OUTPUT_NODE = True
    FUNCTION = "main"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"source": ("*", {})}}

    def main(self, source: Any = None) -> dict[str, Any]:
        text = _as_text(source)
        return {"ui": {"text": (text,)}, "result": (text,)}


def _as_text(source: Any) -> str:
    if source is None or isinstance(source, str | bool | int | float):
        return str(source)
    try:
        return json.dumps(source, indent=4)
    except (TypeError, ValueError, RecursionError):
        return str(source)


class _Primitive:
    """A constant; `KIND` is its type, `OPTIONS` what its widget needs."""

    CATEGORY = "utils/primitive"
    DESCRIPTION = "A constant."
    FUNCTION = "value_of"
    KIND = ""
    OPTIONS: dict[str, Any] = {}
    RETURN_TYPES: tuple[str, ...] = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": (cls.KIND, cls.OPTIONS)}}

    def value_of(self, value: Any) -> tuple[Any]:
        return (value,)


class PrimitiveInt(_Primitive):
    KIND = "INT"
    OPTIONS = {"default": 0, "min": -sys.maxsize, "max": sys.maxsize, "control_after_generate": "fixed"}
    RETURN_TYPES = ("INT",)


class PrimitiveFloat(_Primitive):
    KIND = "FLOAT"
    OPTIONS = {"default": 0.0, "min": -sys.maxsize, "max": sys.maxsize, "step": 0.1}
    RETURN_TYPES = ("FLOAT",)


class PrimitiveString(_Primitive):
    KIND = "STRING"
    OPTIONS = {"default": "", "multiline": False}
    RETURN_TYPES = ("STRING",)
    SEARCH_ALIASES = ["text", "string", "text box", "prompt"]


class PrimitiveStringMultiline(PrimitiveString):
    OPTIONS = {"default": "", "multiline": True}
    ESSENTIALS_CATEGORY = "Basics"


class PrimitiveBoolean(_Primitive):
    KIND = "BOOLEAN"
    OPTIONS = {"default": False}
    RETURN_TYPES = ("BOOLEAN",)


_AUDIO = (LoadAudio, RecordAudio, PreviewAudio, SaveAudio, SaveAudioMP3, SaveAudioOpus, SaveAudioAdvanced)
_PRIMITIVES = (PrimitiveInt, PrimitiveFloat, PrimitiveString, PrimitiveStringMultiline, PrimitiveBoolean)

_TITLES = {
    "LoadAudio": "Load Audio",
    "PreviewAudio": "Preview Audio",
    "SaveAudio": "Save Audio (FLAC)",
    "SaveAudioMP3": "Save Audio (MP3)",
    "SaveAudioOpus": "Save Audio (Opus)",
    "SaveAudioAdvanced": "Save Audio (Advanced)",
    "RecordAudio": "Record Audio",
    **{name: cls.TITLE for name, cls in (AUDIO_EDITS | LATENT_EDITS).items()},
    "PreviewAny": "Preview as Text",
    "PrimitiveInt": "Int",
    "PrimitiveFloat": "Float",
    "PrimitiveString": "Text String",
    "PrimitiveStringMultiline": "Text String (Multiline)",
    "PrimitiveBoolean": "Boolean",
}


def _pack(name: str, classes: tuple[type, ...]) -> Pack:
    """The frontend recognises nodes of ComfyUI itself by their module."""
    mapping = {cls.__name__: cls for cls in classes}
    return Pack(name, mapping, {i: _TITLES[i] for i in mapping}, modules=dict.fromkeys(mapping, f"comfy_extras.{name}"))


PACKS = (
    _pack("nodes_audio", (*_AUDIO, *AUDIO_EDITS.values())),
    _pack("nodes_latent", tuple(LATENT_EDITS.values())),
    _pack("nodes_preview_any", (PreviewAny,)),
    _pack("nodes_primitive", _PRIMITIVES),
)

"""What each node gives that is not ours: `RULES` is the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acestep_core.host.graph.migrate.chain import Chain, variant_in
from acestep_core.host.graph.migrate.foreign_nodes import ACE_STEP_1, KAOLA
from acestep_core.host.graph.migrate.meanings import (
    Clip,
    Empty,
    Encoded,
    Latent,
    Model,
    Node,
    Nothing,
    Sound,
    Text,
    Vae,
)
from acestep_core.host.graph.migrate.native_times import SHIFT
from acestep_core.host.graph.migrate.reading import Reading, Rule, named
from acestep_core.host.graph.migrate.request_chain import from_request
from acestep_core.host.graph.migrate.sampling_rules import SAMPLING, heard
from acestep_core.host.graph.migrate.song_request import Request
from acestep_core.host.graph.sketch import Out
from acestep_core.host.graph.wire import is_link

_SAVERS = {"SaveAudio": "flac", "SaveAudioMP3": "mp3", "SaveAudioOpus": "opus", "SaveAudioAdvanced": ""}
_DECODERS = ("VAEDecodeAudio", "VAEDecodeAudioTiled")


# -- models ------------------------------------------------------------------------------------------------------------


def _checkpoint(reading: Reading, node: Node) -> tuple[Any, ...]:
    file = _file(reading, node, "ckpt_name")
    return Model(file), Clip(file), Vae(file)


def _file(reading: Reading, node: Node, name: str) -> str:
    """The file of a loader; nothing where it is of ACE-Step 1.0, whose models are others."""
    is_first = any(other["class_type"] in ACE_STEP_1 for other in reading.prompt.values())
    return "" if is_first else str(reading.given(node, name, ""))


def _unet(reading: Reading, node: Node) -> tuple[Any, ...]:
    if reading.given(node, "weight_dtype", "default") != "default":
        reading.chain.note("The weights keep the number format of their file; the loader's own choice is left out.")
    return (Model(_file(reading, node, "unet_name")),)


def _clip(reading: Reading, node: Node) -> tuple[Any, ...]:
    """The one of 0.6B encodes text, the other writes codes."""
    names = ("clip_name", "clip_name1", "clip_name2")
    files = [_file(reading, node, name) for name in names if name in node.inputs]
    writers = [file for file in files if "0.6b" not in file.lower()]
    return (Clip(writers[0] if writers else files[1] if len(files) > 1 else None),)


def _vae_file(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (Vae(_file(reading, node, "vae_name")),)


def _lora(reading: Reading, node: Node) -> tuple[Any, ...]:
    model = reading.want(node.inputs.get("model"), Model)
    clip = reading.want(node.inputs.get("clip"), Clip)
    strength = reading.constant(node, "strength_model", 1.0)
    if model is not None and strength != 0:
        model = replace(model, loras=(*model.loras, (str(reading.given(node, "lora_name", "")), strength)))
    return model, clip


def _shift(reading: Reading, node: Node) -> tuple[Any, ...]:
    model = reading.want(node.inputs.get("model"), Model)
    return (None if model is None else replace(model, shift=reading.constant(node, "shift", SHIFT)),)


def _apg(reading: Reading, node: Node) -> tuple[Any, ...]:
    model = reading.want(node.inputs.get("model"), Model)
    values = {"eta": 1.0, "norm_threshold": 5.0, "momentum": 0.0}
    found = tuple((name, reading.constant(node, name, usual)) for name, usual in values.items())
    return (None if model is None else replace(model, guidance=(("mode", "apg"), *found)),)


# -- texts and latents -------------------------------------------------------------------------------------------------


def _text(reading: Reading, node: Node) -> tuple[Any, ...]:
    same = ("lyrics", "language", "duration", "bpm", "keyscale", "timesignature")
    song = {"caption": reading.given(node, "tags", "")}
    song |= {name: reading.given(node, name) for name in same if name in node.inputs}
    return (Text(tuple(song.items()), *_writing(reading, node)),)


def _writing(reading: Reading, node: Node) -> tuple[str | None, Any, tuple[tuple[str, Any], ...]]:
    """Who writes codes, from which seed, and how."""
    clip = reading.want(node.inputs.get("clip"), Clip)
    wanted = bool(reading.given(node, "generate_audio_codes", True))
    if wanted and clip is not None and clip.lm is None:
        reading.chain.note(f"{node.title} has no language model, so no codes are written.")
    values = {"temperature": 0.85, "top_p": 0.9, "top_k": 0, "cfg_scale": 2.0, "repetition_penalty": 1.0}
    sampling = {name: reading.constant(node, name, usual) for name, usual in values.items() if name in node.inputs}
    if sampling.get("top_p", 0) > 1:
        sampling["top_p"] = 1.0
    if negative := reading.given(node, "negative_prompt"):
        sampling["negative_prompt"] = negative
    if wanted and reading.constant(node, "min_p", 0.0) > 0:
        reading.chain.note("The language model has no min_p here; top_p and top_k choose.")
    return clip.lm if wanted and clip is not None else None, reading.given(node, "seed", 0), tuple(sampling.items())


def _first_text(reading: Reading, node: Node) -> tuple[Any, ...]:
    song = (("caption", reading.given(node, "tags", "")), ("lyrics", reading.given(node, "lyrics", "")))
    return (Text(song, first=True),)


def _rich_text(reading: Reading, node: Node) -> tuple[Any, ...]:
    """Of scromfyUI-AceStep."""
    caption = str(reading.given(node, "caption", ""))
    before, after = reading.given(node, "trigger_word", ""), reading.given(node, "style_tags", "")
    caption = " ".join(str(part).strip() for part in (before, caption) if part)
    caption = ", ".join(str(part).strip() for part in (caption, after) if part)
    song = {"caption": caption, "lyrics": reading.given(node, "lyrics", "")}
    song["instrumental"] = bool(reading.given(node, "instrumental", True))
    song |= {name: reading.given(node, name) for name in ("language", "duration") if name in node.inputs}
    song["bpm"] = max(reading.constant(node, "bpm", -1), 0)
    for name in ("keyscale", "timesignature"):
        value = reading.given(node, name, "Auto-decide")
        song[name] = "auto" if value == "Auto-decide" else value
    return Text(tuple(song.items()), *_writing(reading, node)), Nothing()


def _zeroed(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (Nothing(),)


def _reference(reading: Reading, node: Node) -> tuple[Any, ...]:
    text = reading.want(node.inputs.get("conditioning"), Text)
    latent = reading.want(node.inputs.get("latent"), (Encoded, Latent))
    if text is None or latent is None:
        return (text,)
    return (replace(text, references=(*text.references, heard(reading, latent))),)


def _empty(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (Empty(reading.given(node, "seconds", 120.0), reading.given(node, "batch_size", 1)),)


def _encoded(reading: Reading, node: Node) -> tuple[Any, ...]:
    sound = reading.sound(node.inputs.get("audio"))
    return (None if sound is None else Encoded(sound),)


def _masked(reading: Reading, node: Node) -> tuple[Any, ...]:
    reading.chain.note("The noise mask is left out: draw its part on the Repaint node instead.")
    return (reading.want(node.inputs.get("samples"), (Empty, Encoded, Latent)),)


# -- sound -------------------------------------------------------------------------------------------------------------


def _decode(reading: Reading, node: Node) -> tuple[Any, ...]:
    latent = reading.want(node.inputs.get("samples"), (Latent, Encoded))
    vae = reading.vae(reading.want(node.inputs.get("vae"), Vae))
    if isinstance(latent, Encoded):
        encoded = reading.chain.add("Encode", "ACEStepEncodeAudio", vae=vae, audio=latent.sound.out)
        latent = Latent(Out(encoded, 0))
    if latent is None:
        reading.chain.note(f"{named(node)} is left out: no latents of ACE-Step arrive.")
        return (None,)
    tile = reading.given(node, "tile_size") if node.kind.endswith("Tiled") else None
    return (Sound(reading.chain.decoded(vae, latent.out, tile=tile)),)


def _keep(reading: Reading, node: Node) -> None:
    """A node that saves or plays: ours where a song arrives, the same one for other sound."""
    sound = reading.sound(node.inputs.get("audio"))
    if sound is None:
        reading.chain.note(f"{named(node)} is left out: no sound arrives.")
        return
    if not _is_song(reading.chain, sound.out.title):
        reading.chain.add(node.title, node.kind, **{**_typed(reading, node), "audio": sound.out})
        return
    if node.kind == "PreviewAudio":
        reading.chain.add("Preview", "ACEStepPreviewSong", audio=sound.out)
        return
    form = _SAVERS[node.kind] or str(reading.given(node, "format", "flac"))
    quality = str(reading.given(node, "format.quality" if node.kind == "SaveAudioAdvanced" else "quality", ""))
    bitrate = "256" if quality == "V0" else quality.removesuffix("k")
    rates = reading.chain.choices("ACEStepSaveSong", "bitrate")
    reading.chain.saved(sound.out, reading.given(node, "filename_prefix"), form, bitrate if bitrate in rates else None)


def _typed(reading: Reading, node: Node) -> dict[str, Any]:
    return {name: reading.given(node, name) for name, value in node.inputs.items() if not is_link(value)}


def _is_song(chain: Chain, title: str) -> bool:
    """Whether a decoder of ours stands before a node."""
    kind, inputs = chain.nodes[title]
    return kind == "ACEStepDecode" or any(
        _is_song(chain, value.title) for value in inputs.values() if isinstance(value, Out)
    )


# -- kaola-ace-step ----------------------------------------------------------------------------------------------------


def _kaola(reading: Reading, node: Node) -> tuple[Any, ...]:
    """One node for everything, with upstream's words for its settings."""
    wires = ("src_audio", "lora_info")
    given = {name: reading.given(node, name) for name in node.inputs if name not in wires}
    task = node.kind.removeprefix(KAOLA).lower()
    given["task_type"] = task if task in ("cover", "repaint", "extract", "lego", "complete") else "text2music"
    added = [name for name in given if name.startswith("add_")]
    given["track_classes"] = [name.removeprefix("add_") for name in added if given.pop(name)]
    names = [str(given.pop(name, "")) for name in ("config_path", "checkpoint_dir", "lm_model_path")]
    given["lm_model"] = next((name for name in names if "-lm-" in name), "")
    given["model"] = next((name for name in names if variant_in(name, reading.chain.variants)), "")
    given["lm_top_p"] = 1.0
    loras = reading.want(node.inputs.get("lora_info"), tuple) or ()
    source = reading.sound(node.inputs.get("src_audio"))
    known = {name: value for name, value in given.items() if value is not None}
    request = Request.of(known, "upstream", source=None if source is None else source.out, loras=loras)
    return (Sound(from_request(reading.chain, request)),)


def _seed(reading: Reading, node: Node) -> tuple[Any, ...]:
    """A node of newer releases for one seed in several places."""
    return (Out(reading.chain.add(node.title, "PrimitiveInt", value=reading.given(node, "seed", 0)), 0),)


def _kaola_lora(reading: Reading, node: Node) -> tuple[Any, ...]:
    name = str(reading.given(node, "lora_path", "None"))
    return ((() if name in ("", "None") else ((name, reading.constant(node, "strength", 1.0)),)),)


_KAOLA = ("TextToMusic", "SimpleMode", "Cover", "Repaint", "Extract", "Lego", "Complete")
RULES: Mapping[str, Rule] = {
    **SAMPLING,
    "CheckpointLoaderSimple": _checkpoint,
    "UNETLoader": _unet,
    "UnetLoaderGGUF": _unet,
    "UnetLoaderGGUFAdvanced": _unet,
    "CLIPLoader": _clip,
    "DualCLIPLoader": _clip,
    "CLIPLoaderGGUF": _clip,
    "DualCLIPLoaderGGUF": _clip,
    "VAELoader": _vae_file,
    "LoraLoader": _lora,
    "LoraLoaderModelOnly": _lora,
    "LoraLoaderBypass": _lora,
    "LoraLoaderBypassModelOnly": _lora,
    "ModelSamplingAuraFlow": _shift,
    "ModelSamplingSD3": _shift,
    "APG": _apg,
    "TextEncodeAceStepAudio1.5": _text,
    ACE_STEP_1[0]: _first_text,
    "ConditioningZeroOut": _zeroed,
    "ReferenceTimbreAudio": _reference,
    "EmptyAceStep1.5LatentAudio": _empty,
    ACE_STEP_1[1]: _empty,
    "EmptyLatentAudio": _empty,
    "VAEEncodeAudio": _encoded,
    "SetLatentNoiseMask": _masked,
    "VAEDecodeAudio": _decode,
    "VAEDecodeAudioTiled": _decode,
    "SeedNode": _seed,
    "ScromfyAceStepTextEncoderPlusPlus": _rich_text,
    "ACE_STEP_LoRALoader": _kaola_lora,
    **{f"{KAOLA}{name}": _kaola for name in _KAOLA},
}


def run(reading: Reading) -> None:
    """Makes all of a graph: everything that is saved, shown or decoded."""
    nodes = [reading.node(node_id) for node_id in reading.prompt]
    for node in nodes:
        if node.kind in _SAVERS or node.kind == "PreviewAudio":
            _keep(reading, node)
        elif reading.is_kept(node) and reading.chain.definitions[node.kind].get("output_node"):
            reading.made(node.id)
    for node in nodes:
        is_end = node.kind in _DECODERS or (node.kind.startswith(KAOLA) and node.kind in RULES)
        if is_end and not reading.is_made(node) and (sound := reading.want([node.id, 0], Sound)):
            reading.chain.saved(sound.out)

"""Nodes of ComfyUI and of other packs that make music with ACE-Step: what they are given, in which order, and what they
give. Facts of their interfaces, for reading the graphs that they stand in; none of them runs here.

A line is `node: inputs > outputs`. An input is a socket (`model`), or a widget with its default as JSON (`steps=20`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from acestep_core.host.graph.canvas import Definitions, is_virtual

ACE_STEP_1 = ("TextEncodeAceStepAudio", "EmptyAceStepLatentAudio")
"""ComfyUI's nodes for ACE-Step 1.0, another family of models."""
ACE_STEP = ("TextEncodeAceStepAudio1.5", "EmptyAceStep1.5LatentAudio", "ReferenceTimbreAudio", *ACE_STEP_1)
KAOLA, SCROMFY = "ACE_STEP_", "ScromfyAceStep"
"""How the packs kaola-ace-step and scromfyUI-AceStep call their nodes."""

_NODES = """
CheckpointLoaderSimple: ckpt_name="" > MODEL CLIP VAE
UNETLoader: unet_name="" weight_dtype="default" > MODEL
UnetLoaderGGUF: unet_name="" > MODEL
UnetLoaderGGUFAdvanced: unet_name="" dequant_dtype="default" patch_dtype="default" patch_on_device=false > MODEL
CLIPLoader: clip_name="" type="" device="default" > CLIP
DualCLIPLoader: clip_name1="" clip_name2="" type="ace" device="default" > CLIP
CLIPLoaderGGUF: clip_name="" type="" > CLIP
DualCLIPLoaderGGUF: clip_name1="" clip_name2="" type="ace" > CLIP
VAELoader: vae_name="" > VAE
LoraLoader: model clip lora_name="" strength_model=1.0 strength_clip=1.0 > MODEL CLIP
LoraLoaderModelOnly: model lora_name="" strength_model=1.0 > MODEL
LoraLoaderBypass: model clip lora_name="" strength_model=1.0 strength_clip=1.0 > MODEL CLIP
LoraLoaderBypassModelOnly: model lora_name="" strength_model=1.0 > MODEL
ModelSamplingAuraFlow: model shift=1.73 > MODEL
ModelSamplingSD3: model shift=3.0 > MODEL
APG: model eta=1.0 norm_threshold=5.0 momentum=0.0 > MODEL
TextEncodeAceStepAudio1.5: clip tags="" lyrics="" seed=0 bpm=120 duration=120.0 timesignature="2" language="en"
 keyscale="C major" generate_audio_codes=true cfg_scale=2.0 temperature=0.85 top_p=0.9 top_k=0 min_p=0.0 > CONDITIONING
TextEncodeAceStepAudio: clip tags="" lyrics="" lyrics_strength=1.0 > CONDITIONING
ConditioningZeroOut: conditioning > CONDITIONING
ReferenceTimbreAudio: conditioning latent > CONDITIONING
EmptyAceStep1.5LatentAudio: seconds=120.0 batch_size=1 > LATENT
EmptyAceStepLatentAudio: seconds=120.0 batch_size=1 > LATENT
EmptyLatentAudio: seconds=47.6 batch_size=1 > LATENT
VAEEncodeAudio: audio vae > LATENT
VAEDecodeAudio: samples vae > AUDIO
VAEDecodeAudioTiled: samples vae tile_size=512 overlap=64 > AUDIO
SetLatentNoiseMask: samples mask > LATENT
KSampler: model seed=0 steps=20 cfg=8.0 sampler_name="euler" scheduler="simple" positive negative latent_image
 denoise=1.0 > LATENT
KSamplerAdvanced: model add_noise="enable" noise_seed=0 steps=20 cfg=8.0 sampler_name="euler" scheduler="simple"
 positive negative latent_image start_at_step=0 end_at_step=10000 return_with_leftover_noise="disable" > LATENT
SamplerCustom: model add_noise=true noise_seed=0 cfg=8.0 positive negative sampler sigmas latent_image > LATENT LATENT
SamplerCustomAdvanced: noise guider sampler sigmas latent_image > LATENT LATENT
RandomNoise: noise_seed=0 > NOISE
DisableNoise: > NOISE
CFGGuider: model positive negative cfg=8.0 > GUIDER
BasicGuider: model conditioning > GUIDER
KSamplerSelect: sampler_name="euler" > SAMPLER
BasicScheduler: model scheduler="simple" steps=20 denoise=1.0 > SIGMAS
ManualSigmas: sigmas="1, 0.5" > SIGMAS
SeedNode: seed=0 > INT
ScromfyAceStepTextEncoderPlusPlus: clip caption="" enhanced_prompt=true generate_audio_codes=true instrumental=true
 lyrics="[Instrumental]" trigger_word="" style_tags bpm=-1 duration=120.0 keyscale="Auto-decide"
 timesignature="Auto-decide" language="English" seed=0 cfg_scale=2.0 temperature=0.85 top_p=0.9 top_k=0 min_p=0.0
 repetition_penalty=1.3 negative_prompt="" > CONDITIONING CONDITIONING
ScromfyAceStepSampler: model positive negative latent_image seed=0 steps=60 cfg=15.0 sampler_name="euler"
 scheduler="normal" denoise=1.0 vae source_audio reference_audio reference_as_cover=false audio_cover_strength=0.0
 shift=3.0 custom_timesteps="" sampler_settings vae_decode_settings mask context_latents repaint_mask > LATENT AUDIO
ACE_STEP_TextToMusic: caption="" checkpoint_dir="" config_path="" lm_model_path="" duration=30.0 batch_size=2 seed=-1
 inference_steps=8 device="auto" lora_info lyrics="" bpm=0 keyscale="" timesignature="" vocal_language="unknown"
 instrumental=false guidance_scale=7.0 shift=1.0 thinking=true lm_temperature=0.0 quantization="None"
 compile_model=false audio_format="flac" > AUDIO STRING STRING
ACE_STEP_Cover: src_audio caption="" checkpoint_dir="" config_path="" lm_model_path="" audio_cover_strength=0.5
 batch_size=1 seed=-1 inference_steps=8 guidance_scale=7.0 device="auto" lyrics="" vocal_language="unknown"
 instrumental=false bpm=0 keyscale="" timesignature="" use_adg=false thinking=true audio_format="flac" lora_info
 instruction="" > AUDIO STRING STRING
ACE_STEP_Repaint: src_audio caption="" repainting_start=0.0 repainting_end=-1.0 checkpoint_dir="" config_path=""
 lm_model_path="" seed=-1 inference_steps=8 device="auto" thinking=true quantization="None" compile_model=false
 audio_format="flac" > AUDIO STRING STRING
ACE_STEP_SimpleMode: query="" checkpoint_dir="" config_path="" lm_model_path="" batch_size=2 seed=-1 inference_steps=8
 device="auto" instrumental=false vocal_language="auto" quantization="None" compile_model=false thinking=true
 audio_format="flac" lora_info > AUDIO STRING STRING STRING
ACE_STEP_Extract: src_audio track_name="vocals" seed=-1 inference_steps=50 guidance_scale=7.0 use_adg=false
 cfg_interval_start=0.0 cfg_interval_end=1.0 audio_format="flac" checkpoint_dir="acestep-v15-base" lm_model_path=""
 device="auto" > AUDIO STRING STRING
ACE_STEP_Lego: src_audio track_name="drums" caption="" seed=-1 inference_steps=50 guidance_scale=7.0
 repainting_start=0.0 repainting_end=-1.0 use_adg=false cfg_interval_start=0.0 cfg_interval_end=1.0
 audio_format="flac" checkpoint_dir="acestep-v15-base" lm_model_path="" device="auto" > AUDIO STRING STRING
ACE_STEP_Complete: src_audio add_drums=true add_bass=true add_guitar=false add_keyboard=false add_strings=true
 add_synths=false add_percussion=false add_brass=false add_woodwinds=false add_backing_vocals=false add_fx=false
 add_vocals=false vocal_language="unknown" lyrics="" caption="" seed=-1 inference_steps=50 guidance_scale=7.0
 use_adg=false cfg_interval_start=0.0 cfg_interval_end=1.0 audio_format="flac" checkpoint_dir="acestep-v15-base"
 lm_model_path="" device="auto" > AUDIO STRING STRING
ACE_STEP_LoRALoader: lora_path="None" strength=1.0 > ACE_STEP_LORA_INFO
"""

_WIRE: list[Any] = ["*", {"forceInput": True}]
_KINDS = {bool: "BOOLEAN", int: "INT", float: "FLOAT", str: "STRING"}


def _read(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in text.replace("\n ", " ").strip().splitlines():
        name, _, rest = line.partition(": ")
        given, _, made = rest.rpartition("> ")
        inputs: dict[str, Any] = {}
        while given := given.strip():
            word, _, given = given.partition(" ")
            if "=" not in word:
                inputs[word] = _WIRE
                continue
            key, _, start = word.partition("=")
            default, end = json.JSONDecoder().raw_decode(f"{start} {given}")
            given = f"{start} {given}"[end:]
            inputs[key] = [_KINDS[type(default)], {"default": default}]
        yield name, _definition(name, inputs, made.split())


def _definition(name: str, inputs: dict[str, Any], outputs: list[str]) -> dict[str, Any]:
    return {"input": {"required": inputs}, "output": outputs, "display_name": name}


FOREIGN: Definitions = dict(_read(_NODES))


def is_foreign(kind: str) -> bool:
    """Whether a node makes music with ACE-Step, and is none of ours."""
    return kind in ACE_STEP or kind.startswith((KAOLA, SCROMFY))


def read_with(canvas: Mapping[str, Any], known: Definitions) -> Definitions:
    """Definitions with which every node of a canvas can be read: those that are known, and for what nobody here has one
    that lists the wires that arrive.
    """
    graphs = [canvas, *((canvas.get("definitions") or {}).get("subgraphs") or [])]
    wires: dict[str, dict[str, Any]] = {}
    for node in (node for graph in graphs for node in graph.get("nodes") or []):
        if node["type"] not in known and node["type"] not in FOREIGN and not is_virtual(node, {}):
            sockets = wires.setdefault(node["type"], {})
            sockets |= {socket["name"]: _WIRE for socket in node.get("inputs") or []}
    return {**{kind: _definition(kind, sockets, []) for kind, sockets in wires.items()}, **FOREIGN, **known}

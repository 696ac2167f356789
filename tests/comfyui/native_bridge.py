"""Run by ComfyUI's interpreter: tiny networks of ComfyUI's own classes over shared files, and what crosses the bridges.

Prints one JSON object of figures, which `test_comfyui_bridges.py` judges.
"""

import json
import sys

from native_parts import NATIVE, nodes, out, place, tiny_clip, tiny_model, tiny_vae, unet, vae_file, wires

# isort: split

import comfy.samplers
import comfy.sd
import comfy.utils
import comfy_extras.nodes_audio as audio_nodes
import comfy_extras.nodes_custom_sampler as custom
import comfy_extras.nodes_model_advanced as advanced
import torch
from comfy.ldm.ace.ace_step15 import get_silence_latent

from acestep_core.errors import AceStepError
from acestep_core.models.convert import convert
from acestep_core.models.manager import manager
from acestep_core.render.conditioned import Branch, Conditioning
from acestep_core.render.conditioning import text_context
from acestep_core.render.stages import render_latents
from acestep_core.seeds import noise

found = {}


def sample(model, conditioning, **given):
    """Latents of seed 7, by euler through the times of this script."""
    usual = {"seed": 7, "batch_size": 1, "sampler": "euler", "sigmas": sigmas}
    return out("ACEStepSampler", model=model, conditioning=conditioning, **{**usual, **given})[0]


class OurNoise:
    """The noise of our seeds, for SamplerCustomAdvanced."""

    seed = 7

    def generate_noise(self, latent):
        return noise([self.seed], latent["samples"].shape[-1]).mT.contiguous()


def natively(model, conditioning, latent, sigmas, negative=None, cfg=1.0):
    guider = custom.Guider_Basic(model) if negative is None else comfy.samplers.CFGGuider(model)
    guider.set_conds(conditioning) if negative is None else guider.set_conds(conditioning, negative)
    if negative is not None:
        guider.set_cfg(cfg)
    sampler = comfy.samplers.sampler_object("euler")
    with torch.inference_mode():
        return custom.SamplerCustomAdvanced.execute(OurNoise(), guider, sampler, sigmas, latent)[0]


def difference(one, other):
    return float((one - other).abs().max())


model, clip, vae = tiny_model(), tiny_clip(), tiny_vae()
song = out("ACEStepSong", caption="calm", lyrics="[Verse]\nla la", duration=10.0)[0]
sigmas = torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])

# --- what `acestep models convert` writes, in ComfyUI's own classes ---------------------------------------------------

convert(place / "made", place / "converted", "comfyui")
own_file, own_vae = (next((place / "converted" / part).glob("*.safetensors")) for part in ("diffusion_models", "vae"))


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


found["converted"] = [
    same(tiny_model(own_file).model, model.model),
    same(tiny_vae(own_vae).first_stage_model, vae.first_stage_model),
    *(
        comfy.utils.load_torch_file(str(place / "converted" / "text_encoders" / name)).keys()
        == {key for key in getattr(clip.cond_stage_model, part).transformer.state_dict() if "lm_head" not in key}
        for name, part in (
            ("qwen_0.6b_ace15.safetensors", "qwen3_06b"),
            ("acestep_5hz_lm_0.6b.safetensors", "qwen3_2b"),
        )
    ),
]

# --- from ComfyUI's models to ours ------------------------------------------------------------------------------------

shifted = advanced.ModelSamplingAuraFlow().patch_aura(model, 2.0)[0]
ours, our_vae, our_lm = out("ACEStepFromNative", model=shifted, clip=clip, vae=vae)
found["variant"], found["shift"], found["lm"] = ours.variant, ours.preset.shift, our_lm is not None
task = out("ACEStepTextToMusic", song=song)[0]
told = out("ACEStepConditioning", model=ours, song=song, task=task)[0]
latent = sample(ours, told)
with manager.resident(ours) as module:
    theirs = dict(model.model.diffusion_model.state_dict())
    same = [theirs[name].data_ptr() == tensor.data_ptr() for name, tensor in module.state_dict().items()]
    found["weights"], found["same memory"] = len(same), sum(same)
audio = out("ACEStepDecode", vae=our_vae, latent=latent, task=task, normalize=False)[0]
found["unrecorded"] = audio["acestep"].made.unrecorded
found["shape"] = list(audio["waveform"].shape)
found["loaded"] = manager.loaded()

with manager.resident(ours.text) as reader:
    found["words"] = len(reader.tokens("calm piano", 99))

# --- from ours to ComfyUI's -------------------------------------------------------------------------------------------

native, native_vae, positive, empty = out("ACEStepToNative", model=ours, vae=our_vae, conditioning=told)
found["frames"] = list(empty["samples"].shape)
sampled = natively(native, positive, empty, sigmas)
found["lent there and back"] = difference(sampled["samples"], latent["samples"])
found["vae is theirs"] = native_vae is vae
wave = audio_nodes.VAEDecodeAudio.execute(native_vae, latent)[0]["waveform"]
plain = out("ACEStepDecode", vae=our_vae, latent={"samples": latent["samples"]}, normalize=False)[0]["waveform"]
loud = (torch.std(wave, dim=[1, 2]) * 5).item()
found["decoded"] = difference(wave, plain) if loud <= 1 else loud

# a file of ours, ComfyUI's network over its weights
our_vae_of_file = type(our_vae)(vae_file, "fp32", "cpu")
file = type(ours)(unet, "fp32", "cpu", "turbo", ours.text, our_vae)
told_file = out("ACEStepConditioning", model=file, song=song, task=task)[0]
by_file = sample(file, told_file)
found["file and lent"] = difference(by_file["samples"], latent["samples"])
native, _, positive, empty = out("ACEStepToNative", model=file, vae=our_vae, conditioning=told_file)
found["file by KSampler's way"] = difference(natively(native, positive, empty, sigmas)["samples"], by_file["samples"])
shared = manager.shared(file)[1]
theirs = native.model.diffusion_model.state_dict()
found["native shares"] = all(theirs[name].data_ptr() == shared[name].data_ptr() for name in theirs)

# its negative, and guidance
zero = nodes.ConditioningZeroOut().zero_out(positive)[0]
guided = natively(native, positive, empty, sigmas, zero, 4.0)["samples"]
found["guided differs"] = difference(guided, by_file["samples"])

# a LoRA of ComfyUI's loader, on both sides
draws = torch.Generator().manual_seed(0)
lora = {}
for layer in range(4):
    for part, width in (("q_proj", 256), ("o_proj", 64)):
        base = f"base_model.model.layers.{layer}.self_attn.{part}"
        into = 64 if part == "q_proj" else 256
        lora[f"{base}.lora_A.weight"] = torch.randn(4, into, generator=draws) * 0.2
        lora[f"{base}.lora_B.weight"] = torch.randn(width, 4, generator=draws) * 0.2
patched = comfy.sd.load_lora_for_models(native, None, dict(lora), 1.0, 0.0)[0]
with_lora = natively(patched, positive, empty, sigmas)["samples"]
found["lora acts"] = difference(with_lora, by_file["samples"])
lent_lora = comfy.sd.load_lora_for_models(model, None, dict(lora), 1.0, 0.0)[0]
handle, _, _ = out("ACEStepFromNative", model=lent_lora, clip=clip, vae=vae)
again = sample(handle, told)
found["lora through the bridge"] = difference(again["samples"], with_lora)
after = sample(file, told_file)
found["file after the lora"] = difference(after["samples"], by_file["samples"])

# repaint: the recording stays under the noise mask
source = {"waveform": torch.sin(torch.arange(480_000) / 30).expand(1, 2, -1) * 0.3, "sample_rate": 48_000}
repaint = out("ACEStepRepaint", vae=our_vae, audio=source, start=2.0, end=5.0, mode="conservative")[0]
told = out("ACEStepConditioning", model=file, song=song, task=repaint)[0]
native, _, positive, start = out("ACEStepToNative", model=file, vae=our_vae, conditioning=told)
painted = natively(native, positive, start, sigmas)
found["repaint keeps"] = difference(painted["samples"][:, :, :50], start["samples"][:, :, :50])
found["repaint makes"] = difference(painted["samples"][:, :, 60:100], start["samples"][:, :, 60:100])
done = out("ACEStepDecode", vae=our_vae, latent=painted, task=repaint)[0]
found["repaint audio"] = [
    list(done["waveform"].shape),
    difference(done["waveform"][..., :90_000], source["waveform"][..., :90_000]),
]
found["repaint record"] = "acestep" in done

# ComfyUI's samplers in our loop
native_euler = comfy.samplers.sampler_object("euler")
by_theirs = sample(file, told_file, sampler="heun", native_sampler=native_euler)
found["their euler"] = difference(by_theirs["samples"], by_file["samples"])
found["their euler is told"] = bool(by_theirs["acestep"].made.unrecorded)
for name in ("euler_ancestral", "dpmpp_2m", "lcm", "uni_pc"):
    other = comfy.samplers.sampler_object(name)
    got = sample(file, told_file, native_sampler=other)
    found[f"their {name}"] = bool(got["samples"].isfinite().all()) and got["samples"].shape == by_file["samples"].shape
try:
    sample(file, told_file, native_sampler=comfy.samplers.sampler_object("euler_cfg_pp"))
except Exception as error:
    found["cfg++"] = str(error)

# one half by ComfyUI's sampler, the other by ours, and the other way round
half = natively(*out("ACEStepToNative", model=file, vae=our_vae, conditioning=told_file)[::2], empty, sigmas[:3])
rest = sample(file, told_file, sigmas=sigmas[2:], latent=half, add_noise=False)
found["theirs, then ours"] = difference(rest["samples"], by_file["samples"])

# a latent with denoise as KSampler has it
steps = {"steps": 4, "shift": 3.0}
start_at = {"samples": torch.randn(1, 64, 250, generator=draws)}
whole = out("ACEStepSchedule", model=file, **steps)[0]
partly = sample(file, told_file, sigmas=whole[2:], latent=start_at)
native, _, positive, _ = out("ACEStepToNative", model=file, vae=our_vae, conditioning=told_file)
found["from a latent"] = difference(natively(native, positive, start_at, whole[2:])["samples"], partly["samples"])
# a song of ComfyUI's own text nodes: its network encodes at every step, ours once over the same weights
tokens = clip.tokenize("calm piano", lyrics="la la", bpm=90, duration=10.0, generate_audio_codes=False, language="en")
text_only = clip.encode_from_tokens_scheduled(tokens)
by_comfy = natively(model, text_only, {"samples": torch.zeros(1, 64, 250)}, sigmas)["samples"]
quiet = get_silence_latent(250, "cpu").mT.contiguous()
states, lyrics = text_only[0][0], text_only[0][1]["conditioning_lyrics"]
with manager.resident(ours) as module:
    branch = Branch((module.encoder(states, lyrics, quiet),), text_context(quiet))
    null = module.null_condition_emb.clone()
ours_of_it = render_latents(ours, Conditioning(branch, null), [7], sigmas).mT
found["ComfyUI's own pipeline"] = difference(by_comfy, ours_of_it)
ids = [[token for token, _ in tokens["qwen3_06b"][0]]]
with manager.resident(ours.text) as reader:
    read = reader.model(torch.tensor(ids))
    # ComfyUI takes the first end of text, and what follows, for padding
    found["text encoder"] = difference(read[:, :-3], states[:, :-3])

# the language model within the CLIP
found["codes"] = len(out("ACEStepPlanCodes", lm=our_lm, song=song, plan="", seed=1, batch_size=1)[0][0])

# nodes of ComfyUI between two of ours: seconds that come out, and how many songs of them know what made them
two = sample(file, told_file, batch_size=2)
(sound,) = out("ACEStepDecode", vae=our_vae_of_file, latent=two)


def heard(value):
    if "samples" in value:
        (value,) = out("ACEStepDecode", vae=our_vae_of_file, latent=value)
    story = wires.story(value)[1]
    length = value["waveform"].shape[-1] / value["sample_rate"]
    return [round(length, 2), value["waveform"].shape[0], sum(place is not None for place in story)]


one, half = {**two, "samples": two["samples"][:1]}, {"samples": two["samples"].flip(-1) / 2, "type": "audio"}
mono = {"waveform": sound["waveform"][:, :1], "sample_rate": sound["sample_rate"]}
sharpened = NATIVE["LatentOperationSharpen"].execute(3, 1.0, 0.1)[0]
equal = (6.0, 100, 0.0, 1000, 0.707, 0.0, 5000)
mask = torch.ones(1, 250)
JOBS = {
    "LatentFromBatch": (two, 1, 1),
    "RepeatLatentBatch": (two, 2),
    "LatentBatch": (one, two),
    "BatchLatentsNode": ({"latent0": one, "latent1": two},),
    "RebatchLatents": ([two], [1]),
    "LatentConcat": (one, one, "x"),
    "LatentCut": (two, "x", 50, 100),
    "LatentCutToBatch": (two, "x", 125),
    "LatentMultiply": (two, 0.9),
    "LatentMultiply by 1": (two, 1.0),
    "LatentAdd": (two, two),
    "LatentSubtract": (two, half),
    "LatentSubtract from itself": (two, two),
    "LatentInterpolate": (one, half, 0.3),  # knows no batches
    "LatentBlend": (two, half, 0.5),
    "LatentApplyOperation": (two, sharpened),
    "LatentBatchSeedBehavior": (two, "fixed"),
    "SetLatentNoiseMask": (two, mask),
    "AddNoise": (native, OurNoise(), sigmas, two),
    "ReplaceVideoLatentFrames": (two, 10, one),
    "TrimVideoLatent": (two, 100),
    "NormalizeVideoLatentStart": (two, 4, 5),
    "LatentUpscale": (two, "nearest-exact", 64, 64, "disabled"),
    "LatentUpscaleBy": (two, "nearest-exact", 2.0),
    "LatentCrop": (two, 64, 64, 0, 0),
    "LatentFlip": (two, "x-axis: vertically"),
    "LatentRotate": (two, "90 degrees"),
    "LatentComposite": (two, one, 0, 0, 0),
    "LatentCompositeMasked": (two, one, 0, 0, False),
    "LTXVConcatAVLatent": (two, two),
    "LTXVSeparateAVLatent": (two,),
    "TrimAudioDuration": (sound, 2.0, 3.0),
    "TrimAudioDuration to all": (sound, 0.0, 60.0),
    "SplitAudioChannels": (sound,),
    "JoinAudioChannels": (mono, mono),
    "AudioConcat": (sound, sound, "after"),
    "AudioMerge": (sound, sound, "mean"),
    "AudioAdjustVolume": (sound, 0),
    "AudioAdjustVolume by 6": (sound, -6),
    "AudioEqualizer3Band": (sound, *equal),
    "VAEDecodeAudio": (vae, two),
    "VAEDecodeAudioTiled": (vae, two, 128, 16),
    "VAEEncodeAudio": (vae, sound),
    "EmptyAceStep1.5LatentAudio": (10.0, 2),
    "EmptyAudio": (10.0, 48_000, 2),
}
SAMPLED = ("VAEEncodeAudio", "EmptyAceStep1.5LatentAudio", "SetLatentNoiseMask")
"""What these make goes into our sampler, the rest into our decoder."""


def between(name):
    kind = NATIVE[name.split(" ")[0]]
    with torch.inference_mode():
        run = kind.execute if hasattr(kind, "execute") else getattr(kind(), kind.FUNCTION)
        try:
            made = run(*JOBS[name])[0]
        except Exception as error:
            return f"ComfyUI: {type(error).__name__}"
    made = made[0] if isinstance(made, list) else made
    try:
        return heard(sample(file, told_file, latent=made) if name in SAMPLED else made)
    except AceStepError as error:
        return str(error)


found["between"] = {name: between(name) for name in JOBS}


for name, kind in NATIVE.items():
    inputs = {
        entry[0]
        for group in ("required", "optional")
        for entry in (kind.INPUT_TYPES().get(group) or {}).values()
        if isinstance(entry[0], str)
    }
    if {"LATENT", "AUDIO", "COMFY_AUTOGROW_V3"} & inputs and {"LATENT", "AUDIO"} & set(kind.RETURN_TYPES):
        found.setdefault("takes and gives", {})[name] = kind.CATEGORY
sys.stdout.write("\n" + json.dumps(found) + "\n")

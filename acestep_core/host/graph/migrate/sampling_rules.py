"""Samplers that are not ours, their schedules and guiders, made of song, task, schedule, guidance and sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from acestep_core.host.graph.migrate.meanings import (
    Empty,
    Encoded,
    Guider,
    Latent,
    Method,
    Model,
    Node,
    Noise,
    Nothing,
    Sound,
    Steps,
    Text,
    Vae,
)
from acestep_core.host.graph.migrate.native_times import MOST_STEPS, SHIFT, Times, native_times
from acestep_core.host.graph.migrate.reading import Reading, Rule, named
from acestep_core.host.graph.sketch import Out
from acestep_core.host.graph.wire import is_link
from acestep_core.values import number

_METHODS = {"euler": "euler", "heun": "heun", "lcm": "sde"}
"""ComfyUI's samplers that ours has; lcm draws new noise in each step, as upstream's sde does."""


def _ksampler(reading: Reading, node: Node) -> tuple[Any, ...]:
    count, denoise = int(reading.constant(node, "steps", 20)), reading.constant(node, "denoise", 1.0)
    noise, (method,) = Noise(reading.given(node, "seed", 0)), _method(reading, node)
    steps = Steps(_scheduler(reading, node), count, denoise)
    return _sampled(reading, node, noise, _guider(reading, node), method, steps)


def _ksampler_advanced(reading: Reading, node: Node) -> tuple[Any, ...]:
    count = int(reading.constant(node, "steps", 20))
    first, last = reading.constant(node, "start_at_step", 0), reading.constant(node, "end_at_step", 10_000)
    if last < count:
        reading.chain.note(f"{node.title} stops before the last step; here it goes to the end.")
    left = max(count - int(first), 1)
    steps = Steps(_scheduler(reading, node), left, left / count)
    is_still = reading.given(node, "add_noise", "enable") == "disable"
    noise, (method,) = Noise(None if is_still else reading.given(node, "noise_seed", 0)), _method(reading, node)
    return _sampled(reading, node, noise, _guider(reading, node), method, steps)


def _sampler_custom(reading: Reading, node: Node) -> tuple[Any, ...]:
    noise = Noise(reading.given(node, "noise_seed", 0) if reading.given(node, "add_noise", True) else None)
    return _sampled_by_parts(reading, node, noise, _guider(reading, node))


def _sampler_custom_advanced(reading: Reading, node: Node) -> tuple[Any, ...]:
    noise = reading.want(node.inputs.get("noise"), Noise) or Noise(0)
    return _sampled_by_parts(reading, node, noise, reading.want(node.inputs.get("guider"), Guider))


def _sampled_by_parts(reading: Reading, node: Node, noise: Noise, guider: Guider | None) -> tuple[Any, ...]:
    method = reading.want(node.inputs.get("sampler"), Method) or Method("euler")
    steps = reading.want(node.inputs.get("sigmas"), Steps)
    made = _sampled(reading, node, noise, guider, method, steps)
    return made * 2


def _noise(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (Noise(None if node.kind == "DisableNoise" else reading.given(node, "noise_seed", 0)),)


def _guider(reading: Reading, node: Node) -> Guider | None:
    model = reading.want(node.inputs.get("model"), Model)
    positive = reading.want(node.inputs.get("positive", node.inputs.get("conditioning")), Text)
    if model is None or positive is None:
        return None
    negative = reading.want(node.inputs.get("negative"), (Text, Nothing))
    return Guider(model, positive, negative, reading.constant(node, "cfg", 1.0))


def _as_guider(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (_guider(reading, node),)


def _method(reading: Reading, node: Node) -> tuple[Any, ...]:
    return (Method(str(reading.given(node, "sampler_name", "euler"))),)


def _scheduled(reading: Reading, node: Node) -> tuple[Any, ...]:
    count, denoise = int(reading.constant(node, "steps", 20)), reading.constant(node, "denoise", 1.0)
    return (Steps(_scheduler(reading, node), count, denoise),)


def _written_out(reading: Reading, node: Node) -> tuple[Any, ...]:
    found = _numbers(reading.given(node, "sigmas", ""))
    return (Steps("", max(len(found) - 1, 1), values=found),)


def _times(reading: Reading, node: Node, steps: Steps | None, shift: float) -> Times | None:
    """When the sampler looks; None for the model's own."""
    if steps is None:
        reading.chain.note(f"Where {node.title} has its steps from is not known here: the model's own are taken.")
        return None
    if steps.values is not None:
        values = steps.values if steps.values and steps.values[-1] == 0 else (*steps.values, 0.0)
        return Times(len(values) - 1, shift, values, values[0])
    count = min(max(steps.steps, 1), MOST_STEPS)
    if count != steps.steps:
        reading.chain.note(f"{node.title} takes {count} steps instead of {steps.steps}.")
    found = native_times(steps.scheduler, count, shift, steps.denoise)
    if found is None:
        reading.chain.note(f"The scheduler {steps.scheduler} is not here: the steps are even, as in simple.")
        found = native_times("simple", count, shift, steps.denoise)
    return found


def _sampled(
    reading: Reading,
    node: Node,
    noise: Noise,
    guider: Guider | None,
    method: Method,
    steps: Steps | None,
    start: Encoded | None = None,
) -> tuple[Any, ...]:
    """Song, task, schedule, guidance and sampler.

    Args:
        start: a recording to begin with, in place of the latent that arrives.
    """
    if guider is None:
        reading.chain.note(f"{named(node)} is left out: it does not sample ACE-Step.")
        return (None,)
    chain, model, text = reading.chain, guider.model, guider.positive
    latent = start or reading.want(node.inputs.get("latent_image"), (Empty, Encoded, Latent))
    turbo = chain.is_turbo(model.file)
    if text.first:
        chain.note("This graph is for ACE-Step 1.0: its words are kept, models and settings are those of ACE-Step 1.5.")
        model, times, turbo = Model(""), None, True
    else:
        times = _times(reading, node, steps, model.shift)
    loaded = chain.model(model.file, model.loras)
    vae = reading.vae(_vae_near(reading, node))
    song, task, batch = _task(reading, text, latent, vae, times)
    given: dict[str, Any] = {"seed": noise.seed, "batch_size": batch}
    if noise.seed is None:
        chain.note(f"{node.title} goes on without new noise; here it starts with the noise of seed 0.")
    if method.name not in _METHODS:
        chain.note(f"The sampler {method.name} is not here: euler is taken.")
    given["sampler"] = _METHODS.get(method.name, "euler")
    if times is not None:
        given["sigmas"] = chain.schedule(loaded, times, turbo)
    if not text.first:
        given["guidance"] = chain.guidance(guider.cfg, turbo, **{"mode": "cfg", **dict(model.guidance)})
    if isinstance(guider.negative, Text) and guider.cfg != 1:
        chain.note("The negative text is left out: ACE-Step is guided away from no text at all.")
    return (Latent(chain.sampled(loaded, song, task, **given)),)


def _vae_near(reading: Reading, node: Node) -> Vae | None:
    """The sampler's own VAE, else the first of the graph."""
    links = [node.inputs.get("vae"), *(other["inputs"].get("vae") for other in reading.prompt.values())]
    return next((vae for link in links if (vae := reading.want(link, Vae)) is not None), None)


def heard(reading: Reading, latent: Encoded | Latent) -> Sound:
    """A latent as sound: the recording that it was, or decoded."""
    if isinstance(latent, Encoded):
        return latent.sound
    return Sound(reading.chain.decoded(reading.vae(None), latent.out))


def _task(
    reading: Reading, text: Text, latent: Empty | Encoded | Latent | None, vae: Out, times: Times | None
) -> tuple[Out, Out, Any]:
    """Song, task, and how many songs."""
    chain, given = reading.chain, dict(text.song)
    empty = latent if isinstance(latent, Empty) else Empty(given.get("duration", 0), 1)
    asked, heard = number(given.get("duration")), number(empty.seconds)
    if asked and heard and asked != heard:
        chain.note(f"The text says {asked:g} s and the latent {heard:g}: the song lasts {heard:g} s.")
    given["duration"] = empty.seconds
    if isinstance(latent, Encoded | Latent) or text.references:
        given["duration"] = 0.0
        if text.lm is not None:
            chain.note("A song that starts from a recording follows it, and no codes of the language model.")
        song = chain.song(**given)
        return song, _from_recording(reading, text, latent, vae, times, empty), empty.batch
    song = chain.song(**given)
    if text.lm is None:
        return song, Out(chain.add("Task", "ACEStepTextToMusic", song=song), 0), empty.batch
    lm, sampling = chain.loader("lm", text.lm), chain.sampling(**dict(text.sampling))
    asked_of = {"lm": lm, "song": song, "seed": text.seed, "sampling": sampling}
    plan = chain.add("Plan", "ACEStepPlan", metas=False, caption=False, language=False, **asked_of)
    codes = chain.add("Codes", "ACEStepPlanCodes", plan=Out(plan, 1), **asked_of)
    task = chain.add("Task", "ACEStepTextToMusic", song=song, codes=Out(codes, 0))
    return song, Out(task, 0), empty.batch


def _from_recording(
    reading: Reading, text: Text, latent: Empty | Encoded | Latent | None, vae: Out, times: Times | None, empty: Empty
) -> Out:
    """A cover: ComfyUI's reference is followed to the end, its half denoised latent only gives the beginning."""
    chain = reading.chain
    noise = 0.0 if times is None else round(1 - times.start, 4)
    if isinstance(latent, Encoded | Latent):
        audio = heard(reading, latent).out
    else:
        cut = {"audio": text.references[0].out, "start_index": 0.0, "duration": empty.seconds}
        audio = Out(chain.add("Trim", "TrimAudioDuration", **cut), 0)
        noise = 0.0
        chain.note("The song is as long as its reference, at most as long as the latent was.")
    strength = 1.0 if text.references else 0.0
    task = Out(chain.add("Cover", "ACEStepCover", vae=vae, audio=audio, strength=strength, noise_strength=noise), 0)
    for reference in text.references:
        task = Out(chain.add("Reference", "ACEStepReferenceAudio", vae=vae, task=task, audio=reference.out), 0)
    return task


def _rich_sampler(reading: Reading, node: Node) -> tuple[Any, ...]:
    """Of scromfyUI-AceStep: a KSampler with a recording, a reference and times of one's own."""
    guider = _guider(reading, node)
    if guider is None:
        return None, None
    model = replace(guider.model, shift=reading.constant(node, "shift", SHIFT))
    model = replace(model, guidance=model.guidance or (("mode", "apg"),))
    source, reference = (reading.sound(node.inputs.get(name)) for name in ("source_audio", "reference_audio"))
    text = guider.positive
    if reference is not None:
        text = replace(text, references=(reference,))
        if not reading.given(node, "reference_as_cover", False):
            reading.chain.note("The reference is followed as in a cover; without the Cover only its timbre is taken.")
    for name in ("sampler_settings", "vae_decode_settings", "mask", "repaint_mask", "context_latents"):
        if is_link(node.inputs.get(name)):
            reading.chain.note(f"What arrives at {node.title} as {name} is left out.")
    denoise = reading.constant(node, "denoise", 1.0)
    values = _numbers(reading.given(node, "custom_timesteps", ""))
    steps = Steps(_scheduler(reading, node), int(reading.constant(node, "steps", 60)), denoise, values or None)
    start = Encoded(source) if source is not None and denoise < 1 else None
    guider = replace(guider, model=model, positive=text)
    noise, method = Noise(reading.given(node, "seed", 0)), _method(reading, node)[0]
    (latent,) = _sampled(reading, node, noise, guider, method, steps, start)
    vae = reading.want(node.inputs.get("vae"), Vae)
    sound = None if vae is None or latent is None else Sound(reading.chain.decoded(reading.vae(vae), latent.out))
    return latent, sound


def _numbers(text: Any) -> tuple[float, ...]:
    found = (number(part) for part in str(text or "").replace(",", " ").split())
    return tuple(float(value) for value in found if value is not None)


def _scheduler(reading: Reading, node: Node) -> str:
    return str(reading.given(node, "scheduler", "simple"))


SAMPLING: Mapping[str, Rule] = {
    "KSampler": _ksampler,
    "KSamplerAdvanced": _ksampler_advanced,
    "SamplerCustom": _sampler_custom,
    "SamplerCustomAdvanced": _sampler_custom_advanced,
    "RandomNoise": _noise,
    "DisableNoise": _noise,
    "CFGGuider": _as_guider,
    "BasicGuider": _as_guider,
    "KSamplerSelect": _method,
    "BasicScheduler": _scheduled,
    "ManualSigmas": _written_out,
    "ScromfyAceStepSampler": _rich_sampler,
}

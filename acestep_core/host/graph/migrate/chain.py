"""Chains of our nodes, put together from what another graph or program says, and a list of what could not be carried.

Values that our nodes do not take are brought into range, and that is said. A node that is there already is used again.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from acestep_core.host.graph.canvas import Definitions
from acestep_core.host.graph.canvas_widgets import entries
from acestep_core.host.graph.migrate.native_times import Times, shifted
from acestep_core.host.graph.nodedef import choices_of
from acestep_core.host.graph.sketch import Out
from acestep_core.values import number
from acestep_core.vocabulary import BPM_MIN, DURATION_MAX, DURATION_MIN

MOST_TURBO_STEPS = 20
"""More are taken only as times of one's own."""
_LOADERS = {
    "model": ("Model", "ACEStepModelLoader"),
    "vae": ("VAE", "ACEStepVAELoader"),
    "lm": ("Language model", "ACEStepLMLoader"),
}
"""Input -> title and class."""


class Chain:
    """Nodes of a sketch in the making."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.nodes: dict[str, tuple[str, dict[str, Any]]] = {}
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Says what is not carried, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def add(self, title: str, kind: str, **given: Any) -> str:
        """Adds a node, and gives the title that it got. Inputs that are None are left out."""
        inputs = {name: self._fit(title, kind, name, value) for name, value in given.items() if value is not None}
        for known, node in self.nodes.items():
            if node == (kind, inputs):
                return known
        numbered = (f"{title} {number}" for number in range(2, len(self.nodes) + 3))
        free = next(name for name in (title, *numbered) if name not in self.nodes)
        self.nodes[free] = (kind, inputs)
        return free

    def _fit(self, title: str, kind: str, name: str, value: Any) -> Any:
        """The value as the input takes it."""
        entry = entries(self.definitions[kind], {}).get(name)
        if entry is None or isinstance(value, Out):
            return value
        options = entry[1] if len(entry) > 1 else {}
        if entry[0] not in ("INT", "FLOAT"):
            return value
        found = number(value)
        if found is None or value == options.get("empty"):
            return value  # how people write times and lengths: the node reads it
        fitting = min(max(found, options.get("min", found)), options.get("max", found))
        if fitting != found:
            span = f"{options['min']:g} to {options['max']:g}"
            self.note(f"{title} takes {name} from {span}: {found:g} is now {fitting:g}.")
        return int(fitting) if entry[0] == "INT" else fitting

    # -- models --------------------------------------------------------------------------------------------------------

    def model(self, file: str, loras: tuple[tuple[str, float], ...] = ()) -> Out:
        chosen = self._listed("model", file)
        variant = None if chosen else variant_in(file, self.variants)
        out = Out(self.add("Model", "ACEStepModelLoader", model=chosen or "auto", variant=variant), 0)
        return self.with_loras(out, loras)

    def with_loras(self, model: Out, loras: tuple[tuple[str, float], ...]) -> Out:
        for lora, strength in loras:
            model = Out(self.add("LoRA", "ACEStepLoRALoader", model=model, lora=self._lora(lora), strength=strength), 0)
        return model

    def loader(self, input_name: str, file: str) -> Out:
        """The VAE (`vae`) or the language model (`lm`)."""
        title, kind = _LOADERS[input_name]
        return Out(self.add(title, kind, **{input_name: self._listed(input_name, file) or "auto"}), 0)

    @property
    def variants(self) -> list[str]:
        return self.choices("ACEStepModelLoader", "variant")

    def is_turbo(self, file: str) -> bool:
        return "turbo" in (variant_in(file, self.variants) or "")

    def _listed(self, input_name: str, file: str) -> str | None:
        """The model of that name among those that are here."""
        wanted = _stem(file)
        if not wanted:
            return None
        listed = self.choices(_LOADERS[input_name][1], input_name)
        found = next((name for name in listed if _stem(name) == wanted), None)
        if found is None:
            self.note(f"{_name(file)} is not here: choose another in {_LOADERS[input_name][0]}.")
        return found

    def _lora(self, file: str) -> str:
        """A LoRA by its file, or by the folder of a PEFT one."""
        wanted = file.replace("\\", "/").removeprefix("loras/")
        listed = self.choices("ACEStepLoRALoader", "lora")
        folder = str(PurePosixPath(wanted).parent)
        for same in (wanted.__eq__, folder.__eq__, lambda name: _stem(name) == _stem(wanted)):
            if found := next(filter(same, listed), None):
                return found
        self.note(f"The LoRA {_name(file)} is not here: put it into models/loras, or choose another.")
        return wanted

    def choices(self, kind: str, name: str) -> list[str]:
        entry = entries(self.definitions[kind], {})[name]
        return [str(choice) for choice in choices_of(entry[0], entry[1]) or []]

    # -- what to make --------------------------------------------------------------------------------------------------

    def song(self, **given: Any) -> Out:
        bpm, seconds = number(given.get("bpm")), number(given.get("duration"))
        if bpm is not None and 0 < bpm < BPM_MIN:
            self.note(f"The models know tempos from {BPM_MIN} on: {bpm:g} beats per minute are left open.")
            given["bpm"] = 0
        if seconds is not None and seconds > 0:
            given["duration"] = fitting = min(max(seconds, DURATION_MIN), DURATION_MAX)
            if fitting != seconds:
                self.note(f"Songs last {DURATION_MIN:g} to {DURATION_MAX:g} s: {seconds:g} s are now {fitting:g}.")
        for name in ("caption", "lyrics"):
            if re.search(r"\{[^{}]*\|[^{}]*\}", str(given.get(name) or "")):
                self.note(f"Words of the {name} in braces are no longer drawn by lot; they are read as they stand.")
        return Out(self.add("Song", "ACEStepSong", **given), 0)

    def sampling(self, **given: Any) -> Out | None:
        """Settings of the language model; None where all are the usual ones."""
        usual = entries(self.definitions["ACEStepLMSampling"], {})
        changed = {name: value for name, value in given.items() if value != usual[name][1].get("default")}
        return Out(self.add("LM sampling", "ACEStepLMSampling", **changed), 0) if changed else None

    # -- how to render it ----------------------------------------------------------------------------------------------

    def schedule(self, model: Out, times: Times, turbo: bool) -> Out:
        values, steps = times.values, times.steps
        if values is None and turbo and steps > MOST_TURBO_STEPS:
            values = tuple(shifted(1 - i / steps, times.shift) for i in range(steps + 1))
        if values is not None:
            text = ", ".join(f"{time:.5g}" for time in values)
            return Out(self.add("Schedule", "ACEStepSchedule", model=model, timesteps=text), 0)
        return Out(self.add("Schedule", "ACEStepSchedule", model=model, steps=steps, shift=times.shift), 0)

    def guidance(self, scale: float, turbo: bool, **given: Any) -> Out | None:
        """Guidance of that scale; None for a turbo model, which takes none."""
        if turbo:
            if scale != 1:
                self.note(f"Turbo models take no guidance: the scale {scale:g} is left out.")
            return None
        return Out(self.add("Guidance", "ACEStepGuidance", scale=scale, **given), 0)

    def sampled(self, model: Out, song: Out, task: Out, **given: Any) -> Out:
        """Latents. `given` are inputs of the sampler, `album_caption` excepted."""
        album = given.pop("album_caption", None)
        told = self.add("Conditioning", "ACEStepConditioning", model=model, song=song, task=task, album_caption=album)
        return Out(self.add("Sampler", "ACEStepSampler", model=model, conditioning=Out(told, 0), **given), 0)

    def decoded(self, vae: Out, latent: Out, **given: Any) -> Out:
        return Out(self.add("Decode", "ACEStepDecode", vae=vae, latent=latent, **given), 0)

    def saved(self, audio: Out, prefix: Any = None, form: str = "flac", bitrate: str | None = None) -> None:
        self.add("Save", "ACEStepSaveSong", audio=audio, filename_prefix=prefix, format=form, bitrate=bitrate)


def variant_in(file: str, variants: list[str]) -> str | None:
    """The variant that a file is named after, such as `xl-base` in `acestep_v1.5_xl_base_bf16.safetensors`."""
    words = set(re.split(r"[^a-z0-9]+", file.lower()))
    named = [variant for variant in variants if set(variant.split("-")) <= words]
    return max(named, key=len, default=None)


def _name(file: str) -> str:
    return PurePosixPath(file.replace("\\", "/")).name


def _stem(file: str) -> str:
    return re.sub(r"\.(safetensors|gguf|ckpt|pt|bin)$", "", _name(file).lower())

"""A workshop that runs any node with its usual inputs and with others, and follows what comes of it to its effect.

For the tests that show of every input of every node that it does something.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.errors import AceStepError
from acestep_core.host.graph.context import Execution, Folders, executing, hosting
from acestep_core.host.graph.packs import load_pack
from acestep_core.options import Guidance
from acestep_core.song.description import Song
from tests.making import write_lora

Changes = Mapping[str, Mapping[str, Any]]
"""Node -> input -> another value of it, or an `Other`."""
CLASSES = load_pack(Path(__file__).parents[2]).classes
RATE = 48_000
TRAINING = "ACE-Step/train"
HIDDEN = ("prompt", "extra_pnginfo")
PROGRESS = re.compile(r" \d+ of \d+$")
"""Such lines come as often as there is time for."""


@dataclass(frozen=True)
class Other:
    """Another value of an input, and what the other inputs must be for it to count.

    Attributes:
        error: what the sentence must say that refuses it.
    """

    value: Any
    beside: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def other(value: Any, error: str = "", **beside: Any) -> Other:
    return Other(value, beside, error)


@dataclass(frozen=True)
class Part:
    """Something that the workshop makes, by its name there."""

    name: str


def declared(node_id: str) -> dict[str, tuple[Any, dict[str, Any]]]:
    """All inputs of a node; of the hidden ones those that a node can use for something."""
    groups = CLASSES[node_id].INPUT_TYPES()
    found = {name: entry for group in ("required", "optional") for name, entry in groups.get(group, {}).items()}
    return found | {name: (kind, {}) for name, kind in groups.get("hidden", {}).items() if name in HIDDEN}


def recording(pitch: float, seconds: int = 1) -> dict[str, Any]:
    wave = torch.sin(torch.arange(seconds * RATE) * (2 * torch.pi * pitch / RATE)).expand(1, 2, -1) * 0.4
    return {"waveform": wave.clone(), "sample_rate": RATE}


def spelt(value: Any) -> str:
    """A value as text that is the same for equal ones."""
    if isinstance(value, torch.Tensor):
        data = value.cpu().contiguous().reshape(-1).view(torch.uint8)
        return f"{value.dtype}{list(value.shape)}{spelt(data.numpy().tobytes())}"
    if isinstance(value, bytes):
        return sha256(value).hexdigest()
    if is_dataclass(value):
        return f"{type(value).__name__}({spelt({each.name: getattr(value, each.name) for each in fields(value)})})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {spelt(entry)}' for key, entry in value.items())}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(spelt, value))}]"
    return repr(value)


class Reporter:
    """Takes down what stands under the node, and how far the bar went."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.total = 0.0

    def progress(self, node_id: str, value: float, total: float, preview: Any) -> None:
        self.total = total

    def news(self, node_id: str, event: str, data: dict[str, Any]) -> None:
        pass

    def status_text(self, node_id: str, text: str) -> None:
        if not PROGRESS.search(text):
            self.lines.append(text)


class Workshop:
    """Runs nodes, and makes what they take: each part once, by its name."""

    def __init__(self, models: Path, place: Path, usual: Changes) -> None:
        """`usual`: what a node is given where that is not a widget's default, or the part named like a wire."""
        self.models, self.place, self.usual, self.numbers = models, place, usual, count()
        self.made: dict[str, Any] = {}
        self.known: dict[str, Any] = {}

    def folders(self, node_id: str) -> Folders:
        """Where a call reads and writes: nothing of another call is there."""
        return Folders.under(self.place / str(next(self.numbers)), models=self.models)

    def files(self, folders: Folders) -> dict[str, bytes]:
        """What a call has written."""
        return {
            f"{folder.name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
            for folder in (folders.output, folders.temp)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def call(self, node_id: str, **given: Any) -> tuple[Any, Any]:
        """What a node returns, and everything else that a user sees of it: remarks, bar, files."""
        folders, reporter = self.folders(node_id), Reporter()
        node = CLASSES[node_id]()
        with executing(Execution(folders, "p", "n", 0, reporter, lambda: False)), torch.inference_mode():
            result = getattr(node, node.FUNCTION)(**given)
        shown = result.get("ui") if isinstance(result, dict) else None
        return (
            result["result"] if isinstance(result, dict) else result,
            (reporter.lines, reporter.total, shown, self.files(folders)),
        )

    def out(self, node_id: str, **given: Any) -> Any:
        """The first output of a node."""
        return self.call(node_id, **given)[0][0]

    def __getitem__(self, name: str) -> Any:
        if name not in self.made:
            self.made[name] = getattr(self, f"make_{name}")()
        return self.made[name]

    # --- models

    def model(self, variant: str) -> Any:
        return self.out("ACEStepModelLoader", model=f"acestep-v15-{variant}")

    def make_model(self) -> Any:
        return self["turbo"]

    def make_turbo(self) -> Any:
        return self.model("turbo")

    def make_base(self) -> Any:
        return self.model("base")

    def make_stems(self) -> Any:
        return replace(self["base"], stems=True)

    def make_vae(self) -> Any:
        return self.out("ACEStepVAELoader", vae="vae")

    def make_other_vae(self) -> Any:
        return self.out("ACEStepVAELoader", vae="other_vae")

    def make_lm(self) -> Any:
        return self.out("ACEStepLMLoader", lm="acestep-5Hz-lm-0.6B")

    def make_other_lm(self) -> Any:
        return self.out("ACEStepLMLoader", lm="acestep-5Hz-lm-1.7B")

    # --- what to make

    def make_song(self) -> Song:
        return Song("calm", "[Verse]\nhello world", "en", 90, "C major", "4", 10.0)

    def make_other_song(self) -> Song:
        return replace(self["song"], caption="wild drums", duration=12.0)

    def make_open_song(self) -> Song:
        return Song("calm", "[Verse]\nhello world")

    def make_audio(self) -> Any:
        return recording(220.0)

    def make_other_audio(self) -> Any:
        return recording(330.0, 2)

    def make_long_audio(self) -> Any:
        long = torch.rand(1, 2, 40 * RATE, generator=torch.Generator().manual_seed(1)) - 0.5
        return {"waveform": long, "sample_rate": RATE}

    def make_codes(self) -> Any:
        return ((1, 2, 3),)

    def make_plan(self) -> str:
        return "duration: 10"

    def make_task(self) -> Any:
        return self.short(self["song"])

    def short(self, song: Song) -> Any:
        """Two seconds of a song, which is as long as its codes where nobody says otherwise."""
        return self.out("ACEStepTextToMusic", song=replace(song, duration=None), codes=((1, 2, 3, 4, 5) * 2,))

    def make_other_task(self) -> Any:
        return self.out("ACEStepCover", vae=self["vae"], audio=self["audio"], strength=1.0)

    def make_lego(self) -> Any:
        region = {"start": 0.2, "end": 0.8, "mode": "balanced", "strength": 0.5}
        return self.out("ACEStepLego", vae=self["vae"], audio=self["audio"], track="drums", **region)

    # --- what is on its way

    def told(self, song: Song, task: Any = None, model: Any = None) -> Any:
        task = task or self.short(song)
        return self.out("ACEStepConditioning", model=model or self["turbo"], song=song, task=task)

    def sung(self, told: Any, model: Any = None, **given: Any) -> Any:
        usual = {"seed": 1, "batch_size": 1, "sampler": "euler", "sigmas": self["sigmas"]}
        return self.out("ACEStepSampler", model=model or self["turbo"], conditioning=told, **usual | given)

    def make_sigmas(self) -> Any:
        return torch.tensor([1.0, 0.75, 0.5, 0.25, 0.0])

    def make_conditioning(self) -> Any:
        return self.told(self["song"])

    def make_other_conditioning(self) -> Any:
        return self.told(replace(self["song"], lyrics="[Verse]\nother words"))

    def make_latent(self) -> Any:
        return self.sung(self["conditioning"])

    def make_other_latent(self) -> Any:
        return self.sung(self["conditioning"], seed=3)

    def make_plain_latent(self) -> Any:
        told = self.told(self["song"], self["lego"], self["base"])
        return {"samples": self.sung(told, self["base"])["samples"], "type": "audio"}

    def make_two_latents(self) -> Any:
        return self.sung(self["conditioning"], batch_size=2)

    def make_two_other_latents(self) -> Any:
        return self.sung(self["conditioning"], batch_size=2, seed=3)

    def timed(self, latent: Any) -> Any:
        return self.out("ACEStepLyricAlignment", model=self["turbo"], conditioning=self["conditioning"], latent=latent)

    def make_timing(self) -> Any:
        return self.timed(self["latent"])

    def make_other_timing(self) -> Any:
        return self.timed(self["other_latent"])

    def make_two_timings(self) -> Any:
        return self.timed(self["two_latents"])

    def make_song_audio(self) -> Any:
        return self.out("ACEStepDecode", vae=self["vae"], latent=self["latent"])

    def make_other_song_audio(self) -> Any:
        return self.out("ACEStepDecode", vae=self["vae"], latent=self["other_latent"])

    # --- what was kept

    def record_of(self, task: Any, **given: Any) -> str:
        latent = self.sung(self.told(self["song"], task), **given)
        audio = self.out("ACEStepDecode", vae=self["vae"], latent=latent, fade_out=0.3)
        return audio["acestep"].made.record(hashes=False).to_json()

    def make_record(self) -> str:
        return self.record_of(self["other_task"])

    def make_other_record(self) -> str:
        return self.record_of(self["other_task"], sampler="heun", seed=3)

    def make_record_with_reference(self) -> str:
        wires = {"vae": self["vae"], "task": self["other_task"], "audio": self["audio"]}
        return self.record_of(self.out("ACEStepReferenceAudio", **wires))

    def make_record_with_latent(self) -> str:
        return self.record_of(self["task"], latent=self["other_latent"], denoise=0.5)

    def make_settings(self) -> Any:
        return self.call("ACEStepLoadRecord", record=self["other_record"])[0][7]

    # --- what to compare

    def heard(self, kind: str, value: Any) -> Any:
        """What an output of type `kind` does in the end."""
        if value is None:
            return None
        if kind == "ACESTEP_MODEL":
            return spelt(self.sung(self.told(self["song"], model=value), value)["samples"])
        if kind == "ACESTEP_VAE":
            return spelt(self.out("ACEStepDecode", vae=value, latent=self["latent"])["waveform"])
        if kind == "ACESTEP_LM":
            return self.out("ACEStepLMScore", lm=value, song=self["song"], codes=self["codes"])
        if kind == "ACESTEP_SAMPLING":
            plan = {"lm": self["lm"], "song": self["song"], "plan": self["plan"], "seed": 1, "batch_size": 1}
            return self.out("ACEStepPlanCodes", sampling=value, **plan)
        if kind == "ACESTEP_SONG":
            return spelt([self.told(value).conditioning, value.duration])
        if kind == "ACESTEP_CONDITIONING":
            model = self["base"] if value.tasks[0].name == "lego" else self["turbo"]
            return spelt(self.sung(value, model)["samples"])
        if kind == "ACESTEP_TASK":
            values = value if isinstance(value, list) else [value]
            plain, loose = {"guidance": Guidance(mode="none")}, {"vae": self["vae"], "normalize": False}
            told = [self.told(self["song"], task, self["base"]) for task in values]
            latents = [self.sung(each, self["base"], **plain) for each in told]
            return spelt([self.out("ACEStepDecode", latent=latent, **loose)["waveform"] for latent in latents])
        if kind == "ACESTEP_GUIDANCE":
            base = self["base"]
            return spelt(self.sung(self.told(self["song"], model=base), base, guidance=value)["samples"])
        if kind in ("LATENT", "AUDIO"):
            return spelt(value["samples" if kind == "LATENT" else "waveform"])
        return spelt(value)

    def run(self, node_id: str, again: bool = False, **changes: Any) -> str:
        """Everything that comes of a node with its usual inputs and these: what is heard, and what is shown."""
        usual = {name: options["default"] for name, (_, options) in declared(node_id).items() if "default" in options}
        wired = {name: Part(name) for name in CLASSES[node_id].INPUT_TYPES()["required"] if name not in usual}
        given = usual | wired | self.usual.get(node_id, {}) | changes
        given = {name: self[value.name] if isinstance(value, Part) else value for name, value in given.items()}
        key = f"{node_id} {spelt(given)}"
        if again or key not in self.known:
            self.known[key] = self._run(node_id, given)
        return self.known[key]

    def can_be_chosen(self, node_id: str, name: str, value: Any) -> bool:
        """Whether the canvas lets a user set an input to `value`."""
        with hosting(Folders.under(self.place, models=self.models)):
            kind, options = declared(node_id)[name]
        if kind in ("INT", "FLOAT"):
            return options["min"] <= value <= options["max"]
        return not isinstance(kind, list) or value in kind

    def _run(self, node_id: str, given: dict[str, Any]) -> str:
        outputs, shown = self.call(node_id, **given)
        kinds = CLASSES[node_id].RETURN_TYPES
        heard = [self.heard(kind, value) for kind, value in zip(kinds, outputs, strict=True)]
        return spelt([heard, shown])


def furnish(tiny_root: Path, place: Path) -> Path:
    """Models for a workshop: two of each kind, and two adapters. Returns their folder."""
    models = place / "models"
    shutil.copytree(tiny_root, models, copy_function=os.link)
    for kind, name in (("vae", "other_vae"), ("acestep-5Hz-lm-0.6B", "acestep-5Hz-lm-1.7B")):
        shutil.copytree(models / kind, models / name, copy_function=os.link)
        for file in (models / name).glob("*.safetensors"):
            tensors = load_file(file)
            file.unlink()
            save_file({key: tensor * 0.95 for key, tensor in tensors.items()}, file)
    for seed, name in enumerate("ab"):
        write_lora(models / "loras" / name, models / "acestep-v15-turbo", seed)
    return models


def is_training(node_id: str) -> bool:
    return str(CLASSES[node_id].CATEGORY) == TRAINING


def inputs_of(training: bool) -> list[tuple[str, str]]:
    """`(node, input)` of all nodes that are, or are not, there for training."""
    return [(node_id, name) for node_id in CLASSES if is_training(node_id) is training for name in declared(node_id)]


def does_something(workshop: Workshop, changes: Changes, node_id: str, name: str) -> None:
    """Fails unless an input, changed as `changes` says, makes a difference or is refused as it says."""
    assert name in changes.get(node_id, {}), "give it a line in CHANGES, or a reason in WITHOUT_EFFECT"
    entry = changes[node_id][name]
    change = entry if isinstance(entry, Other) else Other(entry)
    assert change.error or workshop.can_be_chosen(node_id, name, change.value)
    before, changed = workshop.run(node_id, **change.beside), change.beside | {name: change.value}
    if change.error:
        with pytest.raises(AceStepError, match=change.error):
            workshop.run(node_id, **changed)
    else:
        assert before != workshop.run(node_id, **changed)


def hiding_inputs(training: bool) -> list[tuple[str, str]]:
    """`(node, input)` of the inputs for some of whose values others of their node are hidden."""
    found = [(node_id, declared(node_id)[name][1].get("counts", {})) for node_id, name in inputs_of(training)]
    return list(dict.fromkeys((node_id, name) for node_id, counts in found for name in counts))


def hides_what_does_nothing(workshop: Workshop, changes: Changes, node_id: str, name: str) -> None:
    """Fails if one of the inputs that are hidden for a value of this one makes a difference there.

    Those that the same value hides are changed at once, as `changes` says.
    """
    inputs = declared(node_id)
    kind, about = inputs[name]
    numbers = range(about["min"], about["max"] + 1) if kind == "INT" else (False, True)
    choices = kind if isinstance(kind, list) else numbers
    counts = {one: options["counts"][name] for one, (_, options) in inputs.items() if name in options.get("counts", {})}
    assert all(set(values) < set(choices) for values in counts.values())
    for value in choices:
        hidden = [one for one, values in counts.items() if value not in values]
        entries = [entry if isinstance(entry := changes[node_id][one], Other) else Other(entry) for one in hidden]
        beside = {key: given for entry in entries for key, given in entry.beside.items()} | {name: value}
        changed = {one: entry.value for one, entry in zip(hidden, entries)}
        if hidden:
            assert workshop.run(node_id, **beside) == workshop.run(node_id, **beside | changed), (value, hidden)


def names_what_there_is(changes: Changes, without_effect: Mapping[tuple[str, str], str], training: bool) -> None:
    """Fails unless the two lists are all inputs, each once."""
    listed = {(node_id, name) for node_id, names in changes.items() for name in names}
    assert listed | without_effect.keys() == set(inputs_of(training)) and not listed & without_effect.keys()

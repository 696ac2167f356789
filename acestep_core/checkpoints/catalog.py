"""The published ACE-Step 1.5 models: names, repositories, tasks, and how each one wants to be sampled."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.errors import CheckpointError
from acestep_core.options import INT8


def fetch(name: str) -> str:
    """The command that downloads a model, as it exists where this runs: a pack in ComfyUI's custom_nodes has no
    `acestep` on the path.
    """
    # When something is wrong; the pack needs the rest of this file whenever ComfyUI starts.
    import shutil

    from acestep_core.io.terminal import typed

    words = f"models download {name}".strip()
    if shutil.which("acestep") or any(Path(sys.executable).parent.glob("acestep*")):
        return f"acestep {words}"
    return f"{typed(sys.executable)} {typed(Path(__file__).parents[1] / 'commands')} {words}"


def again() -> str:
    """What to do about a damaged model."""
    return f"download it again with `{fetch('')}`"


BASIC_TASKS = ("text2music", "cover", "repaint")
STEM_TASKS = ("extract", "lego", "complete")
TRAINED_AS = {"extend": "repaint", "cover_nofsq": "cover"}
"""Tasks that no checkpoint knows by their name -> what they are to it."""


@dataclass(frozen=True)
class Preset:
    """How a checkpoint wants to be sampled. `cfg_interval` is in flow time t (1 is noise, 0 is music)."""

    steps: int
    shift: float
    guidance: float
    cfg_interval: tuple[float, float] = (0.0, 1.0)


# Turbo is distilled: guidance is baked into the weights (a second, unguided row would only blur it), and the eight
# steps at shift 3 are the ones it was trained on. Upstream's Python API says shift 1, which its users report as
# choppy; its own interface uses 3.
TURBO = Preset(steps=8, shift=3.0, guidance=1.0)
# Distilled on shift 1 only, so 3 would sample times it never saw.
TURBO_SHIFT1 = Preset(steps=8, shift=1.0, guidance=1.0)
# Base and SFT need guidance. Upstream's interface runs SFT at 50 steps and base at 32; its model table
# lists 50 for both. Shift 3 spends more of those steps near the noise, where structure is decided (the trainer, which
# only listens in, samples at shift 1).
GUIDED = Preset(steps=50, shift=3.0, guidance=7.0)


@dataclass(frozen=True)
class Variant:
    """One kind of DiT checkpoint. `kind` is turbo, base or sft; `folder` is upstream's folder and repository name."""

    name: str
    kind: str
    preset: Preset
    xl: bool = False
    tasks: tuple[str, ...] = BASIC_TASKS

    @property
    def folder(self) -> str:
        return f"acestep-v15-{self.name}"

    def can(self, task: str) -> bool:
        """Whether it was trained for a task."""
        return TRAINED_AS.get(task, task) in self.tasks

    @property
    def is_turbo(self) -> bool:
        return self.kind == "turbo"


# Upstream offers the stem tasks on base models only: turbo and SFT forgot them in training.
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("turbo", "turbo", TURBO),
        Variant("turbo-shift1", "turbo", TURBO_SHIFT1),
        Variant("turbo-shift3", "turbo", TURBO),
        Variant("turbo-continuous", "turbo", TURBO),
        Variant("base", "base", GUIDED, tasks=BASIC_TASKS + STEM_TASKS),
        Variant("sft", "sft", GUIDED),
        Variant("xl-turbo", "turbo", TURBO, xl=True),
        Variant("xl-base", "base", GUIDED, xl=True, tasks=BASIC_TASKS + STEM_TASKS),
        Variant("xl-sft", "sft", GUIDED, xl=True),
    )
}

TOY = "toy (built-in model)"  # our own model that makes music
TINY = "tiny (test model)"  # the tiny checkpoint, which makes noise
BUILT_IN = (TOY, TINY)
"""What is built in, by the names that it has wherever a model is named."""
TOKENIZER = "tokenizer"  # Qwen3's alone, for ComfyUI's files, which hold none
TEXT_ENCODER = "Qwen3-Embedding-0.6B"
LAYOUTS = ("upstream", "diffusers", "comfyui")
"""That models can be converted into."""
VAE = "vae"
LM_SIZES = ("0.6B", "1.7B", "4B")
LANGUAGE_MODELS = tuple(f"acestep-5Hz-lm-{size}" for size in LM_SIZES)


@dataclass(frozen=True)
class Tier:
    """What to take for a card's memory.

    Attributes:
        variant: of the DiT; None is the best there is.
        lm: size of the language model, or none.
        dtype: the number format where the user asks for none.
        leaves: roles of models that leave the card whenever their stage ends, though nobody needs their place.
    """

    variant: str | None
    lm: str | None
    dtype: str = "auto"
    leaves: tuple[str, ...] = ()


# Upstream's tiers and two more, under the names that users choose from.
AUTO_TIER = "auto"
TIERS: dict[str, Tier] = {
    AUTO_TIER: Tier(None, "1.7B"),
    "under 6 GB: no language model": Tier("turbo", None),
    "under 6 GB: 0.6B language model, all in int8": Tier("turbo", "0.6B", INT8),
    "6 to 12 GB: 0.6B language model": Tier("turbo", "0.6B"),
    "12 to 24 GB: 1.7B language model": Tier("turbo", "1.7B"),
    "16 to 24 GB: XL and 1.7B language model": Tier("xl-turbo", "1.7B"),
    "24 GB and more: XL and 4B language model": Tier("xl-turbo", "4B"),
    "shared with other programs: only the DiT stays on the card": Tier(None, "1.7B", leaves=("text", "lm", "vae")),
    "shared with other programs: nothing stays on the card": Tier(None, "1.7B", leaves=("text", "lm", "vae", "dit")),
}
# The names under which single files are published, such as acestep_v1.5_xl_turbo_bf16.safetensors and
# ace_step_1.5_turbo_aio.safetensors for ComfyUI, and acestep-v15-turbo-Q8_0.gguf. Anything else in the name, such as
# "merge", and it says nothing for sure.
_PUBLISHED_FILE = re.compile(
    r"ace[_-]?step[_-]v?1\.?5[_-](?P<xl>xl[_-])?(?P<variant>turbo([_-](shift[13]|continuous))?|base|sft)"
    r"([_-](aio|bf16|f16|fp16|f32|fp32|fp8\w*|q\d_\w+))*(\.safetensors|\.gguf)?",
    re.IGNORECASE,
)

MAIN_REPOSITORY = "ACE-Step/Ace-Step1.5"
MAIN_FOLDERS = ("acestep-v15-turbo", VAE, TEXT_ENCODER, "acestep-5Hz-lm-1.7B")


@dataclass(frozen=True)
class Download:
    """Where a model folder is published: the whole `repository`, or its subfolder `inside`; `only` one file of it."""

    folder: str
    repository: str
    inside: str = ""
    only: str = ""


def downloads(name: str) -> tuple[Download, ...]:
    """The folders that `name` stands for: a variant, a folder name, an LM, or `main` (turbo, VAE, text encoder and
    1.7B LM).

    Raises CheckpointError for an unknown name.
    """
    if name == "main":
        return tuple(Download(folder, MAIN_REPOSITORY, folder) for folder in MAIN_FOLDERS)
    if name == TOKENIZER:
        return (Download(TOKENIZER, MAIN_REPOSITORY, TEXT_ENCODER, "tokenizer.json"),)
    folder = VARIANTS[name].folder if name in VARIANTS else name
    if folder in MAIN_FOLDERS:
        return (Download(folder, MAIN_REPOSITORY, folder),)
    if folder in download_names():
        return (Download(folder, f"ACE-Step/{folder}"),)
    raise CheckpointError(f"There is no published model called {name!r}; choose one of {', '.join(download_names())}.")


def download_names() -> tuple[str, ...]:
    """Every name `downloads` knows by its folder."""
    return ("main", *(variant.folder for variant in VARIANTS.values()), VAE, TEXT_ENCODER, *LANGUAGE_MODELS, TOKENIZER)


def variant_named(name: str) -> Variant:
    """The variant called `turbo`, `xl-base`, … or by its folder name. Raises CheckpointError for an unknown name."""
    short = name.removeprefix("acestep-v15-").replace("_", "-")
    if short not in VARIANTS:
        raise CheckpointError(f"There is no variant called {name!r}; choose one of {', '.join(VARIANTS)}.")
    return VARIANTS[short]


def classify(config: Mapping[str, Any], xl: bool, name: str, variant: str | None = None) -> Variant:
    """Decides which variant a checkpoint is.

    Turbo or not comes from `config` (`is_turbo`, else `model_version`), the size from `xl`. The folder or file `name`
    only chooses among what those leave open: the flavour of a turbo model whose config does not keep it (`FLAVOUR`),
    base or SFT, which upstream's config does not always tell apart, and everything for a single file under its
    published name.

    Args:
        config: upstream config keys; empty for a file without them, which says nothing about this.
        variant: what the caller says it is; must not contradict the weights, and is required where config and name
            are silent.
    """
    known = _kind(config, name)
    if variant is not None:
        return _confirmed(variant_named(variant), known, xl, name)
    if known is None:
        if published := _of_published_file(name, xl):
            return published
        choices = ", ".join(choice for choice, entry in VARIANTS.items() if entry.xl == xl)
        raise CheckpointError(
            f"{name} does not say whether it is a turbo, base or SFT model; say so once with `variant`, one of "
            f"{choices}, or give the file its published name."
        )
    if known == "not turbo":
        raise CheckpointError(
            f"The config of {name} does not say whether it is a base or an SFT model; say so with `variant`."
        )
    flavour = _turbo_flavour(str(config.get(FLAVOUR) or name)) if known == "turbo" and not xl else known
    return VARIANTS[f"xl-{flavour}" if xl else flavour]


def _kind(config: Mapping[str, Any], name: str) -> str | None:
    """turbo, base, sft, `not turbo`, or None where the config does not say."""
    version = str(config.get("model_version") or "").lower()
    is_turbo = config.get("is_turbo")
    if is_turbo is None and not version:
        return None
    # An explicit flag wins: upstream's config class fills a missing version with "turbo", so the version may lie.
    if is_turbo if is_turbo is not None else "turbo" in version:
        return "turbo"
    for text in (version, name.lower()):
        for kind in ("sft", "base"):  # in this order: acestep-v15-base-sft-… is an SFT model
            if kind in text:
                return kind
    return "not turbo"


def _of_published_file(name: str, xl: bool) -> Variant | None:
    """The variant of a single file under its published name, None under another or where its weights say otherwise."""
    found = _PUBLISHED_FILE.fullmatch(name)
    if found is None or bool(found["xl"]) != xl:
        return None
    return VARIANTS.get(f"{'xl-' if xl else ''}{found['variant'].lower().replace('_', '-')}")


def published_as(name: str, xl: bool) -> Variant | None:
    """The variant whose folder or file in any layout is published under `name`, None where it is somebody's own."""
    folders = {variant.folder: variant for variant in VARIANTS.values()}
    return folders.get(name.removesuffix("-diffusers")) or _of_published_file(name, xl)


FLAVOUR = "acestep_variant"
"""Key of a config, ours: the variant where the folder has a name of its own. Upstream's keys say less."""


def _turbo_flavour(name: str) -> str:
    for hint in ("shift1", "shift3", "continuous"):
        if hint in name.lower():
            return f"turbo-{hint}"
    return "turbo"


def _confirmed(wanted: Variant, known: str | None, xl: bool, name: str) -> Variant:
    """`wanted`, in the size the weights have. Raises CheckpointError where it contradicts config or weights."""
    if known is not None and (known == "turbo") != wanted.is_turbo:
        raise CheckpointError(
            f"The config of {name} says it is {'a turbo' if known == 'turbo' else 'not a turbo'} model, so it cannot "
            f"be opened as {wanted.name!r}; leave the variant out or choose the file of that variant."
        )
    if xl and not wanted.xl and f"xl-{wanted.name}" in VARIANTS:
        return VARIANTS[f"xl-{wanted.name}"]
    if xl != wanted.xl:
        raise CheckpointError(
            f"{name} holds {'an XL' if xl else 'a 2B'} model, so it cannot be opened as {wanted.name!r}; "
            f"choose {'an xl-… variant' if xl else 'a variant without xl'}."
        )
    return wanted

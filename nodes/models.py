"""From a name in a list to a handle: which checkpoints there are, and what belongs together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from acestep_core.checkpoints.catalog import VARIANTS
from acestep_core.errors import CheckpointError
from acestep_core.io.confine import confine

from .host import host

if TYPE_CHECKING:
    from acestep_core.checkpoints.find import ModelEntry
    from acestep_core.models.handles import LMHandle, ModelHandle, VAEHandle

AUTO = "auto"
TINY = "tiny (test model)"
NO_LORA = "none"
VARIANT_CHOICES = [AUTO, *VARIANTS]
DTYPE_CHOICES = [AUTO, "bf16", "fp32"]
DEVICE_CHOICES = [AUTO, "cpu"]
RESCAN_SECONDS = 3.0
"""Definitions are read many times while one prompt is checked; files do not come and go that fast."""

_scanned: dict[tuple[Path, ...], tuple[float, list[ModelEntry]]] = {}


def entries() -> list[ModelEntry]:
    """The usable models on this machine, best place first, without the tiny ones."""
    from acestep_core.checkpoints.find import list_models, search_roots

    roots = tuple(search_roots(host().model_roots()))
    stamp, found = _scanned.get(roots, (float("-inf"), []))
    if time.monotonic() - stamp > RESCAN_SECONDS:
        found = [entry for entry in list_models(roots) if entry.problem is None]
        _scanned.clear()
        _scanned[roots] = (time.monotonic(), found)
    return found


def choices(kind: str) -> list[str]:
    """Names for a list of models of `kind` (dit, vae, lm)."""
    return [AUTO, *dict.fromkeys(entry.name for entry in entries() if entry.kind == kind), TINY]


def model_handle(name: str, variant: str = AUTO, dtype: str = AUTO, device: str = AUTO) -> ModelHandle:
    """The DiT called `name` with its text encoder and VAE.

    `auto` takes the first one found, of the wanted `variant` if that is given, and the tiny one if there is none.

    Raises:
        CheckpointError: it is not there, has no text encoder, or does not say which variant it is.
    """
    from acestep_core.checkpoints.layouts import open_dit
    from acestep_core.models.handles import ModelHandle, TextHandle, VAEHandle

    wanted = None if variant == AUTO else variant
    known = entries()
    dit = _choose_dit(known, name, wanted)
    if dit is None:
        known = tiny_entries()
        wanted = _nearest_tiny(wanted or "turbo")
        dit = _choose_dit(known, AUTO, wanted)
    assert dit is not None
    files = open_dit(dit.path, wanted)
    text, vae = _beside(known, "text_encoder", dit), _beside(known, "vae", dit)
    if text is None:
        raise CheckpointError(
            f"There is no text encoder for {dit.name}; fetch it with `acestep models download Qwen3-Embedding-0.6B`."
        )
    where = _device(device)
    return ModelHandle(
        files.source,
        dtype,
        where,
        variant=files.variant.name,
        text=TextHandle(text.path, dtype, where),
        vae=None if vae is None else VAEHandle(vae.path, dtype, where),
        stems=bool(files.config.get("is_lego_sft")),
    )


def vae_handle(name: str, dtype: str = AUTO, device: str = AUTO) -> VAEHandle:
    from acestep_core.models.handles import VAEHandle

    return VAEHandle(_pick("vae", name).path, dtype, _device(device))


def lm_handle(name: str, dtype: str = AUTO, device: str = AUTO) -> LMHandle:
    from acestep_core.models.handles import LMHandle

    return LMHandle(_pick("lm", name).path, dtype, _device(device))


def lm_of_size(size: str) -> str:
    """The name of the language model of that size if it is there, otherwise `auto`."""
    names = [entry.name for entry in entries() if entry.kind == "lm"]
    return next((name for name in names if size.lower() in name.lower()), AUTO)


def lora_choices() -> list[str]:
    """Adapters below the LoRA folders: files, and PEFT folders by their own name."""
    found = []
    for folder in host().lora_folders():
        for file in sorted(folder.rglob("*.safetensors")) if folder.is_dir() else ():
            peft = (file.parent / "adapter_config.json").is_file() and file.parent != folder
            found.append((file.parent if peft else file).relative_to(folder).as_posix())
    return [NO_LORA, *dict.fromkeys(found)]


def lora_path(name: str) -> Path:
    """Where the adapter called `name` lies."""
    path = confine(name, host().lora_folders())
    if not path.exists():
        raise CheckpointError(f"The adapter {name!r} is not there any more; choose another one or put the file back.")
    return path


def is_tiny(path: Path) -> bool:
    """Whether a model is one of the tiny ones, whose sound means nothing."""
    return any(path == entry.path or path.is_relative_to(entry.path) for entry in tiny_entries())


def tiny_entries() -> list[ModelEntry]:
    """The models of the tiny checkpoint, which is built in seconds when it is asked for first."""
    from acestep_core.checkpoints.find import list_models
    from acestep_core.pipeline.opening import tiny_folder

    return list_models([tiny_folder()])


def _choose_dit(known: Sequence[ModelEntry], name: str, wanted: str | None) -> ModelEntry | None:
    """The DiT to take, None for the tiny one."""
    dits = [entry for entry in known if entry.kind == "dit"]
    if name == TINY:
        return None
    if name != AUTO:
        return _named(dits, name)
    if wanted is None:
        order = list(VARIANTS)
        sure = [entry for entry in dits if entry.variant is not None]
        return min(sure, key=lambda entry: order.index(entry.variant or ""), default=None)
    sure = [entry for entry in dits if entry.variant == wanted]
    unsure = [entry for entry in dits if entry.variant is None]
    return next(iter(sure + unsure[: len(unsure) == 1]), None)  # of several that cannot say, none is taken blindly


def _nearest_tiny(variant: str) -> str:
    """The variant the tiny checkpoint has in place of `variant`."""
    entry = VARIANTS[variant]
    if entry.xl:
        return "xl-turbo"
    return "turbo" if entry.is_turbo else "base"


def _pick(kind: str, name: str) -> ModelEntry:
    found = [entry for entry in entries() if entry.kind == kind]
    if name not in (AUTO, TINY):
        return _named(found, name)
    if name == AUTO and found:
        return found[0]
    return next(entry for entry in tiny_entries() if entry.kind == kind)


def _named(known: Sequence[ModelEntry], name: str) -> ModelEntry:
    for entry in known:
        if entry.name == name:
            return entry
    raise CheckpointError(f"The model {name!r} is not there any more; choose another one or put the files back.")


def _beside(known: Sequence[ModelEntry], kind: str, dit: ModelEntry) -> ModelEntry | None:
    """The model of `kind` that belongs to `dit`: in the same file or folder, then next to it, then anywhere."""
    nearness: list[Callable[[Path], bool]] = [
        lambda path: path == dit.path or path.is_relative_to(dit.path),
        lambda path: path.parent == dit.path.parent,
        lambda path: path.parent.parent == dit.path.parent.parent,
        lambda path: True,
    ]
    fitting = [entry for entry in known if entry.kind == kind]
    return next((entry for near in nearness for entry in fitting if near(entry.path)), None)


def _device(wanted: str) -> str:
    return host().device() if wanted == AUTO else wanted

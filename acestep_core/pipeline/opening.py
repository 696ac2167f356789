"""Finds the models that belong together and makes handles of them. Reads configs and headers only."""

from __future__ import annotations

import logging
import tempfile
from contextlib import suppress
from pathlib import Path

from acestep_core.checkpoints.catalog import variant_named
from acestep_core.checkpoints.find import Found, find_checkpoint, is_tiny, search_roots
from acestep_core.checkpoints.layouts import open_dit
from acestep_core.errors import CheckpointError
from acestep_core.io.folders import user_folder
from acestep_core.models.handles import LMHandle, ModelHandle, Models, TextHandle, VAEHandle

log = logging.getLogger(__name__)


def open_models(
    path: str | Path | None = None,
    variant: str | None = None,
    lm: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
) -> Models:
    """Handles of a checkpoint and what belongs to it.

    Args:
        path: a checkpoints folder, a model folder or a weights file; None takes the first place where models are
            found, and the tiny checkpoint where there is none.
        variant: which DiT to take where there are several, such as `turbo` or `xl-base`; what a ComfyUI file is,
            since it cannot say.
        lm: a language model's folder or file, or part of its name (`1.7B`); None takes the first one.
        dtype, device: see `devices`.

    Raises:
        CheckpointError: nothing usable is there; the message says what is missing.
    """
    found = find_checkpoint(Path(path)) if path is not None else _first_found()
    if found is None:
        found = find_checkpoint(tiny_folder())
    dit = _choose_dit(found, variant)
    files = open_dit(dit, variant)
    text = TextHandle(found.need("text_encoder"), dtype, device)
    vae = VAEHandle(found.need("vae"), dtype, device)
    model = ModelHandle(
        files.source, dtype, device, files.variant.name, text, vae, stems=bool(files.config.get("is_lego_sft"))
    )
    return Models(model, vae, _choose_lm(found, lm, dtype, device), is_tiny(found.folder))


def tiny_folder() -> Path:
    """The tiny checkpoint in the user's cache, built at first use."""
    from acestep_core.builtin.tiny import TINY_VERSION, build_tiny

    folder = user_folder().parent / f"tiny-{TINY_VERSION}"
    if folder.is_dir():
        return folder
    log.info("building the tiny checkpoint in %s", folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".tiny-") as temporary:
        built = Path(temporary) / folder.name
        build_tiny(built)
        with suppress(OSError):  # another process was faster
            built.rename(folder)
    return folder


def _first_found() -> Found | None:
    """The first place with a usable DiT; None where nothing was ever put anywhere."""
    broken = None
    for root in search_roots():
        if root.exists():
            found = find_checkpoint(root)
            if found.dits:
                return found
            broken = broken or next((entry.problem for entry in found.entries if entry.kind == "dit"), None)
    if broken:  # who has downloaded weights must not get the tiny checkpoint instead
        raise CheckpointError(broken)
    return None


def _choose_dit(found: Found, variant: str | None) -> Path:
    """The DiT of that variant, never another one because that one is broken."""
    broken = [entry for entry in found.entries if entry.kind == "dit" and entry.problem]
    if variant is None:
        path = found.need("dit")
        for entry in broken:
            log.warning("Passed over: %s", entry.problem)
        return path
    wanted = variant_named(variant).name
    for entry in found.dits:
        if entry.variant == wanted:
            return entry.path
    problems = [str(entry.problem) for entry in broken if entry.variant == wanted]
    unsure = [entry.path for entry in found.dits if entry.variant is None]
    if not problems and len(unsure) == 1:
        return unsure[0]
    problems += [str(entry.problem) for entry in broken if entry.variant is None]
    if problems:
        raise CheckpointError(problems[0])
    if found.need("dit") == found.root:
        return found.root  # what was asked for by its path is opened, or refused, for what it is
    names = ", ".join(entry.variant or entry.name for entry in found.dits)
    raise CheckpointError(
        f"There is no {wanted} model in {found.root}, only {names}; choose one of these, or fetch it with "
        f"`acestep models download {wanted} --to {found.root}`."
    )


def _choose_lm(found: Found, lm: str | Path | None, dtype: str, device: str) -> LMHandle | None:
    if lm is not None and Path(lm).exists():
        return LMHandle(Path(lm), dtype, device)
    names = [entry for entry in found.lms if lm is None or str(lm).lower() in entry.name.lower()]
    if names:
        return LMHandle(names[0].path, dtype, device)
    if lm is None:
        return None
    raise CheckpointError(f"There is no language model called {lm} in {found.root}; choose another or give its path.")

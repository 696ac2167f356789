"""From what was asked for to handles: the one place that makes them. Reads configs and headers only."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from acestep_core.checkpoints.catalog import AUTO_TIER, BUILT_IN, TINY, TOY, fetch, variant_named
from acestep_core.checkpoints.choose import Choice, candidates, choose, is_bare, missing, tier_named
from acestep_core.checkpoints.find import (
    Found,
    ModelEntry,
    find_checkpoint,
    find_models,
    find_tokenizer,
    is_toy,
    search_roots,
)
from acestep_core.checkpoints.layouts import QwenFiles, open_dit, open_lm, open_text_encoder
from acestep_core.checkpoints.remembered import remember, remembered
from acestep_core.devices import unused_card
from acestep_core.errors import CheckpointError, InvalidInput, UnsupportedTask
from acestep_core.io.atomic import clear_errors
from acestep_core.io.folders import user_folder
from acestep_core.io.locks import locked, patience
from acestep_core.models.handles import LMHandle, ModelHandle, Models, TextHandle, VAEHandle
from acestep_core.models.lent_pipeline import handles_of_pipeline, is_pipeline
from acestep_core.pipeline.forecast import shortages
from acestep_core.render.tasks import check_task

log = logging.getLogger(__name__)


def open_models(
    path: str | Path | Any | None = None,
    variant: str | None = None,
    lm: str | Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    *,
    name: str | None = None,
    tier: str | None = None,
    roots: Iterable[Path] | None = None,
    task: str | None = None,
) -> Models:
    """Handles of a checkpoint and what belongs to it. `checkpoints.choose` has the rule.

    Args:
        path: a checkpoints folder, a model folder or a weights file, and nothing else is looked at; None looks in
            `roots`, and takes what is built in where nothing lies and nothing was asked for: the toy that makes music,
            or the tiny checkpoint for a task that the toy cannot do. Or a loaded `AceStepPipeline` of diffusers, whose
            weights are used where they are; the language model is looked for.
        variant: which DiT to take where there are several, such as `turbo` or `xl-base`; what a single file is, where
            it cannot say.
        lm: a language model's folder or file, or part of its name (`1.7B`); None takes the best one.
        dtype, device: see `devices`.
        name: of the DiT; `TOY` or `TINY` for what is built in, which can be given as `path` too.
        tier: how much memory there is, one of `checkpoints.catalog.TIERS`. It decides the number format where `dtype`
            is `auto`.
        roots: where to look, all as one list (default: `search_roots()`).
        task: what it is for, such as `extract`: where neither name nor variant say which, one that can do it is taken.

    Raises:
        CheckpointError: nothing usable is there; the message says what is missing.
    """
    room = tier_named(tier)
    tier = None if room.variant is None else tier  # then it asks for no models
    if is_pipeline(path):
        return _of_pipeline(path, variant, lm, tier, dtype, device, roots).leaving(room.leaves)
    dtype = room.dtype if dtype == "auto" else dtype
    if path in BUILT_IN:
        path, name = None, str(path)
    found = _found(path, roots, name, variant, lm, tier, task=task)
    dit, model = _model(found, name, variant, tier, dtype, device, task)
    if model.vae is None:
        raise missing("vae", found, dit.entry)
    planner, remark = _lm(found, lm, tier, dit.entry, dtype, device)
    unused = unused_card() if device == "auto" else ""
    opened = Models(model, model.vae, planner).leaving(room.leaves)
    remarks = tuple(text for text in (dit.remark, remark, unused, *shortages(opened)) if text)
    for text in remarks:
        log.warning("%s", text)
    return replace(opened, remarks=remarks)


def _of_pipeline(
    pipeline: Any,
    variant: str | None,
    lm: str | Path | None,
    tier: str | None,
    dtype: str,
    device: str,
    roots: Iterable[Path] | None,
) -> Models:
    if (dtype, device) != ("auto", "auto"):
        raise InvalidInput("A loaded pipeline has its own number format and device; move it with its own .to().")
    model = handles_of_pipeline(pipeline, variant)
    assert model.vae is not None
    found = find_models(search_roots() if roots is None else roots)
    planner, remark = _lm(found, lm, tier, None, dtype, device)
    return Models(model, model.vae, planner, (remark,) if remark else ())


def models_beside(models: Models, variant: str | None = None, task: str = "text2music") -> Models:
    """The models that made a song, for something else to do with it: these if they can, or else what lies beside them
    or in the usual places, in their number format and on their device, without their adapters.
    """
    model = models.model
    if variant in (None, model.variant):
        with suppress(UnsupportedTask):
            check_task(task, model.info.kind, model.stems)
            return models
    roots = [model.path.parent, *([] if models.tiny else search_roots())]
    return open_models(None, variant, dtype=model.dtype, device=model.device, roots=roots, task=task)


def needed_lm(models: Models) -> LMHandle:
    """The language model. Raises InvalidInput where there is none, with how to get one."""
    if models.lm is None:
        raise InvalidInput(f"There is no language model here; fetch one with `{fetch('main')}`.")
    return models.lm


def model_handle(
    name: str | None = None,
    variant: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    roots: Iterable[Path] | None = None,
) -> ModelHandle:
    """The DiT that `open_models` would take, with its text encoder, and its VAE where there is one."""
    return _model(_found(None, roots, name, variant), name, variant, None, dtype, device)[1]


def vae_handle(
    name: str | None = None, dtype: str = "auto", device: str = "auto", roots: Iterable[Path] | None = None
) -> VAEHandle:
    """The VAE called `name`, or the one that `open_models` would take."""
    found = _found(None, roots, name)
    return VAEHandle(choose("vae", _among(name), roots=found).entry.path, dtype, device)


def lm_handle(
    name: str | None = None, dtype: str = "auto", device: str = "auto", roots: Iterable[Path] | None = None
) -> LMHandle:
    """The language model called `name`, or the one that `open_models` would take."""
    found = _found(None, roots, name)
    return _lm_at(choose("lm", _among(name), roots=found).entry.path, found, dtype, device)


def tiny_folder() -> Path:
    """The tiny checkpoint in the user's cache, built at first use."""
    from acestep_core.builtin.tiny import TINY_VERSION, build_tiny, is_finished

    folder = user_folder().parent / f"tiny-{TINY_VERSION}"
    if not is_finished(folder):
        with clear_errors(folder / "tiny.json"):
            folder.mkdir(parents=True, exist_ok=True)
        busy = f"Another process has been building {folder} for ten minutes; end it and run again."
        with locked(folder / ".lock", patience(600, busy)):
            if not is_finished(folder):  # nor did another process meanwhile
                log.info("building the tiny checkpoint in %s", folder)
                build_tiny(folder)
    return folder


def _has_toy() -> bool:
    from acestep_core.builtin.demo import SHIPPED, is_demo

    return is_demo(SHIPPED)


def toy_folder() -> Path:
    """The built-in model that came with the package. Raises CheckpointError where it did not."""
    from acestep_core.builtin.demo import SHIPPED

    if not _has_toy():
        raise CheckpointError("The built-in model is not part of this package; `acestep models build-demo` makes it.")
    return SHIPPED


def stand_in(found: Found) -> str:
    """What is taken of these where nobody asks for a model: `toy`, `tiny`, or empty where that is a real one."""
    if not all(entry.tiny for entry in found.dits):
        return ""
    return "toy" if (is_toy(found.dits[0].path) if found.dits else _has_toy()) else "tiny"


def _default_folder(task: str | None) -> Path:
    """What is built in for a task: the toy if it can do it and is there."""
    from acestep_core.builtin.demo import TASKS

    return toy_folder() if task in (None, *TASKS) and _has_toy() else tiny_folder()


def _found(
    path: str | Path | None,
    roots: Iterable[Path] | None,
    name: str | None,
    *asked: str | Path | None,
    task: str | None = None,
) -> Found:
    """What there is to choose from: what is built in if nothing lies there and nothing was asked for, or where it is
    named.
    """
    if name in BUILT_IN:
        return find_checkpoint(toy_folder() if name == TOY else tiny_folder())
    if path is not None:
        return find_checkpoint(Path(path))
    found = find_models(search_roots() if roots is None else roots)
    nothing = all(wish in (None, AUTO_TIER) for wish in (name, *asked))
    return find_checkpoint(_default_folder(task)) if nothing and is_bare(found) else found


def _among(name: str | None) -> str | None:
    """The name to look for in what was found; what is built in is all there is where it was named."""
    return None if name in BUILT_IN else name


def _model(
    found: Found,
    name: str | None,
    variant: str | None,
    tier: str | None,
    dtype: str,
    device: str,
    task: str | None = None,
) -> tuple[Choice, ModelHandle]:
    if name == TINY and variant is not None:
        variant = _nearest_tiny(variant)
    choice = choose("dit", _among(name), variant, tier, found, task=task)
    if name is None and variant is None:
        for entry in found.entries:
            if entry.kind == "dit" and entry.problem:
                log.warning("Passed over: %s", entry.problem)
    files = open_dit(choice.entry.path, choice.variant)
    said, path = choice.variant, choice.entry.path
    if said is not None and path.is_file() and (choice.entry.variant is None or remembered(path)):
        remember(path, files.variant.name)
    text = choose("text_encoder", roots=found, beside=choice.entry).entry
    vaes = candidates("vae", found, choice.entry)
    handle = ModelHandle(
        files.source,
        dtype,
        device,
        files.variant.name,
        TextHandle(text.path, dtype, device, _tokenizer(open_text_encoder(text.path), found)),
        VAEHandle(vaes[0].path, dtype, device) if vaes else None,
        stems=bool(files.config.get("is_lego_sft")),
    )
    return choice, handle


def _lm(
    found: Found, lm: str | Path | None, tier: str | None, dit: ModelEntry | None, dtype: str, device: str
) -> tuple[LMHandle | None, str]:
    """The language model and what there is to say about it; none where there is none and none was named."""
    size = tier_named(tier).lm
    if lm in BUILT_IN:
        return lm_handle(str(lm), dtype, device), ""
    if lm is not None:
        path = Path(lm)
        path = path if path.exists() else choose("lm", str(lm), roots=found).entry.path
        return _lm_at(path, found, dtype, device), ""
    if size is not None and candidates("lm", found, dit):
        choice = choose("lm", tier=tier, roots=found, beside=dit)
        return _lm_at(choice.entry.path, found, dtype, device), choice.remark
    if size is None or tier in (None, AUTO_TIER):
        return None, ""
    return None, f"There is no language model here; fetch one with `{fetch(f'acestep-5Hz-lm-{size}')}`."


def _lm_at(path: Path, found: Found, dtype: str, device: str) -> LMHandle:
    return LMHandle(path, dtype, device, _tokenizer(open_lm(path), found))


def _tokenizer(files: QwenFiles, found: Found) -> Path | None:
    """The tokenizer for weights that lie without one; None where none is found, which loading them will say."""
    if files.tokenizer_file is not None:
        return None
    with suppress(CheckpointError):
        return find_tokenizer(files, [*found.places, *search_roots()])
    return None


def _nearest_tiny(variant: str) -> str:
    """The variant the tiny checkpoint has in place of `variant`."""
    wanted = variant_named(variant)
    return "xl-turbo" if wanted.xl else "turbo" if wanted.is_turbo else "base"

"""The one rule by which models are chosen: which DiT, and which VAE, text encoder and language model go with it.

What lies there is read by `find`; nothing is read here. All places count as one list: how models are spread over them
does not matter, only of two that are equally good the first is taken. A tiny checkpoint is passed over where anything
real lies, and never lends a part to real weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from acestep_core.checkpoints import catalog
from acestep_core.checkpoints.catalog import AUTO_TIER, LM_SIZES, TIERS, VARIANTS, Tier, variant_named
from acestep_core.checkpoints.find import LABELS, Found, ModelEntry, find_checkpoint, find_models
from acestep_core.errors import CheckpointError
from acestep_core.io.folders import download_folder

# What to download where a kind is missing.
PUBLISHED = {
    "dit": "main",
    "vae": catalog.VAE,
    "text_encoder": catalog.TEXT_ENCODER,
    "lm": catalog.LANGUAGE_MODELS[1],
}
Roots = Found | Path | Iterable[Path] | None


@dataclass(frozen=True)
class Choice:
    """A model, the variant to open a DiT as, and what to say where it is not quite what was wished for."""

    entry: ModelEntry
    variant: str | None = None
    remark: str = ""


def choose(
    kind: str,
    name: str | None = None,
    variant: str | None = None,
    tier: str | None = None,
    roots: Roots = None,
    beside: ModelEntry | None = None,
    task: str | None = None,
) -> Choice:
    """The model of `kind` (dit, vae, text_encoder, lm) to take.

    Args:
        name: a name from `names`, or that of the folder or file; of a language model, part of it (`1.7B`).
        variant: of the DiT, such as `base`; that one or none. Also what a single file is that cannot say.
        tier: one of `TIERS`. A wish: where its models are not there, the nearest is taken, with a remark.
        roots: what was found, a single place (as in `find_checkpoint`), or several; None is `search_roots()`.
        beside: the DiT that a part is for, default the one taken when nothing is asked for; the nearest part is taken.
        task: what a DiT that was not named must be able to do, where there is one that can.

    Raises:
        CheckpointError: it is not there, is broken, or cannot say its variant; the message says what is there and how
            to get the wanted one.
    """
    found = roots if isinstance(roots, Found) else _look(roots)
    if name is not None:
        return Choice(_named(found, kind, name), variant)
    wish = tier_named(tier)
    if kind == "dit":
        return _dit(_without_tiny(found), variant, wish, task)
    parts = candidates(kind, found, beside)
    if not parts:
        raise missing(kind, found, beside)
    if kind != "lm":
        return Choice(parts[0])
    size = wish.lm or TIERS[AUTO_TIER].lm
    taken = min(parts, key=lambda entry: _size_distance(entry, size))
    other = tier not in (None, AUTO_TIER) and taken.size != size
    return Choice(taken, remark=_instead(f"{size} language model", f"acestep-5Hz-lm-{size}", taken) if other else "")


def candidates(kind: str, found: Found, beside: ModelEntry | None = None) -> list[ModelEntry]:
    """The usable parts of `kind` for a DiT (default: the one taken when nothing is asked for), nearest first."""
    real = _without_tiny(found)
    dit = beside or min(real.dits, key=_rank, default=None)
    if dit is None:
        return list(real.of(kind))
    whole = {entry.path for entry in found.dits if entry.path != dit.path}
    parts = (entry for entry in found.of(kind) if entry.tiny == dit.tiny)
    # Files of their own before the parts of somebody else's all-in-one file.
    return sorted(parts, key=lambda entry: (entry.path in whole, -_shared(entry.path, dit.path)))


def names(kind: str, found: Found) -> list[str]:
    """What the usable models of `kind` are called, real ones first; each finds its model again."""
    return list(dict.fromkeys(entry.name for entry in sorted(found.of(kind), key=lambda entry: entry.tiny)))


def is_bare(found: Found) -> bool:
    """Whether no DiT, VAE or language model was ever put there, not even a broken one. A text encoder alone may be
    another program's.
    """
    return all(entry.kind == "text_encoder" for entry in found.entries)


def tier_named(name: str | None) -> Tier:
    """The tier of that name, None for `auto`. Raises CheckpointError for an unknown one."""
    if (name or AUTO_TIER) not in TIERS:
        raise CheckpointError(f"There is no tier called {name!r}; choose one of {', '.join(map(repr, TIERS))}.")
    return TIERS[name or AUTO_TIER]


def missing(kind: str, found: Found, beside: ModelEntry | None = None) -> CheckpointError:
    """What to raise where there is no usable model of `kind`: what is wrong with it, or what is there instead."""
    real = _without_tiny(found).entries
    fitting = real if beside is None else [entry for entry in found.entries if entry.tiny == beside.tiny]
    for entry in fitting:
        if entry.kind == kind and entry.problem:
            return CheckpointError(entry.problem)
    usable = sorted((entry for entry in fitting if not entry.problem), key=lambda entry: list(LABELS).index(entry.kind))
    others = dict.fromkeys(f"the {LABELS[entry.kind]} {entry.name}" for entry in usable)
    only = f", only {_listed(others)}" if others else ""
    return CheckpointError(
        f"There is no {LABELS[kind]} in {_places(found)}{only}; fetch one with `{_download(PUBLISHED[kind], found)}`, "
        "or choose another folder."
    )


def _look(roots: Path | Iterable[Path] | None) -> Found:
    return find_checkpoint(roots) if isinstance(roots, Path) else find_models(roots)


def _without_tiny(found: Found) -> Found:
    """The real models, or the tiny ones where no DiT, VAE or language model is real."""
    real = replace(found, entries=tuple(entry for entry in found.entries if not entry.tiny))
    return found if is_bare(real) else real


# --- DiT ------------------------------------------------------------------------------------------------------------


def _dit(found: Found, variant: str | None, wish: Tier, task: str | None) -> Choice:
    if variant is not None:
        return _variant(found, variant_named(variant).name)
    if not found.dits:
        raise missing("dit", found)
    able = [entry for entry in found.dits if task and entry.variant and VARIANTS[entry.variant].can(task)]
    if wish.variant is None:
        return Choice(min(able or found.dits, key=_rank))
    taken = min(able or found.dits, key=lambda entry: _distance(entry, str(wish.variant)))
    other = taken.variant not in (None, wish.variant)
    return Choice(taken, remark=_instead(f"{wish.variant} model", wish.variant, taken) if other else "")


def _variant(found: Found, wanted: str) -> Choice:
    """The DiT of that variant, never another one because that one is broken."""
    for entry in found.dits:
        if entry.variant == wanted:
            return Choice(entry, wanted)
    broken = [entry for entry in found.entries if entry.kind == "dit" and entry.problem]
    problems = [entry.problem for entry in broken if entry.variant == wanted]
    size = "XL" if VARIANTS[wanted].xl else "2B"
    unsure = [entry for entry in found.dits if entry.variant is None and entry.size == size]
    if len(unsure) == 1 and not problems:
        return Choice(unsure[0], wanted)
    if problems := problems or [entry.problem for entry in broken if entry.variant is None]:
        raise CheckpointError(str(problems[0]))
    if unsure:
        raise CheckpointError(
            f"Any of {_listed(entry.name for entry in unsure)} may be the {wanted} model; choose one by its name."
        )
    if any(entry.path in found.places for entry in found.dits):
        return Choice(found.dits[0], wanted)  # named by its path: it is opened, or refused, for what it is
    there = _listed(dict.fromkeys(entry.variant or entry.name for entry in found.dits))
    raise CheckpointError(
        f"There is no {wanted} model in {_places(found)}, only {there}; choose one of these, or fetch it with "
        f"`{_download(wanted, found)}`."
        if there
        else f"There is no {wanted} model in {_places(found)}; fetch it with `{_download(wanted, found)}`."
    )


def _rank(entry: ModelEntry) -> int:
    """Turbo first, then as the catalog has them; last what cannot say."""
    return list(VARIANTS).index(entry.variant) if entry.variant else len(VARIANTS)


def _distance(entry: ModelEntry, wish: str) -> tuple[bool, bool, bool, bool, int]:
    """How far a DiT is from the variant wished for: better a kind of model that fits the memory than one that does not,
    better another flavour than another kind.
    """
    if entry.variant is None:
        return True, True, True, True, 0
    wished, has = VARIANTS[wish], VARIANTS[entry.variant]
    too_large = has.xl and not wished.xl
    return has != wished, too_large, has.kind != wished.kind, has.xl != wished.xl, _rank(entry)


# --- names and nearness ---------------------------------------------------------------------------------------------


def _named(found: Found, kind: str, name: str) -> ModelEntry:
    """The first usable model of that name, a real one before a tiny one."""
    fitting = [entry for entry in found.entries if entry.kind == kind and name in (entry.name, entry.path.name)]
    if kind == "lm" and not fitting:
        part = name.lower()
        fitting = [e for e in found.entries if e.kind == kind and (part in e.name.lower() or part == e.size.lower())]
    usable = [entry for entry in fitting if entry.problem is None]
    if usable:
        return min(usable, key=lambda entry: entry.tiny)
    if fitting:
        raise CheckpointError(str(fitting[0].problem))
    there = _listed(names(kind, found))
    published = next((p for p in catalog.download_names() if name == p or (kind == "lm" and name in p)), None)
    cures = ["choose one of these"] if there else []
    cures.append(f"fetch it with `{_download(published, found)}`" if published else "put its files back")
    raise CheckpointError(
        f"There is no {LABELS[kind]} called {name!r} in {_places(found)}{f', only {there}' if there else ''}; "
        f"{' or '.join(cures)}."
    )


def _size_distance(entry: ModelEntry, size: str | None) -> tuple[int, int]:
    """How far a language model is from the size wished for: the largest that fits, else the smallest there is."""
    if entry.size not in LM_SIZES or size is None:
        return 2, 0
    over = LM_SIZES.index(entry.size) - LM_SIZES.index(size)
    return (1, over) if over > 0 else (0, -over)


def _shared(path: Path, other: Path) -> int:
    """How many folders two paths have in common; more than any other for the same file or what lies in it."""
    same = 0
    for a, b in zip(path.parts, other.parts):
        if a != b:
            break
        same += 1
    return same


def _instead(wanted: str, published: str, taken: ModelEntry) -> str:
    return f"There is no {wanted} here, so {taken.name} is taken; fetch the other with `{catalog.fetch(published)}`."


def _places(found: Found) -> str:
    existing = [place for place in found.places if place.exists()]
    return ", ".join(map(str, existing or found.places)) or "any folder"


def _download(name: str, found: Found) -> str:
    """The command that fetches a model to where it is then found."""
    command, folder = catalog.fetch(name), found.places[0] if found.places else None
    if folder is None or download_folder() in found.places:
        return command
    single = folder.is_file() or any(entry.path == folder for entry in found.entries)
    return f"{command} --to {folder.parent if single else folder}"


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)

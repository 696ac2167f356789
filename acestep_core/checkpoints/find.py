"""Where models may lie, and which are there. Reads configs and headers only; torch is not needed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from acestep_core.checkpoints import catalog, keymaps, shapes
from acestep_core.checkpoints.configs import read_config
from acestep_core.checkpoints.layouts import (
    FILE_LAYOUTS,
    QwenFiles,
    classified,
    display_name,
    is_upstream_dit,
    is_xl,
    kept_config,
)
from acestep_core.checkpoints.qwen_tokenizer import LM_ROWS, TEXT_ROWS, Fit, fit_of, is_lm
from acestep_core.checkpoints.safetensors_header import MAX_HEADER
from acestep_core.checkpoints.weights import Weights, open_weights, read_json, unreadable
from acestep_core.errors import CheckpointError
from acestep_core.io.folders import download_folder, user_folder
from acestep_core.io.names import meant
from acestep_core.io.text import read_text

COMFYUI_TOKENIZER = Path("comfy", "text_encoders", "qwen25_tokenizer")
"""ComfyUI's copy of Qwen's words, in its folder of code."""
COMFYUI_FOLDERS = ("checkpoints", "diffusion_models", "unet", "vae", "text_encoders", "clip")
TINY_MARK = "tiny.json"
TOY = "demo"
"""The key of a mark by which the built-in model is known; its value is a version."""
LM_WIDTHS = dict(zip((1024, 2048, 2560), catalog.LM_SIZES, strict=True))
_NAMED_OURS = re.compile(
    r"(?<![a-z])ace([-_ ]?step)?[-_ ]?(v?1\.?5|5hz)|^qwen3-embedding-0\.6b|^vae-b?f(16|32)$", re.IGNORECASE
)
_HUB = "models--"  # a repository in a Hugging Face cache
_MARKS = tuple(
    mark.encode() for mark in (keymaps.DIT_MARK, keymaps.SAT_VAE_MARK, keymaps.DIFFUSERS_VAE_MARK, *keymaps.QWEN_MARKS)
)
LABELS = {"dit": "DiT", "vae": "VAE", "text_encoder": "text encoder", "lm": "language model"}


@dataclass(frozen=True)
class ModelEntry:
    """One model on disk. `variant` is None where the file cannot say; `problem` says why it cannot be used.

    Attributes:
        layout: upstream, diffusers, comfyui or gguf.
        size: `XL` or `2B` of a DiT, `0.6B`, `1.7B` or `4B` of a language model; empty where it cannot be told.
        format: how its weights are packed, such as `Q8_0` or `fp8`; empty where they are not.
        tiny: whether it belongs to a tiny checkpoint, which makes sound but no music.
    """

    kind: str
    name: str
    path: Path
    layout: str
    variant: str | None = None
    bytes: int = 0
    problem: str | None = None
    size: str = ""
    tiny: bool = False
    format: str = ""


@dataclass(frozen=True)
class Found:
    """Everything that lies in some places, in their order."""

    places: tuple[Path, ...]
    entries: tuple[ModelEntry, ...]

    def of(self, kind: str) -> tuple[ModelEntry, ...]:
        """The usable entries of `kind` (dit, vae, text_encoder, lm)."""
        return tuple(entry for entry in self.entries if entry.kind == kind and entry.problem is None)

    @property
    def dits(self) -> tuple[ModelEntry, ...]:
        return self.of("dit")


def search_roots(models: Iterable[Path] = (Path("models"),)) -> list[Path]:
    """The folders where models are looked for, in order; not all of them exist.

    `ACESTEP_CHECKPOINTS` (several, separated as in PATH) or upstream's `ACESTEP_CHECKPOINTS_DIR`, `./checkpoints`,
    where downloads go, the user's cache, then `models`: the folders of that name of the program this runs in.
    """
    several = os.environ.get("ACESTEP_CHECKPOINTS", "").split(os.pathsep)
    named = [*several, os.environ.get("ACESTEP_CHECKPOINTS_DIR", "")]
    roots = [Path(name).expanduser() for name in named if name]
    return list(dict.fromkeys([*roots, Path("checkpoints"), download_folder(), user_folder(), *models]))


def list_models(roots: Iterable[Path] | None = None) -> list[ModelEntry]:
    """Every model below `roots` (default: `search_roots()`), each once, broken ones with their `problem`."""
    entries: dict[tuple[str, Path], ModelEntry] = {}
    for root in search_roots() if roots is None else roots:
        if os.path.exists(root):  # noqa: PTH110 - False, too, where it may not be looked at
            for entry in scan(root.absolute()):
                entries.setdefault((entry.kind, entry.path.resolve()), entry)
    return list(entries.values())


def find_models(roots: Iterable[Path] | None = None) -> Found:
    """What lies below all `roots` (default: `search_roots()`) as one list."""
    places = tuple(root.absolute() for root in (search_roots() if roots is None else roots))
    return Found(places, tuple(list_models(places)))


def is_tiny(path: Path) -> bool:
    """Whether a checkpoints folder, or a model in it, is of a tiny checkpoint, which makes sound but no music, or of
    the built-in model, which is no more than a toy.
    """
    return _mark(path) is not None


def is_toy(path: Path) -> bool:
    """Whether it is of the built-in model that was trained: its music is simple, but music."""
    return toy_mark(path) is not None


def toy_mark(path: Path) -> Mapping[str, Any] | None:
    """What a checkpoint of the built-in model says of itself, or None where it is another."""
    mark = _mark(path)
    if mark is None:
        return None
    stat = mark.stat()
    said = _said(mark, stat.st_mtime_ns, stat.st_size)
    return said if TOY in said else None


@cache
def _said(mark: Path, changed: int, size: int) -> Mapping[str, Any]:
    """The contents of a mark as it was at that time; empty where it is no JSON."""
    try:
        said = json.loads(read_text(mark))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _mark(path: Path) -> Path | None:
    """The file that says that a checkpoint is none of ACE-Step's."""
    marks = (folder / TINY_MARK for folder in (path, *list(path.parents)[:3]))
    return next((mark for mark in marks if mark.is_file()), None)


def find_checkpoint(root: Path) -> Found:
    """What lies under a checkpoints folder, or belongs to one model folder or file, or to one of ComfyUI's folders.

    For these the folders around are searched too, for the VAE, text encoder and language models that go with them,
    never for another DiT; and the usual places for the VAE and text encoder of a single model that lies without them,
    such as a merged one. Raises CheckpointError where `root` does not exist, or is a file that holds no weights or is
    damaged.
    """
    root = meant(root).expanduser().absolute()
    if not root.exists():
        raise CheckpointError(
            f"There is no checkpoint at {root}; correct the path or fetch one with `{catalog.fetch('main')}`."
        )
    if root.is_file() and is_upstream_dit(root.parent):
        root = root.parent
    own = list(scan(root))
    if root.is_file() and not own:
        open_weights(root)
    taken = {"dit", *(entry.kind for entry in own)}
    parts = [entry for entry in list_models(_around(root)) if entry.kind not in taken]
    lacking = {"vae", "text_encoder"} - taken - {entry.kind for entry in parts if entry.problem is None}
    if lacking and (root.is_file() or any(entry.path == root for entry in own)):
        parts += [entry for entry in list_models() if entry.kind in lacking and not entry.tiny]
    return Found((root,), (*own, *parts))


def _around(root: Path) -> list[Path]:
    """Where the parts lie that go with a single model, or with one of the folders that ComfyUI sorts files into."""
    for folder in (root, *list(root.parents)[:2]):
        if folder.name.startswith(_HUB):
            return [folder.parent]
    for folder in list(root.parents)[:4] if root.is_file() else [root]:
        if folder.name in COMFYUI_FOLDERS:
            return [folder, *(folder.parent / name for name in COMFYUI_FOLDERS)]
    return [root.parent] if root.is_file() or is_upstream_dit(root) or is_diffusers(root) else []


def find_tokenizer(files: QwenFiles, roots: Iterable[Path] | None = None) -> Path:
    """The tokenizer for a text encoder or language model: beside its weights, else of Qwen3 in a known place; see
    `qwen_tokenizer.load_tokenizer`.

    ComfyUI files have none of their own; ComfyUI itself has one. Raises CheckpointError that says where to put one.
    """
    if files.tokenizer_file is not None:
        return files.tokenizer_file
    rows = files.config["vocab_size"]
    places = [*list(files.source.parents)[:3], *(search_roots() if roots is None else roots), _hub_cache()]
    other: Path | None = None
    for path in dict.fromkeys(path for place in places for path in tokenizers_in(place)):
        fit = fit_of(path, rows)
        if fit is Fit.OWN:
            return path
        other = other or (path if fit is Fit.WORDS else None)
    if other is not None:
        return other
    folder = files.source.parent / catalog.TOKENIZER
    raise CheckpointError(
        f"{files.source.name} comes without a tokenizer; fetch it (11 MB) with `{catalog.fetch(catalog.TOKENIZER)}`, "
        f"or put the tokenizer.json of any Qwen3 into {folder}."
    )


def _hub_cache() -> Path:
    """Where Hugging Face's tools keep what they fetched."""
    home = Path(os.environ.get("HF_HOME") or Path("~/.cache/huggingface")).expanduser()
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub")


def tokenizers_in(place: Path) -> Iterator[Path]:
    """Tokenizers that may be Qwen3's: in the folders of models, in a Hugging Face cache, and ComfyUI's own, where
    `place` is one of its model folders.
    """
    for name in ("acestep-5Hz-lm-*", "Qwen3*", "text_encoder", catalog.TOKENIZER):
        yield from sorted(place.glob(f"{name}/tokenizer.json"))
        yield from sorted(place.glob(f"{_HUB}*/snapshots/*/{name}/tokenizer.json"))
    for repository in sorted([*place.glob(f"{_HUB}*[Qq]wen3*"), *place.glob(f"{_HUB}ACE-Step--*")]):
        if (snapshot := _snapshot(repository)) and (snapshot / "tokenizer.json").is_file():
            yield snapshot / "tokenizer.json"
    for folder in [place, *list(place.parents)[:3]]:
        if (folder / COMFYUI_TOKENIZER / "vocab.json").is_file():
            yield folder / COMFYUI_TOKENIZER


# --- scanning -------------------------------------------------------------------------------------------------------


def scan(root: Path) -> Iterator[ModelEntry]:
    """The models that `root` is, or that lie in it up to two folders deep.

    Single files are looked at in `root` itself and, three folders deep, in ComfyUI's folders; elsewhere they belong to
    something else. Of a repository in a Hugging Face cache the snapshot in use is looked into.
    """
    inside = root.name in COMFYUI_FOLDERS
    for entry in _scan_file(root) if root.is_file() else _scan_tree(root, 2, True, inside):
        yield replace(entry, tiny=is_tiny(entry.path))


def _scan_tree(folder: Path, depth: int, files: bool, inside: bool) -> Iterator[ModelEntry]:
    """`files`: single files in `folder` count. `inside`: it lies in one of ComfyUI's folders."""
    if folder.name.startswith(_HUB):
        if snapshot := _snapshot(folder):
            yield from _scan_tree(snapshot, 2, True, False)
        return
    try:
        found = list(_scan_folder(folder))
    except OSError:  # may not be looked into
        return
    if found:
        yield from found
        return
    for child in _children(folder):
        if child.is_dir():
            enters = not inside and child.name in COMFYUI_FOLDERS
            if depth:
                yield from _scan_tree(child, 3 if enters else depth - 1, inside or enters, inside or enters)
        elif files:
            yield from _scan_file(child)


def _snapshot(repository: Path) -> Path | None:
    """The folder of files in a Hugging Face cache: what `main` names, else the newest."""
    named = repository / "refs" / "main"
    found = [path for path in _children(repository / "snapshots") if path.is_dir()]
    try:
        wanted = read_text(named, CheckpointError).strip() if named.is_file() else ""
    except CheckpointError:
        wanted = ""  # damaged: then the newest
    return max(found, key=lambda path: (path.name == wanted, path.stat().st_mtime), default=None)


def _children(folder: Path) -> list[Path]:
    """What a folder shows, in order, without what may not be looked at; nothing where it may not be read."""
    try:
        shown = (path for path in folder.iterdir() if not path.name.startswith("."))
        return sorted(path for path in shown if os.path.exists(path))  # noqa: PTH110 - as above
    except OSError:
        return []


def is_diffusers(folder: Path) -> bool:
    """Whether a folder is an ACE-Step pipeline of diffusers."""
    return (folder / "transformer" / "config.json").is_file() and (folder / "condition_encoder").is_dir()


def _scan_folder(folder: Path) -> Iterator[ModelEntry]:
    """The entries of one model folder (upstream or diffusers); none where it is something else."""
    if is_diffusers(folder):
        yield _dit_entry(folder, "diffusers", folder / "transformer" / "config.json")
        for kind, name in (("vae", "vae"), ("text_encoder", "text_encoder")):
            if (folder / name).is_dir():
                yield _entry(kind, folder / name, "diffusers")
        return
    config_file = folder / "config.json"
    try:
        config = read_json(config_file)
    except CheckpointError as error:
        if meant := _kind_by_name(folder):
            variant = folder.name.removeprefix("acestep-v15-") if meant == "dit" else None
            yield ModelEntry(meant, folder.name, folder, "upstream", variant, 0, str(error))
        return
    if config.get("model_type") == "acestep" or "timbre_fix_frame" in config:
        yield _dit_entry(folder, "upstream", config_file)
    elif "downsampling_ratios" in config:
        yield _entry("vae", folder, "upstream")
    elif config.get("model_type") == "qwen3":
        rows = config["vocab_size"] if isinstance(config.get("vocab_size"), int) else 0
        if _is_ours(folder, rows):
            yield _entry("lm" if is_lm(rows) else "text_encoder", folder, "upstream")


def _kind_by_name(folder: Path) -> str | None:
    """What a folder of weights without a readable config.json was meant to be."""
    if not any(folder.glob("*.safetensors*")):
        return None
    if folder.name in (catalog.VAE, catalog.TEXT_ENCODER):
        weights = any(folder.glob("diffusion_pytorch_model.*"))  # ComfyUI's vae/ holds other files
        return "text_encoder" if folder.name == catalog.TEXT_ENCODER else "vae" if weights else None
    if folder.name in catalog.LANGUAGE_MODELS:
        return "lm"
    return "dit" if folder.name in {variant.folder for variant in catalog.VARIANTS.values()} else None


def _is_ours(path: Path, rows: int) -> bool:
    """Tells ACE-Step's Qwen3 models from others that share a folder with them."""
    return (
        rows == LM_ROWS
        or "acestep" in display_name(path).lower()
        or "ace15" in path.name.lower()
        or display_name(path).startswith(catalog.TEXT_ENCODER)
    )


def _scan_file(path: Path) -> Iterator[ModelEntry]:
    """The parts one file of weights holds. A damaged file is mentioned only if its name suggests that it is ours."""
    if path.suffix not in FILE_LAYOUTS or not path.is_file():
        return
    layout, named_so = FILE_LAYOUTS[path.suffix], _NAMED_OURS.search(path.stem)
    try:
        if not named_so and _is_foreign(path):
            return
        names = open_weights(path)
    except (CheckpointError, OSError) as error:
        if named_so:
            yield ModelEntry(_kind_of_file(path), path.stem, path, layout, None, path.stat().st_size, str(error))
        return
    for kind, part in _parts(path, names):
        problem = unreadable(part.shapes, path) or None
        entry = ModelEntry(kind, path.stem, path, layout, None, _bytes(part), problem, format=part.format)
        entry = replace(entry, size=_lm_size(kind, path, part))
        yield _named_dit(entry, part) if kind == "dit" else entry


def _kind_of_file(path: Path) -> str:
    """What a file that cannot be read was meant to be."""
    name = path.stem.lower()
    if "5hz-lm" in name:
        return "lm"
    if "qwen" in name:
        return "text_encoder" if "0.6b" in name else "lm"
    return "vae" if "vae" in name else "dit"


def _named_dit(entry: ModelEntry, part: Weights) -> ModelEntry:
    """The DiT of a single file, with its size and, under a published name, its variant."""
    try:
        config = kept_config(part, entry.path)
        xl = is_xl(config or shapes.dit_config(part.shapes, entry.path))
    except CheckpointError as error:
        return replace(entry, problem=entry.problem or str(error))
    try:
        variant = classified(config or {}, xl, entry.path).name
    except CheckpointError:
        variant = None  # who opens it says which, or is asked to
    return replace(entry, variant=variant, size="XL" if xl else "2B")


def _lm_size(kind: str, path: Path, weights: Weights) -> str:
    """The size of a language model, by its width, or by its name where that is none of the published ones."""
    if kind != "lm":
        return ""
    width = next((info.shape[1] for name, info in weights.infos.items() if name.endswith("embed_tokens.weight")), 0)
    named = (size for size in catalog.LM_SIZES if size.lower() in display_name(path).lower())
    return LM_WIDTHS.get(width) or next(named, "")


def _is_foreign(path: Path) -> bool:
    """Whether no tensor of ours is named in the header. Searching it is a hundred times as fast as parsing it, and
    ComfyUI's folders are full of large models that are none of ours. GGUF headers are not searched: they do not say how
    long they are.
    """
    if path.suffix == ".gguf":
        return False
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= MAX_HEADER else b""
    return len(header) == length and not any(mark in header for mark in _MARKS)


def _parts(path: Path, names: Weights) -> Iterator[tuple[str, Weights]]:
    marks = {
        "dit": (keymaps.COMFYUI_DIT, (keymaps.DIT_MARK,)),
        "vae": (keymaps.COMFYUI_VAE, (keymaps.SAT_VAE_MARK, keymaps.DIFFUSERS_VAE_MARK)),
        "text_encoder": (keymaps.COMFYUI_TEXT_ENCODER, keymaps.QWEN_MARKS),
        "lm": (keymaps.COMFYUI_LM, keymaps.QWEN_MARKS),
    }
    for kind, (prefixes, kind_marks) in marks.items():
        prefix = next((p for p in prefixes for mark in kind_marks if p + mark in names.infos), None)
        if prefix is None:
            continue
        part = names.select(prefix)
        if kind == "vae" and not _is_ace_vae(part, path):
            continue
        if kind in ("text_encoder", "lm") and not prefix:
            rows = next((info.shape[0] for name, info in part.infos.items() if name.endswith("embed_tokens.weight")), 0)
            named = str(part.metadata.get("general.architecture")).startswith("acestep")
            if is_lm(rows) != (kind == "lm") or not (named or rows == TEXT_ROWS[0] or _is_ours(path, rows)):
                continue
        yield kind, part


def _is_ace_vae(part: Weights, path: Path) -> bool:
    names = keymaps.vae_names(list(part))
    try:
        shapes.vae_config(part.renamed(names.__getitem__).shapes, path)
    except CheckpointError:
        return False
    return True


def _dit_entry(folder: Path, layout: str, config_file: Path) -> ModelEntry:
    variant, size, problem = None, "", None
    try:
        config = read_config(config_file)
        inner = read_config(folder / "condition_encoder" / "config.json") if layout == "diffusers" else config
        if layout == "diffusers":
            config = config | {"encoder_hidden_size": inner.get("hidden_size")}
            config["is_turbo"] = bool(config.get("is_turbo")) or config.get("model_version") == "turbo"
        size = "XL" if is_xl(config) else "2B"
        variant = catalog.classify(config, is_xl(config), display_name(folder)).name
    except CheckpointError as error:
        problem = str(error)
    parts = keymaps.COMPONENTS.values() if layout == "diffusers" else ("",)
    entry = _entry("dit", folder, layout, tuple(parts))
    return replace(entry, variant=variant, size=size, problem=entry.problem or problem)


def _entry(kind: str, folder: Path, layout: str, parts: tuple[str, ...] = ("",)) -> ModelEntry:
    total, size, packed, problem = 0, "", "", None
    for part in parts:
        try:
            weights = open_weights(folder / part)
        except (CheckpointError, OSError) as error:
            problem = str(error)
        else:
            total += _bytes(weights)
            size, packed = _lm_size(kind, folder, weights), packed or weights.format
    return ModelEntry(kind, display_name(folder), folder, layout, None, total, problem, size, format=packed)


def _bytes(weights: Weights) -> int:
    return sum(info.nbytes for info in weights.infos.values())

"""Where models may lie, and which are there. Reads configs and headers only; torch is not needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from acestep_core.checkpoints import catalog, keymaps, shapes
from acestep_core.checkpoints.layouts import QwenFiles, display_name, fits_tokenizer, is_upstream_dit, is_xl
from acestep_core.checkpoints.weights import MAX_HEADER, Weights, open_weights, read_json
from acestep_core.errors import CheckpointError
from acestep_core.io.folders import user_folder

COMFYUI_FOLDERS = ("checkpoints", "diffusion_models", "unet", "vae", "text_encoders", "clip")
AUDIO_CODES = 65535
TINY_MARK = "tiny.json"
# Rows of the embedding table: Qwen3's own vocabulary as published (the second is padded), and with the audio codes.
TEXT_ROWS = (151669, 151936)
LM_ROWS = 217204
_MARKS = tuple(
    mark.encode() for mark in (keymaps.DIT_MARK, keymaps.SAT_VAE_MARK, keymaps.DIFFUSERS_VAE_MARK, *keymaps.QWEN_MARKS)
)
LABELS = {"dit": "DiT", "vae": "VAE", "text_encoder": "text encoder", "lm": "language model"}
# What to download where a kind is missing.
PUBLISHED = {
    "dit": "main",
    "vae": catalog.VAE,
    "text_encoder": catalog.TEXT_ENCODER,
    "lm": catalog.LANGUAGE_MODELS[1],
}


@dataclass(frozen=True)
class ModelEntry:
    """One model on disk. `variant` is None where the file cannot say; `problem` says why it cannot be used."""

    kind: str
    name: str
    path: Path
    layout: str
    variant: str | None = None
    bytes: int = 0
    problem: str | None = None


@dataclass(frozen=True)
class Found:
    """Everything that lies under one root."""

    root: Path
    entries: tuple[ModelEntry, ...]

    def of(self, kind: str) -> tuple[ModelEntry, ...]:
        """The usable entries of `kind` (dit, vae, text_encoder, lm)."""
        return tuple(entry for entry in self.entries if entry.kind == kind and entry.problem is None)

    @property
    def dits(self) -> tuple[ModelEntry, ...]:
        return self.of("dit")

    @property
    def lms(self) -> tuple[ModelEntry, ...]:
        return self.of("lm")

    @property
    def vae(self) -> Path | None:
        return next((entry.path for entry in self.of("vae")), None)

    @property
    def text_encoder(self) -> Path | None:
        return next((entry.path for entry in self.of("text_encoder")), None)

    def need(self, kind: str) -> Path:
        """The path of the first usable model of `kind`. Raises CheckpointError that says what is missing or wrong."""
        for entry in self.of(kind):
            return entry.path
        broken = next((entry.problem for entry in self.entries if entry.kind == kind), None)
        if broken:
            raise CheckpointError(broken)
        raise CheckpointError(
            f"There is no {LABELS[kind]} in {self.root}; fetch one with `acestep models download {PUBLISHED[kind]} "
            f"--to {self.folder}`, or choose another folder."
        )

    @property
    def folder(self) -> Path:
        """The checkpoints folder that the root is, or lies in."""
        return self.root.parent if self.root.is_file() or is_upstream_dit(self.root) else self.root


def search_roots(comfyui: Iterable[Path] = ()) -> list[Path]:
    """The folders where models are looked for, best first; not all of them exist.

    `ACESTEP_CHECKPOINTS` (several, separated as in PATH) or upstream's `ACESTEP_CHECKPOINTS_DIR`, `./checkpoints`,
    the user's cache, then `comfyui`: ComfyUI's `models` folders, where the caller knows them.
    """
    several = os.environ.get("ACESTEP_CHECKPOINTS", "").split(os.pathsep)
    named = [*several, os.environ.get("ACESTEP_CHECKPOINTS_DIR", "")]
    roots = [Path(name).expanduser() for name in named if name]
    return list(dict.fromkeys([*roots, Path("checkpoints"), user_folder(), *comfyui]))


def list_models(roots: Iterable[Path] | None = None) -> list[ModelEntry]:
    """Every model below `roots` (default: `search_roots()`), each once, broken ones with their `problem`."""
    entries: dict[tuple[str, Path], ModelEntry] = {}
    for root in search_roots() if roots is None else roots:
        if root.exists():
            for entry in scan(root):
                entries.setdefault((entry.kind, entry.path.resolve()), entry)
    return list(entries.values())


def is_tiny(root: Path) -> bool:
    """Whether a checkpoints folder is the tiny checkpoint, which makes sound but no music."""
    return (root / TINY_MARK).is_file()


def find_checkpoint(root: Path) -> Found:
    """What lies under a checkpoints folder, or belongs to one model folder or file.

    For a single model the folder that holds it is searched too, for the VAE, text encoder and language models that go
    with it, never for another DiT; its own entries come first. Raises CheckpointError where `root` does not exist, or
    is a file that is no safetensors file or damaged.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise CheckpointError(
            f"There is no checkpoint at {root}; correct the path or fetch one with `acestep models download main`."
        )
    if root.is_file() and is_upstream_dit(root.parent):
        root = root.parent
    own, around = list(scan(root)), []
    if is_upstream_dit(root):
        around = list(scan(root.parent))
    elif root.is_file():
        if not own:
            open_weights(root)
        around = list(scan(root.parent.parent if root.parent.name in COMFYUI_FOLDERS else root.parent))
    taken = {"dit", *(entry.kind for entry in own)}
    whole = {entry.path for entry in around if entry.kind == "dit"}
    # Files of their own before the parts of somebody's all-in-one file.
    around = sorted((entry for entry in around if entry.kind not in taken), key=lambda entry: entry.path in whole)
    return Found(root, tuple(sorted([*own, *around], key=_rank)))


def find_tokenizer(files: QwenFiles, roots: Iterable[Path] | None = None) -> Path:
    """The `tokenizer.json` for a text encoder or language model: beside its weights, else in a known folder that fits
    its vocabulary.

    ComfyUI files have none of their own. Raises CheckpointError that says where to put one.
    """
    if files.tokenizer_file is not None:
        return files.tokenizer_file
    rows = files.config["vocab_size"]
    names = ["acestep-5Hz-lm-*"] if _is_lm(rows) else [catalog.TEXT_ENCODER, "tokenizer"]
    around = [files.source.parent, files.source.parent.parent]
    for root in [*around, *(search_roots() if roots is None else roots)]:
        for name in names:
            for file in sorted(root.glob(f"{name}/tokenizer.json")):
                if fits_tokenizer(file, rows):
                    return file
    folder = files.source.parent / (catalog.LANGUAGE_MODELS[1] if _is_lm(rows) else catalog.TEXT_ENCODER)
    raise CheckpointError(
        f"{files.source.name} comes without a tokenizer; put the tokenizer.json of {folder.name} into {folder}, "
        f"or fetch it with `acestep models download {folder.name}`."
    )


def _is_lm(rows: int) -> bool:
    """A language model has the 65 535 audio codes in its vocabulary; the text encoder has not."""
    return rows > AUDIO_CODES and rows not in TEXT_ROWS


# --- scanning -------------------------------------------------------------------------------------------------------


def _rank(entry: ModelEntry) -> int:
    """Puts first what to take unless told otherwise: turbo, and the 1.7B language model."""
    if entry.kind == "lm":
        return 0 if "1.7B" in entry.name else 1
    order = list(catalog.VARIANTS)
    return order.index(entry.variant) if entry.variant else len(order)


def scan(root: Path) -> Iterator[ModelEntry]:
    """The models that `root` is, or that lie in it up to two folders deep.

    Single files are looked at in `root` itself and in ComfyUI's folders; elsewhere they belong to something else.
    """
    if root.is_file():
        yield from _scan_file(root)
    else:
        yield from _scan_tree(root, depth=2, files=True)


def _scan_tree(folder: Path, depth: int, files: bool) -> Iterator[ModelEntry]:
    if found := list(_scan_folder(folder)):
        yield from found
        return
    for child in _children(folder):
        if child.is_dir():
            if depth:
                yield from _scan_tree(child, depth - 1, child.name in COMFYUI_FOLDERS or folder.name in COMFYUI_FOLDERS)
        elif files:
            yield from _scan_file(child)


def _children(folder: Path) -> list[Path]:
    """What a folder shows, in order; nothing where it may not be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _scan_folder(folder: Path) -> Iterator[ModelEntry]:
    """The entries of one model folder (upstream or diffusers); none where it is something else."""
    if (folder / "transformer" / "config.json").is_file() and (folder / "condition_encoder").is_dir():
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
    elif config.get("model_type") == "qwen3" and _is_ours(folder, config.get("vocab_size", 0)):
        yield _entry("lm" if _is_lm(config["vocab_size"]) else "text_encoder", folder, "upstream")


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
        or "acestep" in path.name.lower()
        or "ace15" in path.name.lower()
        or path.name == catalog.TEXT_ENCODER
    )


def _scan_file(path: Path) -> Iterator[ModelEntry]:
    """The parts one safetensors file holds. A damaged file is mentioned only if its name suggests that it is ours."""
    if path.suffix != ".safetensors":
        return
    named_so = "ace" in path.stem.lower() and ("1.5" in path.stem or "15" in path.stem)
    try:
        if not named_so and _is_foreign(path):
            return
        names = open_weights(path)
    except (CheckpointError, OSError) as error:
        if named_so:
            yield ModelEntry("dit", path.stem, path, "comfyui", None, path.stat().st_size, str(error))
        return
    for kind, part in _parts(path, names):
        yield ModelEntry(kind, path.stem, path, "comfyui", None, sum(_bytes(part)))


def _is_foreign(path: Path) -> bool:
    """Whether no tensor of ours is named in the header. Searching it is a hundred times as fast as parsing it, and
    ComfyUI's folders are full of large models that are none of ours.
    """
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
            if _is_lm(rows) != (kind == "lm") or not (rows == TEXT_ROWS[0] or _is_ours(path, rows)):
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
    variant, problem = None, None
    try:
        config = read_json(config_file)
        inner = read_json(folder / "condition_encoder" / "config.json") if layout == "diffusers" else config
        if layout == "diffusers":
            config = config | {"encoder_hidden_size": inner.get("hidden_size")}
            config["is_turbo"] = bool(config.get("is_turbo")) or config.get("model_version") == "turbo"
        variant = catalog.classify(config, is_xl(config), display_name(folder)).name
    except CheckpointError as error:
        problem = str(error)
    parts = keymaps.COMPONENTS.values() if layout == "diffusers" else ("",)
    entry = _entry("dit", folder, layout, tuple(parts))
    return ModelEntry("dit", entry.name, folder, layout, variant, entry.bytes, entry.problem or problem)


def _entry(kind: str, folder: Path, layout: str, parts: tuple[str, ...] = ("",)) -> ModelEntry:
    size, problem = 0, None
    for part in parts:
        try:
            size += sum(_bytes(open_weights(folder / part)))
        except (CheckpointError, OSError) as error:
            problem = str(error)
    return ModelEntry(kind, display_name(folder), folder, layout, None, size, problem)


def _bytes(weights: Weights) -> Iterator[int]:
    width = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2}
    return (info.numel * width.get(info.dtype, 1) for info in weights.infos.values())

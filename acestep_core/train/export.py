"""A trained adapter as one file for other programs, or merged into its checkpoint; each read back before it counts.

PEFT keeps an adapter's strength in its settings and ComfyUI reads tensors only, so single files hold it as a tensor for
each layer: the same file is then equally strong everywhere.

A DoRA with lengths m makes the weight m (W + D) / |W + D|, row by row; ComfyUI makes it m (W + D) / |W|. So the single
file, which is for ComfyUI, holds m |W| / |W + D| and says so (`PLAIN_NORM`); other formats hold m. Strengths other than
1 go from W to that weight in a straight line, in ComfyUI and here.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from acestep_core import devices
from acestep_core.checkpoints.catalog import FLAVOUR
from acestep_core.checkpoints.layouts import DitFiles, layout_of, open_dit
from acestep_core.checkpoints.writing import write_upstream_dit
from acestep_core.errors import AdapterError, InvalidInput, TrainingError
from acestep_core.io.atomic import atomic_write, clear_errors, place
from acestep_core.io.tensor_file import open_tensors, read_tensors, save_tensors
from acestep_core.models.adapter_file import PLAIN_NORM, read_adapter
from acestep_core.models.adapters import Fitted, fit
from acestep_core.models.handles import ModelHandle
from acestep_core.models.lokr import kronecker
from acestep_core.train.checkpoints import ABOUT, CONFIG, WEIGHTS
from acestep_core.train.network import PREFIX
from acestep_core.train.settings import EXPORT_DTYPES, EXPORT_FORMATS

ROUNDING: Final = 1e-2
"""How far a written tensor may be from the trained one, relative to its largest number."""
_BASE_NAME: Final = "ace_step_1.5"
_WEIGHT: Final = "decoder.{}.weight"
_KOHYA: Final = {"lora_A.weight": "lora_down.weight", "lora_B.weight": "lora_up.weight"}


@dataclass(frozen=True, eq=False)
class Trained:
    """A PEFT folder: tensors by layer (as upstream names it) and part, its settings, and what is told of it."""

    folder: Path
    layers: Mapping[str, Mapping[str, Tensor]]
    config: Mapping[str, Any]
    about: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Trained:
        """Raises AdapterError where there is no adapter as training writes it."""
        file = folder / WEIGHTS
        if not file.is_file() or not (folder / CONFIG).is_file():
            raise AdapterError(
                f"There is no trained adapter in {folder}; name a run's adapter, or one of its checkpoints."
            )
        layers: dict[str, dict[str, Tensor]] = {}
        for name, tensor in read_tensors(file).items():
            layer, _, part = name.removeprefix(PREFIX).partition("_proj.")
            layers.setdefault(f"{layer}_proj", {})[part] = tensor
        about = folder / ABOUT
        told = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
        return cls(folder, layers, json.loads((folder / CONFIG).read_text(encoding="utf-8")), told)

    @property
    def is_lokr(self) -> bool:
        return str(self.config["peft_type"]).upper() == "LOKR"

    @property
    def is_dora(self) -> bool:
        return bool(self.config.get("use_dora"))

    @property
    def rank(self) -> int:
        return int(self.config["r"])

    @property
    def alpha(self) -> float:
        """In the sense of programs that divide by the rank."""
        if self.is_lokr:
            return float(self.config["alpha"])
        root = math.sqrt(self.rank) if self.config.get("use_rslora") else 1.0
        return float(self.config["lora_alpha"]) * root

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """`(out, in)` of the layers."""
        if self.is_lokr:
            return {name: kronecker(parts, 1.0).shape for name, parts in self.layers.items()}
        return {n: (p["lora_B.weight"].shape[0], p["lora_A.weight"].shape[1]) for n, p in self.layers.items()}


@dataclass(frozen=True)
class Exported:
    """What was written, and how far it is from what was trained: 0 where every number is the same."""

    path: Path
    format: str
    error: float
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        how = "every number as trained" if self.error == 0 else f"within {self.error:.1e}"
        return " ".join([f"{self.path.name}: read back, {how}.", *self.remarks])


def export(
    adapter: Path, target: Path, format: str = "single", dtype: str = "fp32", model: ModelHandle | None = None
) -> Exported:
    """Writes an adapter for other programs and reads it back.

    Args:
        adapter: a PEFT folder: a run's `adapter`, or a checkpoint.
        target: a file ending in .safetensors; for `peft` a folder; for `merged` what the checkpoint is. Nothing may lie
            there.
        format: `single` for ComfyUI and this library, `kohya` for tools that want its names, `peft`, or `merged`, which
            is the checkpoint with the adapter in it. A LoKr has LyCORIS names as a file.
        dtype: fp32 or bf16; merged weights keep the checkpoint's own.
        model: the checkpoint, for `merged`, and for the `single` file of a DoRA.

    Raises:
        AdapterError: there is no adapter, it changes nothing, or is not of `model`.
        TrainingError: what was read back is something else.
        InvalidInput, StorageError: format or place are none.
    """
    if format not in EXPORT_FORMATS or dtype not in EXPORT_DTYPES:
        raise InvalidInput(f"The format must be one of {', '.join(EXPORT_FORMATS)} and the dtype fp32 or bf16.")
    if target.exists():
        raise InvalidInput(f"{target} exists already and was left alone; choose another name.")
    trained, numbers = Trained.open(adapter), devices.DTYPES[dtype]
    assert numbers is not None
    original = fit(read_adapter(adapter), trained.shapes)
    if not any(_strongest(change.delta) for change in original.changes.values()):
        raise AdapterError(f"The adapter {adapter} changes nothing yet; train it before you export it.")
    with clear_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    if format == "merged":
        if model is None:
            raise InvalidInput("A merged checkpoint needs the model that the adapter was trained for; name it.")
        return _merge(original, model, target)
    remarks: tuple[str, ...] = ()
    if format == "peft":
        _write_folder(trained, target, numbers)
    else:
        if target.suffix != ".safetensors":
            raise InvalidInput(f"A single file must end in .safetensors, not in {target.suffix!r}.")
        told = metadata(trained)
        if format == "single" and trained.is_dora:
            if model is None:
                raise InvalidInput(
                    "The single file of a DoRA needs the model that it was trained for, because ComfyUI scales by its "
                    "weights; name it, or choose kohya or peft."
                )
            original = over_plain(original, model)
            told |= [PLAIN_NORM]
            remarks = (
                "Its lengths are those that ComfyUI expects of a DoRA; for other programs choose kohya or peft.",
            )
        tensors = lycoris(trained) if trained.is_lokr else single(trained, original, kohya=format == "kohya")
        with atomic_write(target, new=True) as temporary:
            save_tensors(_as(tensors, numbers), temporary, told)
    error = difference(original, fit(read_adapter(target), trained.shapes))
    if not error <= ROUNDING:
        raise TrainingError(f"{target.name}, read back, is off by {error:.1e}; please report this.")
    return Exported(target, format, error, remarks)


def over_plain(adapter: Fitted, model: ModelHandle) -> Fitted:
    """A DoRA with its lengths over those of the plain weights of `model`, see `PLAIN_NORM`."""
    files, changes = open_dit(model.path, model.variant), {}
    for name, change in adapter.changes.items():
        weight = _adapted(files, name, change.delta.shape).float()
        changes[name] = replace(change, magnitude=change.ratio(weight) * weight.norm(dim=1), plain_norm=True)
    return replace(adapter, changes=changes)


def single(trained: Trained, fitted: Fitted, kohya: bool = False) -> dict[str, Tensor]:
    """PEFT's names, or kohya's, with the strength of every layer as a tensor, and the lengths of `fitted`, a DoRA."""
    found = {}
    for layer, parts in trained.layers.items():
        base = f"lora_unet_decoder_{layer.replace('.', '_')}" if kohya else PREFIX + layer
        for part, tensor in parts.items():
            if part == "lora_magnitude_vector":
                lengths = fitted.changes[layer].magnitude
                assert lengths is not None
                found[f"{base}.dora_scale"] = lengths[:, None]
            else:
                found[f"{base}.{_KOHYA[part] if kohya else part}"] = tensor
        found[f"{base}.alpha"] = torch.tensor(trained.alpha)
    return found


def lycoris(trained: Trained) -> dict[str, Tensor]:
    """A LoKr as LyCORIS names it. Its strength is folded into the first factor, for programs differ in when it counts:
    alpha is then the rank, which is a factor of 1 to all of them.
    """
    found, strength = {}, trained.alpha / trained.rank
    for layer, parts in trained.layers.items():
        base = f"lycoris_{layer.replace('.', '_')}"
        for part, tensor in parts.items():
            found[f"{base}.{part}"] = tensor * strength if part in ("lokr_w1", "lokr_w1_a") else tensor
        found[f"{base}.alpha"] = torch.tensor(float(trained.rank))
    return found


def metadata(trained: Trained) -> dict[str, str]:
    """What a single file tells of itself, in the words of the programs that read it."""
    about = trained.about
    title = str(about.get("name") or trained.folder.name)
    strength = trained.rank if trained.is_lokr else trained.alpha
    told = {
        "format": "lycoris" if trained.is_lokr else "pt",
        "ss_network_dim": str(trained.rank),
        "ss_network_alpha": f"{strength:g}" if float(f"{strength:g}") == strength else repr(strength),
        "ss_base_model_version": _BASE_NAME,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{_BASE_NAME}/{'lokr' if trained.is_lokr else 'lora'}",
        "modelspec.title": title,
        "acestep_nodes": json.dumps(dict(about), ensure_ascii=False),
    }
    if about.get("tag"):
        told["modelspec.trigger_phrase"] = str(about["tag"])
    if trained.is_lokr:
        told["algo"] = "lokr"
        told["lokr_config"] = json.dumps(
            {
                "linear_dim": trained.rank,
                "linear_alpha": trained.rank,
                "factor": trained.config.get("decompose_factor", -1),
                "target_modules": trained.config.get("target_modules"),
            }
        )
    return told


def difference(original: Fitted, written: Fitted) -> float:
    """The largest difference of any number of two adapters, relative to the largest number of its tensor."""
    if original.changes.keys() != written.changes.keys() or written.report.unmatched:
        return math.inf
    worst = 0.0
    for name, change in original.changes.items():
        other = written.changes[name]
        if change.plain_norm != other.plain_norm:
            return math.inf
        pairs = [(change.magnitude, other.magnitude)]
        pairs += [(getattr(change.delta, f.name), getattr(other.delta, f.name)) for f in fields(change.delta)]  # type: ignore[arg-type]
        for one, two in pairs:
            if isinstance(one, Tensor) and isinstance(two, Tensor) and one.shape == two.shape:
                gap = float((one.float() - two.float()).abs().max())
                worst = max(worst, gap / max(float(one.abs().max()), 1e-30))
            elif one is not two:
                return math.inf
    return worst


def _strongest(delta: Any) -> float:
    """0 where a change does nothing: one of its factors is."""
    return min(float(getattr(delta, f.name).abs().max()) for f in fields(delta))


def _as(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Numbers in another format; strengths stay exact."""
    return {name: tensor if name.endswith(".alpha") else tensor.to(dtype) for name, tensor in tensors.items()}


def _write_folder(trained: Trained, target: Path, dtype: torch.dtype) -> None:
    stage = target.with_name(f".{os.urandom(4).hex()}.tmp")
    try:
        with clear_errors(target):
            stage.mkdir()
            save_tensors(_as(read_tensors(trained.folder / WEIGHTS), dtype), stage / WEIGHTS, {"format": "pt"})
            for name in (CONFIG, ABOUT):
                if (trained.folder / name).is_file():
                    shutil.copyfile(trained.folder / name, stage / name)
            place(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


# --- merged ---------------------------------------------------------------------------------------------------------


def _merge(adapter: Fitted, model: ModelHandle, target: Path) -> Exported:
    files = open_dit(model.path, model.variant)
    if files.tensors.format or files.source.suffix == ".gguf":
        raise AdapterError(
            f"The weights of {model.path.name} are packed, and what is merged would be lost in their rounding; merge "
            "into the bf16 model that they were made from."
        )
    merged = {}
    for name, change in adapter.changes.items():
        before = _adapted(files, name, change.delta.shape)
        after = before.float() + change.delta.weight()
        if change.magnitude is not None:
            after *= change.ratio(before.float())[:, None]
        merged[_WEIGHT.format(name)] = after.to(before.dtype)
    source = files.source
    if source.is_dir():
        _merge_folder(files, merged, target)
    else:
        if target.suffix != ".safetensors":
            raise InvalidInput("The checkpoint is a single file; the merged one must end in .safetensors, too.")
        keys = {files.tensors.infos[name].key: tensor for name, tensor in merged.items()}
        with open_tensors(source) as opened, atomic_write(target, new=True) as temporary:
            told = opened.metadata()
            everything = {key: keys.get(key) for key in opened.keys()}  # noqa: SIM118
            save_tensors({k: opened.get_tensor(k) if t is None else t for k, t in everything.items()}, temporary, told)
    back = open_dit(target, model.variant).tensors
    if not _equal(back, files.tensors, merged):
        raise TrainingError(f"{target.name}, read back, is not what was merged; please report this.")
    beside = source.parent.resolve()
    where = f"Its VAE and text encoder are in {beside}; move it there, unless they lie where models are looked for."
    return Exported(target, "merged", 0.0, () if target.resolve().is_relative_to(beside) else (where,))


def _adapted(files: DitFiles, layer: str, shape: tuple[int, int]) -> Tensor:
    """The weight of a layer that an adapter changes. Raises AdapterError where the checkpoint is another one."""
    name, model = _WEIGHT.format(layer), files.source.name
    if name not in files.tensors or tuple(files.tensors.infos[name].shape) != shape:
        raise AdapterError(f"{model} has no {name} of {shape[0]}x{shape[1]}; name the model that was trained.")
    return files.tensors[name]


def _merge_folder(files: DitFiles, merged: Mapping[str, Tensor], target: Path) -> None:
    """Upstream's folder, with what else lies in the source's own, such as its code."""
    stage = target.with_name(f".{os.urandom(4).hex()}.tmp")
    try:
        with clear_errors(target):
            stage.mkdir()
            whole = {name: merged.get(name, files.tensors[name]) for name in files.tensors}
            write_upstream_dit(files.config | {FLAVOUR: files.variant.name}, whole, files.silence, stage)
            for file in files.source.iterdir() if layout_of(files.source) == "upstream" else ():
                if file.is_file() and ".safetensors" not in file.suffixes and file.name != "config.json":
                    shutil.copyfile(file, stage / file.name)
            place(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _equal(back: Mapping[str, Tensor], before: Mapping[str, Tensor], merged: Mapping[str, Tensor]) -> bool:
    names: Iterable[str] = before.keys()
    return back.keys() == before.keys() and all(torch.equal(back[n], merged.get(n, before[n])) for n in names)

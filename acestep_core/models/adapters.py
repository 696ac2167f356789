"""Adapters from file to sound: read a LoRA or LoKr in any common form, fit it to a decoder, and let it act for a while.

An adapter never touches the weights it adapts. Its part of a layer is computed beside the layer, so the same decoder
serves other branches of a graph unchanged, and may be quantised or rest elsewhere between runs. DoRA: Liu et al. 2024
(arXiv:2402.09353).
"""

from __future__ import annotations

import json
import logging
import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from acestep_core.errors import AdapterError
from acestep_core.models.handles import AdapterHandle, ModelHandle
from acestep_core.models.lokr import kronecker, rank_of
from acestep_core.models.lora import Delta, Full, LayerNames, LowRank, Scaling, joined, low_rank, split_name

log = logging.getLogger(__name__)

FILES = ("adapter_model.safetensors", "lokr_weights.safetensors", "pytorch_lora_weights.safetensors")
WIDTHS = {2048: "2B", 2560: "XL"}
NO_ALPHA = "The file does not say its alpha; if it sounds too weak, raise the strength (often 2)."


@dataclass(frozen=True, eq=False)
class Adapter:
    """The content of one file: tensors by layer (as the file names it) and part."""

    path: Path
    layers: dict[str, dict[str, Tensor]]
    other: tuple[str, ...]
    scaling: Scaling
    rank: int | None = None
    """Rank that the settings of a PEFT LoKr give for layers whose tensors do not tell it."""


@dataclass(frozen=True)
class Report:
    """What of an adapter acts.

    Attributes:
        path: the file or folder.
        matched: layers of the decoder that it changes.
        unmatched: names in the file that nothing corresponds to.
        remarks: what the user should know, one sentence each.
    """

    path: Path
    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.path.name}: {len(self.matched)} layers adapted, {len(self.unmatched)} names unmatched"]
        lines += [f"  not in this model: {name}" for name in self.unmatched[:8]]
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])


@dataclass(frozen=True, eq=False)
class Change:
    """What one adapter does to one layer; `magnitude` `[out]` makes it a DoRA."""

    delta: Delta
    magnitude: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """An adapter laid onto a decoder."""

    changes: dict[str, Change]
    report: Report


def read_adapter(path: Path) -> Adapter:
    """Reads a PEFT folder or a single file; the tensors stay mapped from disk.

    Raises:
        AdapterError: there is no adapter there, or one of a kind that is not supported.
    """
    file = _weights_file(path)
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{file} cannot be read as safetensors; convert it or fetch it again.") from error
    config = _config(file, metadata)
    kind = str(config.get("peft_type", "LORA")).upper()
    if kind not in ("LORA", "LOKR"):
        raise AdapterError(f"{path} is an adapter of kind {kind}; only LoRA, DoRA and LoKr can be used.")
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    other = []
    for name, tensor in tensors.items():
        found = split_name(name)
        if found is None:
            other.append(name)
        else:
            layers[found[0]][found[1]] = tensor
    scaling = Scaling.from_config(config, "alpha" if kind == "LOKR" else "lora_alpha")
    rank = int(config["r"]) if kind == "LOKR" and config.get("r") else None
    return Adapter(path, dict(layers), tuple(other), scaling, rank)


def fit(adapter: Adapter, shapes: Mapping[str, tuple[int, int]]) -> Fitted:
    """Lays an adapter onto a decoder.

    Args:
        shapes: `(out, in)` of the decoder's linear layers by name, see `linear_shapes`.

    Raises:
        AdapterError: nothing in it matches, or it was made for a model of another size.
    """
    names = LayerNames(shapes)
    changes: dict[str, Change] = {}
    unmatched = list(adapter.other)
    without_alpha = False
    for layer, parts in adapter.layers.items():
        name = names.find(layer)
        if name is None:
            unmatched += [f"{layer}.{part}" for part in parts]
            continue
        change = _change(adapter, name, parts)
        if change.delta.shape != shapes[name]:
            raise AdapterError(_misfit(adapter.path, name, change.delta.shape, shapes))
        without_alpha |= "alpha" not in parts and adapter.scaling.alpha is None and isinstance(change.delta, LowRank)
        changes[name] = change
    if not changes:
        shown = ", ".join((unmatched or ["nothing"])[:3])
        raise AdapterError(
            f"{adapter.path} matches no layer of this model (it holds {shown}); choose an adapter for ACE-Step 1.5."
        )
    remarks = (NO_ALPHA,) if without_alpha else ()
    return Fitted(changes, Report(adapter.path, tuple(sorted(changes)), tuple(sorted(unmatched)), remarks))


@contextmanager
def applied(decoder: nn.Module, adapters: Sequence[AdapterHandle]) -> Iterator[tuple[Report, ...]]:
    """Lets `adapters` act on `decoder` within the block, for the calling thread only, and yields their reports.

    Raises:
        AdapterError: one of them cannot be read or does not fit. Nothing acts then.
    """
    linears = linear_layers(decoder)
    shapes = linear_shapes(decoder)
    stacked: dict[str, list[tuple[Change, float]]] = defaultdict(list)
    reports = []
    for handle in adapters:
        if not math.isfinite(handle.strength):
            raise AdapterError(f"The strength of {handle.path.name} must be a finite number, not {handle.strength}.")
        fitted = fit(read_adapter(handle.path), shapes)
        reports.append(fitted.report)
        if fitted.report.unmatched:
            log.warning("%s", fitted.report)
        for name, change in fitted.changes.items():
            if handle.strength != 0:
                stacked[name].append((change, handle.strength))
    with ExitStack() as hooks:
        for name, changes in stacked.items():
            hooks.callback(linears[name].register_forward_hook(_Beside(linears[name], changes)).remove)
        yield tuple(reports)


def inspect_adapter(path: Path, model: ModelHandle) -> Report:
    """Which layers of `model` an adapter would change; reads headers of the model only.

    Raises:
        AdapterError: as `applied` would.
    """
    from acestep_core.checkpoints.layouts import open_dit
    from acestep_core.models.config import AceStepConfig
    from acestep_core.models.dit import DiT

    config = AceStepConfig.from_json(open_dit(model.path, model.variant).config)
    with torch.device("meta"):
        decoder = DiT(config)
    return fit(read_adapter(path), linear_shapes(decoder)).report


def linear_layers(decoder: nn.Module) -> dict[str, nn.Module]:
    """The layers that can be adapted, by name; a quantised layer counts if it tells its features."""
    return {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear) or (hasattr(module, "in_features") and hasattr(module, "out_features"))
    }


def linear_shapes(decoder: nn.Module) -> dict[str, tuple[int, int]]:
    """`(out, in)` of the layers that can be adapted."""
    return {name: (int(m.out_features), int(m.in_features)) for name, m in linear_layers(decoder).items()}  # type: ignore[arg-type]


@dataclass
class _Beside:
    """A forward hook that adds the changes of one layer. Tensors move to where the layer computes at its first call."""

    linear: nn.Module
    changes: list[tuple[Change, float]]
    owner: int = field(default_factory=threading.get_ident)
    placed: list[Delta] | None = None
    doras: list[tuple[Delta, Tensor, float]] = field(default_factory=list)
    place: tuple[torch.device, torch.dtype] | None = None

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if threading.get_ident() != self.owner:
            return None
        x = args[0]
        if self.placed is None or self.place != (x.device, x.dtype):
            self._prepare(x)
        result = output
        for delta in self.placed or ():
            result = result + delta(x)
        for delta, ratio, strength in self.doras:
            bias = getattr(self.linear, "bias", None)
            plain = output if bias is None else output - bias
            result = result + strength * ((ratio - 1) * plain + ratio * delta(x))
        return result

    def _prepare(self, x: Tensor) -> None:
        self.place = (x.device, x.dtype)
        plain = [(c.delta, strength) for c, strength in self.changes if c.magnitude is None]
        ranks = [delta.scaled(strength, x) for delta, strength in plain if isinstance(delta, LowRank)]
        rest = [delta.scaled(strength, x) for delta, strength in plain if not isinstance(delta, LowRank)]
        self.placed = [*([joined(ranks)] if ranks else []), *rest]  # type: ignore[arg-type]
        self.doras = []
        for change, strength in self.changes:
            if change.magnitude is not None:
                weight = _weight_of(self.linear, x) + change.delta.weight().to(x.device)
                ratio = change.magnitude.to(x.device).float() / weight.norm(dim=1)
                self.doras.append((change.delta.scaled(1.0, x), ratio.to(x), strength))


def _weight_of(linear: nn.Module, x: Tensor) -> Tensor:
    """`[out, in]` fp32 of a layer on the device of `x`, whatever form the layer keeps it in."""
    if isinstance(linear, nn.Linear) and type(linear.weight.data) is Tensor and linear.weight.is_floating_point():
        return linear.weight.detach().to(x.device).float()
    # Quantised: what the layer makes of the unit vectors is its weight, column by column.
    unit = torch.eye(int(linear.in_features), device=x.device, dtype=x.dtype)  # type: ignore[arg-type]
    with torch.no_grad():
        answers = linear.forward(unit).float()
    bias = getattr(linear, "bias", None)
    return (answers if bias is None else answers - bias.float()).T


def _change(adapter: Adapter, name: str, parts: Mapping[str, Tensor]) -> Change:
    alpha = float(parts["alpha"]) if "alpha" in parts else None
    if any(part.startswith("lokr_") for part in parts):
        # LyCORIS scales by alpha / rank only where a factor is stored as a product; PEFT always does.
        rank = rank_of(parts) or adapter.rank
        delta: Delta = kronecker(parts, 1.0 if rank is None else adapter.scaling.scale(name, rank, alpha))
    elif "diff" in parts:
        delta = Full(parts["diff"])
    else:
        delta = low_rank(parts, adapter.scaling.scale(name, parts["down"].shape[0], alpha) if "down" in parts else 1.0)
    return Change(delta, _magnitude(adapter.path, parts.get("magnitude"), delta))


def _magnitude(path: Path, magnitude: Tensor | None, delta: Delta) -> Tensor | None:
    if magnitude is None:
        return None
    if magnitude.ndim > 1 and magnitude.shape[0] != delta.shape[0]:
        raise AdapterError(
            f"{path} stores its DoRA scale per input; only DoRA per output (as PEFT saves it) can be used."
        )
    return magnitude.flatten()


def _misfit(path: Path, name: str, shape: tuple[int, int], shapes: Mapping[str, tuple[int, int]]) -> str:
    widths = {found for found in (*shape, *shapes[name]) if found in WIDTHS}
    here = next((shapes[layer][1] for layer in shapes if layer.endswith("self_attn.q_proj")), 0)
    there = next((width for width in widths if width != here), None)
    if here in WIDTHS and there is not None:
        return (
            f"{path} was trained for the {WIDTHS[there]} models, and this is {WIDTHS[here]}; load it with one of those."
        )
    return (
        f"{path} does not fit this model: {name} is {shapes[name][0]}x{shapes[name][1]}, the adapter's "
        f"{shape[0]}x{shape[1]}; load it with the model it was trained for."
    )


def _weights_file(path: Path) -> Path:
    if path.is_file():
        if path.suffix != ".safetensors":
            raise AdapterError(f"{path} is not a safetensors file; convert the adapter to safetensors.")
        return path
    if not path.is_dir():
        raise AdapterError(f"There is no adapter at {path}; correct the path.")
    for folder in (path, path / "adapter"):  # trainers save into a subfolder of that name
        for name in FILES:
            if (folder / name).is_file():
                return folder / name
    single = sorted(path.glob("*.safetensors"))
    if len(single) != 1:
        found = f"{len(single)} safetensors files" if single else "no safetensors file"
        raise AdapterError(f"The folder {path} holds {found}; give the adapter's file or a PEFT folder.")
    return single[0]


def _config(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """PEFT's settings: beside the file, or in its metadata as diffusers, LyCORIS and kohya write them."""
    beside = file.parent / "adapter_config.json"
    if file.name == "adapter_model.safetensors" and beside.is_file():
        return _json_object(beside.read_text(encoding="utf-8"), beside)
    if "lora_adapter_metadata" in metadata:
        entries = _json_object(metadata["lora_adapter_metadata"], file)
        return {key.removeprefix("transformer."): value for key, value in entries.items()}
    if metadata.get("lokr_config"):
        config = _json_object(metadata["lokr_config"], file)
        return {"lora_alpha": config.get("linear_alpha"), "use_rslora": config.get("rs_lora")}
    alpha = metadata.get("ss_network_alpha")
    return {"lora_alpha": alpha} if alpha not in (None, "None") else {}


def _json_object(text: str, source: Path) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise AdapterError(f"The settings in {source} are not valid JSON; fetch the adapter again.") from error
    if not isinstance(values, dict):
        raise AdapterError(f"The settings in {source} are not a JSON object; fetch the adapter again.")
    return values

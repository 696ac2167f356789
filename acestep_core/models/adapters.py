"""Adapters at work: fit what `adapter_file` has read to a decoder, and let it act for a while.

An adapter never touches the weights it adapts. Its part of a layer is computed beside the layer, so the same decoder
serves other branches of a graph unchanged, and may be quantised or rest elsewhere between runs. DoRA: Liu et al. 2024
(arXiv:2402.09353).
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from acestep_core.errors import AdapterError
from acestep_core.models import loha, lokr, lora
from acestep_core.models.adapter_file import Adapter, read_adapter
from acestep_core.models.handles import AdapterHandle, ModelHandle
from acestep_core.models.linear import PackedLinear
from acestep_core.models.lora import Delta, Full, LayerNames, LowRank, joined
from acestep_core.values import counted

log = logging.getLogger(__name__)

WIDTHS = {2048: "2B", 2560: "XL"}
_ELSEWHERE = (
    ("Flux", re.compile(r"(?:double|single)_blocks|single_transformer_blocks")),
    ("Stable Diffusion", re.compile(r"(?:down|up|input|output|joint)_blocks|text_model")),
    ("ACE-Step 1.0", re.compile(r"transformer_blocks[._]\d+[._]cross_attn")),
)
"""Other models that adapters are often made for, by layers that only they have."""
NO_ALPHA = "The file does not say its alpha; if it sounds too weak, raise the strength (often 2)."


@dataclass(frozen=True)
class Report:
    """What of an adapter acts.

    Attributes:
        path: the file or folder.
        matched: layers of the decoder that it changes.
        unmatched: names in the file that nothing corresponds to.
        remarks: what the user should know, one sentence each.
        kind: LoRA, DoRA, LoKr, LoHa or full difference.
    """

    path: Path
    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    kind: str = "LoRA"

    def __str__(self) -> str:
        lines = [
            f"{self.kind} {self.path.name}: {counted(len(self.matched), 'layer')} adapted, "
            f"{counted(len(self.unmatched), 'name')} unmatched"
        ]
        lines += [f"  not in this model: {name}" for name in self.unmatched[:8]]
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])


@dataclass(frozen=True, eq=False)
class Change:
    """What one adapter does to one layer.

    Attributes:
        magnitude: `[out]`, makes it a DoRA: the lengths of the changed rows.
        plain_norm: they are over the lengths of the plain rows instead, see `adapter_file.PLAIN_NORM`.
    """

    delta: Delta
    magnitude: Tensor | None = None
    plain_norm: bool = False

    def ratio(self, weight: Tensor) -> Tensor:
        """`[out]` fp32: what a DoRA multiplies the changed rows by.

        Args:
            weight: `[out, in]` fp32, the plain one.
        """
        assert self.magnitude is not None
        rows = weight if self.plain_norm else weight + self.delta.weight().to(weight.device)
        return self.magnitude.to(weight.device).float() / rows.norm(dim=1)


@dataclass(frozen=True, eq=False)
class Fitted:
    """An adapter laid onto a decoder."""

    changes: dict[str, Change]
    report: Report


def fit(adapter: Adapter, shapes: Mapping[str, tuple[int, int]]) -> Fitted:
    """Lays an adapter onto a decoder.

    Args:
        shapes: `(out, in)` of the decoder's layers by name, see `linear_shapes`.

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
        if name in changes:
            raise AdapterError(f"{adapter.path} holds two adapters for {name}; save each into a file of its own.")
        change = _change(adapter, layer, parts)
        if change.delta.shape != shapes[name]:
            raise AdapterError(_misfit(adapter.path, name, change.delta.shape, shapes))
        without_alpha |= "alpha" not in parts and adapter.scaling.alpha is None and isinstance(change.delta, LowRank)
        changes[name] = change
    if not changes:
        shown = ", ".join((unmatched or ["nothing"])[:3])
        whose = next((f" but one for {model}" for model, mark in _ELSEWHERE if any(map(mark.search, unmatched))), "")
        raise AdapterError(
            f"{adapter.path} is not an ACE-Step 1.5 {adapter.kind}{whose}: it matches no layer of this model (it holds "
            f"{shown}); choose an adapter for ACE-Step 1.5."
        )
    remarks = (NO_ALPHA,) if without_alpha else ()
    return Fitted(
        changes, Report(adapter.path, tuple(sorted(changes)), tuple(sorted(unmatched)), remarks, adapter.kind)
    )


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

    if model.lent is not None:
        with model.lent.resident(lambda _: 0) as lent:
            return fit(read_adapter(path), linear_shapes(lent.decoder)).report
    config = AceStepConfig.from_json(open_dit(model.path, model.variant).config)
    with torch.device("meta"):
        decoder = DiT(config)
    return fit(read_adapter(path), linear_shapes(decoder)).report


def linear_layers(decoder: nn.Module) -> dict[str, nn.Module]:
    """The layers that can be adapted, by name: linear ones (a quantised layer counts if it tells its features), and
    convolutions over patches that do not overlap, which are linear in a patch.
    """
    return {
        name: module
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear)
        or (hasattr(module, "in_features") and hasattr(module, "out_features"))
        or (isinstance(module, nn.Conv1d) and module.kernel_size == module.stride and module.groups == 1)
    }


def linear_shapes(decoder: nn.Module) -> dict[str, tuple[int, int]]:
    """`(out, in)` of the layers that can be adapted; of a convolution, `in` is a patch."""
    return {name: _shape(module) for name, module in linear_layers(decoder).items()}


def _shape(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, nn.Conv1d):
        return module.out_channels, module.in_channels * module.kernel_size[0]
    return int(module.out_features), int(module.in_features)  # type: ignore[arg-type]


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
        if isinstance(module, nn.Conv1d):
            patches = args[0].unfold(-1, module.kernel_size[0], module.stride[0])  # [B, C, T, k]
            return self._added(patches.transpose(1, 2).flatten(2), output.mT).mT
        return self._added(args[0], output)

    def _added(self, x: Tensor, output: Tensor) -> Tensor:
        """`output` `[..., out]` of the layer for `x` `[..., in]`, with the changes."""
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
                ratio = change.ratio(_weight_of(self.linear, x))
                self.doras.append((change.delta.scaled(1.0, x), ratio.to(x), strength))


def _weight_of(linear: nn.Module, x: Tensor) -> Tensor:
    """`[out, in]` fp32 of a layer on the device of `x`, whatever form the layer keeps it in."""
    weight = linear.weight if isinstance(linear, nn.Linear | nn.Conv1d | PackedLinear) else None
    if weight is not None and type(weight.data) is Tensor and weight.is_floating_point():
        return weight.detach().to(x.device).float().flatten(1)
    # Quantised by others: what the layer makes of the unit vectors is its weight, column by column.
    unit = torch.eye(int(linear.in_features), device=x.device, dtype=x.dtype)  # type: ignore[arg-type]
    with torch.no_grad():
        answers = linear.forward(unit).float()
    bias = getattr(linear, "bias", None)
    return (answers if bias is None else answers - bias.float()).T


def _change(adapter: Adapter, layer: str, parts: Mapping[str, Tensor]) -> Change:
    """What the parts of a layer, as the file names it, do."""
    try:
        if any(part.startswith("lokr_") for part in parts):
            delta: Delta = lokr.kronecker(parts, _scale(adapter, layer, parts, lokr.rank_of(parts)))
        elif any(part.startswith("hada_") for part in parts):
            delta = loha.hadamard(parts, _scale(adapter, layer, parts, loha.rank_of(parts)))
        elif "diff" in parts:
            delta = Full(lora.rows(parts["diff"]))
        else:
            delta = lora.low_rank(parts, _scale(adapter, layer, parts, lora.rank_of(parts)))
    except AdapterError as error:
        raise AdapterError(f"{adapter.path}, {layer}: {error}") from error
    return Change(delta, _magnitude(adapter.path, parts.get("magnitude"), delta), adapter.plain_norm)


def _scale(adapter: Adapter, layer: str, parts: Mapping[str, Tensor], rank: int | None) -> float:
    """The file's own factor of a layer; LyCORIS may have trained one more, `scalar`."""
    alpha = _single(parts["alpha"]) if "alpha" in parts else None
    return adapter.scaling.scale(layer, rank, alpha) * (_single(parts["scalar"]) if "scalar" in parts else 1.0)


def _single(tensor: Tensor) -> float:
    if tensor.numel() != 1:
        raise AdapterError(f"Its alpha has the shape {list(tensor.shape)} instead of one number; fetch the file again.")
    return float(tensor)


def _magnitude(path: Path, magnitude: Tensor | None, delta: Delta) -> Tensor | None:
    if magnitude is None:
        return None
    if magnitude.ndim == 0 or not magnitude.shape[0] == magnitude.numel() == delta.shape[0]:
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

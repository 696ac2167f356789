"""Adapter files: which kind one is, its tensors by layer, and how strong it says it is.

Kinds are told from PEFT's settings where there are any, else from the names of the tensors; so what cannot be used is
named, instead of being taken for a damaged file of another kind.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from acestep_core.checkpoints.safetensors_header import read_header
from acestep_core.checkpoints.weights import Weights
from acestep_core.errors import AdapterError
from acestep_core.io.text import json_object, read_text
from acestep_core.models.lora import split_name

FILES = ("adapter_model.safetensors", "lokr_weights.safetensors", "pytorch_lora_weights.safetensors")
PEFT = "base_model.model."
"""What PEFT puts before the names of the layers it adapts."""
PLAIN_NORM = ("acestep_dora_norm", "weight")
"""In the metadata of a DoRA whose `dora_scale` is over the length of the plain weight, as ComfyUI divides by it, and
not over that of the changed weight, as DoRA is defined."""
KINDS = {"LORA": "LoRA", "LOKR": "LoKr", "LOHA": "LoHa"}
_AGAIN = "fetch the adapter again"
_FOREIGN = (
    ("OFT", re.compile(r"[._]b?oft_(blocks|diag|R|s)\b")),
    ("IA3", re.compile(r"[._](ia3_l|on_input)\b")),
    ("GLoRA", re.compile(r"[._][ab][12]\.weight$")),
    ("VeRA", re.compile(r"[._]vera_lambda_[bd]\b")),
)
"""Kinds that cannot be used, by a name that only they have."""
_FAMILIES = (("LoKr", "lokr_"), ("LoHa", "hada_"), ("full difference", "diff"))


@dataclass(frozen=True)
class Scaling:
    """How strong a file says its layers are.

    Attributes:
        alpha: for layers without an alpha tensor; None if nothing says so (then the scale is 1).
        root: rsLoRA, alpha over the square root of the rank.
        alphas: alpha of layers whose name, as the file has it, ends in a pattern; the first that does counts.
        rank: for layers whose tensors do not tell it, such as a LoKr of whole factors.
        ranks: the same for layers by pattern.
    """

    alpha: float | None = None
    root: bool = False
    alphas: tuple[tuple[re.Pattern[str], float], ...] = ()
    rank: float | None = None
    ranks: tuple[tuple[re.Pattern[str], float], ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], source: Path = Path("adapter_config.json")) -> Scaling:
        """From the entries of PEFT's adapter_config.json. Raises AdapterError where one is of another type."""
        lora = str(config.get("peft_type") or "LORA").upper() == "LORA"
        root = config.get("use_rslora") or False
        if not isinstance(root, bool):
            raise AdapterError(f"The settings in {source} give use_rslora as {_shown(root)}; write true or false.")
        return cls(
            _number(config, "lora_alpha" if lora else "alpha", source),
            root,
            _patterns(config, "alpha_pattern", source),
            _number(config, "r", source, least=1),
            _patterns(config, "rank_pattern", source),
        )

    def scale(self, layer: str, rank: float | None, own_alpha: float | None = None) -> float:
        """The factor of a layer.

        Args:
            layer: its name as the file has it.
            rank: as its tensors tell it, None where they do not.
            own_alpha: the file's tensor for it, which counts first, and is over the rank even in an rsLoRA.
        """
        name = layer.removeprefix(PEFT)
        rank = rank or _matching(self.ranks, name) or self.rank
        alpha = own_alpha if own_alpha is not None else _matching(self.alphas, name)
        alpha = self.alpha if alpha is None else alpha
        if alpha is None or rank is None:
            return 1.0
        return alpha / (math.sqrt(rank) if self.root and own_alpha is None else rank)


@dataclass(frozen=True, eq=False)
class Adapter:
    """The content of one file: tensors by layer (as the file names it) and part; `plain_norm`: see `PLAIN_NORM`."""

    path: Path
    layers: dict[str, dict[str, Tensor]]
    other: tuple[str, ...] = ()
    scaling: Scaling = field(default_factory=Scaling)
    kind: str = "LoRA"
    plain_norm: bool = False


def read_adapter(path: Path) -> Adapter:
    """Reads a PEFT folder or a single file; the tensors are read, not mapped.

    Raises:
        AdapterError: there is no adapter there, one of a kind that is not supported, or one with damaged values.
    """
    file = _weights_file(path)
    header = read_header(file, AdapterError, _AGAIN)
    config, source = _config(file, header.metadata)
    kind = _kind(path, config, header.tensors)
    scaling = Scaling.from_config(config, source)
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    other = []
    for name, tensor in Weights(header.tensors, mapped=False).items():
        if not tensor.float().isfinite().all():
            raise AdapterError(
                f"{path} is damaged: its tensor {name} holds values that are not finite; {_AGAIN}, or take an earlier "
                "save of it."
            )
        found = split_name(name)
        if found is None:
            other.append(name)
        elif found[1] in layers[found[0]]:
            raise AdapterError(f"{path} holds two adapters for {found[0]}; save each into a file of its own.")
        else:
            layers[found[0]][found[1]] = tensor
    key, value = PLAIN_NORM
    return Adapter(path, dict(layers), tuple(other), scaling, kind, header.metadata.get(key) == value)


def _kind(path: Path, config: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """LoRA, DoRA, LoKr, LoHa or full difference. Raises AdapterError for any other kind, by its name."""
    declared = str(config.get("peft_type") or "LORA").upper()
    foreign = next((kind for kind, mark in _FOREIGN if any(map(mark.search, names))), None)
    if declared not in KINDS or foreign:
        raise AdapterError(
            f"{path} is an adapter of kind {foreign or ascii(declared)[1:-1]}; only LoRA, DoRA, LoKr and LoHa can be "
            "used."
        )
    parts = {found[1] for found in map(split_name, names) if found}
    if not parts:
        shown = ", ".join([*names][:2]) or "nothing"
        raise AdapterError(f"{path} is no adapter (it holds {shown}); choose a LoRA, DoRA, LoKr or LoHa.")
    kinds = [kind for kind, mark in _FAMILIES if any(part.startswith(mark) for part in parts)]
    found = kinds[0] if kinds else "DoRA" if "magnitude" in parts else "LoRA"
    wanted = KINDS[declared] if config.get("peft_type") else found
    if wanted not in (found, *kinds, *(["LoRA"] if {"down", "up"} & parts else [])):
        raise AdapterError(
            f"{path} is called a {wanted} in its settings and holds the tensors of a {found}; correct peft_type there, "
            f"for the strength depends on it, or {_AGAIN}."
        )
    return found


def _number(values: Mapping[str, Any], key: str, source: Path, least: float = -math.inf) -> float | None:
    """A number, also written as text; None where there is none. Raises AdapterError for anything else."""
    value = values.get(key)
    if value is None:
        return None
    return _finite(value, key, source, least)


def _finite(value: Any, key: str, source: Path, least: float) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or number < least:
        raise AdapterError(
            f"The settings in {source} give {key} as {_shown(value)}, which is no number it can have; "
            f"correct it there, or {_AGAIN}."
        )
    return number


def _patterns(config: Mapping[str, Any], key: str, source: Path) -> tuple[tuple[re.Pattern[str], float], ...]:
    table = config.get(key) or {}
    if not isinstance(table, dict):
        raise AdapterError(f"The settings in {source} give {key} as {_shown(table)}, which is no table; {_AGAIN}.")
    least = 1.0 if key == "rank_pattern" else -math.inf
    found = []
    for pattern in table:
        try:
            # PEFT's rule: the pattern, itself an expression, names the end of the layer's path.
            compiled = re.compile(rf"(.*\.)?({pattern})")
        except re.error as error:
            raise AdapterError(f"The {key} {_shown(pattern)} in {source} is no expression; {_AGAIN}.") from error
        found.append((compiled, _finite(table[pattern], f"{key} of {pattern}", source, least)))
    return tuple(found)


def _matching(table: tuple[tuple[re.Pattern[str], float], ...], name: str) -> float | None:
    return next((value for pattern, value in table if pattern.fullmatch(name)), None)


def _shown(value: Any) -> str:
    return ascii(value)[:60]


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


def _config(file: Path, metadata: Mapping[str, str]) -> tuple[dict[str, Any], Path]:
    """PEFT's settings and where they stand: beside the file, or in its metadata as diffusers, LyCORIS and kohya write
    them.
    """
    beside = file.parent / "adapter_config.json"
    if file.name == "adapter_model.safetensors" and beside.is_file():
        return _settings(read_text(beside, AdapterError), beside), beside
    if "lora_adapter_metadata" in metadata:
        entries = _settings(metadata["lora_adapter_metadata"], file)
        return {key.removeprefix("transformer."): value for key, value in entries.items()}, file
    if metadata.get("lokr_config"):
        config = _settings(metadata["lokr_config"], file)
        names = {"linear_alpha": "alpha", "linear_dim": "r", "rs_lora": "use_rslora"}
        return {"peft_type": "LOKR", **{ours: config.get(theirs) for theirs, ours in names.items()}}, file
    return {"lora_alpha": _stated(metadata, "ss_network_alpha"), "r": _stated(metadata, "ss_network_dim")}, file


def _stated(metadata: Mapping[str, str], key: str) -> float | None:
    """A number of kohya's metadata; None where it says None or Dynamic."""
    try:
        return float(metadata.get(key, ""))
    except ValueError:
        return None


def _settings(text: str, source: Path) -> dict[str, Any]:
    return json_object(text, f"What {source} says of itself", _AGAIN, AdapterError)

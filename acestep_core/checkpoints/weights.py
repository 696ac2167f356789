"""Reading weights: files mapped from disk without a second copy, and strict assignment onto a module."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints import keymaps
from acestep_core.checkpoints.catalog import again
from acestep_core.checkpoints.gguf_header import read_gguf
from acestep_core.checkpoints.safetensors_header import read_header
from acestep_core.checkpoints.stored import Shape, TensorInfo, format_of
from acestep_core.errors import CheckpointError
from acestep_core.io.kinds import came_instead
from acestep_core.io.mapping import maps_files
from acestep_core.io.system import page_file_too_small
from acestep_core.io.text import json_object, read_text

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from acestep_core.checkpoints.packing import Packed

# Names that some exports carry although they follow from the config: rotary tables and the quantizer's constants.
DERIVED = (
    "rotary_emb.inv_freq",
    "._levels",
    "._basis",
    ".implicit_codebook",
    ".quantizer.scales",
    ".soft_clamp_input_value",
)
# ComfyUI's two conventions of quantised weights: what stands beside them, and the names of their scale.
SCALES = (".scale_weight", ".weight_scale")
_TORCH = {
    **{"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
}
QUANTISED = (*SCALES, ".weight_scale_2", ".comfy_quant", "scaled_fp8", ".scale_input", ".input_scale")
# What stands beside weights that are packed in ways that are not read, most telling first.
UNREAD = {
    ".weight_scale_2": "NVFP4",
    ".weight_scale_inv": "fp8 with a scale for each block",
    ".absmax": "4 bits of bitsandbytes",
    ".SCB": "8 bits of bitsandbytes",
}


class Weights(Mapping[str, "Tensor"]):
    """Names -> tensors of one or more safetensors or GGUF files.

    Nothing is read until a tensor is asked for, and then, where the system is good at it (`maps_files`), its pages are
    mapped from the file: private (writing to a tensor never reaches the disk), shared with other processes, and given
    back by the system when memory is short. Only packed weights are unpacked, to fp32 unless `unpacked` names another
    format, which takes memory; `packed` hands them out as they are. See `unmapped` for the other way. The views made by
    `select`, `renamed` and `merged` share the open files.

    Attributes:
        metadata: of a single file; empty for shards.
    """

    def __init__(
        self,
        infos: Mapping[str, TensorInfo],
        files: dict[Path, Any] | None = None,
        *,
        mapped: bool | None = None,
        metadata: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.infos = dict(infos)
        self.metadata = metadata or {}
        self._files: dict[Path, Any] = {} if files is None else files
        self._mapped, self._dtype = maps_files() if mapped is None else mapped, dtype

    def __getitem__(self, name: str) -> Tensor:
        import torch

        info = self.infos[name]
        if not info.packed:
            return self._read(info).view(info.shape)
        return self.packed(name).unpacked(self._dtype or torch.float32)

    def packed(self, name: str) -> Packed:
        """A packed tensor as it lies in the file."""
        import torch

        from acestep_core.checkpoints.packing import Packed

        info = self.infos[name]
        scale = 1.0 if info.scale is None else float(self._read(info.scale).float())
        return Packed(self._read(info).view(torch.uint8).flatten(), info.dtype, info.shape, scale)

    def _read(self, info: TensorInfo) -> Tensor:
        from safetensors import SafetensorError, safe_open

        try:
            if info.path not in self._files:
                backend = "mmap" if self._mapped else "pread"
                opened: Any = GgufFile(info.path, self._mapped) if info.begin is not None else None
                self._files[info.path] = opened or safe_open(info.path, framework="pt", device="cpu", backend=backend)
            file = self._files[info.path]
            return file.get_tensor(info.key) if info.begin is None else file.read(info)
        except (SafetensorError, OSError, ValueError) as error:
            if page_file_too_small(error):
                raise CheckpointError(
                    f"Windows has too little virtual memory for {info.path.name}; enlarge the page file."
                ) from error
            raise CheckpointError(f"{info.key} cannot be read from {info.path} any more; {again()}.") from error

    def _with(self, infos: Mapping[str, TensorInfo], files: dict[Path, Any] | None = None) -> Weights:
        files = self._files if files is None else files
        return Weights(infos, files, mapped=self._mapped, metadata=self.metadata, dtype=self._dtype)

    def unmapped(self) -> Weights:
        """The same tensors read into memory of their own, so that nothing of the files stays open."""
        return Weights(self.infos, mapped=False, metadata=self.metadata, dtype=self._dtype)

    def unpacked(self, dtype: torch.dtype) -> Weights:
        """The same tensors, packed ones unpacked to `dtype`."""
        return Weights(self.infos, self._files, mapped=self._mapped, metadata=self.metadata, dtype=dtype)

    def __contains__(self, name: object) -> bool:
        return name in self.infos  # a Mapping would read the tensor to know

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    @property
    def shapes(self) -> dict[str, Shape]:
        return {name: info.shape for name, info in self.infos.items()}

    @property
    def format(self) -> str:
        """How most packed values are packed, such as `Q8_0`; empty where none are."""
        return format_of(self.infos.values())

    def select(self, prefix: str) -> Weights:
        """The tensors below `prefix`, without it."""
        cut = len(prefix)
        return self._with({name[cut:]: info for name, info in self.infos.items() if name.startswith(prefix)})

    def renamed(self, rename: Callable[[str], str | None]) -> Weights:
        """The same tensors under new names; those renamed to None are left out."""
        pairs = ((rename(name), info) for name, info in self.infos.items())
        return self._with({name: info for name, info in pairs if name is not None})

    def reshaped(self, shape: Callable[[str, Shape], Shape]) -> Weights:
        """The same tensors seen in other shapes of the same size."""
        return self._with({n: replace(info, shape=shape(n, info.shape)) for n, info in self.infos.items()})

    def merged(self, other: Weights) -> Weights:
        """Both sets in one mapping."""
        return self._with({**self.infos, **other.infos}, {**self._files, **other._files})


class GgufFile:
    """The bytes of a GGUF file, mapped or read."""

    def __init__(self, path: Path, mapped: bool) -> None:
        self.path = path
        self.content: mmap.mmap | None = None
        if mapped:
            with path.open("rb") as file:
                self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def read(self, info: TensorInfo) -> Tensor:
        """One tensor: flat, in its type, or as bytes where it is packed."""
        import numpy as np
        import torch

        begin = info.begin or 0
        if self.content is not None:
            whole = torch.frombuffer(self.content, dtype=torch.uint8, count=info.nbytes, offset=begin)
        else:
            whole = torch.from_numpy(np.fromfile(self.path, np.uint8, info.nbytes, offset=begin))
            if whole.numel() != info.nbytes:
                raise ValueError("it was cut short")
        return whole if info.packed else whole.view(getattr(torch, _TORCH[info.dtype]))


def open_weights(path: Path) -> Weights:
    """Opens a safetensors or GGUF file, a `*.safetensors.index.json` with its shards, or a folder that holds either.

    Raises CheckpointError for a missing, incomplete or unsupported file, and for a missing shard.
    """
    if path.is_dir():
        path = weights_file(path)
    if path.name.endswith(".index.json"):
        return _open_shards(path)
    if path.suffix == ".gguf":
        header = read_gguf(path)
        named = {keymaps.from_llama(name): info for name, info in header.tensors.items()}
        return Weights(named, metadata=header.metadata).reshaped(keymaps.with_outer_ones)
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path} is neither a safetensors nor a GGUF file; use the safetensors version of this model."
        )
    plain = read_header(path)
    return Weights(_scaled(plain.tensors), metadata=plain.metadata)


def weights_file(folder: Path) -> Path:
    """The weights file, or shard index, that a model folder is read from."""
    for stem in ("model", "diffusion_pytorch_model"):
        for name in (f"{stem}.safetensors.index.json", f"{stem}.safetensors"):
            if (folder / name).is_file():
                return folder / name
    raise CheckpointError(f"The folder {folder} holds no weights (model.safetensors); {again()}.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError where it is missing or damaged."""
    if not path.exists():
        raise CheckpointError(f"The file {path} is missing; {again()}.")
    return json_object(read_text(path, CheckpointError), f"The file {path}", again(), CheckpointError)


def _open_shards(index: Path) -> Weights:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{index} has no weight_map; {again()}.")
    shards = sorted(set(weight_map.values()))
    outside = [name for name in shards if Path(name).name != name]
    if outside:
        raise CheckpointError(f"{index} points outside its own folder ({outside[0]}); {again()}.")
    missing = [name for name in shards if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} is incomplete: {_some(missing)} of {len(shards)} shards missing; {again()}."
        )
    headers = {name: read_header(index.parent / name).tensors for name in shards}
    astray = [key for key, shard in weight_map.items() if key not in headers[shard]]
    if astray:
        raise CheckpointError(f"{index} lists tensors that its shards lack ({_some(astray)}); {again()}.")
    return Weights(_scaled({key: headers[shard][key] for key, shard in weight_map.items()}))


def _scaled(infos: dict[str, TensorInfo]) -> dict[str, TensorInfo]:
    """fp8 weights with the one scale that stands beside each, without the rest of ComfyUI's conventions. Those of other
    forms, such as blocks with scales of their own, stay as they are, and no model takes them.
    """
    found = {}
    for name, info in infos.items():
        layer = name.removesuffix(".weight")
        scale = next((infos[layer + end] for end in SCALES if layer + end in infos), None) if layer != name else None
        if scale is not None and (not info.dtype.startswith("F8_E") or scale.numel != 1):
            return infos
        if not name.endswith(QUANTISED):
            found[name] = info if scale is None else replace(info, scale=replace(scale, shape=()))
    return found


def load_pt(path: Path) -> Any:
    """What `torch.save` wrote: tensors and plain containers. Raises CheckpointError for a missing or damaged file."""
    import torch

    if not path.is_file():
        raise CheckpointError(f"The file {path} is missing; {again()}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the pickle makes torch do
        if other := came_instead(path):
            raise CheckpointError(f"{path} {other}; {again()}.") from error
        raise CheckpointError(
            f"The file {path} cannot be read (it may be incomplete, or hold code); {again()}."
        ) from error


def without_derived(tensors: Weights) -> Weights:
    """Leaves out tensors that follow from the config."""
    return tensors.renamed(lambda name: None if name.endswith(DERIVED) else name)


def require_match(wanted: Mapping[str, Shape], found: Mapping[str, Shape], source: Path) -> None:
    """Raises one CheckpointError that lists what is missing, unexpected or mis-shaped in `found`."""
    complaints = mismatches(wanted, found)
    if not complaints:
        return
    if problem := unreadable(found, source):
        raise CheckpointError(problem)
    raise CheckpointError(
        f"{source} does not fit this model: {'; '.join(complaints)}; {again()}, or choose the file that fits."
    )


def unreadable(found: Mapping[str, Shape], source: Path) -> str:
    """What to say of weights that are packed in a way that is not read; nothing of others."""
    packing = _packing(found)
    if packing is None:
        return ""
    return (
        f"{source} is quantised as {packing}, which cannot be read; "
        "use the bf16, scaled fp8 or GGUF file of this model."
    )


def _packing(found: Mapping[str, Shape]) -> str | None:
    for end, packing in UNREAD.items():
        if any(name.endswith(end) for name in found):
            return packing
    scales = [shape for name, shape in found.items() if name.endswith(SCALES) and math.prod(shape) != 1]
    if any(len(shape) > 1 and shape[-1] > 1 for shape in scales):
        return "fp8 with a scale for each block (MXFP8)"
    if scales:
        return "numbers with a scale for each row"
    return "numbers of another kind" if any(name.endswith(QUANTISED) for name in found) else None


def mismatches(wanted: Mapping[str, Shape], found: Mapping[str, Shape]) -> list[str]:
    """What keeps `found` from being exactly `wanted`, in words; empty where nothing does."""
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    shaped = [
        f"{name} {list(found[name])} instead of {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    kinds = ((missing, "missing"), (unexpected, "unexpected"), (shaped, "of the wrong shape"))
    return [f"{len(names)} tensor{'s'[: len(names) > 1]} {word} ({_some(names)})" for names, word in kinds if names]


def assign(module: nn.Module, tensors: Mapping[str, Tensor], source: Path, dtype: torch.dtype | None = None) -> None:
    """Makes `tensors` the parameters of a module that was built on the meta device.

    Nothing is copied, except where `dtype` asks for another floating point format than the file has.

    Raises:
        CheckpointError: a tensor is missing, unexpected or of the wrong shape; the module is left as it was.
    """
    require_match(
        {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()},
        tensors.shapes
        if isinstance(tensors, Weights)
        else {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        source,
    )
    module.load_state_dict(dict(tensors), strict=True, assign=True)
    if dtype is not None:
        module.to(dtype)


def _some(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")

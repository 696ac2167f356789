"""The header of a safetensors file, read and checked whole, so that nothing that reads the tensors meets a surprise.

A file is eight bytes of header length, a JSON object, then the tensors, one after the other without gaps. The header
alone tells names, types and shapes and how long the file must be, so listing models and noticing a half-finished
download cost no read of the data (and no torch). Source: the format's description, github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.checkpoints.catalog import again
from acestep_core.checkpoints.stored import BYTES, MAX_AXES, MAX_SIDE, Shape, TensorInfo
from acestep_core.errors import AceStepError, CheckpointError
from acestep_core.io.kinds import came_instead

MAX_HEADER = 100_000_000  # the format's own limit


@dataclass(frozen=True)
class Header:
    """The tensors of one file by name, and what its maker wrote beside them."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def read_header(path: Path, error: type[AceStepError] = CheckpointError, advice: str = "") -> Header:
    """The header of one safetensors file.

    Args:
        error: raised where anything is wrong.
        advice: what to do then; empty for fetching the model again.

    Raises:
        error: the file is missing, cut short, a git-LFS pointer or a web page, not safetensors, or its header is not
            what the format asks for.
    """
    advice = advice or again()
    if not path.is_file():
        raise error(f"The weights file {path} does not exist; {advice}, or correct the path.")
    try:
        raw, size = _raw_header(path, error, advice)
    except OSError as cause:
        raise error(f"{path} cannot be opened ({cause.strerror}); check that it may be read.") from cause
    try:
        entries = json.loads(raw.decode("utf-8"), object_pairs_hook=_once, parse_constant=_refused)
        metadata = _metadata(entries)
        places = {name: _place(path, name, entry) for name, entry in entries.items()}
        end = _end(places)
    except (ValueError, RecursionError) as cause:
        why = f": {cause}" if type(cause) is ValueError else ""
        raise error(f"{path} has a damaged header{why}; {advice}.") from cause
    whole = 8 + len(raw) + end
    if size < whole:
        raise error(f"{path} is incomplete: it has {size} of {whole} bytes; {advice}.")
    if size > whole:
        raise error(f"{path} holds more than its tensors: {size} of {whole} bytes; {advice}.")
    return Header({name: info for name, (info, _) in places.items()}, metadata)


def _raw_header(path: Path, error: Callable[[str], AceStepError], advice: str) -> tuple[bytes, int]:
    """The bytes of the header, and the size of the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise error(f"{path} is incomplete ({size} bytes); {advice}.")
        length = int.from_bytes(start, "little")
        if not 0 < length <= MAX_HEADER and (other := came_instead(path)):
            raise error(f"{path} {other}; {advice}.")
        if length > MAX_HEADER:
            raise error(f"{path} is not a safetensors file; convert the weights to safetensors or {advice}.")
        if size < 8 + length:
            raise error(f"{path} is incomplete: it ends within its header; {advice}.")
        return file.read(length), size


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands in it twice")
    return values


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _metadata(entries: Any) -> dict[str, str]:
    """Takes the metadata out of the entries."""
    if not isinstance(entries, dict):
        raise ValueError("it is no table of tensors")
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is no table of texts")
    return metadata


def _place(path: Path, name: str, entry: Any) -> tuple[TensorInfo, tuple[int, int]]:
    """A tensor, and where its bytes begin and end. Raises ValueError where the entry contradicts the format."""
    shown = ascii(name[:80])
    name.encode("utf-8")  # half a surrogate pair is no text
    if not isinstance(entry, dict):
        raise ValueError(f"the entry of {shown} is no table")
    dtype, shape, offsets = entry.get("dtype"), _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if not isinstance(dtype, str) or dtype not in BYTES:
        raise ValueError(f"the type of {shown} is {ascii(dtype)[:40]}, which cannot be read")
    if shape is None or len(shape) > MAX_AXES or math.prod(max(side, 1) for side in shape) > MAX_SIDE:
        raise ValueError(f"the shape of {shown} is not one")
    if offsets is None or len(offsets) != 2:
        raise ValueError(f"the place of {shown} is not two numbers")
    info = TensorInfo(path, name, dtype, shape)
    begin, end = offsets
    if end - begin != info.nbytes:
        raise ValueError(f"{shown} takes {info.nbytes} bytes, but has a place of {end - begin}")
    return info, (begin, end)


def _counts(values: Any) -> Shape | None:
    """Whole numbers from 0 on; None for anything else."""
    good = isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
    return tuple(values) if good else None


def _end(places: Mapping[str, tuple[TensorInfo, tuple[int, int]]]) -> int:
    """Where the last tensor ends. Raises ValueError where two overlap or a gap lies between them."""
    last = 0
    for info, (begin, end) in sorted(places.values(), key=lambda place: place[1]):
        if begin != last:
            raise ValueError(f"{info.key[:80]!a} does not begin where the tensor before it ends")
        last = end
    return last

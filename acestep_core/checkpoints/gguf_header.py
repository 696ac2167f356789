"""The header of a GGUF file, read and checked whole, as `safetensors_header` does for the other format.

A file is a magic word, two counts, metadata, the places of the tensors, and then the tensors in blocks, each at a
multiple of an alignment. Counts and lengths are held against the bytes that are there before anything is made of them,
and long arrays, such as the words of a tokenizer, are passed over unless they are asked for. That is why this reader is
our own: that of the `gguf` package believes the file, and takes seconds for a vocabulary. Source: the format's
description, github.com/ggml-org/ggml, `docs/gguf.md`.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_core.checkpoints.catalog import again
from acestep_core.checkpoints.stored import BLOCKS, MAX_SIDE, TensorInfo
from acestep_core.errors import CheckpointError
from acestep_core.io.kinds import came_instead

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_KEYS = MAX_TENSORS = 1 << 16
MAX_HEADER, MAX_TEXTS, MAX_NAME, MAX_AXES = 1 << 27, 1 << 22, 1 << 10, 4
SHORT = 64
"""Arrays of at most so many numbers are always read."""
TYPES = {
    **{0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K"},
    **{13: "Q5_K", 14: "Q6_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16"},
}
"""The format's numbers of the types that are read."""
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_ORIGINAL = "comfy.gguf.orig_shape."


@dataclass(frozen=True)
class GgufHeader:
    """The tensors of one file by name, and its metadata: numbers, texts, and the arrays that were read."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, Any]


def read_gguf(path: Path, arrays: Collection[str] = ()) -> GgufHeader:
    """The header of one GGUF file.

    Args:
        arrays: names of the arrays to read besides short ones.

    Raises:
        CheckpointError: the file is missing, cut short, not GGUF, of a type that is not read, or its header is not what
            the format asks for.
    """
    if not path.is_file():
        raise CheckpointError(f"The weights file {path} does not exist; {again()}, or correct the path.")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(24)
            if start[:4] != MAGIC and (other := came_instead(path)):
                raise CheckpointError(f"{path} {other}; {again()}.")
            if start[:4] != MAGIC or len(start) < 24:
                raise CheckpointError(f"{path} is not a GGUF file, or only its beginning; {again()}.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _read(path, _Cursor(content, min(size, MAX_HEADER)), size, arrays)
    except OSError as cause:
        raise CheckpointError(f"{path} cannot be opened ({cause.strerror}); check that it may be read.") from cause
    except (ValueError, struct.error) as cause:
        raise CheckpointError(f"{path} has a damaged header: {cause}; {again()}.") from cause


class _Cursor:
    """A place in the header that only moves on, and never beyond its end."""

    def __init__(self, content: mmap.mmap, end: int) -> None:
        self.content, self.end, self.at = content, end, len(MAGIC)

    def skip(self, length: int) -> int:
        """Moves on; where it was."""
        before = self.at
        if length > self.end - before:
            raise ValueError("it ends in the middle of a value")
        self.at = before + length
        return before

    def number(self, code: str) -> Any:
        form = struct.Struct(f"<{code}")
        return form.unpack_from(self.content, self.skip(form.size))[0]

    def count(self, what: str, most: int, least: int) -> int:
        """How many of something follow, each of at least `least` bytes."""
        found = int(self.number("Q"))
        if found > most or found * least > self.end - self.at:
            raise ValueError(f"it announces {found} {what}, more than it can hold")
        return found

    def text(self, longest: int = MAX_HEADER) -> bytes:
        length = self.count("letters", longest, 1)
        before = self.skip(length)
        return self.content[before : before + length]


def _read(path: Path, cursor: _Cursor, size: int, arrays: Collection[str]) -> GgufHeader:
    version = cursor.number("I")
    if version not in VERSIONS:
        raise CheckpointError(
            f"{path} is a GGUF file of version {version}, and only versions 2 and 3 in little-endian order are read; "
            "convert it again."
        )
    tensors, keys = cursor.count("tensors", MAX_TENSORS, 24), cursor.count("keys", MAX_KEYS, 13)
    metadata: dict[str, Any] = {}
    for _ in range(keys):
        name = cursor.text(MAX_NAME).decode("utf-8")
        if name in metadata:
            raise ValueError(f"the key {name[:80]!a} stands in it twice")
        metadata[name] = _value(cursor, cursor.number("I"), name in arrays)
    places: dict[str, TensorInfo] = {}
    for _ in range(tensors):
        info = _place(path, cursor, metadata)
        if info.key in places:
            raise ValueError(f"the tensor {info.key[:80]!a} stands in it twice")
        places[info.key] = info
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or not 8 <= alignment <= 1 << 16 or alignment & (alignment - 1):
        raise ValueError(f"its alignment is {ascii(alignment)[:40]}")
    return GgufHeader(_laid_out(path, places.values(), _up(cursor.at, alignment), alignment, size), metadata)


def _value(cursor: _Cursor, kind: int, wanted: bool) -> Any:
    """One value of the metadata. Of an array that is not read, how many values it has."""
    if kind == _TEXT:
        return cursor.text().decode("utf-8", "replace")
    if kind != _ARRAY:
        return cursor.number(_code(kind))
    inner = cursor.number("I")
    if inner != _TEXT:
        code = _code(inner)
        width = struct.calcsize(f"<{code}")
        count = cursor.count("numbers", MAX_HEADER, width)
        before = cursor.skip(count * width)
        read = wanted or count <= SHORT
        return list(struct.unpack_from(f"<{count}{code}", cursor.content, before)) if read else count
    count = cursor.count("texts", MAX_TEXTS, 8)
    if wanted:
        return [cursor.text().decode("utf-8") for _ in range(count)]
    content, end, at, length = cursor.content, cursor.end, cursor.at, struct.Struct("<Q").unpack_from
    for _ in range(count):  # hundreds of thousands, so without a call for each
        if at + 8 > end:
            break
        at += 8 + length(content, at)[0]
    cursor.skip(at - cursor.at)
    return count


def _code(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"a value has the kind {kind}, which is not one")
    return _NUMBERS[kind]


def _place(path: Path, cursor: _Cursor, metadata: dict[str, Any]) -> TensorInfo:
    """A tensor with where it begins behind the header. Sides are stored from the innermost out."""
    name = cursor.text(MAX_NAME).decode("utf-8")
    axes = cursor.number("I")
    if axes > MAX_AXES:
        raise ValueError(f"{name[:80]!a} has {axes} axes")
    shape = tuple(reversed([int(cursor.number("Q")) for _ in range(axes)]))
    kind, begin = cursor.number("I"), int(cursor.number("Q"))
    if kind not in TYPES:
        raise CheckpointError(
            f"{path} holds {name[:80]!a} as type {kind} of GGUF, which is not read; use a file of this model such as "
            "Q8_0, Q6_K, Q5_K_M or Q4_K_M."
        )
    if math.prod(max(side, 1) for side in shape) > MAX_SIDE:
        raise ValueError(f"the shape of {name[:80]!a} is not one")
    values, _ = BLOCKS.get(TYPES[kind], (1, 0))
    if (shape[-1] if shape else 1) % values:
        raise ValueError(f"the rows of {name[:80]!a} are not whole blocks of {TYPES[kind]}")
    return TensorInfo(path, name, TYPES[kind], _original(name, shape, metadata), begin=begin)


def _original(name: str, shape: tuple[int, ...], metadata: dict[str, Any]) -> tuple[int, ...]:
    """The shape that ComfyUI's converter notes where it cut a tensor into other rows."""
    original = metadata.get(f"{_ORIGINAL}{name}")
    if original is None:
        return shape
    good = isinstance(original, list) and all(type(side) is int and side > 0 for side in original)
    if not good or math.prod(original) != math.prod(shape):
        raise ValueError(f"the original shape of {name[:80]!a} is not one")
    return tuple(original)


def _laid_out(path: Path, places: Iterable[TensorInfo], start: int, alignment: int, size: int) -> dict[str, TensorInfo]:
    """The tensors where they lie in the file, in the order it names them.

    Raises:
        ValueError: two overlap, or one does not begin where the one before it ends.
        CheckpointError: the file is shorter than its tensors, or longer.
    """
    found, last = {info.key: info for info in places}, 0
    for info in sorted(found.values(), key=lambda info: (info.begin, info.nbytes)):
        if info.begin != _up(last, alignment):
            raise ValueError(f"{info.key[:80]!a} does not begin where the tensor before it ends")
        last = info.begin + info.nbytes
        found[info.key] = TensorInfo(path, info.key, info.dtype, info.shape, begin=start + info.begin)
    if size < start + last:
        raise CheckpointError(f"{path} is incomplete: it has {size} of {start + last} bytes; {again()}.")
    if size > start + _up(last, alignment):
        raise CheckpointError(f"{path} holds more than its tensors: {size} of {start + last} bytes; {again()}.")
    return found


def _up(place: int, alignment: int) -> int:
    return -(-place // alignment) * alignment

"""A GGUF header is what the format asks for, or is refused in one sentence before anything is made of it."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import pytest
import torch

from acestep_core.checkpoints.find import scan
from acestep_core.checkpoints.gguf_header import TYPES, read_gguf
from acestep_core.checkpoints.stored import BLOCKS
from acestep_core.checkpoints.weights import open_weights
from acestep_core.errors import CheckpointError

U32, F32, BOOL, TEXT, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(raw)) + raw


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str | bytes = "t", sides: tuple[int, ...] = (8,), kind: int = 0, begin: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, begin)


def packed(
    tensors: list[bytes],
    keys: list[bytes] | None = None,
    data: int = 32,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    keys = keys or []
    head = b"GGUF" + struct.pack("<I2Q", version, *(counts or (len(tensors), len(keys))))
    head += b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment + data)


GOOD = packed([tensor()])
WORDS = struct.pack("<IQ", TEXT, 2) + text("a") + text("b")
HOSTILE = {
    "empty": b"",
    "the magic word alone": b"GGUF",
    "another magic word": b"GGML" + GOOD[4:],
    "pickle": b"PK\x03\x04" + b"\xff" * 40,
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "version 1": packed([tensor()], version=1),
    "version 4": packed([tensor()], version=4),
    "big-endian": packed([tensor()], version=3 << 24),
    "cut within the counts": GOOD[:20],
    "cut within a name": GOOD[:30],
    "cut within the places": GOOD[:50],
    "cut within the data": GOOD[:-1],
    "a block too many": GOOD + b"\0" * 32,
    "a billion tensors": packed([tensor()], counts=(10**9, 0)),
    "more tensors than there are": packed([tensor()], counts=(2, 0), data=0),
    "2**63 tensors": packed([tensor()], counts=(2**63, 0)),
    "a billion keys": packed([tensor()], counts=(1, 10**9)),
    "a key of a terabyte": packed([], [struct.pack("<Q", 2**40)], counts=(0, 1)),
    "a text of a terabyte": packed([], [key("a", TEXT, struct.pack("<Q", 2**40))], counts=(0, 1)),
    "a name of two thousand letters": packed([tensor("n" * 2000)]),
    "seventy thousand keys": packed([tensor()], [key(f"{n}", U32, b"\0" * 4) for n in range(70_000)]),
    "a name that is no text": packed([tensor(b"\xff")]),
    "a key that is no text": packed([tensor()], [key(b"\xff", U32, b"\0" * 4)]),
    "a key twice": packed([tensor()], [key("a", U32, b"\0" * 4)] * 2),
    "a tensor twice": packed([tensor(), tensor(begin=32)], data=64),
    "a kind that is none": packed([tensor()], [key("a", 77, b"\0" * 4)]),
    "an array of arrays": packed([tensor()], [key("a", ARRAY, struct.pack("<IQ", ARRAY, 1) + b"\0" * 12)]),
    "an array of a billion": packed([tensor()], [key("a", ARRAY, struct.pack("<IQ", U64, 10**9))]),
    "a billion texts": packed([tensor()], [key("a", ARRAY, struct.pack("<IQ", TEXT, 10**9))]),
    "a text in an array that ends outside": packed(
        [tensor()], [key("a", ARRAY, struct.pack("<IQQ", TEXT, 2, 2**50) + b"\0" * 32)]
    ),
    "alignment 0": packed([tensor()], [key("general.alignment", U32, struct.pack("<I", 0))]),
    "alignment 24": packed([tensor()], [key("general.alignment", U32, struct.pack("<I", 24))]),
    "alignment of a gigabyte": packed([tensor()], [key("general.alignment", U32, struct.pack("<I", 1 << 30))]),
    "alignment is a text": packed([tensor()], [key("general.alignment", TEXT, text("32"))]),
    "alignment is true": packed([tensor()], [key("general.alignment", BOOL, b"\1")]),
    "alignment of 64 that is not kept": packed(
        [tensor(), tensor("u", begin=32)], [key("general.alignment", U32, struct.pack("<I", 64))], 128, alignment=64
    ),
    "a type that is not read": packed([tensor(kind=16)]),
    "a type that is none": packed([tensor(kind=2**31)]),
    "five axes": packed([tensor(sides=(2, 1, 1, 1, 1))]),
    "a billion axes": packed([text("t") + struct.pack("<I", 10**9)]),
    "sides that overflow": packed([tensor(sides=(2**63, 4))]),
    "huge sides and none": packed([tensor(sides=(2**62, 2**62, 0))], data=0),
    "rows of half a block": packed([tensor(sides=(16, 2), kind=8)], data=64),
    "more bytes than there are": packed([tensor(sides=(9,))]),
    "fewer bytes than there are": packed([tensor(sides=(8,))], data=96),
    "begins outside": packed([tensor(begin=2**50)]),
    "begins beside the alignment": packed([tensor(), tensor("u", begin=36)], data=96),
    "a gap": packed([tensor(), tensor("u", begin=64)], data=96),
    "overlap": packed([tensor(sides=(16,)), tensor("u", begin=32)], data=64),
    "the same place": packed([tensor(), tensor("u")]),
    "an original shape of another size": packed(
        [tensor()], [key("comfy.gguf.orig_shape.t", ARRAY, struct.pack("<IQ2i", 5, 2, 3, 3))]
    ),
    "an original shape that is a number": packed([tensor()], [key("comfy.gguf.orig_shape.t", U32, b"\0" * 4)]),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_refused_in_one_sentence(tmp_path: Path, content: bytes):
    path = tmp_path / "acestep-v15-turbo-Q8_0.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        open_weights(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message and len(message) < 600
    (entry,) = scan(path)
    assert entry.problem == message and entry.kind == "dit"


def test_every_length_of_a_file_but_its_own_is_refused(tmp_path: Path):
    path = tmp_path / "x.gguf"
    whole = packed([tensor(), tensor("u", (4,), begin=32)], [key("words", ARRAY, WORDS)], data=48)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            open_weights(path)
    for padded in (0, 16):  # the last tensor may be filled up
        path.write_bytes(whole + b"\0" * padded)
        assert open_weights(path).shapes == {"t": (8,), "u": (4,)}


def test_what_is_missing_says_so(tmp_path: Path):
    with pytest.raises(CheckpointError, match="does not exist"):
        open_weights(tmp_path / "x.gguf")


def test_tensors_lie_where_the_header_says(tmp_path: Path):
    path = tmp_path / "x.gguf"
    keys = [key("general.alignment", U32, struct.pack("<I", 64)), key("a", F32, struct.pack("<f", 0.5))]
    head = packed([tensor("u", (3, 2), begin=64), tensor()], keys, 0, alignment=64)  # not in the order of the data
    first, second = torch.arange(8.0), torch.arange(6.0) * 2
    path.write_bytes(head + first.numpy().tobytes() + b"\0" * 32 + second.numpy().tobytes())
    opened = open_weights(path)
    assert opened.metadata["a"] == 0.5
    for tensors in (opened, opened.unmapped()):
        assert tensors["t"].equal(first) and tensors["u"].equal(second.view(2, 3))


def test_a_tensor_written_to_never_reaches_the_file(tmp_path: Path):
    path = tmp_path / "x.gguf"
    path.write_bytes(GOOD)
    open_weights(path)["t"].fill_(7)
    assert path.read_bytes() == GOOD


def test_long_arrays_are_read_where_they_are_asked_for(tmp_path: Path):
    path = tmp_path / "x.gguf"
    numbers = struct.pack("<IQ100I", U32, 100, *range(100))
    path.write_bytes(packed([tensor()], [key("words", ARRAY, WORDS), key("numbers", ARRAY, numbers)]))
    assert read_gguf(path).metadata == {"words": 2, "numbers": 100}
    assert read_gguf(path, ("words", "numbers")).metadata == {"words": ["a", "b"], "numbers": list(range(100))}


def test_the_original_shape_is_taken(tmp_path: Path):
    path = tmp_path / "x.gguf"
    path.write_bytes(packed([tensor()], [key("comfy.gguf.orig_shape.t", ARRAY, struct.pack("<IQ2i", 5, 2, 2, 4))]))
    assert open_weights(path).shapes == {"t": (2, 4)}


def test_numbers_and_sizes_of_types_are_the_format_s():
    for number, name in TYPES.items():
        assert gguf.GGMLQuantizationType(number).name == name
    for name, sizes in BLOCKS.items():
        if not name.startswith("F8"):
            assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]] == sizes
            assert name in TYPES.values()

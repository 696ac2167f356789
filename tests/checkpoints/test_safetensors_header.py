from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from acestep_core.checkpoints.find import scan
from acestep_core.checkpoints.safetensors_header import read_header
from acestep_core.checkpoints.stored import BYTES
from acestep_core.checkpoints.weights import open_weights
from acestep_core.errors import AdapterError, CheckpointError
from acestep_core.models.adapter_file import read_adapter


def packed(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def one(**changed: object) -> dict[str, object]:
    return {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changed}


EIGHT = b"\0" * 8
HOSTILE = {
    "empty": b"",
    "four bytes": b"\0" * 4,
    "length beyond the file": packed(one(), EIGHT, 10**6),
    "length beyond the format": packed(one(), EIGHT, 2**63),
    "no header": packed(b""),
    "pickle": b"PK\x03\x04" + b"\xff" * 40,
    "lfs pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "not json": packed(b"{{{{"),
    "not utf-8": packed(b'{"\xff": 1}'),
    "a list": packed([]),
    "a number": packed(b"3"),
    "null": packed(b"null"),
    "deep": packed(b'{"t":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "a name twice": packed(json.dumps(one()).encode()[:-1] + b"," + json.dumps(one()).encode()[1:], EIGHT),
    "half a surrogate": packed(b'{"\\ud800": ' + json.dumps(one()["t"]).encode() + b"}", EIGHT),
    "metadata is a list": packed({"__metadata__": [], **one()}, EIGHT),
    "metadata holds numbers": packed({"__metadata__": {"a": 1}, **one()}, EIGHT),
    "entry is a list": packed({"t": []}),
    "entry is null": packed({"t": None}),
    "entry is empty": packed({"t": {}}),
    "no type": packed(one(dtype=None), EIGHT),
    "unknown type": packed(one(dtype="F7"), EIGHT),
    "type is a list": packed(one(dtype=["F32"]), EIGHT),
    "shape is a text": packed(one(shape="2"), EIGHT),
    "shape is a table": packed(one(shape={"0": 2}), EIGHT),
    "negative side": packed(one(shape=[-2]), EIGHT),
    "side is a float": packed(one(shape=[2.0]), EIGHT),
    "side is true": packed(one(shape=[True, 2]), EIGHT),
    "side is NaN": packed(b'{"t":{"dtype":"F32","shape":[NaN],"data_offsets":[0,8]}}', EIGHT),
    "side of 5000 digits": packed(b'{"t":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', EIGHT),
    "huge sides and none": packed(one(shape=[2**62, 2**62, 0], data_offsets=[0, 0])),
    "a hundred axes": packed(one(shape=[1] * 100, data_offsets=[0, 4]), EIGHT[:4]),
    "offsets are a text": packed(one(data_offsets="08"), EIGHT),
    "one offset": packed(one(data_offsets=[0]), EIGHT),
    "three offsets": packed(one(data_offsets=[0, 4, 8]), EIGHT),
    "offsets backwards": packed(one(data_offsets=[8, 0]), EIGHT),
    "negative offsets": packed(one(data_offsets=[-8, 0]), EIGHT),
    "more bytes than the shape": packed(one(shape=[1]), EIGHT),
    "fewer bytes than the shape": packed(one(shape=[3]), EIGHT),
    "overlap": packed({**one(), "u": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, EIGHT * 2),
    "same place": packed({**one(), "u": one()["t"]}, EIGHT),
    "gap before": packed(one(data_offsets=[8, 16]), EIGHT * 2),
    "gap between": packed({**one(), "u": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]}}, EIGHT * 3),
    "a byte too few": packed(one(), EIGHT[1:]),
    "a byte too many": packed(one(), EIGHT + b"\0"),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_refused_in_one_sentence(tmp_path: Path, content: bytes):
    path = tmp_path / "acestep_v1.5_turbo.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"^[^\n]*\.$"):
        open_weights(path)
    with pytest.raises(AdapterError, match=r"fetch the adapter again[^\n]*\.$"):
        read_adapter(path)
    assert [bool(entry.problem) for entry in scan(path)] == [True]


def test_what_the_format_allows_is_read(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.ones(2, 3), "b": torch.zeros(0, 4), "c": torch.tensor(3, dtype=torch.int8)}
    save_file(tensors, path, {"format": "pt"})
    header = read_header(path)
    assert header.metadata == {"format": "pt"}
    assert {name: (info.shape, info.nbytes) for name, info in header.tensors.items()} == {
        "a": ((2, 3), 24),
        "b": ((0, 4), 0),
        "c": ((), 1),
    }
    assert {name: tensor.shape for name, tensor in open_weights(path).items()} == {
        n: t.shape for n, t in tensors.items()
    }
    path.write_bytes(packed(json.dumps(one()).encode() + b"   ", EIGHT))  # padded with blanks
    assert set(read_header(path).tensors) == {"t"}


@pytest.mark.processor
def test_types_that_torch_knows_are_known(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    known = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
    whole = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    save_file({str(dtype): torch.zeros(3, dtype=dtype) for dtype in (*known, *whole)}, path)
    for name, info in read_header(path).tensors.items():
        assert BYTES[info.dtype] == load_file(path)[name].element_size()
        assert open_weights(path)[name].equal(load_file(path)[name].to(open_weights(path)[name].dtype))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_file_of_weights(tmp_path: Path):
    os.mkfifo(tmp_path / "acestep_v1.5_turbo.safetensors")
    assert list(scan(tmp_path)) == []

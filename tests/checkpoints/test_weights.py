from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from acestep_core.checkpoints.safetensors_header import read_header
from acestep_core.checkpoints.weights import assign, load_pt, open_weights, read_json
from acestep_core.errors import CheckpointError
from acestep_core.io import system
from tests.capabilities import needs_mapping, needs_proc
from tests.gguf_files import write_gguf


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file({"a.weight": torch.arange(12.0).view(3, 4), "a.bias": torch.ones(3, dtype=torch.bfloat16)}, path)
    return path


def shards(folder: Path) -> Path:
    save_file({"a": torch.zeros(2)}, folder / "one.safetensors")
    save_file({"b": torch.ones(3)}, folder / "two.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    return index


def resident_kilobytes() -> int:
    """Memory of this process that is not backed by a file."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["RssAnon"].split()[0])


def test_header_tells_names_types_and_shapes(file: Path):
    header = read_header(file).tensors
    assert {name: (info.dtype, info.shape) for name, info in header.items()} == {
        "a.weight": ("F32", (3, 4)),
        "a.bias": ("BF16", (3,)),
    }


def test_tensors_equal_what_was_saved(file: Path):
    tensors = open_weights(file)
    assert tensors["a.weight"].equal(torch.arange(12.0).view(3, 4))
    assert set(tensors) == {"a.weight", "a.bias"}
    assert tensors.select("a.")["weight"].shape == (3, 4)
    assert set(tensors.renamed(lambda name: None if name == "a.bias" else name.upper())) == {"A.WEIGHT"}
    assert tensors.reshaped(lambda name, shape: (1, *shape))["a.bias"].shape == (1, 3)


@needs_proc
def test_reading_takes_no_second_copy(tmp_path: Path):
    needs_mapping()
    path = tmp_path / "big.safetensors"
    save_file({"w": torch.ones(64, 1 << 18)}, path)  # 64 MB
    open_weights(path)["w"].sum()  # whatever the first read allocates once
    before = resident_kilobytes()
    tensor = open_weights(path)["w"]
    assert tensor.sum() == tensor.numel()
    assert resident_kilobytes() - before < 16_000


@needs_proc
@pytest.mark.parametrize("suffix", [".safetensors", ".gguf"])
@pytest.mark.parametrize("refuses", ["WINDOWS", "MACOS"])
def test_nobody_maps_files_where_the_system_is_bad_at_it(
    suffix: str, refuses: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not a converter or an exporter either; on Windows it has ended processes."""
    path = tmp_path / f"model{suffix}"
    if suffix == ".gguf":
        write_gguf(path, "acestep", {"a.weight": torch.zeros(64, 64)}, "Q8_0")
    else:
        save_file({"a.weight": torch.zeros(64, 64)}, path)
    monkeypatch.setattr(system, refuses, True)
    tensors = open_weights(path)
    tensor = tensors.select("a.")["weight"]
    assert not tensor.any() and str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")


def numbered(error: OSError, winerror: int) -> OSError:
    """As Windows gives it, whose words are in the user's language."""
    error.winerror = winerror  # type: ignore[attr-defined, unused-ignore]
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError("The paging file is too small for this operation to complete. (os error 1455)"),
        SafetensorError("Error while deserializing header: I/O error: ... (os error 1455)"),
        OSError("[WinError 1455] The paging file is too small for this operation to complete"),
        numbered(OSError(22, "Die Auslagerungsdatei ist zu klein"), 1455),
    ],
)
def test_windows_refuses_virtual_memory(error: Exception, file: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("safetensors.safe_open", refuse)
    with pytest.raises(CheckpointError, match=r"virtual memory for model\.safetensors; enlarge the page file\.$"):
        open_weights(file)["a.bias"]


def test_a_folder_called_1455_is_not_the_page_file(tmp_path: Path):
    path = tmp_path / "1455" / "model.safetensors"
    path.parent.mkdir()
    save_file({"a": torch.ones(3)}, path)
    tensors = open_weights(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        tensors["a"]


def test_writing_to_a_tensor_does_not_reach_the_file(file: Path):
    before = file.read_bytes()
    tensors = open_weights(file)
    tensors["a.weight"].mul_(2)
    assert file.read_bytes() == before


def test_a_file_cut_short_is_refused(file: Path):
    whole = file.read_bytes()
    for length in (0, 4, 20, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors is incomplete.*download it again"):
            open_weights(file)


def test_a_file_with_too_many_bytes_is_refused(file: Path):
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="holds more than its tensors"):
        open_weights(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git-LFS pointer"),
        (b"PK\x03\x04" + b"\xff" * 40, "not a safetensors file"),
        (struct.pack("<Q", 4) + b"{{{{", "damaged header"),
        (struct.pack("<Q", 10) + b'{"a": [1]}', "damaged header"),
        (struct.pack("<Q", 2) + b"[]", "damaged header"),
    ],
)
def test_what_is_not_safetensors_is_refused(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        open_weights(path)


def test_other_formats_are_refused(tmp_path: Path):
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match="safetensors version"):
        open_weights(path)


def test_a_folder_without_weights_is_refused(tmp_path: Path):
    with pytest.raises(CheckpointError, match="holds no weights"):
        open_weights(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist"):
        open_weights(tmp_path / "model.safetensors")


def test_shards_are_one_mapping(tmp_path: Path):
    tensors = open_weights(shards(tmp_path).parent)
    assert tensors["a"].sum() == 0
    assert tensors["b"].sum() == 3


def test_a_missing_shard_is_named(tmp_path: Path):
    index = shards(tmp_path)
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"two\.safetensors of 2 shards missing"):
        open_weights(index)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{}", "no weight_map"),
        ('{"weight_map": {"a": 3}}', "no weight_map"),
        ('{"weight_map": {"a": "../one.safetensors"}}', "outside its own folder"),
        ('{"weight_map": {"zzz": "one.safetensors"}}', "its shards lack"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_damaged_index_is_refused(tmp_path: Path, index: str, message: str):
    path = shards(tmp_path)
    path.write_text(index)
    with pytest.raises(CheckpointError, match=message):
        open_weights(path)


def test_json_must_be_an_object(tmp_path: Path):
    path = tmp_path / "config.json"
    with pytest.raises(CheckpointError, match="is missing"):
        read_json(path)
    path.write_text("[1]")
    with pytest.raises(CheckpointError, match="JSON object"):
        read_json(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pt_files_hold_no_code(tmp_path: Path):
    path = tmp_path / "silence_latent.pt"
    with pytest.raises(CheckpointError, match="is missing"):
        load_pt(path)
    torch.save({"x": torch.ones(2)}, path)
    assert load_pt(path)["x"].sum() == 2
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_pt(path)
    path.write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_pt(path)


def meta_linear() -> nn.Module:
    with torch.device("meta"):
        return nn.ModuleDict({"a": nn.Linear(4, 3)})


def test_assigned_parameters_are_the_mapped_tensors(file: Path):
    tensors, module = open_weights(file), meta_linear()
    given = dict(tensors)
    assign(module, given, file)
    assert module["a"].weight.data_ptr() == given["a.weight"].data_ptr()
    assert module["a"].bias.dtype == torch.bfloat16
    assert isinstance(module["a"].weight, nn.Parameter)


def test_conversion_only_where_it_is_needed(file: Path):
    given = dict(open_weights(file))
    module = meta_linear()
    assign(module, given, file, torch.bfloat16)
    assert module["a"].weight.dtype == torch.bfloat16
    assert module["a"].bias.data_ptr() == given["a.bias"].data_ptr()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a.weight": (3, 4)}, r"1 tensor missing \(a\.bias\)"),
        ({"a.weight": (3, 4), "a.bias": (3,), "b": (1,), "c": (1,)}, r"2 tensors unexpected \(b, c\)"),
        ({"a.weight": (4, 3), "a.bias": (3,)}, r"a\.weight \[4, 3\] instead of \[3, 4\]"),
        ({"a.weight": (3, 4), "a.bias": (3,), "a.scale_weight": (1,)}, "quantised"),
        ({"x": (1,)}, r"2 tensors missing .*; 1 tensor unexpected .*acestep models download"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict, message: str):
    path = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in tensors.items()}, path)
    module = meta_linear()
    with pytest.raises(CheckpointError, match=message) as caught:
        assign(module, open_weights(path), path)
    assert str(path) in str(caught.value)
    assert module["a"].weight.is_meta, "the module is left as it was"


def test_only_the_first_names_are_listed(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file({f"x{i}": torch.zeros(1) for i in range(500)}, path)
    with pytest.raises(CheckpointError) as caught:
        assign(meta_linear(), open_weights(path), path)
    assert "500 tensors" in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


CONVENTIONS = {"scaled_fp8": ("scale_weight", "scale_input"), "comfy_quant": ("weight_scale", "input_scale")}


def fp8(tensors: dict[str, torch.Tensor], convention: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """The matrices of a model as ComfyUI's scaled fp8 files hold them."""
    scale_name, input_name = CONVENTIONS[convention]
    found = {f"{prefix}scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)} if convention == "scaled_fp8" else {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or not name.endswith(".weight"):
            found[name] = tensor
            continue
        layer, scale = name.removesuffix("weight"), tensor.float().abs().max() / 448
        found[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
        found |= {f"{layer}{scale_name}": scale, f"{layer}{input_name}": torch.ones(1)}
        if convention == "comfy_quant":
            found[f"{layer}comfy_quant"] = torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    return found


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_scaled_fp8_is_read_as_what_it_stands_for(tmp_path: Path, convention: str, prefix: str):
    draws = torch.Generator().manual_seed(1)
    plain = {f"{prefix}a.weight": torch.randn(8, 6, generator=draws) * 30, f"{prefix}a.bias": torch.ones(8)}
    stored = fp8(plain, convention, prefix)
    save_file(stored, tmp_path / "x.safetensors")
    opened = open_weights(tmp_path / "x.safetensors")
    assert set(opened) == set(plain) and opened.shapes == {name: tuple(t.shape) for name, t in plain.items()}
    scale = stored[f"{prefix}a.{CONVENTIONS[convention][0]}"]
    weight = opened.select(prefix)["a.weight"]
    assert weight.equal(stored[f"{prefix}a.weight"].float() * scale)
    rounded = opened.unpacked(torch.bfloat16).select(prefix)["a.weight"]
    assert rounded.dtype == torch.bfloat16 and rounded.equal(weight.bfloat16())
    torch.testing.assert_close(weight.float(), plain[f"{prefix}a.weight"], rtol=0.07, atol=0.1)
    assert opened[f"{prefix}a.bias"].equal(torch.ones(8))


@pytest.mark.parametrize(
    ("changed", "packing"),
    [
        ({"a.weight_scale": torch.ones(8, 1)}, "numbers with a scale for each row"),
        ({"a.weight_scale": torch.ones(8)}, "numbers with a scale for each row"),
        ({"a.weight_scale": torch.ones(128, 4, dtype=torch.uint8)}, r"fp8 with a scale for each block \(MXFP8\)"),
        (
            {
                "a.weight": torch.ones(8, 3, dtype=torch.uint8),
                "a.weight_scale": torch.ones(128, 4).to(torch.float8_e4m3fn),
                "a.weight_scale_2": torch.tensor(1.0),
            },
            "NVFP4",
        ),
        ({"a.weight_scale_inv": torch.ones(1, 1)}, "fp8 with a scale for each block"),
        ({"a.weight": torch.ones(24, 1, dtype=torch.uint8), "a.weight.absmax": torch.ones(1)}, "4 bits of bits"),
        ({"a.SCB": torch.ones(8)}, "8 bits of bitsandbytes"),
        ({"a.weight": torch.ones(8, 6, dtype=torch.int8)}, "numbers of another kind"),
    ],
)
def test_other_ways_to_quantise_are_refused_by_their_name(tmp_path: Path, changed: dict, packing: str):
    tensors = fp8({"a.weight": torch.ones(8, 6)}, "comfy_quant") | changed
    save_file(tensors, tmp_path / "x.safetensors")
    opened = open_weights(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match=rf"quantised as {packing}.*, which cannot be read; use .*\.$"):
        assign(nn.Module(), opened, tmp_path / "x.safetensors")

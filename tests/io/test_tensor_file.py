"""Files of tensors: the same content is the same file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import acestep_core
from acestep_core.checkpoints.writing import write_tensors
from acestep_core.io import system
from acestep_core.io.atomic import atomic_write
from acestep_core.io.tensor_file import open_tensors, read_tensors, save_tensors
from tests.capabilities import needs_proc
from tests.pretended_files import windows

WORDS = {"format": "pt", "ss_network_dim": "4", "title": 'a "quoted" 노래 🎵\n\t\x1f\x7f\\', "a": "", "z": "é"}


def test_many_words_come_in_one_order_and_are_read_as_they_were(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3, 4, dtype=torch.bfloat16), "a": torch.arange(5), "c": torch.randn(4, 6).T}
    files = [tmp_path / f"{number}.safetensors" for number in range(12)]
    for number, file in enumerate(files):
        turned = dict(reversed(WORDS.items())) if number % 2 else WORDS
        save_tensors(tensors, file, turned)
    assert len({file.read_bytes() for file in files}) == 1
    with safe_open(files[0], "pt") as file:
        assert file.metadata() == WORDS
        for name, tensor in tensors.items():
            assert torch.equal(file.get_tensor(name), tensor) and file.get_tensor(name).dtype is tensor.dtype


def test_without_words(tmp_path: Path) -> None:
    save_tensors({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert not file.metadata() and list(file.keys()) == ["a"]


@needs_proc
def test_a_file_that_was_read_may_be_replaced_while_its_tensors_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint of a training that goes on is: Windows replaces no mapped file."""
    windows(monkeypatch, tmp_path)
    file = tmp_path / "x.safetensors"
    save_tensors({"a": torch.arange(3)}, file)
    read = read_tensors(file)
    with atomic_write(file) as new:
        save_tensors({"a": torch.zeros(3)}, new)
    assert torch.equal(read["a"], torch.arange(3))


def test_whoever_opens_tensors_asks_whether_files_may_be_mapped() -> None:
    """Mapped, a file cannot be replaced on Windows as long as one of its tensors lives."""
    asking = {"io/tensor_file.py", "checkpoints/weights.py"}
    root = Path(acestep_core.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"\b(safe_open|load_file)\(", path.read_text(encoding="utf-8"))
    }
    assert found == asking


@needs_proc
@pytest.mark.parametrize("there", ["linux", "windows"])
def test_an_open_file_is_mapped_where_that_is_good(there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tensors({"a": torch.ones(1000)}, tmp_path / "x")
    monkeypatch.setattr(system, "WINDOWS", there == "windows")
    with open_tensors(tmp_path / "x") as file:
        tensor = file.get_tensor("a")
    mapped = str(tmp_path / "x") in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert mapped == (there == "linux") and tensor.sum() == 1000


def test_others_may_read_it_as_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    usual = (tmp_path / "any").stat().st_mode
    save_tensors({"a": torch.ones(2)}, tmp_path / "new.safetensors")
    write_tensors(tmp_path / "weights.safetensors", {"a": torch.ones(2)})
    assert {file.stat().st_mode for file in tmp_path.glob("*.safetensors")} == {usual}

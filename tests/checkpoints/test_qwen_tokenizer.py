from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acestep_core.builtin.tiny_tokenizer import first_code, tokenizer_json
from acestep_core.checkpoints.qwen_tokenizer import AUDIO_CODES, Fit, fit_of, load_tokenizer
from acestep_core.errors import CheckpointError

ROWS = first_code()
TEXT = json.loads(tokenizer_json(codes=False))
MODEL, ADDED = TEXT["model"], TEXT["added_tokens"]
HOSTILE: dict[str, Any] = {
    "empty": "",
    "no table": "[]",
    "deep": "[" * 200_000,
    "no model": {"model": None},
    "model is a list": {"model": []},
    "another kind": {"model": {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "x"}},
    "words in a list": {"model": MODEL | {"vocab": [["a", 0.0]]}},
    "no words": {"model": MODEL | {"vocab": {}, "merges": []}},
    "id below zero": {"model": MODEL | {"vocab": MODEL["vocab"] | {"zzz": -1}}},
    "id of 2**40": {"model": MODEL | {"vocab": MODEL["vocab"] | {"zzz": 2**40}}},
    "id is a text": {"model": MODEL | {"vocab": MODEL["vocab"] | {"zzz": "7"}}},
    "merges of unknown words": {"model": MODEL | {"merges": [["q", "nope"]]}},
    "merges of numbers": {"model": MODEL | {"merges": [3]}},
    "added in a table": {"added_tokens": {"a": 1}},
    "added without id": {"added_tokens": [{"content": "x"}]},
    "added number": {"added_tokens": [ADDED[0] | {"content": 3}]},
    "added nothing": {"added_tokens": [*ADDED, ADDED[0] | {"content": ""}]},
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_tokenizer_is_refused(tmp_path: Path, content: Any):
    path = tmp_path / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(TEXT | content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"(cannot be read|JSON object)[^\n]*\.$"):
        load_tokenizer(path, ROWS)
    fit_of(path, ROWS)


@pytest.mark.parametrize(
    "rules",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        {"pre_tokenizer": None},
        {"truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}},
    ],
    ids=lambda rules: next(iter(rules)),
)
def test_the_rules_are_qwens_whatever_a_file_says(tmp_path: Path, rules: dict[str, Any]):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(TEXT | rules), encoding="utf-8")
    own = tmp_path / "own.json"
    own.write_text(json.dumps(TEXT), encoding="utf-8")
    one, other = (load_tokenizer(file, ROWS).encode("don't stop 12", add_special_tokens=False) for file in (path, own))
    assert one.ids == other.ids and len(one.ids) > 4


def test_a_file_too_large_is_not_read(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(CheckpointError, match="larger than 64 MB"):
        load_tokenizer(path, ROWS)


def test_what_fits_whom(tmp_path: Path):
    text, lm = tmp_path / "text.json", tmp_path / "lm.json"
    text.write_text(json.dumps(TEXT), encoding="utf-8")
    lm.write_text(tokenizer_json(codes=True), encoding="utf-8")
    sizes = (ROWS, ROWS + 267, ROWS + AUDIO_CODES, ROWS - 1, ROWS + 600)
    own, words, other = Fit.OWN, Fit.WORDS, Fit.OTHER
    assert [fit_of(text, rows) for rows in sizes] == [own, own, words, other, other]
    assert [fit_of(lm, rows) for rows in sizes] == [words, words, own, other, other]
    added = load_tokenizer(text, ROWS + AUDIO_CODES)
    codes = (f"<|audio_code_{code}|>" for code in (0, AUDIO_CODES - 1))
    assert [added.token_to_id(code) for code in codes] == [ROWS, ROWS + AUDIO_CODES - 1]

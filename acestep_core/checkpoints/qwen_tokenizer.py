"""Qwen3's tokenizer: how it cuts text, whether a file holds it, and how it is made for a model from what is there.

The text encoder has Qwen3's 151,643 words and 26 added tokens; the 5 Hz language model has 65,535 audio codes after
those. So the tokenizer of one serves the other, and the words alone, as ComfyUI ships them, serve both.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints.catalog import AGAIN
from acestep_core.checkpoints.weights import read_json
from acestep_core.errors import CheckpointError
from acestep_core.io.text import read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AUDIO_CODES = 65535
# Rows of the embedding table: Qwen3's own vocabulary as published (the second is padded), and with the audio codes.
TEXT_ROWS = (151669, 151936)
LM_ROWS = 217204
PADDING = 512
_CODE = re.compile(r"<\|audio_code_\d+\|>")
# How Qwen cuts text before merging: contractions, words with one leading sign, single digits, signs, blank space.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_LEVEL: dict[str, Any] = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}


class Fit(Enum):
    """What a tokenizer is to a model: its own, one with the same words (codes are to be added or left out), or
    another model's.
    """

    OWN = "own"
    WORDS = "words"
    OTHER = "other"


def is_lm(rows: int) -> bool:
    """A language model has the 65 535 audio codes in its vocabulary; the text encoder has not."""
    return rows > AUDIO_CODES and rows not in TEXT_ROWS


def fit_of(path: Path, rows: int) -> Fit:
    """What the tokenizer in a `tokenizer.json`, or in a folder of words, is to an embedding table of `rows` rows.

    A damaged one is another model's.
    """
    try:
        values = _described(path)
        numbers = {*values["model"]["vocab"].values(), *(token["id"] for token in values["added_tokens"])}
        size = 1 + max(numbers)
    except (CheckpointError, KeyError, TypeError, AttributeError, ValueError):
        return Fit.OTHER
    if 0 <= rows - size < PADDING:
        return Fit.OWN
    fits = rows == size + AUDIO_CODES or 0 <= rows - (size - AUDIO_CODES) < PADDING
    return Fit.WORDS if fits and len(numbers) == size else Fit.OTHER


def load_tokenizer(path: Path, rows: int) -> Tokenizer:
    """The tokenizer of a model whose embedding has `rows` rows, from its own, the other model's, or Qwen3's words.

    What a file says about cutting and padding texts is not taken over. Raises CheckpointError where it is damaged or
    another model's.
    """
    from tokenizers import AddedToken, Tokenizer

    text = json.dumps(_described(path)) if path.is_dir() else read_text(path, CheckpointError)
    try:
        tokenizer = Tokenizer.from_str(text)
        if 0 <= rows - (tokenizer.get_vocab_size() - AUDIO_CODES) < PADDING:
            tokenizer = Tokenizer.from_str(_without_codes(text))
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(f"The tokenizer {path} cannot be read; {AGAIN}.") from error
    if rows == tokenizer.get_vocab_size() + AUDIO_CODES:
        tokenizer.add_tokens([AddedToken(f"<|audio_code_{code}|>", normalized=False) for code in range(AUDIO_CODES)])
    largest = max(tokenizer.get_vocab().values(), default=0) + 1
    if largest > rows:
        raise CheckpointError(
            f"The tokenizer {path} has {largest} tokens, but its model knows {rows}; "
            "put the model's own tokenizer.json there."
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def description(vocabulary: dict[str, int], merges: list[Any], added: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of a `tokenizer.json` with Qwen's rules.

    Args:
        vocabulary: words and their ids.
        merges: pairs of words, the first merged first.
        added: tokens that are never cut, each with id, content and flags.
    """
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
                BYTE_LEVEL,
            ],
        },
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


def _described(path: Path) -> dict[str, Any]:
    """What a `tokenizer.json` says, or would say of a folder with vocab.json, merges.txt and tokenizer_config.json."""
    if not path.is_dir():
        return read_json(path)
    lines = read_text(path / "merges.txt", CheckpointError).split("\n")
    merges = [line.rstrip("\r") for line in lines[lines[0].startswith("#version") :]]
    tokens = read_json(path / "tokenizer_config.json").get("added_tokens_decoder", {})
    try:
        added = [{"id": int(number), **token} for number, token in tokens.items()]
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"The tokenizer {path} cannot be read; {AGAIN}.") from error
    return description(read_json(path / "vocab.json"), [line for line in merges if line], added)


def _without_codes(text: str) -> str:
    values = json.loads(text)
    values["added_tokens"] = [token for token in values["added_tokens"] if not _CODE.fullmatch(token["content"])]
    vocabulary = values["model"]["vocab"]
    values["model"]["vocab"] = {word: n for word, n in vocabulary.items() if not _CODE.fullmatch(word)}
    return json.dumps(values)

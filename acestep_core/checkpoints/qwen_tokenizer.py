"""Qwen3's tokenizer: how it cuts text, whether a file holds it, and how it is made for a model from what is there.

The text encoder has Qwen3's 151,643 words and 26 added tokens; the 5 Hz language model has 65,535 audio codes after
those. So the tokenizer of one serves the other, and the words alone, as ComfyUI ships them, serve both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.checkpoints.catalog import again
from acestep_core.checkpoints.gguf_header import read_gguf
from acestep_core.checkpoints.weights import read_json
from acestep_core.errors import CheckpointError, InvalidInput
from acestep_core.io.text import read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

AUDIO_CODES = 65535
# Rows of the embedding table: Qwen3's own vocabulary as published (the second is padded), and with the audio codes.
TEXT_ROWS = (151669, 151936)
LM_ROWS = 217204
PADDING = 512
# The added tokens of Qwen3 follow its words in this order.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)
# The first 14 are hidden by `skip_special_tokens`; the rest are text to Qwen.
CONTROL_TOKENS = SPECIAL_TOKENS[:14]
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_CODE = re.compile(r"<\|audio_code_\d+\|>")
GGUF_WORDS, GGUF_MERGES, GGUF_KINDS = (f"tokenizer.ggml.{name}" for name in ("tokens", "merges", "token_type"))
GGUF_CONTROL, GGUF_USER = 3, 4
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


@dataclass(frozen=True)
class Words:
    """What a tokenizer knows: words and their ids, pairs to merge in their order, and tokens that are never cut."""

    vocabulary: dict[str, int]
    merges: list[Any]
    added: list[dict[str, Any]]

    @property
    def ids(self) -> set[int]:
        return {*self.vocabulary.values(), *(token["id"] for token in self.added)}

    def for_rows(self, rows: int) -> Words:
        """These words for an embedding of `rows` rows: with audio codes added, without them, or as they are."""
        size = 1 + max(self.ids)
        if rows == size + AUDIO_CODES:
            codes = [_token(size + code, f"<|audio_code_{code}|>") for code in range(AUDIO_CODES)]
            return replace(self, added=[*self.added, *codes])
        if 0 <= rows - (size - AUDIO_CODES) < PADDING:
            words = {word: number for word, number in self.vocabulary.items() if not _CODE.fullmatch(word)}
            return replace(self, vocabulary=words, added=[t for t in self.added if not _CODE.fullmatch(t["content"])])
        return self


def fit_of(path: Path, rows: int) -> Fit:
    """What the tokenizer in a `tokenizer.json`, or in a folder of words, is to an embedding table of `rows` rows.

    A damaged one is another model's.
    """
    try:
        ids = read_words(path).ids
    except CheckpointError:
        return Fit.OTHER
    size = 1 + max(ids)
    if 0 <= rows - size < PADDING:
        return Fit.OWN
    fits = rows == size + AUDIO_CODES or 0 <= rows - (size - AUDIO_CODES) < PADDING
    return Fit.WORDS if fits and len(ids) == size else Fit.OTHER


def load_tokenizer(path: Path, rows: int) -> Tokenizer:
    """The tokenizer of a model whose embedding has `rows` rows, from its own, the other model's, or Qwen3's words.

    `path` is anything that `read_words` reads.

    Only the words of a file are taken over; the rules are Qwen's. So nothing in it cuts or pads texts, or reaches the
    library unseen. Raises CheckpointError where it is damaged or another model's.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE

    words = _words_for(path, rows)
    tokenizer = Tokenizer.from_str(json.dumps(description({}, [], [])))
    try:
        # As values; written and parsed as one text, they take twice as long.
        merges = [tuple(pair.split(" ") if isinstance(pair, str) else pair) for pair in words.merges]
        tokenizer.model = BPE(words.vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="")
        tokenizer.add_tokens([AddedToken(t["content"], **{name: t[name] for name in _FLAGS}) for t in words.added])
    except Exception as error:  # the library raises nothing more specific
        raise CheckpointError(f"The tokenizer {path} cannot be read; {again()}.") from error
    return tokenizer


def tokenizer_text(path: Path, rows: int) -> str:
    """The `tokenizer.json` of a model whose embedding has `rows` rows, of the words that `path` holds. Raises
    CheckpointError as `load_tokenizer` does.
    """
    words = _words_for(path, rows)
    values = description(words.vocabulary, words.merges, words.added)
    if not is_lm(rows):
        values["post_processor"] = ended(
            next(t["id"] for t in values["added_tokens"] if t["content"] == SPECIAL_TOKENS[0])
        )
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _words_for(path: Path, rows: int) -> Words:
    words = read_words(path).for_rows(rows)
    largest = 1 + max(words.ids)
    if largest > rows:
        raise CheckpointError(
            f"The tokenizer {path} has {largest} tokens, but its model knows {rows}; "
            "put the model's own tokenizer.json there."
        )
    return words


@cache
def byte_alphabet() -> dict[int, str]:
    """The printable stand-in of byte-level BPE for each byte (Radford et al. 2019, GPT-2), in the order of ids."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(rest)}


def token_bytes(tokenizer: Tokenizer, ids: Sequence[int]) -> list[bytes]:
    """The UTF-8 bytes that each token of a byte-level tokenizer stands for; joined they are the text."""
    stand_ins, added = set(byte_alphabet().values()), tokenizer.get_added_tokens_decoder()
    back = str.maketrans({char: chr(byte) for byte, char in byte_alphabet().items()})
    pieces = []
    for token in ids:
        name = tokenizer.id_to_token(token)
        if name is None:
            raise InvalidInput(f"Token {token} is not in this tokenizer; use the one that made the tokens.")
        plain = token in added or not stand_ins.issuperset(name)
        pieces.append(name.encode() if plain else name.translate(back).encode("latin-1"))
    return pieces


def read_words(path: Path) -> Words:
    """From a `tokenizer.json`, a folder of vocab.json, merges.txt and tokenizer_config.json, as ComfyUI has it, or a
    GGUF file.

    Raises:
        CheckpointError: it is missing, damaged, or not of Qwen's kind.
    """
    try:
        if path.is_dir():
            lines = read_text(path / "merges.txt", CheckpointError).split("\n")
            merges = [line.rstrip("\r") for line in lines[lines[0].startswith("#version") :]]
            decoder = read_json(path / "tokenizer_config.json")["added_tokens_decoder"]
            added = [{"id": int(number), **token} for number, token in decoder.items()]
            words = Words(read_json(path / "vocab.json"), [line for line in merges if line], added)
        elif path.suffix == ".gguf":
            words = _gguf_words(path)
        else:
            values = read_json(path)
            if values["model"]["type"] != "BPE":
                raise ValueError
            words = Words(values["model"]["vocab"], values["model"]["merges"], values["added_tokens"])
        tokens = [*words.vocabulary.items(), *((token["content"], token["id"]) for token in words.added)]
        if not words.vocabulary or not all(word and type(word) is str and _is_id(number) for word, number in tokens):
            raise ValueError
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"The tokenizer {path} cannot be read as one of Qwen's kind; {again()}.") from error
    return words


def _gguf_words(path: Path) -> Words:
    """From the metadata of a GGUF file. llama.cpp's tools mark the added tokens, and fill up with unused ones;
    acestep.cpp's leave all of them out.
    """
    values = read_gguf(path, (GGUF_WORDS, GGUF_MERGES, GGUF_KINDS)).metadata
    tokens, kinds = values[GGUF_WORDS], values.get(GGUF_KINDS, [])
    kind_of = dict(enumerate(kinds))
    words = {token: number for number, token in enumerate(tokens) if token and kind_of.get(number, 1) < GGUF_CONTROL}
    added = {n: token for n, token in enumerate(tokens) if kind_of.get(n) in (GGUF_CONTROL, GGUF_USER)}
    added = added or dict(enumerate(SPECIAL_TOKENS, len(tokens)))
    return Words(words, values[GGUF_MERGES], [_token(n, token, token in CONTROL_TOKENS) for n, token in added.items()])


def _is_id(number: Any) -> bool:
    return type(number) is int and 0 <= number < 1 << 32


def _token(number: int, content: str, special: bool = False) -> dict[str, Any]:
    return {"id": number, "content": content, **dict.fromkeys(_FLAGS, False), "special": special}


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


def ended(end: int) -> dict[str, Any]:
    """Qwen3-Embedding's post-processor: one `<|endoftext|>`, whose id is `end`, after every text."""
    token = SPECIAL_TOKENS[0]
    first, last = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": token, "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    template = {
        "type": "TemplateProcessing",
        "single": [first, last],
        "pair": [first, last, second, {"SpecialToken": {"id": token, "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [end], "tokens": [token]}},
    }
    return {"type": "Sequence", "processors": [BYTE_LEVEL, template]}


def tokenizer_config(codes: bool) -> dict[str, Any]:
    """The `tokenizer_config.json` beside it, with the keys that Hugging Face readers look for."""
    return {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>" if codes else "<|endoftext|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }

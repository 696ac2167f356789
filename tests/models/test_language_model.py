"""Special tokens are looked up, never assumed; the grammar engine sees the same ids."""

import pytest
from tokenizers import Tokenizer, models

from acestep_core.checkpoints.qwen_tokenizer import token_bytes
from acestep_core.errors import CheckpointError
from acestep_core.models.language_model import LanguageModel, TokenIds
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from tests.planner.fixtures import tiny_lm, tokenizer


def test_ids_come_from_the_tokenizer():
    lm = tiny_lm(codes=500)
    for token, index in (("<|im_end|>", lm.ids.end), ("<think>", lm.ids.think), ("</think>", lm.ids.think_end)):
        assert lm.tokenizer.token_to_id(token) == index
    for code in (0, 250, 499):
        assert lm.tokenizer.token_to_id(f"<|audio_code_{code}|>") == lm.ids.first_code + code
    assert lm.ids.code_slice == slice(lm.ids.first_code, lm.ids.first_code + 500)


def test_encode_knows_special_tokens_and_adds_none():
    lm = tiny_lm(codes=500)
    assert lm.encode("<think><|audio_code_3|>") == [lm.ids.think, lm.ids.first_code + 3]
    text = "<|im_start|>user\nŽluťoučký 温柔 🎵<|im_end|>\n</think>\n\n"
    assert lm.decode(lm.encode(text)) == text


def test_the_grammar_engine_has_the_same_tokens_without_the_codes():
    lm = tiny_lm(codes=500)
    engine = lm.grammar_tokenizer
    assert engine.vocab_size == lm.ids.first_code
    text = "bpm: 120\ncaption: a calm song\nkeyscale: F# minor\n"
    assert engine.tokenize_str(text) == lm.encode(text)
    assert [engine.decode_bytes([token]) for token in lm.encode("温柔 é")] == token_bytes(
        lm.tokenizer, lm.encode("温柔 é")
    )
    added = [t for t in lm.tokenizer.get_added_tokens_decoder() if t < lm.ids.first_code]
    assert all(map(engine.is_special_token, added)), "no plan has those"
    assert not any(map(engine.is_special_token, lm.encode(text)))


def test_the_grammar_engine_leaves_texts_as_they_are():
    """An é of two characters stays two; as a prompt it is one."""
    lm = tiny_lm(codes=500)
    apart = "cafe\u0301"
    assert b"".join(token_bytes(lm.tokenizer, lm.grammar_tokenizer.tokenize_str(apart))) == apart.encode()
    assert lm.decode(lm.encode(apart)) == "caf\u00e9"


def test_plain_text_leaves_control_tokens_out():
    lm = tiny_lm(codes=500)
    assert not lm.plain_text[[lm.ids.end, lm.ids.think, lm.ids.think_end]].any()
    assert lm.plain_text[lm.encode("any words")].all()


def test_another_tokenizer_is_refused():
    with pytest.raises(CheckpointError, match="audio_code_0"):
        TokenIds.find(Tokenizer(models.BPE()))
    words = tokenizer(codes=500)
    small = Qwen3(Qwen3Config(100, 16, 16, 1, 2, 1, 8))
    with pytest.raises(CheckpointError, match="belongs to it"):
        LanguageModel(small, words)

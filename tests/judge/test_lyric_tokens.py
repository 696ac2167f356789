"""Tokens of every script: whole characters, words, lines, tags, and where the lyrics lie in their prompt."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from acestep_core.checkpoints.qwen_tokenizer import token_bytes
from acestep_core.errors import InvalidInput
from acestep_core.judge.lyric_tokens import characters, is_sung, lines_of, lyric_span, words_of


def text_of(chars):
    return "".join(char.text for char in chars)


def cut(text: str, seed: int) -> list[bytes]:
    """The bytes of a text in pieces of 1 to 5 bytes, characters cut anywhere."""
    rng, data, pieces = random.Random(seed), text.encode(), []
    while data:
        size = rng.randint(1, 5)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.fixture(scope="module")
def tokenizer():
    vocab = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.add_special_tokens(["<|endoftext|>"])
    return made


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(0, 99))
def test_characters_survive_any_cut(text, seed):
    pieces = cut(text, seed)
    chars = characters(pieces)
    assert text_of(chars) == text
    for char in chars:
        carried = b"".join(pieces[char.first : char.last + 1])
        assert char.text.encode() in carried and 0 <= char.begin <= char.end <= 1
    assert [char.first for char in chars] == sorted(char.first for char in chars)


def test_bytes_that_are_no_text_become_replacement_characters():
    assert text_of(characters([b"a\xe5\xa4", b"b"])) == "a\ufffdb"
    assert text_of(characters([b"a", b"\xe5\xa4"])) == "a\ufffd"


def test_visible_characters_share_their_token():
    a, b, space, c = characters([b"ab c"])
    assert [a.begin, a.end, b.end, c.begin, c.end] == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3, 1])
    assert space.begin == space.end


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_token_bytes_of_a_byte_level_tokenizer(text):
    vocab = {char: i for i, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    assert b"".join(token_bytes(tokenizer, tokenizer.encode(text).ids)) == text.encode()


def test_token_bytes_of_special_and_unknown_tokens(tokenizer):
    end = tokenizer.token_to_id("<|endoftext|>")
    assert token_bytes(tokenizer, [end]) == [b"<|endoftext|>"]
    with pytest.raises(InvalidInput, match="not in this tokenizer"):
        token_bytes(tokenizer, [99999])


def test_token_bytes_of_tokens_that_are_no_stand_ins():
    """A name with a character that stands for no byte is text, and so is an added token, whatever it is made of."""
    vocab = {"Ġé": 0, "é世": 1, "Ċ": 2, "a": 3, "\U00010000": 4}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.add_tokens(["Ġé!", "<x>"])
    texts = [b" \xe9", "é世".encode(), b"\n", b"a", "\U00010000".encode(), "Ġé!".encode(), b"<x>"]
    order = [5, 0, 4, 6, 1, 2, 3, 0]
    assert token_bytes(tokenizer, order) == [texts[token] for token in order]
    assert token_bytes(tokenizer, []) == []


def test_lyric_span_lies_between_header_and_end():
    prompt = [b"# Languages\n", b"en\n\n", b"# Lyric", b"\n", b"la", b"\n", b"<|endoftext|>", b"<|endoftext|>"]
    assert lyric_span(prompt) == slice(4, 6)
    assert lyric_span(prompt[:6]) == slice(4, 6)  # cut at the token limit
    assert lyric_span([b"# Lyric", b"\n\nla"]) == slice(1, 2)  # a token that holds both
    assert lyric_span([b"# Lyric\n", b"<|endoftext|>"]) == slice(1, 1)


def test_tags_end_at_their_bracket_or_line():
    assert is_sung([b"[Ver", b"se]", b"\n", b"la"]) == [False, False, True, True]
    assert is_sung([b"[A", b"]\n[", b"B]", b" la"]) == [False, False, False, True]  # upstream takes B for lyrics
    assert is_sung([b"[oops", b"\n", b"la"]) == [False, True, True]  # an open bracket does not swallow the song


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello  big world", ["hello  ", "big ", "world"]),
        ("don't stop, now!", ["don't ", "stop, ", "now!"]),
        ("夜空に、光る。", ["夜", "空", "に、", "光", "る。"]),
        ("「きっと」ラー", ["「きっ", "と」", "ラー"]),
        ("love 愛 you", ["love ", "愛 ", "you"]),
        ("OK夜OK", ["OK", "夜", "OK"]),
        ("가나다 라마", ["가나다 ", "라마"]),
        ("مرحبا بالعالم", ["مرحبا ", "بالعالم"]),
        ("e\u0301te\u0301 naïf", ["e\u0301te\u0301 ", "naïf"]),
        ("が\u3099 空", ["が\u3099 ", "空"]),
        ("👨‍👩‍👧 yes", ["👨‍👩‍👧 ", "yes"]),
    ],
)
def test_words(text, words):
    (line,) = lines_of(characters([text.encode()]))
    assert [text_of(word) for word in words_of(line)] == words


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(0, 9))
def test_words_of_lines_are_the_text(text, seed):
    lines = [text_of(line) for line in lines_of(characters(cut(text, seed)))]
    want = [row.strip() for row in text.replace("\r", "\n").split("\n")]
    assert lines == [row for row in want if row]
    for line in lines_of(characters(cut(text, seed))):
        assert "".join(text_of(word) for word in words_of(line)) == text_of(line)

"""The text encoder of the built-in model: its tokenizer knows the words, and it marks the end of every prompt."""

import random

import pytest
import torch

from acestep_core.builtin import reader, tiny_tokenizer
from acestep_core.builtin.asks import draw_ask
from acestep_core.checkpoints import shapes
from acestep_core.models.text import TextEncoder
from acestep_core.vocabulary import CAPTION_TOKENS


@pytest.fixture(scope="module")
def course() -> reader.Course:
    return reader.course(0, steps=10)


@pytest.mark.parametrize("word", ["synthwave", "Bossa", "gentle", "피아노", "钢琴"])
def test_words_of_the_table_are_tokens(word: str) -> None:
    for text in (word, f"a {word}"):
        ids = reader.tokenizer().encode(text, add_special_tokens=False).ids
        assert reader.tokenizer().decode(ids[-1:]).strip() == word


def test_more_words_leave_the_others_as_they_are() -> None:
    plain, _ = tiny_tokenizer.vocabulary()
    more, _ = tiny_tokenizer.vocabulary(("synthwave",))
    assert {token: more[token] for token in plain} == plain
    assert " synthwave".replace(" ", "Ġ") in more


def test_the_end_is_marked_and_nothing_else_even_after_a_step(course: reader.Course) -> None:
    model = course.module
    assert isinstance(model, reader.Reader)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    course.loss(random.Random(0), torch.Generator()).backward()
    optimiser.step()
    course.kept.restore()
    prompt = draw_ask(random.Random(3)).prompt
    encoder = TextEncoder(model.text, reader.tokenizer())
    marks = encoder.caption(prompt)[0, :, reader.MARK]
    at_ends = torch.zeros_like(marks, dtype=torch.bool)
    at_ends[list(reader.ENDS)] = True
    assert (marks[~at_ends] == 0).all()
    assert marks[at_ends].min() > 0.5
    assert len(encoder.tokens(prompt, CAPTION_TOKENS)) == len(marks)


def test_a_batch_reads_as_each_prompt_alone(course: reader.Course) -> None:
    model, rng = course.module, random.Random(4)
    assert isinstance(model, reader.Reader)
    prompts = [draw_ask(rng).prompt for _ in range(3)]
    with torch.no_grad():
        together = model.read(prompts)
        alone = torch.cat([model.read([prompt]) for prompt in prompts])
    assert torch.allclose(together, alone, atol=1e-4)


def test_the_files_have_the_right_shapes(course: reader.Course) -> None:
    tensors = {n.removeprefix("text."): tuple(t.shape) for n, t in course.module.state_dict().items() if "text." in n}
    assert tensors == shapes.qwen_shapes(reader.config())

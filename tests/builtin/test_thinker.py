"""The language model of the built-in model: codes are sums of parts, and the file says the same as the training."""

import random

import pytest
import torch

from acestep_core.builtin import thinker
from acestep_core.builtin.lessons import draw_lesson, first_code, song_codes
from acestep_core.builtin.practice import train
from acestep_core.builtin.reader import Reader
from acestep_core.builtin.rolls import draw_score
from acestep_core.builtin.training import text_weights
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.vocabulary import CODEBOOK_SIZE


@pytest.fixture(scope="module")
def text() -> dict[str, torch.Tensor]:
    return text_weights(Reader().state_dict())


def test_every_code_of_a_song_has_parts() -> None:
    rng = random.Random(0)
    codes = torch.cat([song_codes(draw_score(rng), 60, rng) for _ in range(60)])
    assert int(thinker.parts()[codes].min()) >= 0
    assert int((thinker.parts()[:, 0] >= 0).sum()) < 40000


def test_probabilities_of_all_codes_sum_to_one(text) -> None:
    model = thinker.Thinker(text)
    known = (thinker.parts()[:, 0] >= 0).nonzero().flatten()
    hidden = torch.randn(2, thinker.WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = (hidden @ model.embedded(known).T).log_softmax(1)
        for place in (0, 777, len(known) - 1):
            found = model.code_losses(hidden, known[place].expand(2))
            assert torch.allclose(found, -whole[:, place], atol=1e-3)


def test_probabilities_of_all_words_and_codes_sum_to_one(text) -> None:
    """Codes count where words are judged: who scores a caption asks the whole vocabulary."""
    model = thinker.Thinker(text)
    known = (thinker.parts()[:, 0] >= 0).nonzero().flatten()
    hidden = torch.randn(2, thinker.WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        words = hidden @ model.model.embed_tokens.weight.T
        whole = torch.cat([words, hidden @ model.embedded(known).T], 1).log_softmax(1)
        for word in (0, 555, first_code() - 1):
            for row in (0, 1):
                loss = model.word_loss(hidden[[row]], torch.tensor([word]), among_codes=True)
                assert abs(loss + whole[row, word]) < 1e-3


def test_the_file_says_the_same_and_writes_no_other_codes(text) -> None:
    model = thinker.Thinker(text)
    weights = thinker.tensors(model)
    written = Qwen3(Qwen3Config.from_json(thinker.config()))
    written.load_state_dict(weights)
    lesson = draw_lesson(random.Random(2), 20)
    with torch.no_grad():
        hidden = written(torch.tensor([lesson.ids]))[0]
        logits = written.logits(hidden, slice(first_code(), first_code() + CODEBOOK_SIZE))
        known = thinker.parts()[:, 0] >= 0
        assert (logits[:, known].max(1).values > logits[:, ~known].max(1).values + 20).all()
        others = slice(0, thinker.MARK)
        mine = model(torch.tensor([lesson.ids]))[0][0]
        assert torch.allclose(hidden[:, others], thinker.SHARPNESS * mine[:, others], atol=0.1)


def test_it_learns(tmp_path, text, monkeypatch) -> None:
    monkeypatch.setattr(thinker, "SIZES", ((20, 4), (20, 4), (20, 4)))
    course = thinker.course(0, text, 6)
    rows = [draw_lesson(random.Random(n), 20) for n in range(6)]
    with torch.no_grad():
        before = thinker.lesson_loss(course.module, rows, True).item()
    train(course, tmp_path, 0)
    with torch.no_grad():
        assert thinker.lesson_loss(course.module, rows, True).item() < before - 1
        assert not course.module.model.layers[0].mlp.down_proj.weight[thinker.MARK].any()
        assert (course.module.pattern[:, thinker.MARK] == 1).all()

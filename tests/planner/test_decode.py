"""The decode loops: equal to transformers, equal in batches, seeded, exact in length, and cancelled at once."""

import pytest
import torch

from acestep_core.errors import Cancelled, GenerationError, InvalidInput
from acestep_core.models.language_model import MAX_POSITIONS
from acestep_core.monitor import Monitor
from acestep_core.options import LMSampling
from acestep_core.planner.decode import CodesPrompt, CodesWriter, decode_codes, decode_text
from acestep_core.planner.grammar import FreeText
from acestep_core.planner.lm_prompts import codes_prompt, codes_prompt_unconditional, plan_prompt
from acestep_core.planner.rows import BUCKET, Rows, reach_of
from tests.planner.fixtures import tiny_lm

GREEDY = LMSampling(temperature=0)
COT = "<think>\nbpm: 120\nduration: 30\n</think>"


@pytest.fixture(scope="module")
def lm():
    return tiny_lm(codes=500, peaky=8.0)


@pytest.fixture(scope="module")
def reference(lm):
    """transformers' model with the same weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    ours = lm.model.config
    config = Qwen3Config(
        vocab_size=ours.vocab_size,
        hidden_size=ours.hidden_size,
        intermediate_size=ours.intermediate_size,
        num_hidden_layers=ours.num_hidden_layers,
        num_attention_heads=ours.num_attention_heads,
        num_key_value_heads=ours.num_key_value_heads,
        head_dim=ours.head_dim,
        rope_theta=ours.rope_theta,
        tie_word_embeddings=True,
        pad_token_id=lm.ids.end,
        eos_token_id=lm.ids.end,
        bos_token_id=None,
    )
    model = Qwen3ForCausalLM(config).eval()
    model.model.load_state_dict(lm.model.state_dict(), strict=True)
    model.tie_weights()
    return model


def prompts(lm, lyrics="la la"):
    return (
        lm.encode(codes_prompt("a calm song", lyrics, COT)),
        lm.encode(codes_prompt_unconditional("a calm song", lyrics)),
    )


def test_greedy_text_equals_transformers(lm, reference):
    prompt = lm.encode(plan_prompt("a calm song", "la la"))
    constraint = FreeText(lm)
    got = decode_text(lm, prompt, constraint, GREEDY, 0, 300)

    def text_only(_batch, _ids):
        return torch.arange(lm.ids.first_code)[constraint.allowed()].tolist()

    want = reference.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=300, prefix_allowed_tokens_fn=text_only
    )[0, len(prompt) :].tolist()
    assert len(set(want)) > 10  # not one token over and over
    assert got == want


def test_greedy_codes_equal_transformers(lm, reference):
    prompt, _ = prompts(lm)
    (got,) = decode_codes(lm, [CodesPrompt(prompt, None, 0)], GREEDY, 300)
    codes = list(range(lm.ids.first_code, lm.ids.first_code + lm.ids.codes))
    want = reference.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=300, prefix_allowed_tokens_fn=lambda *_: codes
    )[0, len(prompt) :]
    assert len(set(got)) > 10
    assert list(got) == (want - lm.ids.first_code).tolist()


def test_greedy_guided_codes_equal_transformers(lm, reference):
    """Against transformers' own guidance, which runs the two prompts one after the other."""
    from transformers import UnbatchedClassifierFreeGuidanceLogitsProcessor as Guidance

    prompt, unconditional = prompts(lm)
    (got,) = decode_codes(lm, [CodesPrompt(prompt, unconditional, 0)], LMSampling(temperature=0, cfg_scale=2.5), 80)
    guidance = Guidance(2.5, reference, unconditional_ids=torch.tensor([unconditional]))
    codes = list(range(lm.ids.first_code, lm.ids.first_code + lm.ids.codes))
    want = reference.generate(
        torch.tensor([prompt]),
        do_sample=False,
        max_new_tokens=80,
        logits_processor=[guidance],
        prefix_allowed_tokens_fn=lambda *_: codes,
    )[0, len(prompt) :]
    assert list(got) == (want - lm.ids.first_code).tolist()


@pytest.mark.parametrize("cfg_scale", [1.0, 2.0])
def test_a_song_in_a_batch_equals_the_song_alone(lm, cfg_scale):
    conditional, unconditional = prompts(lm)
    sampling = LMSampling(cfg_scale=cfg_scale, repetition_penalty=1.2)
    other = unconditional if cfg_scale != 1 else None
    together = decode_codes(lm, [CodesPrompt(conditional, other, seed) for seed in (5, 6, 7)], sampling, 60)
    for seed, codes in zip((5, 6, 7), together):
        assert decode_codes(lm, [CodesPrompt(conditional, other, seed)], sampling, 60) == [codes]
    assert len(set(together)) == 3


def test_songs_with_different_prompts_share_a_batch(lm):
    songs = [CodesPrompt(*prompts(lm, lyrics), seed) for lyrics, seed in (("short", 1), ("much longer " * 30, 2))]
    together = decode_codes(lm, songs, LMSampling(), 40)
    assert together == [decode_codes(lm, [song], LMSampling(), 40)[0] for song in songs]


def test_equal_prompts_are_computed_once(lm):
    conditional, unconditional = prompts(lm)
    calls = []
    hook = lm.model.register_forward_pre_hook(lambda _module, args: calls.append(args[0].shape))
    try:
        Rows(lm, [conditional] * 8 + [unconditional] * 8, 10)
    finally:
        hook.remove()
    assert calls == [(1, len(conditional)), (1, len(unconditional))]


@pytest.mark.parametrize("count", [1, 50, BUCKET + 3])
def test_exactly_the_asked_codes_come(lm, count):
    (codes,) = decode_codes(lm, [CodesPrompt(*prompts(lm), 0)], LMSampling(), count)
    assert len(codes) == count
    assert all(0 <= code < lm.ids.codes for code in codes)


def test_without_a_length_each_song_ends_by_itself(lm):
    """The end is made likely by hand, so that some song ends before the others."""
    from dataclasses import replace

    model = type(lm.model)(lm.model.config).eval().requires_grad_(False)
    model.load_state_dict(lm.model.state_dict())
    model.embed_tokens.weight[lm.ids.end] = model.embed_tokens.weight[lm.ids.first_code : lm.ids.first_code + 4].mean(0)
    ending = replace(lm, model=model)
    songs = [CodesPrompt(*prompts(lm), seed) for seed in range(4)]
    sampling = LMSampling(temperature=9.0, top_p=1.0, cfg_scale=1.5)
    codes = decode_codes(ending, songs, sampling, None)
    assert len({len(song) for song in codes}) > 1
    assert all(0 <= code < lm.ids.codes for song in codes for code in song)
    assert codes[2] == decode_codes(ending, songs[2:3], sampling, None)[0]


def test_the_cache_has_the_size_of_the_request(lm):
    rows = Rows(lm, prompts(lm), 3000)
    assert rows.width + 3000 <= rows.cache.length < rows.width + 3000 + BUCKET
    with pytest.raises(InvalidInput, match="shorten the lyrics"):
        Rows(lm, [[0] * MAX_POSITIONS], 1)


def test_attention_reads_a_bucket_not_the_whole_cache(lm):
    assert [reach_of(used) for used in (1, BUCKET, BUCKET + 1)] == [BUCKET, BUCKET, 2 * BUCKET]
    conditional, _ = prompts(lm)
    near, far = Rows(lm, [conditional], 900), Rows(lm, [conditional], 900)
    ids = torch.tensor([[3]])
    with torch.inference_mode():
        torch.testing.assert_close(near.append(ids, reach_of(near.width + 1)), far.append(ids, 900 // BUCKET * BUCKET))


def test_progress_comes_with_every_code_and_a_cancel_works_at_once(lm):
    ticks = []
    song = CodesPrompt(*prompts(lm), 0)
    decode_codes(lm, [song], LMSampling(), 20, Monitor(progress=lambda *tick: ticks.append(tick[:3])))
    assert ticks == [("Writing codes", done, 20) for done in range(1, 21)]
    ticks.clear()
    stop = Monitor(progress=lambda *tick: ticks.append(tick[1]), cancelled=lambda: len(ticks) == 5)
    with pytest.raises(Cancelled):
        decode_codes(lm, [song], LMSampling(), 20, stop)
    assert ticks == [1, 2, 3, 4, 5]
    ticks.clear()
    with pytest.raises(Cancelled):
        decode_text(lm, song.conditional, FreeText(lm), LMSampling(), 0, 50, stop)
    assert len(ticks) == 5


def test_broken_weights_are_an_error_not_noise(lm):
    from dataclasses import replace

    model = type(lm.model)(lm.model.config).eval().requires_grad_(False)
    model.norm.weight.fill_(float("nan"))
    with pytest.raises(GenerationError, match="not finite"):
        decode_codes(replace(lm, model=model), [CodesPrompt(*prompts(lm), 0)], LMSampling(), 3)
    with pytest.raises(GenerationError, match="not finite"):
        decode_text(replace(lm, model=model), prompts(lm)[0], FreeText(lm), LMSampling(), 0, 3)


def test_the_penalty_makes_codes_repeat_less(lm):
    song = CodesPrompt(*prompts(lm), 0)
    plain, punished = (
        len(set(decode_codes(lm, [song], LMSampling(temperature=0, repetition_penalty=penalty), 150)[0]))
        for penalty in (1.0, 5.0)
    )
    assert punished > plain


@pytest.mark.parametrize("sampling", [LMSampling(), LMSampling(0.7, 0.8, 50, 3.0, 1.1), LMSampling(temperature=0)])
@pytest.mark.parametrize("open_end", [False, True])
def test_a_step_never_waits_for_the_device(lm, sampling, open_end):
    """On the meta device nothing has a value, so a step that looked at one, and would stall a GPU, could not run."""
    from dataclasses import replace

    model = type(lm.model)(lm.model.config).to("meta")
    far = replace(lm, model=model)
    guided = sampling.cfg_scale != 1
    conditional, unconditional = prompts(lm)
    with torch.inference_mode():
        rows = Rows(far, [conditional] * 2 + [unconditional] * 2, 20)
        writer = CodesWriter(far, rows, 2, guided, sampling, 20, open_end)
        state = [id(value) for value in vars(writer).values()]
        for _ in range(3):
            writer.step(reach_of(rows.width + 1))
    assert state == [id(value) for value in vars(writer).values()]  # changed in place, where a graph finds it

"""How a plan is written: what it waits for before its first token, and what choosing tokens costs beside the forwards.

Weights are random, the vocabulary is that of a tokenizer.json, for both the grammar and the choice grow with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acestep_core.commands.benches import runner, sizes
from acestep_core.commands.benches.lm_bench import built_in_words, random_model
from acestep_core.monitor import SILENT, Monitor

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from acestep_core.models.language_model import LanguageModel
    from acestep_core.models.qwen3 import Qwen3
    from acestep_core.planner.grammar import PlanText

HELP = "seconds before the first token of a plan, and of its tokens"
CAPTION = "a slow waltz for piano and strings, warm, in a large room"
SEED = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    runner.add_arguments(parser, list(sizes.LM), seconds=(), batches=())
    parser.add_argument("--tokens", type=int, default=120, metavar="N", help="of the plan, at most (default 120)")
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="a tokenizer.json of any Qwen3 (default: the built-in one, whose vocabulary is small)",
    )


def cases(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> Iterator[runner.Case]:
    from acestep_core.checkpoints.qwen_tokenizer import load_tokenizer

    def read() -> Tokenizer:
        return load_tokenizer(Path(options.tokenizer), sizes.LM_ROWS) if options.tokenizer else built_in_words()

    tokenizer = read()
    known = f"{tokenizer.get_vocab_size()} tokens known"
    yield runner.Case("tokenizer", 0, 1, {runner.OURS: partial(noted, read, known)})
    for size in options.size:
        lm = random_model(size, device, dtype, tokenizer)
        yield runner.Case("grammar", 0, 1, {runner.OURS: partial(first_choice, lm.model, tokenizer)})
        chunks = forwards(lm, options.tokens)
        said = f"{sum(chunks)} tokens in {len(chunks)} forwards"
        doers: dict[str, runner.Doer] = {
            runner.OURS: partial(noted, partial(plan, lm, options.tokens), said),
            "its forwards alone": partial(run, lm, chunks),
        }
        yield runner.Case(f"{size} plan", 0, 1, doers)


def noted(work: runner.Doer, note: str) -> runner.Facts:
    work()
    return runner.Facts(note=note)


def first_choice(model: Qwen3, tokenizer: Tokenizer) -> object:
    """What is allowed first, from a loaded tokenizer on."""
    from acestep_core.models.language_model import LanguageModel

    return begun(LanguageModel(model, tokenizer), 1).allowed()


def begun(lm: LanguageModel, tokens: int) -> PlanText:
    """The grammar of a plan of at most so many tokens, in which nothing is given."""
    from acestep_core.planner.grammar import PlanText, cot_grammar
    from acestep_core.planner.metas import KNOWN_FIELDS

    return PlanText(lm, cot_grammar({}, KNOWN_FIELDS), tokens)


def prompt(lm: LanguageModel) -> list[int]:
    from acestep_core.planner.lm_prompts import plan_prompt

    return lm.encode(plan_prompt(CAPTION, ""))


def plan(lm: LanguageModel, tokens: int, monitor: Monitor = SILENT) -> list[int]:
    from acestep_core.options import LMSampling
    from acestep_core.planner.decode import decode_text

    return decode_text(lm, prompt(lm), begun(lm, tokens), LMSampling(), SEED, tokens, monitor)


def forwards(lm: LanguageModel, tokens: int) -> list[int]:
    """How many tokens go through the model at once, forward by forward, while a plan is written."""
    written = [0]
    plan(lm, tokens, Monitor(lambda stage, done, total, preview: written.append(done)))
    return [after - before for before, after in pairwise(written[:-1])]  # what came last is not read again


def run(lm: LanguageModel, chunks: Sequence[int]) -> None:
    """The same forwards, with tokens that nobody chooses."""
    import torch

    from acestep_core.planner.rows import Rows, reach_of

    rows, done = Rows(lm, [prompt(lm)], sum(chunks) + 1), 0
    lm.model.logits(rows.hidden, lm.ids.text_slice)
    for count in chunks:
        done += count
        tokens = torch.zeros(1, count, dtype=torch.long, device=lm.device)
        lm.model.logits(rows.append(tokens, reach_of(rows.width + done)), lm.ids.text_slice)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    return runner.measure("plan", cases, options)


table = runner.table

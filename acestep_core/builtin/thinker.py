"""The language model of the built-in model: it plans a song, and writes the codes of `windows.py`.

Qwen3's architecture, four layers, of which the first two begin as the text encoder's: they can read requests already.
There are tens of thousands of codes, too many to learn one by one. But what a code says has parts, so its embedding is
a sum: of what is played (a `Pattern`), the chord or bass note, the note of the melody, and the frame. Qwen3's output is
tied to its embeddings, so the logit of a code is the same sum, and the probabilities of all codes come from a few dozen
numbers. In the file stands every sum; rows of codes that no song of ours has stay 0, so that they take no room. What
keeps those from being chosen is a channel that is the same everywhere but in them, `MARK`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acestep_core.builtin import reader, tiny_tokenizer
from acestep_core.builtin.lessons import CLOCK, JUDGING, USUAL, Lesson, draw_lesson, first_code, song_codes
from acestep_core.builtin.practice import Course, Kept, Then
from acestep_core.builtin.rolls import BARS, MODES, STYLE_NAMES, Score
from acestep_core.builtin.windows import BASIS, CELLS, EMPTY, FRAMES, code_of, harmonies
from acestep_core.builtin.words import every_word
from acestep_core.checkpoints import shapes
from acestep_core.models.qwen3 import Qwen3, Qwen3Config
from acestep_core.vocabulary import CODEBOOK_SIZE

WIDTH, MARK = reader.WIDTH, reader.MARK
LAYERS = 4
CHORDS, BASSES, NOTES, LOWS = slice(0, 24), slice(24, 36), slice(36, 48), slice(48, 96)
"""Pitches, by kind of harmony: chords, bass notes, single notes, and a chord's lowest note over its root or fifth."""
PITCHES = {"both": CHORDS, "chord": CHORDS, "fifth": CHORDS, "bass": BASSES, "note": NOTES, "low": LOWS}
MELODIES = 24
SIZES = ((60, 12), (125, 8), (300, 4))
"""Codes of a row, and rows of a batch: one of these each step."""
OFTEN = (0.15, 0.45, 0.4)
STEPS = 22500
JUDGING_SHARE = 9
"""One of so many steps, the last ones, are for judging captions. Learned all along, their words, which are mostly
chance, cost songs their tempo.
"""
SHARPNESS = 3.0
"""What all logits are multiplied with in the file. A small model is never quite sure when the next strike comes, and at
the planner's temperature a song would lose its beat; what is equally likely stays so.
"""
TIMING = 0.1
"""How much a moment counts beside a code."""
OPENING, DECISIVE = 32, 3.0
"""So many first codes of a song count so much more than others: they decide its tempo, the rest repeats them."""
MARKED = 40.0
"""By how much at least codes that occur are likelier than others, as a logit."""


@dataclass(frozen=True, order=True)
class Pattern:
    """Which parts are struck together: kind of harmony, number of the set of drums, and whether there is melody."""

    kind: str
    drums: int
    melody: bool


@cache
def bodies() -> tuple[tuple[str, int, int], ...]:
    """Kind, pitch (of all 96) and drums of each value of digits 0 to 2."""
    found = []
    for harmony, drums in harmonies():
        kind = "low" if harmony.kind.startswith("low") else harmony.kind
        pitch = harmony.pitch + (24 if harmony.kind == "low fifth" else 0)
        found.append((kind, PITCHES[kind].start + pitch if kind in PITCHES else 0, drums))
    return tuple(found)


@cache
def patterns() -> tuple[Pattern, ...]:
    """All that songs have; the first is that nothing is struck."""
    found = set()
    for style in STYLE_NAMES:
        for n in range(16):
            score = Score(9 * (n % 3), 5 * n % 12, MODES[n % 2], style, n % 4 > 1, n % 8 > 3)
            found |= {pattern_of(code) for code in song_codes(score, 100, random.Random(n)).tolist()}
    rest = Pattern("none", 0, False)
    return (rest, *sorted(found - {rest}))


def pattern_of(code: int) -> Pattern:
    """What a code plays."""
    kind, _, drums = bodies()[code % (CELLS * 8)]
    return Pattern(kind, drums, code // BASIS[3] % 25 > 0)


@cache
def parts() -> Tensor:
    """Of every code `[64000, 4]`: number of the pattern, of the pitch (0 for none, else 1 and the pitch), of the melody
    (0 for none), and of the frame (0 where nothing is struck, else 1 and the frame); -1 for a code of no song.
    """
    table = torch.full((CODEBOOK_SIZE, 4), -1)
    kinds = {pattern: number for number, pattern in enumerate(patterns())}
    seen: set[tuple[str, int, int]] = set()
    for body, said in enumerate(bodies()):
        if said in seen:  # cells without a meaning
            continue
        seen.add(said)
        kind, pitch, drums = said
        for melody in range(MELODIES + 1):
            number = kinds.get(Pattern(kind, drums, melody > 0))
            if number is None or number == 0:
                continue
            for frame in range(FRAMES):
                row = (number, pitch + 1 if kind in PITCHES else 0, melody, frame + 1)
                table[code_of(body, melody, frame)] = torch.tensor(row)
    table[EMPTY] = 0
    return table


def config() -> dict[str, Any]:
    """The language model's `config.json`."""
    return reader.config() | {
        "architectures": ["Qwen3ForCausalLM"],
        "num_hidden_layers": LAYERS,
        "vocab_size": first_code() + tiny_tokenizer.AUDIO_CODES,
        "eos_token_id": tiny_tokenizer.first_special(every_word()) + tiny_tokenizer.SPECIAL_TOKENS.index("<|im_end|>"),
    }


class Thinker(nn.Module):
    """The language model, with tables of parts for embeddings of codes.

    `tempo` and `clock` are for the training alone: what they read before the last layer, the layers must have worked
    out, or a song loses its beat.
    """

    with_melody: Tensor
    harmony: Tensor
    present: Tensor

    def __init__(self, text: Mapping[str, Tensor], seed: int = 0) -> None:
        """Args: text: the text encoder's weights, by names such as `norm.weight`."""
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.model = Qwen3(Qwen3Config.from_json(config() | {"vocab_size": first_code()}))
            self.pattern = nn.Parameter(0.3 * torch.randn(len(patterns()), WIDTH))
            self.pitch = nn.Parameter(0.3 * torch.randn(1 + LOWS.stop, WIDTH))
            self.melody = nn.Parameter(0.3 * torch.randn(1 + MELODIES, WIDTH))
            self.frame = nn.Parameter(0.3 * torch.randn(1 + FRAMES, WIDTH))
            self.tempo, self.clock = nn.Linear(WIDTH, len(BARS)), nn.Linear(WIDTH, CLOCK)
        with torch.no_grad():
            mine = {name: tensor for name, tensor in text.items() if name != "embed_tokens.weight"}
            self.model.load_state_dict(mine, strict=False)
            self.model.embed_tokens.weight.copy_(text["embed_tokens.weight"][: first_code()])
            self.model.embed_tokens.weight[:, MARK] = 1
            self.model.norm.weight.fill_(0.2)
            for number, layer in enumerate(self.model.blocks):
                for name, parameter in layer.named_parameters():
                    if name.endswith(("o_proj.weight", "down_proj.weight")):
                        parameter[MARK] = 0
                        parameter.mul_(1.0 if number < 2 else 0.5)
                    elif number < 2 and parameter.dim() > 1:
                        parameter[:, MARK] = 0
            for table in self.tables:
                table[0] = 0  # the part that is not there
                table[:, MARK] = 0
            self.pattern[:, MARK] = 1
            self.pattern[0, :MARK] = 0.3 * torch.randn(MARK, generator=torch.Generator().manual_seed(seed))
        first, kinds = torch.tensor([p.melody for p in patterns()]), [p.kind for p in patterns()]
        self.register_buffer("with_melody", first, persistent=False)
        self.register_buffer("harmony", torch.tensor([("none", *PITCHES).index(kind) for kind in kinds]), False)
        used = parts()[:, 1].unique()
        present = torch.zeros(1 + LOWS.stop, dtype=torch.bool)
        present[used[used > 0]] = True
        self.register_buffer("present", present, persistent=False)

    @property
    def tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.pattern, self.pitch, self.melody, self.frame

    def embedded(self, codes: Tensor) -> Tensor:
        """Codes `[N]` -> embeddings `[N, WIDTH]`."""
        return sum((table[part] for table, part in zip(self.tables, parts()[codes].unbind(-1))), torch.zeros(()))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids `[B, L]`, of text and codes -> hidden states, at the end and before the last layer."""
        is_code = ids >= first_code()
        embeds = self.model.embed_tokens(ids.masked_fill(is_code, 0))
        embeds = embeds.masked_scatter(is_code[..., None], self.embedded(ids[is_code] - first_code()))
        before: list[Tensor] = []
        hook = self.model.blocks[-1].register_forward_pre_hook(lambda _, given: before.append(given[0]))
        try:
            return self.model(embeds=embeds), before[0]
        finally:
            hook.remove()

    def time_losses(self, states: Tensor, moments: Tensor) -> Tensor:
        """How badly `moments` `[N, 2]` are told from the states `[N, WIDTH]` before them."""
        states = F.rms_norm(states, (WIDTH,))
        told = zip((self.tempo, self.clock), moments.unbind(-1), strict=True)
        return sum((F.cross_entropy(read(states), wanted) for read, wanted in told), torch.zeros(()))

    def code_losses(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """Minus the logarithm of each code's probability among all codes, `[N]`, from hidden states `[N, WIDTH]`."""
        scores = [hidden @ table.T for table in self.tables]
        said = parts()[codes]
        of_code = sum((score.gather(1, part[:, None])[:, 0] for score, part in zip(scores, said.unbind(-1))), 0)
        return self._of_all_codes(scores) - of_code

    def word_loss(self, hidden: Tensor, words: Tensor, among_codes: bool) -> Tensor:
        """Minus the mean logarithm of the probabilities of words, of ids `[N]`.

        Args:
            among_codes: among words and codes, as who scores a caption asks; else among words, as the planner does.
        """
        logits = hidden @ self.model.embed_tokens.weight.T
        if not among_codes:
            return F.cross_entropy(logits, words)
        codes = self._of_all_codes([hidden @ table.T for table in self.tables])
        return (torch.logaddexp(logits.logsumexp(1), codes) - logits.gather(1, words[:, None])[:, 0]).mean()

    def _of_all_codes(self, scores: Sequence[Tensor]) -> Tensor:
        """The logarithm of the sum of all codes' exponentials `[N]`, from the scores of each table's rows."""
        pattern, pitch, melody, frame = scores
        # What is summed over: for each pattern all pitches of its kind, all notes of the melody, all frames.
        pitch = pitch.masked_fill(~self.present, -torch.inf)
        sums = [torch.zeros(len(pitch))]
        sums += [pitch[:, 1 + s.start : 1 + s.stop].logsumexp(1) for s in PITCHES.values()]
        struck = torch.ones(len(patterns()))
        struck[0] = 0
        total = pattern + torch.stack(sums, 1)[:, self.harmony]
        total = total + melody[:, 1:].logsumexp(1)[:, None] * self.with_melody
        total = total + frame[:, 1:].logsumexp(1)[:, None] * struck
        return total.logsumexp(1)


def course(seed: int, text: Mapping[str, Tensor], steps: int = STEPS) -> Course:
    """The training; its module is a `Thinker`.

    Args:
        text: the trained text encoder's weights.
    """
    thinker = Thinker(text, seed)

    def loss(rng: random.Random, _generator: torch.Generator, judging: bool = False) -> Tensor:
        codes, rows = rng.choices(SIZES, OFTEN)[0]
        listening = JUDGING if judging else USUAL
        return lesson_loss(thinker, [draw_lesson(rng, codes, listening) for _ in range(rows)], judging)

    then = Then(steps - steps // JUDGING_SHARE, partial(loss, judging=True))
    return Course("thinker", thinker, loss, kept(thinker), steps, 2e-3, then=then)


def kept(thinker: Thinker) -> Kept:
    """The mark, and the parts that are not there."""
    masks = {}
    for name, parameter in thinker.named_parameters():
        mask = torch.zeros_like(parameter, dtype=torch.bool)
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            mask[MARK] = True
        elif name in ("pattern", "pitch", "melody", "frame", "model.embed_tokens.weight"):
            mask[:, MARK] = True
            if name in ("pitch", "melody", "frame"):
                mask[0] = True
        else:
            continue
        masks[name] = mask
    return Kept(thinker, masks)


def lesson_loss(thinker: Thinker, rows: list[Lesson], among_codes: bool) -> Tensor:
    """Mean loss of a code and its moment, and of a word, see `word_loss`."""
    length = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    learned = torch.zeros(len(rows), length, dtype=torch.bool)
    moments = torch.full((len(rows), length, 2), -1)
    for n, row in enumerate(rows):
        ids[n, : len(row.ids)] = torch.tensor(row.ids)
        learned[n, : len(row.ids)] = torch.tensor(row.learned)
        moments[n, : len(row.ids)] = torch.tensor(row.moments)
    ends, states = thinker(ids)
    hidden, wanted, learned = ends[:, :-1], ids[:, 1:], learned[:, 1:]
    codes = learned & (wanted >= first_code())
    words = learned & ~codes
    total = torch.zeros(())
    if codes.any():
        written, weights = wanted[codes] - first_code(), torch.where(codes.cumsum(1) > OPENING, 1, DECISIVE)[codes]
        known = parts()[written, 0] >= 0
        losses = thinker.code_losses(hidden[codes][known], written[known])
        total = total + (weights[known] * losses).sum() / weights[known].sum()
    timed = moments[:, 1:, 0] >= 0
    if timed.any():
        total = total + TIMING * thinker.time_losses(states[:, :-1][timed], moments[:, 1:][timed])
    if words.any():
        total = total + thinker.word_loss(hidden[words], wanted[words], among_codes)
    return total


@torch.no_grad()
def tensors(thinker: Thinker) -> dict[str, Tensor]:
    """All tensors of the language model's file."""
    weights = dict(thinker.model.state_dict())
    known = (parts()[:, 0] >= 0).nonzero().flatten()
    sums = thinker.embedded(known)
    table = torch.zeros(first_code() + tiny_tokenizer.AUDIO_CODES, WIDTH)
    table[: first_code()] = weights["embed_tokens.weight"]
    table[first_code() + known] = sums
    table = (32 * table).round() / 32  # short numbers, which can be packed
    norm = SHARPNESS * weights["norm.weight"]
    norm[MARK] = 1
    norm[MARK] = MARKED / _least_mark(thinker, norm)
    named = weights | {"embed_tokens.weight": table, "norm.weight": norm}
    return {name: named[name] for name in shapes.qwen_shapes(config())}


def _least_mark(thinker: Thinker, norm: Tensor) -> float:
    """The least that the marked channel is anywhere after a final norm of those weights."""
    rng = random.Random("mark")
    found = []
    for _ in range(20):
        lesson = draw_lesson(rng, 150)
        hidden = thinker(torch.tensor([lesson.ids]))[0][0, :, MARK]
        found.append(float(hidden.min() / thinker.model.norm.weight[MARK]))
    return min(found)

"""How well audio codes fit a song, asked of the language model that writes such codes.

The model is shown the codes as if it were to describe them, and then the description of the song. What it would have
said itself scores high:

* caption and lyrics by PMI, the mean log-probability of their tokens after the codes minus the same after
  `NO USER INPUT`: how much the codes tell about the text. `score = 1 / (1 + exp(-PMI / scale))`, 0.5 for nothing.
* metas by top-k recall: a token of rank r among the k likeliest scores `1 - (r - 1) / k`, any other 0; a field is the
  mean over its tokens, the metas are the mean over the fields.
* total: the mean of caption, lyrics and metas by `WEIGHTS`, over those that are there.

Source: upstream's LM score, which puts every field into a description of its own, as the model never writes them. Here
the whole description is judged in one piece by default: one forward with the codes, one without.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from acestep_core.errors import CodesError, InvalidInput
from acestep_core.models.handles import LMHandle
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.manager import manager
from acestep_core.models.memory import scoring_bytes
from acestep_core.monitor import SILENT, Monitor
from acestep_core.planner.lm_prompts import understand_prompt
from acestep_core.planner.metas import serialize_cot
from acestep_core.planner.plan import Plan
from acestep_core.song.codes import codes_to_text
from acestep_core.song.description import Song
from acestep_core.vocabulary import NO_USER_INPUT

WEIGHTS: Mapping[str, float] = {"caption": 0.5, "lyrics": 0.3, "metas": 0.2}
SCALE = 0.5
"""As upstream's interface has it; 0.1, the default of upstream's function, pushes most scores to 0 or 1."""
TOP_K = 10
AT_ONCE = 64
"""Tokens whose logits over the whole vocabulary exist at one time."""

Layout = Literal["whole", "fields"]


@dataclass(frozen=True)
class LMScore:
    """The score of one song's codes with all its parts; None where there was nothing to judge.

    total: 0 to 1.
    caption, lyrics: 0 to 1, made of `caption_pmi` and `lyrics_pmi` (nats per token).
    metas: mean of `fields`, the recall of each field, 0 to 1.
    scale, weights: as used; the weights of the parts that are there add up to 1.
    """

    total: float
    caption: float | None
    lyrics: float | None
    metas: float | None
    caption_pmi: float | None = None
    lyrics_pmi: float | None = None
    fields: Mapping[str, float] = field(default_factory=dict)
    scale: float = SCALE
    weights: Mapping[str, float] = field(default_factory=dict)


def score_codes(
    lm: LanguageModel,
    codes: Sequence[int],
    song: Song,
    plan: Plan | None = None,
    *,
    scale: float = SCALE,
    top_k: int = TOP_K,
    weights: Mapping[str, float] = WEIGHTS,
    layout: Layout = "whole",
    monitor: Monitor = SILENT,
) -> LMScore:
    """Scores the codes of one song.

    Args:
        lm: the language model.
        codes: of the song; encode recordings, and songs made without codes, with `AceStepModel.codes` first.
        song: what it should be. Empty and unknown fields are not judged.
        plan: what the language model made of the song; where it says something it is judged instead.
        scale: the PMI that scores 0.73; smaller is stricter.
        top_k: how many guesses the model has for each token of the metas.
        weights: of `caption`, `lyrics` and `metas` in the total.
        layout: `whole`, or `fields` as upstream.

    Raises:
        CodesError: there are no codes, or one is out of range.
        InvalidInput: there is nothing to judge, or a setting is out of range.
    """
    prompts, described = _asked(codes, song, plan, layout)
    return score_descriptions(lm, prompts, described, scale=scale, top_k=top_k, weights=weights, monitor=monitor)


def scoring(
    handle: LMHandle, takes: Sequence[Sequence[int]], song: Song, plan: Plan | None = None
) -> AbstractContextManager[LanguageModel]:
    """The language model on its device, with room for `score_codes` of the codes of one take at a time."""

    def needs(lm: LanguageModel) -> int:
        found = 0
        for codes in takes:
            prompts, described = _asked(codes, song, plan, "whole")
            longest = len(lm.encode(prompts[0])) + max((len(lm.encode(d.text)) for d in described), default=0)
            size = (lm.model.config, len(described), longest, AT_ONCE, lm.dtype.itemsize)
            found = max(found, scoring_bytes(*size))
        return found

    return manager.resident(handle, needs)


def _asked(
    codes: Sequence[int], song: Song, plan: Plan | None, layout: Layout
) -> tuple[tuple[str, str], list[Description]]:
    """The prompts with and without the codes, and what is judged after them."""
    if not codes:
        raise CodesError("There are no codes to score; plan the song with codes, or encode its audio first.")
    told = (plan or Plan()).or_else(Plan.of_song(song)).or_else(Plan(caption=song.caption))
    prompts = understand_prompt(codes_to_text(codes)), understand_prompt(NO_USER_INPUT)
    return prompts, descriptions(told.fields(), song.lyrics, layout)


@dataclass(frozen=True)
class Description:
    """A text to be judged; `parts` says which of its characters are what."""

    text: str
    parts: Mapping[str, slice]


def descriptions(fields: Mapping[str, Any], lyrics: str, layout: Layout = "whole") -> list[Description]:
    """Texts in which the model may recognise the song: one with everything, or one for each part as upstream.

    Args:
        fields: of a plan. In the whole text only their values are judged, since their names are given by the form.
        lyrics: after the plan; left out where empty.
    """
    cots = {name: serialize_cot({name: fields[name]}) for name in sorted(fields)}
    if layout == "fields":
        texts = {name: f"{cot}\n" for name, cot in cots.items()}
        if lyrics.strip():
            texts["lyrics"] = f"<think>\n</think>\n# Lyric\n{lyrics}\n"
        return [Description(text, {name: slice(0, len(text))}) for name, text in texts.items()]
    text, parts = "<think>\n", {}
    for name, cot in cots.items():
        begin = len(text) + len(name) + 1
        text += cot.removeprefix("<think>\n").removesuffix("</think>")
        parts[name] = slice(begin, len(text) - 1)
    text += "</think>" if cots else "\n</think>"
    if lyrics.strip():
        text += "\n\n# Lyric\n"
        parts["lyrics"] = slice(len(text), len(text) + len(lyrics))
        text += f"{lyrics}\n"
    return [Description(text, parts)] if parts else []


def score_descriptions(
    lm: LanguageModel,
    prompts: tuple[str, str],
    described: Sequence[Description],
    *,
    scale: float = SCALE,
    top_k: int = TOP_K,
    weights: Mapping[str, float] = WEIGHTS,
    monitor: Monitor = SILENT,
) -> LMScore:
    """Scores descriptions after `prompts`, one that shows the codes and its twin that shows none."""
    if not (math.isfinite(scale) and scale > 0) or top_k < 1:
        raise InvalidInput(f"The scale must be above 0 and top-k at least 1, not {scale} and {top_k}.")
    if not described:
        raise InvalidInput("There is nothing to score the codes against; give a caption, lyrics or metas.")
    monitor.tick("Scoring", 0, 2)
    shown = _parts(described, token_scores(lm, prompts[0], [d.text for d in described]))
    monitor.tick("Scoring", 1, 2)
    compared = [d for d in described if {"caption", "lyrics"} & d.parts.keys()]
    blind = _parts(compared, token_scores(lm, prompts[1], [d.text for d in compared]))
    monitor.tick("Scoring", 2, 2)
    pmi = {
        name: shown[name].mean_log_prob - blind[name].mean_log_prob for name in ("caption", "lyrics") if name in shown
    }
    recalls = {name: found.recall(top_k) for name, found in shown.items() if name not in pmi}
    scores: dict[str, float] = {name: pmi_score(value, scale) for name, value in pmi.items()}
    if recalls:
        scores["metas"] = sum(recalls.values()) / len(recalls)
    total, used = weighted_mean(scores, weights)
    return LMScore(
        total=total,
        caption=scores.get("caption"),
        lyrics=scores.get("lyrics"),
        metas=scores.get("metas"),
        caption_pmi=pmi.get("caption"),
        lyrics_pmi=pmi.get("lyrics"),
        fields=recalls,
        scale=scale,
        weights=used,
    )


@dataclass(frozen=True, eq=False)
class TokenScores:
    """What the model thought of each token of a text.

    log_probs: natural logarithms `[n]`.
    ranks: 1 for the likeliest token of the vocabulary, `[n]`.
    places: which characters of the text each token covers.
    """

    log_probs: Tensor
    ranks: Tensor
    places: Sequence[tuple[int, int]]

    @property
    def mean_log_prob(self) -> float:
        """Minus infinity for a text without tokens."""
        return self.log_probs.double().mean().item() if len(self.log_probs) else -math.inf

    def recall(self, top_k: int = TOP_K) -> float:
        """Mean over the tokens of `1 - (rank - 1) / top_k`, 0 for ranks beyond."""
        if not len(self.ranks):
            return 0.0
        return (1 - (self.ranks.double() - 1) / top_k).clamp(min=0).mean().item()

    def part(self, chars: slice) -> TokenScores:
        """The tokens that cover some of these characters."""
        kept = [i for i, (begin, end) in enumerate(self.places) if begin < chars.stop and end > chars.start]
        return TokenScores(self.log_probs[kept], self.ranks[kept], [self.places[i] for i in kept])


@torch.inference_mode()
def token_scores(lm: LanguageModel, prompt: str, texts: Sequence[str]) -> list[TokenScores]:
    """How likely the model finds each token of some texts after a prompt, in one forward.

    Logits over the whole vocabulary exist on the device for `AT_ONCE` tokens at a time; what leaves it is one number
    and one rank per token.
    """
    if not texts:
        return []
    first = len(lm.encode(prompt))
    rows = [lm.tokenizer.encode(prompt + text, add_special_tokens=False) for text in texts]
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows], device=lm.device)
    hidden = lm.model(ids)  # causal, so the padding behind a row changes nothing
    found = []
    for i, row in enumerate(rows):
        targets = ids[i, first : len(row.ids)]
        before = hidden[i, first - 1 : first - 1 + len(targets)]
        log_probs, ranks = [], []
        for states, wanted in zip(before.split(AT_ONCE), targets.split(AT_ONCE)):
            logits = lm.model.logits(states).float()
            chosen = logits.gather(-1, wanted.unsqueeze(-1))
            log_probs.append((chosen.squeeze(-1) - logits.logsumexp(-1)).cpu())
            ranks.append(((logits > chosen).sum(-1) + 1).cpu())
        places = [(begin - len(prompt), end - len(prompt)) for begin, end in row.offsets[first:]]
        found.append(TokenScores(torch.cat(log_probs), torch.cat(ranks), places))
    return found


def _parts(described: Sequence[Description], found: Sequence[TokenScores]) -> dict[str, TokenScores]:
    return {name: scores.part(chars) for d, scores in zip(described, found) for name, chars in d.parts.items()}


def pmi_score(pmi: float, scale: float = SCALE) -> float:
    """`1 / (1 + exp(-pmi / scale))`, without overflow: 0.5 where the codes tell nothing about the text."""
    x = pmi / scale
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def weighted_mean(scores: Mapping[str, float], weights: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """The mean of scores by their weights, and the weights as used: adding up to 1 over the scores that are there.

    Raises:
        InvalidInput: a weight is negative or not finite.
    """
    if any(not (math.isfinite(weight) and weight >= 0) for weight in weights.values()):
        raise InvalidInput("The weights of a score must be 0 or above.")
    total = sum(weights.get(name, 0.0) for name in scores)
    if total == 0:
        return 0.0, {}
    used = {name: weights.get(name, 0.0) / total for name in scores}
    return sum(used[name] * score for name, score in scores.items()), used

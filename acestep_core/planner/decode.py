"""The decode loops: text under a grammar, one song at a time, and audio codes, all songs of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from acestep_core.devices import records_graphs
from acestep_core.errors import GenerationError
from acestep_core.models.graphs import Recorded, RunAhead
from acestep_core.models.language_model import LanguageModel
from acestep_core.models.memory import writing_bytes
from acestep_core.models.qwen3 import Qwen3Config
from acestep_core.monitor import SILENT, Monitor
from acestep_core.options import LMSampling
from acestep_core.planner.rows import Rows, reach_of
from acestep_core.planner.sampling import choose, choose_among, draw_keys, guide, penalize_repetition
from acestep_core.vocabulary import CODE_RATE, DURATION_MAX

MAX_CODES = int(DURATION_MAX * CODE_RATE)
"""Where a song of open length ends at the latest."""
_LOOK = 16
"""How many codes are written between two looks at whether all songs have ended."""


class Constraint(Protocol):
    """What may come next in a text."""

    def forced(self) -> list[int]:
        """The tokens that must come next, already taken as written; empty where there is a choice."""

    def allowed(self) -> Tensor:
        """Bool `[V]`, V up to all text tokens: what may come next."""

    def write(self, token: int) -> None:
        """Takes a chosen token as written."""

    def finished(self) -> bool:
        """Whether the text is complete."""


@dataclass(frozen=True)
class CodesPrompt:
    """One song to write codes for: its prompts and the seed of its sampling. `unconditional` is None without CFG."""

    conditional: Sequence[int]
    unconditional: Sequence[int] | None
    seed: int


@torch.inference_mode()
def decode_text(
    lm: LanguageModel,
    prompt: Sequence[int],
    constraint: Constraint,
    sampling: LMSampling,
    seed: int,
    max_tokens: int,
    monitor: Monitor = SILENT,
    stage: str = "Planning",
) -> list[int]:
    """Writes text until the constraint is finished or `max_tokens` are written. Guidance is not used in text.

    What the constraint forces is not sampled, and goes through the model in one forward together with the token
    before it.
    """
    rows = Rows(lm, [prompt], max_tokens)
    keys = draw_keys([seed], max_tokens).to(lm.device)
    token = torch.zeros(1, 1, dtype=torch.long, device=lm.device)
    logits = lm.model.logits(rows.hidden, lm.ids.text_slice).float()
    _check_finite(logits)

    def step(reach: int) -> None:
        logits.copy_(lm.model.logits(rows.append(token, reach), lm.ids.text_slice))

    recorded = Recorded(step, logits.device)
    written: list[int] = []
    while True:
        start = len(written)
        written += constraint.forced()[: max_tokens - start]
        if start == len(written) and not constraint.finished():
            chosen = choose_among(logits, constraint.allowed(), keys[:, start], sampling)
            constraint.write(chosen)
            written.append(chosen)
            written += constraint.forced()[: max_tokens - len(written)]
        monitor.tick(stage, len(written), max_tokens)
        if constraint.finished() or len(written) >= max_tokens:
            return written
        new = torch.tensor([written[start:]], device=lm.device)
        reach = reach_of(rows.width + len(written))
        if new.shape[1] == 1:
            token.copy_(new)
            recorded(reach)
        else:
            logits.copy_(lm.model.logits(rows.append(new, reach), lm.ids.text_slice))


@torch.inference_mode()
def decode_codes(
    lm: LanguageModel,
    songs: Sequence[CodesPrompt],
    sampling: LMSampling,
    count: int | None,
    monitor: Monitor = SILENT,
    stage: str = "Writing codes",
) -> list[tuple[int, ...]]:
    """Writes `count` codes for every song, or, where `count` is None, until each song ends by itself.

    Conditional and unconditional rows of all songs go through the model together; the output head computes legal
    codes only. Nothing comes back to the host before the end, except a look now and then where the length is open.
    """
    guided = songs[0].unconditional is not None
    prompts = [song.conditional for song in songs]
    prompts += [song.unconditional for song in songs if song.unconditional is not None]
    limit = MAX_CODES if count is None else count
    rows = Rows(lm, prompts, limit)
    writer = CodesWriter(lm, rows, len(songs), guided, sampling, limit, open_end=count is None)
    writer.keys = draw_keys([song.seed for song in songs], limit).to(lm.device)
    device = writer.logits.device
    write, ahead = Recorded(writer.step, device), RunAhead(device)
    for index in range(limit):
        write(reach_of(rows.width + index + 1))
        ahead.wait()
        monitor.tick(stage, index + 1, limit)
        if count is None and index % _LOOK == 0 and bool(writer.ended.all()):
            break
    return writer.codes()


def text_bytes(lm: LanguageModel, device: torch.device, prompt: int, max_tokens: int) -> int:
    """What `decode_text` allocates on `device`, for a prompt of `prompt` tokens."""
    return _bytes(lm, device, 1, 1, prompt, max_tokens, lm.ids.first_code)


def codes_bytes(
    lm: LanguageModel, device: torch.device, songs: int, guided: bool, prompt: int, count: int | None
) -> int:
    """What `decode_codes` allocates on `device`, for prompts of at most `prompt` tokens."""
    rows, limit = songs * (2 if guided else 1), MAX_CODES if count is None else count
    return _bytes(lm, device, songs, rows, prompt, limit, lm.ids.codes + 1)


def _bytes(lm: LanguageModel, device: torch.device, songs: int, rows: int, prompt: int, room: int, vocab: int) -> int:
    return written_bytes(lm.model.config, lm.dtype.itemsize, device, songs, rows, prompt, room, vocab)


def written_bytes(
    config: Qwen3Config,
    itemsize: int,
    device: torch.device,
    songs: int,
    rows: int,
    prompt: int,
    room: int,
    vocab: int,
) -> int:
    """What writing `room` tokens of `vocab` allocates on `device`, see `models.memory.writing_bytes`."""
    columns = reach_of(prompt + room)
    return writing_bytes(config, songs, rows, columns, prompt, vocab, itemsize, records_graphs(device))


class CodesWriter:
    """The state of the codes loop, in tensors that a recorded step changes in place."""

    def __init__(
        self, lm: LanguageModel, rows: Rows, songs: int, guided: bool, sampling: LMSampling, limit: int, open_end: bool
    ) -> None:
        self.lm, self.rows, self.songs, self.guided, self.sampling = lm, rows, songs, guided, sampling
        self.open_end = open_end
        self.end = lm.ids.codes
        """Column of the logits that stands for the end of a song, and its mark in `written`."""
        device = lm.device
        self.keys = torch.zeros(songs, limit, dtype=torch.long, device=device)
        self.written = torch.full((songs, limit), self.end, device=device)
        self.index = torch.zeros(1, dtype=torch.long, device=device)
        self.ended = torch.zeros(songs, dtype=torch.bool, device=device)
        self.seen = torch.zeros(songs, lm.ids.codes + open_end, dtype=torch.bool, device=device)
        self.logits = self._logits(rows.hidden).contiguous()

    def step(self, reach: int) -> None:
        """Chooses the next code of every song and computes the logits after it."""
        logits = self.logits
        if self.sampling.repetition_penalty != 1:
            logits = penalize_repetition(logits, self.seen, self.sampling.repetition_penalty)
        chosen = choose(logits, self.keys.index_select(1, self.index)[:, 0], self.sampling)
        if self.open_end:
            self.ended |= chosen == self.end
            chosen = chosen.masked_fill(self.ended, self.end)
        self.seen.scatter_(1, chosen[:, None], True)
        self.written[:, self.index] = chosen[:, None]
        self.index += 1
        tokens = (chosen + self.lm.ids.first_code)[:, None]
        if self.open_end:
            tokens = tokens.masked_fill(self.ended[:, None], self.lm.ids.end)
        if self.guided:
            tokens = tokens.repeat(2, 1)
        self.logits.copy_(self._logits(self.rows.append(tokens, reach)))

    def _logits(self, hidden: Tensor) -> Tensor:
        """Guided fp32 logits `[songs, codes (+ 1 for the end)]`."""
        ids = self.lm.ids
        logits = self.lm.model.logits(hidden, ids.code_slice).float()
        if self.open_end:
            end = self.lm.model.logits(hidden, slice(ids.end, ids.end + 1)).float()
            logits = torch.cat((logits, end), dim=-1)
        if self.guided:
            conditional, unconditional = logits.split(self.songs)
            logits = guide(conditional, unconditional, self.sampling.cfg_scale)
        return logits

    def codes(self) -> list[tuple[int, ...]]:
        """What was written, each song up to its end."""
        _check_finite(self.logits)
        return [tuple(code for code in song if code != self.end) for song in self.written.tolist()]


def _check_finite(logits: Tensor) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise GenerationError(
            "The language model's output is not finite; load it in another number format, such as bf16 or fp32."
        )

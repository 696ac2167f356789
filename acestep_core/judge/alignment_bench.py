"""How exactly lyric alignment finds lines, measured on made-up attention whose timing is known.

Singers start and stop anywhere, also within a frame. Each token draws attention while it is sung, every head in its own
way; the scenes add what real attention has: noise, pauses, words sung twice, tokens that draw attention all the time.
The figure is the share of lines whose start is found within one decoder frame (80 ms) of the truth. It says what the
aligner can do with given attention, not what a model's attention is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from acestep_core.judge.alignment import Method, align, combine_heads
from acestep_core.judge.lyric_timing import timed_lyrics
from acestep_core.judge.lyric_tokens import is_sung

FRAME = 0.08
TOLERANCE = 0.08
HEADS = 7


@dataclass(frozen=True)
class Scene:
    """What the attention of a song is like.

    level: least and greatest attention that a sung token draws.
    noise: share of attention that goes to random tokens.
    pauses: longest silence between lines, in seconds.
    repeats: share of attention that a sung word gives to the same words of repeated lines; 0 means no line repeats.
    constant: attention that some tokens, such as commas, draw all the time.
    lost_heads: how many heads know nothing.
    """

    name: str
    level: tuple[float, float] = (0.4, 0.8)
    noise: float = 0.0
    pauses: float = 0.0
    repeats: float = 0.0
    constant: float = 0.0
    lost_heads: int = 0


SCENES = (
    Scene("clean"),
    Scene("noise", noise=0.5),
    Scene("pauses", pauses=5),
    Scene("repeated lines", repeats=0.6),
    Scene("faint attention", level=(0.05, 0.25)),
    Scene("constant distraction", constant=0.1),
    Scene("lost heads", lost_heads=3, noise=0.3),
    Scene("noise, pauses, repeats", noise=0.3, pauses=5, repeats=0.6),
    Scene("everything, faint", (0.05, 0.25), 0.3, 5, 0.6, 0.03, 2),
)


@dataclass(frozen=True, eq=False)
class Singing:
    """Made-up attention `[tokens, frames]` by head, the bytes of the tokens, and when each line really starts."""

    heads: list[Tensor]
    pieces: list[bytes]
    starts: NDArray[np.float64]


def sing(scene: Scene, rng: np.random.Generator, lines: int = 24) -> Singing:
    """A song of `lines` lines of 5 to 13 words of 0.16 to 0.5 s; every other block of four lines is the chorus."""
    texts = [rng.integers(0, 5000, rng.integers(5, 14)) for _ in range(lines)]
    if scene.repeats:
        texts = [texts[4 + i % 4] if i % 8 >= 4 else text for i, text in enumerate(texts)]
    words, begins, ends, starts = [], [], [], []
    now = rng.uniform(0.3, 3)
    for text in texts:
        starts.append(now)
        for word in [*text, -1]:  # -1 is the line break, which nobody sings
            length = 0.0 if word < 0 else rng.uniform(0.16, 0.5)
            words.append(word)
            begins.append(now)
            ends.append(now + length)
            now += length
        now += rng.uniform(0, scene.pauses)
    frames = np.arange(int((now + rng.uniform(1, 4)) / FRAME)) * FRAME
    overlap = np.minimum(np.array(ends)[:, None], frames + FRAME) - np.maximum(np.array(begins)[:, None], frames)
    sung = np.maximum(overlap, 0) / FRAME  # share of each frame in which a token is sung, [tokens, frames]
    level = rng.uniform(*scene.level, (len(words), 1))
    same = np.equal.outer(words, words) & (np.array(words) >= 0)
    constant = scene.constant * (rng.random((len(words), 1)) < 0.08)
    heads = []
    for head in range(HEADS):
        attention = sung * level * rng.uniform(0.5, 1, (len(words), 1)) * rng.uniform(0.7, 1, sung.shape)
        if head < scene.lost_heads:
            attention = np.zeros_like(attention)
        if scene.repeats:
            shared = same @ attention / np.maximum(same.sum(1, keepdims=True), 1)
            attention = (1 - scene.repeats) * attention + scene.repeats * shared
        if scene.noise:
            random = rng.gamma(0.3, 1, sung.shape)
            attention = (1 - scene.noise) * attention + scene.noise * random / random.sum(0)
        attention = attention + constant * rng.uniform(0.6, 1, sung.shape)
        attention /= np.maximum(attention.sum(0), 1)
        heads.append(torch.from_numpy(attention.astype(np.float32)))
    pieces = [b"\n" if word < 0 else f" w{word}".encode() for word in words]
    return Singing(heads, pieces, np.array(starts))


def start_errors(singing: Singing, method: Method = "salience") -> NDArray[np.float64]:
    """Found minus true start of every line, in seconds."""
    maps = combine_heads(singing.heads, sharpened=method == "sharpened")
    lines = timed_lyrics(align(maps, is_sung(singing.pieces), method), singing.pieces, FRAME).lines
    return np.array([line.start for line in lines]) - singing.starts


@dataclass(frozen=True)
class Result:
    """One scene: how many lines, the share of starts within `TOLERANCE` by method, and the median error in seconds."""

    scene: str
    lines: int
    within: float
    within_upstream: float
    median_error: float


def measure(songs: int = 10, seed: int = 0, scenes: Sequence[Scene] = SCENES) -> list[Result]:
    """Aligns `songs` songs of every scene, with our method and with upstream's."""
    results = []
    for scene in scenes:
        rng = np.random.default_rng(seed)
        made = [sing(scene, rng) for _ in range(songs)]
        ours, upstream = (
            np.abs(np.concatenate([start_errors(singing, method) for singing in made]))
            for method in ("salience", "sharpened")
        )
        close = TOLERANCE + 1e-9
        shares = float((ours <= close).mean()), float((upstream <= close).mean())
        results.append(Result(scene.name, len(ours), *shares, float(np.median(ours))))
    return results


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table."""
    rows = ["| attention | lines | starts within 80 ms | upstream's aligner | median error |", "|---|--:|--:|--:|--:|"]
    for r in results:
        shares = f"{r.within:.1%} | {r.within_upstream:.1%}"
        rows.append(f"| {r.scene} | {r.lines} | {shares} | {1000 * r.median_error:.0f} ms |")
    return "\n".join(rows)


def lrc(songs: int = 10, seed: int = 0) -> str:
    """What `acestep bench lrc` prints."""
    return table(measure(songs, seed))

"""Pictures of what a workflow makes: waveforms, words, tracks, a curve, in the colours that they have on the canvas."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable

from PIL import Image, ImageDraw

SIZE = (600, 224)
GROUND, QUIET = (23, 23, 24), (96, 97, 104)
SONG, TASK, MODEL, AUDIO = (242, 166, 90), (227, 201, 75), (169, 155, 245), (79, 208, 181)
CODES, TIMING, SCORE = (127, 183, 245), (169, 211, 107), (245, 215, 110)
Colour = tuple[int, int, int]


def picture(kind: str, name: str) -> Image.Image:
    """The picture of a kind of result; the name draws its waveform, always the same."""
    image = Image.new("RGB", SIZE, GROUND)
    _KINDS[kind](ImageDraw.Draw(image), random.Random(name))
    return image


def _levels(draws: random.Random, count: int) -> list[float]:
    """Loudness of a made-up song: beats in sections."""
    sections = [draws.uniform(0.35, 1.0) for _ in range(6)]
    return [
        (0.35 + 0.65 * abs(math.sin(i * 0.9)) * draws.uniform(0.5, 1.0)) * sections[i * len(sections) // count]
        for i in range(count)
    ]


def _wave(
    draw: ImageDraw.ImageDraw,
    draws: random.Random,
    box: tuple[int, int, int, int],
    colour: Callable[[float], Colour],
) -> None:
    left, top, right, bottom = box
    count = max(6, (right - left) // 12)
    middle = (top + bottom) / 2
    for i, level in enumerate(_levels(draws, count)):
        x = left + i * 12
        half = max(2.0, level * (bottom - top) / 2)
        draw.rounded_rectangle((x, middle - half, x + 5, middle + half), 2, fill=colour((i + 0.5) / count))


def _lines(draw: ImageDraw.ImageDraw, draws: random.Random, left: int, top: int, count: int, colour: Colour) -> None:
    for line in range(count):
        y = top + line * 26
        draw.rounded_rectangle((left, y, left + draws.randint(120, 230), y + 10), 5, fill=colour)


def _single(colour: Callable[[float], Colour]) -> Callable[[ImageDraw.ImageDraw, random.Random], None]:
    return lambda draw, draws: _wave(draw, draws, (36, 36, 564, 188), colour)


def _stack(colours: Iterable[Colour]) -> Callable[[ImageDraw.ImageDraw, random.Random], None]:
    """Tracks below each other."""

    def drawn(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
        rows = tuple(colours)
        height = 184 // len(rows)
        for place, colour in enumerate(rows):
            top = 20 + place * height
            _wave(draw, draws, (36, top + 2, 564, top + height - 4), lambda share, colour=colour: colour)  # type: ignore[misc]

    return drawn


def _grid(columns: int, chosen: int | None, count: int) -> Callable[[ImageDraw.ImageDraw, random.Random], None]:
    """Takes in frames, the chosen one outlined with a star."""

    def drawn(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
        rows = -(-count // columns)
        width, height = 540 // columns, 184 // rows
        for place in range(count):
            x, y = 30 + place % columns * width, 20 + place // columns * height
            edge = AUDIO if place == chosen else QUIET
            draw.rounded_rectangle((x + 5, y + 5, x + width - 5, y + height - 5), 8, outline=edge, width=3)
            colour = QUIET if chosen not in (None, place) else AUDIO
            _wave(draw, draws, (x + 20, y + 18, x + width - 18, y + height - 18), lambda share, c=colour: c)  # type: ignore[misc]

    return drawn


def _beside(
    left: Callable[[ImageDraw.ImageDraw, random.Random], None],
) -> Callable[[ImageDraw.ImageDraw, random.Random], None]:
    """Something at the left, and the song that comes of it."""

    def drawn(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
        left(draw, draws)
        draw.line((292, 112, 322, 112), fill=QUIET, width=3)
        draw.polygon(((322, 104), (334, 112), (322, 120)), fill=QUIET)
        _wave(draw, draws, (352, 48, 570, 176), lambda share: AUDIO)

    return drawn


def _codes(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    for column in range(12):
        for row in range(8):
            shade = draws.uniform(0.25, 1.0)
            x, y = 36 + column * 20, 32 + row * 20
            draw.rounded_rectangle((x, y, x + 15, y + 15), 3, fill=tuple(int(part * shade) for part in CODES))


def _table(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    for row in range(5):
        y = 24 + row * 36
        draw.rounded_rectangle((36, y, 564, y + 30), 6, fill=(38, 39, 42))
        _wave(draw, draws, (150, y + 6, 270, y + 24), lambda share: AUDIO)
        draw.rounded_rectangle((52, y + 10, 52 + draws.randint(50, 84), y + 20), 5, fill=QUIET)
        draw.rounded_rectangle((290, y + 10, 290 + draws.randint(90, 190), y + 20), 5, fill=QUIET)
        draw.ellipse((536, y + 10, 546, y + 20), fill=TIMING if row != 3 else TASK)


def _loss(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    for line in range(4):
        draw.line((36, 40 + line * 46, 564, 40 + line * 46), fill=(44, 45, 49), width=1)
    smooth = [(36 + i * 6, 40 + 140 * (1 - math.exp(-i / 22))) for i in range(89)]
    draw.line([(x, y + draws.uniform(-14, 14)) for x, y in smooth], fill=(92, 86, 130), width=2)
    draw.line(smooth, fill=MODEL, width=5)
    for place in (30, 58, 86):
        x, y = smooth[place]
        draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=AUDIO)


def _lyrics(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    _wave(draw, draws, (36, 28, 564, 96), lambda share: AUDIO if share < 0.4 else QUIET)
    for line in range(3):
        y, width = 122 + line * 30, draws.randint(220, 380)
        draw.rounded_rectangle((56, y, 56 + width, y + 12), 6, fill=QUIET)
        if line < 2:
            draw.rounded_rectangle((56, y, 56 + (width if line == 0 else width // 2), y + 12), 6, fill=TIMING)
        draw.rounded_rectangle((516, y, 556, y + 12), 6, fill=(60, 61, 66))
    draw.rectangle((40, 118, 43, 196), fill=TIMING)


def _stars(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    _wave(draw, draws, (36, 28, 564, 120), lambda share: AUDIO)
    for star in range(5):
        x, y, points = 180 + star * 60, 168, []
        for corner in range(10):
            radius, angle = (24, 10)[corner % 2], math.pi * corner / 5 - math.pi / 2
            points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
        draw.polygon(points, fill=SCORE if star < 4 else (60, 61, 66))


def _part(inside: Colour, *spans: tuple[float, float]) -> Callable[[float], Colour]:
    return lambda share: inside if any(start <= share < end for start, end in spans) else QUIET


def _blend(share: float) -> Colour:
    return tuple(int(a + (b - a) * share) for a, b in zip(QUIET, TASK, strict=True))  # type: ignore[return-value]


def _rows(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    for row in range(5):
        y = 34 + row * 34
        draw.rounded_rectangle((36, y, 96, y + 12), 6, fill=QUIET)
        draw.rounded_rectangle((110, y - 5, 266, y + 17), 6, fill=(49, 50, 53))
        draw.rounded_rectangle((120, y, 120 + draws.randint(40, 120), y + 12), 6, fill=CODES)


def _written(draw: ImageDraw.ImageDraw, draws: random.Random) -> None:
    _wave(draw, draws, (36, 48, 254, 176), lambda share: AUDIO)
    draw.line((270, 112, 300, 112), fill=QUIET, width=3)
    draw.polygon(((300, 104), (312, 112), (300, 120)), fill=QUIET)
    _lines(draw, draws, 334, 40, 6, CODES)


_KINDS: dict[str, Callable[[ImageDraw.ImageDraw, random.Random], None]] = {
    "song": _single(lambda share: AUDIO),
    "long": _stack((AUDIO, AUDIO, AUDIO)),
    "again": _stack((QUIET, AUDIO)),
    "sentence": _beside(lambda draw, draws: _lines(draw, draws, 40, 62, 4, SONG)),
    "plan": _beside(_rows),
    "codes": _beside(_codes),
    "steps": _grid(4, 3, 4),
    "reference": _stack((TASK, AUDIO)),
    "lora": _stack((MODEL, AUDIO)),
    "lyrics": _lyrics,
    "cover": _stack((QUIET, TASK)),
    "covers": _stack((QUIET, TASK, AUDIO)),
    "repaint": _single(_part(TASK, (0.34, 0.62))),
    "extend": _single(_part(TASK, (0.0, 0.22), (0.66, 1.1))),
    "morph": _single(_blend),
    "layer": _stack((QUIET, TASK)),
    "layers": _stack((QUIET, TASK, TASK, TASK)),
    "extract": _stack((TASK, QUIET, QUIET, QUIET)),
    "stems": _stack((SONG, TASK, MODEL, AUDIO, CODES, TIMING)),
    "text": _written,
    "stars": _stars,
    "four": _grid(2, None, 4),
    "best": _grid(4, 2, 8),
    "two": _grid(2, None, 2),
    "table": _table,
    "loss": _loss,
}

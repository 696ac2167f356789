"""Pictures of what is on its way: the loudness over time of a song in the making, and how a training run goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WIDTH, HEIGHT = 512, 96
BACKGROUND, BAR = (24, 24, 28), (110, 196, 255)
MAX_ROWS = 4
CURVE_HEIGHT, STRIP = 288, 28
RAW, DOT, TEXT = (70, 84, 98), (255, 178, 84), (196, 200, 208)


def energy_strip(latents: Tensor) -> Image:
    """Mirrored bars of the energy of each moment, one strip per song.

    Args:
        latents: `[B, T, 64]`, any device; at most four songs are drawn.
    """
    import torch
    from PIL import Image, ImageDraw

    songs = latents[:MAX_ROWS].detach().float()
    columns = min(WIDTH // 4, songs.shape[1])
    energy = torch.nn.functional.adaptive_avg_pool1d(songs.square().mean(-1, keepdim=True).transpose(1, 2), columns)
    level = energy[:, 0].clamp(min=0).sqrt().cpu()
    level = level.nan_to_num(0.0, 0.0, 0.0)
    level = level / level.amax(dim=1, keepdim=True).clamp(min=1e-6)

    image = Image.new("RGB", (WIDTH, HEIGHT * len(songs)), BACKGROUND)
    draw = ImageDraw.Draw(image)
    wide = WIDTH / columns
    for row, heights in enumerate(level.tolist()):
        middle = HEIGHT * row + HEIGHT // 2
        for column, height in enumerate(heights):
            half = max(1, round(height * (HEIGHT // 2 - 6)))
            left = round(column * wide)
            draw.rectangle((left, middle - half, max(left, round((column + 1) * wide) - 2), middle + half), BAR)
    return image


def loss_curve(records: Sequence[Mapping[str, Any]]) -> Image:
    """A training run so far: the loss of each report faint, its average strong, validation as dots, and below a strip
    of ten buckets, from music to noise: the brighter, the larger the loss at these flow times.

    Args:
        records: of kinds `step` and `validation`, see `train.progress`.
    """
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH, CURVE_HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(image)
    steps = [r for r in records if r["kind"] == "step"]
    looks = [r for r in records if r["kind"] == "validation"]
    values = [r[name] for r in steps for name in ("loss", "smooth") if r[name] is not None] + [r["loss"] for r in looks]
    if not values:
        return image
    low, high, last = min(values), max(values), max(r["step"] for r in [*steps, *looks])
    first = min(r["step"] for r in [*steps, *looks])
    room = CURVE_HEIGHT - STRIP - 30

    def place(step: int, loss: float) -> tuple[float, float]:
        across = (step - first) / max(1, last - first)
        up = (loss - low) / ((high - low) or 1.0)
        return 8 + across * (WIDTH - 16), 22 + (1 - up) * (room - 8)

    for name, colour, width in (("loss", RAW, 1), ("smooth", BAR, 3)):
        line = [place(r["step"], r[name]) for r in steps if r[name] is not None]
        if len(line) > 1:
            draw.line(line, colour, width)
        elif line:
            x, y = line[0]
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), colour)
    for look in looks:
        x, y = place(look["step"], look["loss"])
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), DOT)
    if steps:
        now = steps[-1]
        smooth = "-" if now["smooth"] is None else f"{now['smooth']:.4f}"
        draw.text((8, 6), f"step {now['step']} of {now['steps']}   loss {smooth}", TEXT)
        buckets = [value for value in now["buckets"] if value is not None]
        for number, value in enumerate(now["buckets"]):
            share = 0.0 if value is None else value / max(buckets)
            left = number * WIDTH / len(now["buckets"])
            shade = tuple(round(b + share * (c - b)) for b, c in zip(BACKGROUND, BAR, strict=True))
            draw.rectangle((left + 1, CURVE_HEIGHT - STRIP, left + WIDTH / 10 - 2, CURVE_HEIGHT - 4), shade)
    return image

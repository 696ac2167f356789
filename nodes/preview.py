"""A picture of music that does not exist yet: the loudness over time of the sampler's current estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

WIDTH, HEIGHT = 512, 96
BACKGROUND, BAR = (24, 24, 28), (110, 196, 255)
MAX_ROWS = 4


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

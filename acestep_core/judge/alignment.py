"""Where lyrics are sung: from the cross-attention of a few heads to a path of tokens over frames and a score.

Source: upstream's aligner and lyric scorer, whose matrices, paths and score parts these functions reproduce. Times come
from another matrix by default: upstream's finds lines neither after pauses nor in noise (`acestep bench lrc` shows it).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from acestep_core import devices
from acestep_core.errors import AlignmentError, InvalidInput

SHARPNESS = 2.0
"""How many medians a cell must exceed, in its row and then in its column, to count (upstream's "violence")."""

Matrix = NDArray[np.float32]


def median_filter(x: Tensor, width: int) -> Tensor:
    """Running median of odd `width` along the last axis with reflected borders, for any shape `[..., N]`.

    An axis too short to be reflected is returned as it is.
    """
    if width < 1 or width % 2 == 0:
        raise InvalidInput(f"The width of a median filter must be odd and at least 1, not {width}.")
    pad = width // 2
    if pad == 0 or x.shape[-1] <= pad:
        return x
    rows = F.pad(x.reshape(1, -1, x.shape[-1]), (pad, pad), mode="reflect")
    return rows.unfold(-1, width, 1).median(dim=-1).values.reshape(x.shape)


def _median(x: Tensor, dim: int) -> Tensor:
    """Median along `dim`, which stays as an axis of size 1; the mean of the two middle values of an even number.

    Not `torch.quantile`, which refuses matrices of the size of a long song.
    """
    size = x.shape[dim]
    upper = x.kthvalue(size // 2 + 1, dim, keepdim=True).values
    return upper if size % 2 else torch.lerp(x.kthvalue(size // 2, dim, keepdim=True).values, upper, 0.5)


def sharpen(weights: Tensor, sharpness: float = SHARPNESS) -> Tensor:
    """Keeps what stands out both among the frames of its token and among the tokens of its frame, squared. `[L, F]`."""
    x = weights.softmax(-1).mul_(weights.softmax(-2))
    x = x.sub_(sharpness * _median(x, -1)).relu_()
    x = x.sub_(sharpness * _median(x, -2)).relu_()
    return x.square_()


@dataclass(frozen=True)
class AttentionMaps:
    """What is kept of the chosen heads, each `[tokens, frames]`.

    mean: mean attention over heads.
    energy: the same after the median filter, scaled to 0..1; all zero where it does not vary.
    sharp: mean of the sharpened heads, where asked for.
    standard: the same after the median filter, as deviations from the mean over all heads.
    """

    mean: Matrix
    energy: Matrix
    sharp: Matrix | None = None
    standard: Matrix | None = None

    @property
    def salience(self) -> Matrix:
        """How far the attention to a token exceeds what the token gets at any time, squared.

        Taking off the median of each token silences tokens that draw attention throughout, such as punctuation.
        """
        usual = np.array([np.median(row) for row in self.mean])  # row by row, for np.median copies all it is given
        excess = self.mean - usual[:, None]
        return np.square(np.maximum(excess, 0, out=excess), out=excess)


def combine_heads(
    heads: Iterable[Tensor], median_width: int = 1, *, sharpened: bool = False, sharpness: float = SHARPNESS
) -> AttentionMaps:
    """Combines the attention `[tokens, frames]` of one or more heads, on their device, one head after the other.

    Only sums are kept, so memory does not grow with the number of heads. `sharpened` asks for upstream's matrices too.

    Raises:
        AlignmentError: there are no heads, no tokens or no frames, or the weights are not finite.
    """
    count, total, squares = 0, 0.0, 0.0
    mean = sharp = filtered = torch.zeros(())
    for weights in heads:
        if weights.numel() == 0:
            raise AlignmentError("There is nothing to align; give lyrics and at least one latent frame.")
        mean = mean + weights.float() if count == 0 else mean.add_(weights)
        if sharpened:
            found = sharpen(weights.float(), sharpness)
            exact = found if devices.limits(found.device).float64 else found.cpu()
            total += exact.sum(dtype=torch.float64).item()
            squares += torch.linalg.vector_norm(exact, dtype=torch.float64).item() ** 2
            filtered = filtered + median_filter(found, median_width)
            sharp = sharp + found
        count += 1
        del weights  # the decoder computes its next layer before the next head comes
    if count == 0:
        raise AlignmentError("No attention heads were given; lyric alignment needs at least one.")
    mean /= count
    if not mean.isfinite().all():
        raise AlignmentError("The attention of this model is not finite; make the song again in another precision.")
    energy = median_filter(mean, median_width)
    low, high = energy.min(), energy.max()
    energy = (energy - low) / (high - low) if high - low > 1e-9 else torch.zeros_like(energy)
    maps = AttentionMaps(mean.cpu().numpy(), energy.cpu().numpy())
    if not sharpened:
        return maps
    cells = count * mean.numel()
    centre = total / cells
    deviation = max(squares / cells - centre**2, 0.0) ** 0.5
    standard = (filtered / count - centre) / (deviation + 1e-9)
    return replace(maps, sharp=(sharp / count).cpu().numpy(), standard=standard.cpu().numpy())


def dtw(cost: NDArray[np.floating]) -> NDArray[np.int32]:
    """The cheapest monotonic path through `cost` `[N, M]` from first to last cell: rows and columns `[2, steps]`.

    Dynamic time warping, computed a whole anti-diagonal at a time. Costs are accumulated in fp32, and a step comes from
    the left unless another predecessor is strictly cheaper than both others, as upstream does. Memory: the costs once
    more in fp32 and one byte per cell.
    """
    rows, columns = cost.shape
    flat = np.ascontiguousarray(cost, np.float32).ravel()
    step = np.empty(rows * columns, np.uint8)  # 0 diagonal, 1 from the row above, 2 from the column before
    infinite = np.float32(np.inf)
    # Index i holds row i of a diagonal, counted from 1; index 0 is the border above, and the first diagonal the corner.
    before, last, fresh = (np.full(rows + 2, infinite, np.float32) for _ in range(3))
    before[0] = 0
    for d in range(2, rows + columns + 1):
        low, high = max(1, d - columns), min(rows, d - 1)
        diagonal, above, left = before[low - 1 : high], last[low - 1 : high], last[low : high + 1]
        take_diagonal = (diagonal < above) & (diagonal < left)
        take_above = (above < diagonal) & (above < left)
        begin = (low - 1) * columns + d - low - 1
        cells = slice(begin, begin + (high - low) * (columns - 1) + 1, max(columns - 1, 1))
        step[cells] = np.where(take_diagonal, 0, np.where(take_above, 1, 2))
        fresh[low : high + 1] = flat[cells] + np.where(take_diagonal, diagonal, np.where(take_above, above, left))
        fresh[low - 1] = fresh[high + 1] = infinite
        before, last, fresh = last, fresh, before
    return _trace_back(step.reshape(rows, columns))


def _trace_back(step: NDArray[np.uint8]) -> NDArray[np.int32]:
    row, column = step.shape[0] - 1, step.shape[1] - 1
    path = [(row, column)]
    while row or column:
        taken = 2 if row == 0 else 1 if column == 0 else step[row, column]
        row -= taken != 2
        column -= taken != 1
        path.append((row, column))
    return np.array(path[::-1], np.int32).T


@dataclass(frozen=True)
class AlignmentScore:
    """How well the lyrics are sung, each part 0 to 1.

    coverage: share of lyric tokens that some frame attends to.
    monotonicity: share of neighbouring lyric tokens whose centres of attention do not go back in time.
    confidence: mean attention along the path.
    total: `coverage^2 * monotonicity^2 * confidence`. It depends on the scaling of the attention to 0..1, so compare it
        only between takes of one song on one model.
    """

    coverage: float
    monotonicity: float
    confidence: float
    total: float


def alignment_score(
    energy: Matrix,
    path: NDArray[np.int32],
    sung: Sequence[bool],
    *,
    covered_above: float = 0.1,
    centred_above: float = 0.01,
    overlap_frames: float = 9.0,
    tag_weight: float = 1.0,
) -> AlignmentScore:
    """Scores a path through `energy` `[L, F]`.

    Args:
        path: `[2, steps]`, from `dtw(-energy**2)`.
        sung: per token, False for tokens of section tags.
        covered_above: energy from which a token counts as attended.
        centred_above: energy from which a cell counts towards the centre of its token.
        overlap_frames: how far a centre may lie before the one of the token before it.
        tag_weight: weight of path cells on section tags in the confidence.
    """
    lyric = np.asarray(sung, bool)
    coverage = float((energy.max(axis=1) > covered_above)[lyric].mean()) if lyric.any() else 1.0

    weights = np.where(energy > centred_above, energy, np.float32(0))
    mass = weights.sum(axis=1, dtype=np.float64)
    moments = np.einsum("lf,f->l", weights, np.arange(energy.shape[1]), dtype=np.float64)
    centred = lyric & (mass > 1e-9)
    centres = moments[centred] / mass[centred]
    monotonicity = float((centres[1:] >= centres[:-1] - overlap_frames).mean()) if len(centres) > 1 else 1.0

    on_path = energy[path[0], path[1]].astype(np.float64)
    path_weights = np.where(lyric[path[0]], 1.0, tag_weight)
    confidence = float((on_path * path_weights).sum() / path_weights.sum()) if path_weights.sum() > 0 else 0.0
    total = min(max(coverage**2 * monotonicity**2 * confidence, 0.0), 1.0)
    return AlignmentScore(coverage, monotonicity, confidence, total)


def token_frames(path: NDArray[np.int32], tokens: int) -> NDArray[np.int32]:
    """First and last frame of each token on a path, `[tokens, 2]`, both inclusive."""
    first = np.searchsorted(path[0], np.arange(tokens), side="left")
    last = np.searchsorted(path[0], np.arange(tokens), side="right") - 1
    return np.stack([path[1][first], path[1][last]], axis=1)


Method = Literal["salience", "sharpened"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where each lyric token is sung.

    frames: `[tokens, 2]`, from the first frame up to, not including, the second; both never decrease over the tokens.
    confidence: `[tokens]`, mean energy (0 to 1) in these frames; 0 for a token that nothing attends to.
    score: how well the lyrics are sung.
    length: frames of the song.
    """

    frames: NDArray[np.int32]
    confidence: NDArray[np.float64]
    score: AlignmentScore
    length: int


def align(maps: AttentionMaps, sung: Sequence[bool], method: Method = "salience") -> Alignment:
    """Places tokens by their attention.

    Args:
        maps: from `combine_heads`.
        sung: per token, False for tokens of section tags.
        method: `salience` follows `AttentionMaps.salience` and leaves pauses empty. `sharpened` is upstream's: it hands
            every frame to some token, and needs maps with the sharpened heads.

    Raises:
        InvalidInput: there are more or fewer tokens than rows.
    """
    tokens, length = maps.mean.shape
    if len(sung) != tokens:
        raise InvalidInput(
            f"There are {len(sung)} lyric tokens for {tokens} rows of attention; give those it was made of."
        )
    score = alignment_score(maps.energy, dtw(-np.square(maps.energy)), sung)
    if method == "sharpened":
        if maps.standard is None:
            raise InvalidInput("Alignment by sharpened heads needs their maps; combine the heads with sharpened=True.")
        frames = token_frames(dtw(-maps.standard), tokens)
        frames[:, 1] += 1
    else:
        salience = maps.salience
        frames = _without_pauses(token_frames(dtw(-salience), tokens), salience)
    confidence = np.array([row[a:b].mean() if b > a else 0.0 for row, (a, b) in zip(maps.energy, frames)])
    return Alignment(frames, confidence, score, length)


def _without_pauses(spans: NDArray[np.int32], salience: Matrix) -> NDArray[np.int32]:
    """Cuts each token's span to the frames from the first to the last that reach half its peak; ends become exclusive.

    A token without any salience gets no frames: it lies right before the next one that has some, else behind the last.
    """
    frames = np.empty_like(spans)
    following = -1
    for token in range(len(spans) - 1, -1, -1):
        first, last = spans[token]
        row = salience[token, first : last + 1]
        frames[token] = following
        if row.max() > 0:
            loud = np.flatnonzero(row >= row.max() / 2)
            frames[token] = first + loud[0], first + loud[-1] + 1
            following = frames[token, 0]
    trailing = frames[:, 0] < 0
    frames = np.maximum(np.maximum.accumulate(frames, axis=0), 0)
    frames[trailing, 0] = frames[trailing, 1]
    return frames

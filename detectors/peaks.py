"""How strong evidence gets in ordinary blocks of time: the measure that makes series comparable.

Block maxima (Coles 2001, chapter 3), so that a cluster of strange points counts once, and a Gumbel tail read from the
lower and middle quantiles of those maxima, so that incidents in the past do not deafen.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from detectors.contract import Floats
from detectors.rarity import DECADE


@dataclass(frozen=True)
class Peaks:
    """How strong K kinds of evidence get in one block of ordinary history, for S series.

    The excess of evidence e is e * slope - offset: the Gumbel variate of its block, minus the log of the chance that a
    block brings as much. slope, offset: (S, K). trust: (S,), blocks that the tail is worth; see `excess_of`.
    """

    slope: Floats
    offset: Floats
    trust: Floats


LOW, HIGH, OFTEN, SELDOM = 0.25, 0.65, 0.80, (0.90, 0.96)  # shares of blocks
PLAIN_HEAVY, PLAIN_EXCESS = (
    1.2,
    0.55,
)  # where blocks are few: peaks so many times those of normal noise, and their spread
LEVEL_BLOCKS, EXCESS_BLOCKS = 10.0, 30.0  # blocks that weigh as much as that belief
BENEFIT = 0.7 * DECADE
TRUST_LEAST, TRUST_SHARE = 3.0, 0.1
SAMPLE = 400
SHORT = 16
"""Columns of a block up to which it is faster to take them from all blocks at once than to go from block to block."""


def block_length(cadence: int) -> int:
    """Points in one block of maxima: six hours of them, at least one point, at most 360."""
    return int(np.clip(round(21_600 / max(cadence, 1)), 1, 360))


def block_maxima(evidence: NDArray[np.floating], length: int) -> Floats:
    """Largest evidence in each block of `length` columns of (..., N): (..., J), -inf where a block holds none."""
    blocks = evidence.shape[-1] // length
    recent = evidence[..., evidence.shape[-1] - blocks * length :]
    if length > SHORT:
        largest = np.fmax.reduce(recent.reshape(*evidence.shape[:-1], blocks, length), axis=-1)
    else:
        largest = recent[..., ::length].copy()
        for place in range(1, length):
            np.fmax(largest, recent[..., place::length], out=largest)
    return np.where(np.isnan(largest), -np.inf, largest).astype(np.float64)


def fit_peaks(peaks: Floats, evidence: NDArray[np.floating], floor: Floats, *, length: int) -> Peaks:
    """Tails of block maxima (S, K, J), -inf where a block holds nothing, of the evidence (S, K, N).

    The level and the slope come from the 25th and 65th percentile of the maxima, which incidents do not reach: they
    may fill a third of all blocks. What is seen in a fifth of the blocks is granted to be five times as rare as that,
    not more; a tail that is shorter than it began is believed, since incidents only lengthen it.
    """
    thin = evidence[:, :, :: evidence.shape[2] // SAMPLE | 1]  # an odd stride meets every hour of the day
    usual, _ = quantiles(thin, (0.5, 0.95))
    unit = np.maximum(np.maximum(usual[..., 0] / 0.674, usual[..., 1] / 1.96), floor)
    shares, blocks = quantiles(peaks, (LOW, HIGH, OFTEN, *SELDOM))
    low, high, often, *seldom = np.moveaxis(shares / unit[..., None], -1, 0)
    excess = np.maximum((high - low) / (gumbel(HIGH) - gumbel(LOW)), 1e-3)
    level = low - excess * gumbel(LOW)
    shortest = 0.5 * excess
    for share, far in zip(SELDOM, seldom, strict=True):
        shorter = np.maximum((far - level) / gumbel(share), shortest)
        excess = np.where(blocks * (1 - share) >= 2, np.minimum(excess, shorter), excess)
    plain_level = PLAIN_HEAVY * NormalDist().inv_cdf(1 - 0.5 / (length + 1))
    level = (blocks * level + LEVEL_BLOCKS * plain_level) / (blocks + LEVEL_BLOCKS)
    plain = PLAIN_EXCESS * np.maximum(1.0, level / plain_level)
    excess = (blocks * excess + EXCESS_BLOCKS * plain) / (blocks + EXCESS_BLOCKS)
    longer = (often - level) / (gumbel(OFTEN) + BENEFIT)
    excess = np.where(blocks * (1 - OFTEN) >= 1, np.maximum(excess, longer), excess)
    return Peaks(1.0 / (unit * excess), level / excess, TRUST_LEAST + TRUST_SHARE * blocks[:, 0])


def excess_of(straight: Floats, trust: Floats) -> Floats:
    """Excess where a straight tail says `straight`, given that the tail is known from `trust` blocks only.

    The predictive of an exponential tail whose scale is a gamma estimate from n peaks: (1 + x / n) ** -n.
    """
    return np.asarray(np.minimum(straight, trust * np.log1p(np.maximum(straight, 0.0) / trust)), dtype=np.float64)


def evidence_for_excess(excess: Floats, trust: Floats) -> Floats:
    """The straight tail's excess that `excess_of` turns into this one."""
    above = trust * np.expm1(np.maximum(excess, 0.0) / trust)
    return np.asarray(np.where(excess > 0, above, excess), dtype=np.float64)


def gumbel(share: float) -> float:
    """The standard Gumbel variate that this share of block maxima stays below."""
    return float(-np.log(-np.log(share)))


def quantiles(values: NDArray[np.floating], shares: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Quantiles along the last axis of what is finite, (..., shares), 0 where nothing is; and how many are finite."""
    finite = np.isfinite(values)
    ordered = np.sort(np.where(finite, values, np.inf), axis=-1)
    count = finite.sum(axis=-1)
    if not finite.all():
        ordered = np.where(np.isfinite(ordered), ordered, 0.0)
    last = np.maximum(count - 1, 0)
    found = np.zeros((*count.shape, len(shares)))
    if ordered.shape[-1] == 0:
        return found, count.astype(np.float64)
    for index, share in enumerate(shares):
        place = share * last
        below = np.floor(place).astype(np.int64)
        low = np.take_along_axis(ordered, below[..., None], -1)[..., 0]
        high = np.take_along_axis(ordered, np.minimum(below + 1, last)[..., None], -1)[..., 0]
        found[..., index] = np.where(count > 0, low + (high - low) * (place - below), 0.0)
    return found, count.astype(np.float64)

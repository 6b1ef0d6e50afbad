"""From evidence to return periods: how long would one wait, on normal days, for something this strange?

The tail of the evidence is taken to be exponential above a high level (the Gumbel case of extreme-value theory, Coles
2001, chapters 3 and 4). It is estimated on block maxima, so that a cluster of strange points counts once, and by a
censored likelihood that does not look at how far the largest ones went, so that incidents in the past do not deafen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.contract import Floats

DECADE = float(np.log(10.0))
WEEK_SECONDS = 604_800
RAREST = 300.0
"""Rarity is cut here (log10 weeks): beyond it nobody can tell, and sums must stay finite."""


@dataclass(frozen=True)
class Tail:
    """Exponential tails of S kinds of evidence. Arrays of shape (S,).

    level: evidence exceeded 10**log_rate times a week.
    excess: mean of what lies above the level.
    log_rate: log10 of exceedances per week.
    """

    level: Floats
    excess: Floats
    log_rate: Floats

    def rarity(self, evidence: Floats) -> Floats:
        """Log10 of the return period in weeks; `evidence` broadcasts against the series."""
        return rarity_of(evidence, self.level, self.excess, self.log_rate)


def rarity_of(evidence: Floats, level: Floats, excess: Floats, log_rate: Floats) -> Floats:
    """Log10 of the return period in weeks of evidence under exponential tails; below the level it goes on linearly."""
    return np.minimum((evidence - level) / (excess * DECADE) - log_rate, RAREST)


def evidence_at(rarity: Floats, level: Floats, excess: Floats, log_rate: Floats) -> Floats:
    """The evidence that has this rarity: the inverse of `rarity_of`."""
    return level + excess * DECADE * (rarity + log_rate)


def block_length(cadence: int) -> int:
    """Points in one block of maxima: six hours, at least three points, at most 360."""
    return int(np.clip(round(21_600 / max(cadence, 1)), 3, 360))


def block_maxima(evidence: Floats, length: int) -> Floats:
    """Largest evidence in each block of `length` columns of (S, N): (S, J), -inf where a block holds none."""
    blocks = evidence.shape[1] // length
    recent = evidence[:, evidence.shape[1] - blocks * length :]
    known = np.where(np.isnan(recent), -np.inf, recent)
    return np.asarray(known.reshape(len(evidence), blocks, length).max(axis=2), dtype=np.float64)


def fit_tail(peaks: Floats, *, block_weeks: float, prior_level: float, prior_excess: float) -> Tail:
    """Tails of the block maxima (S, J), drawn towards the prior where there are few blocks. -inf marks no block."""
    ordered = -np.sort(-peaks, axis=1)
    count = np.isfinite(ordered).sum(axis=1)
    share = 0.15
    over = np.clip(np.round(count * share), 1, None).astype(np.int64)
    cut = np.ceil(over * 0.1).astype(np.int64)  # how many of the largest are only counted, not measured
    level = _pick(ordered, over, count)
    censored = _pick(ordered, np.minimum(cut, over - 1), count)
    index = np.arange(ordered.shape[1])[None, :]
    measured = (index >= cut[:, None]) & (index < over[:, None])
    total = np.where(measured, ordered - level[:, None], 0.0).sum(axis=1) + cut * (censored - level)
    own = total / np.maximum(over - cut, 1)
    weight = _trust(over, 6.0)
    trust = _trust(count, 12.0)
    return Tail(
        level=trust * np.where(count > 0, level, 0.0) + (1 - trust) * prior_level,
        excess=np.maximum(weight * np.where(over > 1, own, prior_excess) + (1 - weight) * prior_excess, 1e-3),
        log_rate=np.full(len(peaks), np.log10(share / block_weeks)),
    )


def tail_of_history(
    evidence: Floats, cadence: int, *, blocks: int | None = None, prior_level: float = 3.0, prior_excess: float = 1.0
) -> Tail:
    """Tails of the evidence (S, N) that a history gave, one column each `cadence` seconds, in blocks of so many."""
    length = blocks or block_length(cadence)
    return fit_tail(
        block_maxima(evidence, length),
        block_weeks=length * cadence / WEEK_SECONDS,
        prior_level=prior_level,
        prior_excess=prior_excess,
    )


def _pick(ordered: Floats, index: np.ndarray, count: np.ndarray) -> Floats:
    if ordered.shape[1] == 0:
        return np.zeros(len(ordered))
    inside = np.clip(np.minimum(index, count - 1), 0, None)
    picked = np.take_along_axis(ordered, inside[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(picked), picked, 0.0)


def _trust(count: np.ndarray, half: float) -> Floats:
    return np.asarray(count / (count + half), dtype=np.float64)

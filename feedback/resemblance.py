"""How alike two anomalies are: by way, rarity, size, evidence, time of the week and length.

A distance in [0, ∞): 0 is the same again, 1 is one trait plainly different (or several a little), and from `ALIKE` on
nobody would say that the one is like the other. Symmetric, without units, and comparable between any two series and
detectors. Opposite ways are infinitely far apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.contract import Floats, Ints

ALIKE = 1.2
"""Nearer than this, one anomaly is like the other."""
UNKNOWN = 0.5
"""A trait that is not known of both counts as neither alike nor different."""

HOUR, DAY = 3_600, 86_400
RARITY_APART = 0.4  # in log(1 + decades): once in 10 weeks and once in 100 are so far apart; far out it takes more
SIZE_APART = float(np.log(2.0))  # twice the share of what was expected
LENGTH_APART = float(np.log(4.0))  # four times as long
HOURS_APART = 6.0
DAY_APART = 0.7  # a working day and a weekend
SHAPE_APART = 0.35  # mean difference of what each kind of evidence said, of what the loudest said
SILENT = -1.0  # log10 weeks: what is seen ten times a week says nothing


@dataclass(frozen=True)
class Traits:
    """What n anomalies are compared by. Floats, NaN where not known.

    direction: (n,), +1, -1, or 0 where nobody knows, which is like either. rarity: (n,), log10 weeks at the peak.
    size: (n,), |actual - expected| / |expected| at the peak. evidence: (n, K), log10 weeks that each kind alone would
    give. local: int64 (n,), wall-clock seconds at which it began. lasted: (n,), seconds, one cadence at least.
    """

    direction: Floats
    rarity: Floats
    size: Floats
    evidence: Floats
    local: Ints
    lasted: Floats

    def __len__(self) -> int:
        return len(self.direction)


def distance(some: Traits, others: Traits) -> Floats:
    """How far each of n anomalies is from each of m others: (n, m), from 0 to infinity."""
    apart = [
        _apart(_compressed(some.rarity), _compressed(others.rarity)) / RARITY_APART,
        _apart(_log(some.size), _log(others.size)) / SIZE_APART,
        _apart(_log(some.lasted), _log(others.lasted)) / LENGTH_APART,
        _shapes_apart(some.evidence, others.evidence) / SHAPE_APART,
        _hours_apart(some.local, others.local) / HOURS_APART,
        np.where(_apart(_is_weekend(some.local), _is_weekend(others.local)) > 0, DAY_APART, 0.0),
    ]
    total = sum(np.where(np.isnan(each), UNKNOWN, each) ** 2 for each in apart)
    opposite = some.direction[:, None] * others.direction[None, :] < 0
    return np.where(opposite, np.inf, np.sqrt(total))


def relative_size(actual: Floats, expected: Floats) -> Floats:
    """The share of what was expected by which each was off; NaN where nothing was expected."""
    with np.errstate(all="ignore"):
        share = np.abs(actual / np.abs(expected) - np.sign(expected))
    return np.where(np.isfinite(share), share, np.nan)


def _apart(some: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    return np.asarray(np.abs(some[:, None] - others[None, :]), dtype=np.float64)


def _compressed(rarity: Floats) -> Floats:
    return np.asarray(np.sign(rarity) * np.log1p(np.abs(rarity)))


def _log(value: Floats) -> Floats:
    return np.asarray(np.log(np.clip(value, 1e-3, 1e9)))


def _shapes_apart(some: Floats, others: Floats) -> Floats:
    """Mean difference of the shapes over the kinds that are known of both; NaN where there is none."""
    one, other = _shape(some)[:, None, :], _shape(others)[None, :, :]
    known = np.isfinite(one) & np.isfinite(other)
    difference = np.where(known, np.abs(one - other), 0.0).sum(axis=2)
    return np.where(known.any(axis=2), difference / np.maximum(known.sum(axis=2), 1), np.nan)


def _shape(evidence: Floats) -> Floats:
    """Each kind as a share of the loudest, 0 to 1: which kinds spoke, however loudly."""
    heard = np.maximum(evidence - SILENT, 0.0)
    loudest = np.where(np.isnan(heard), 0.0, heard).max(axis=1, initial=0.0)[:, None]
    return np.where(loudest > 0, heard / np.where(loudest > 0, loudest, 1.0), np.nan)


def _hours_apart(some: Ints, others: Ints) -> Floats:
    """Hours between two times of day, 0 to 12, round the clock."""
    around = np.abs(some[:, None] % DAY - others[None, :] % DAY) / HOUR
    return np.asarray(np.minimum(around, 24.0 - around), dtype=np.float64)


def _is_weekend(local: Ints) -> Floats:
    return np.asarray((local // DAY + 3) % 7 >= 5, dtype=np.float64)  # 1 January 1970 was a Thursday

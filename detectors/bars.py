"""What a series must pass to be told of: how rare, on which side, and how large a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.contract import Bools, Floats, Ints
from detectors.robust import median

ONE_EVENT = 0.9
"""A little less than one event, as what is expected of a steady count is hardly ever whole: two of two is 1.97."""
SHARE_OF_USUAL = 0.01


@dataclass(frozen=True)
class Bar:
    """What one series must pass to be told of, tolerance left aside.

    threshold: rarity that the alert budget asks for, log10 weeks. up, down: whether a rise, a fall, is watched.
    relative, absolute: the least change that counts, as a share of the series' size and in its unit; an absolute one of
    NaN is to be found from the series (`least_of`).
    """

    threshold: float = 0.0
    up: bool = True
    down: bool = True
    relative: float = 0.0
    absolute: float = 0.0


@dataclass(frozen=True)
class Bars:
    """The bars of many series, as arrays (n,)."""

    threshold: Floats
    up: Bools
    down: Bools
    relative: Floats
    absolute: Floats

    @classmethod
    def of(cls, bars: Sequence[Bar]) -> Bars:
        return cls(*(np.array([getattr(bar, name) for bar in bars]) for name in cls.__dataclass_fields__))

    def only(self, rows: Ints) -> Bars:
        return Bars(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def with_least(self, least: Floats) -> Bars:
        """The same with the least changes (n,) that were found, where none was asked for."""
        return replace(self, absolute=np.where(np.isnan(self.absolute), least, self.absolute))

    def one(self, row: int) -> Bar:
        return Bar(*(getattr(self, name)[row].item() for name in self.__dataclass_fields__))


def least_of(values: Floats) -> Floats:
    """The least change in its unit that is news of a series (S, N) at all, (S,): it guards hours of next to nothing.

    One event of whole numbers that are more than on or off; else a hundredth of the usual size, which of a ratio is its
    distance to the nearer end, as for `least_change`.
    """
    if not values.size:
        return np.zeros(len(values))
    with np.errstate(invalid="ignore"):
        known = np.where(np.isfinite(values), values, np.nan)
        whole = ~((known < 0) | (known != np.round(known)) & ~np.isnan(known)).any(axis=1)
        highest = np.nanmax(known, axis=1, initial=0.0)
        ratio = ~((known < 0) | (known > 1)).any(axis=1)
        usual = np.where(np.asarray(ratio)[:, None], np.minimum(known, 1 - known), np.abs(known))
        share = SHARE_OF_USUAL * np.nan_to_num(median(usual, 1))
    return np.where(whole & (highest > 1), ONE_EVENT, share)


def least_change(expected: Floats, relative: Floats | float, absolute: Floats | float) -> Floats:
    """The least change that counts, in the metric's unit, where this is expected (n,).

    The size of what lies between 0 and 1, where ratios live, is its distance to the nearer end: of 99 % successes a
    fall to 97 % is three times the failures. Other metrics of that size only get a lower floor by it.
    """
    size = np.abs(expected)
    size = np.where((expected > 0) & (expected < 1), np.minimum(size, 1 - size), size)
    return np.asarray(np.fmax(relative * size, absolute))

"""What a series must pass to be told of: how rare, on which side, and how large a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.contract import Bools, Floats, Ints


@dataclass(frozen=True)
class Bar:
    """What one series must pass to be told of, tolerance left aside.

    threshold: rarity that the alert budget asks for, log10 weeks. up, down: whether a rise, a fall, is watched.
    relative, absolute: the least change that counts, as a share of the series' size and in its unit.
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

    def one(self, row: int) -> Bar:
        return Bar(*(getattr(self, name)[row].item() for name in self.__dataclass_fields__))


def least_change(expected: Floats, relative: Floats | float, absolute: Floats | float) -> Floats:
    """The least change that counts, in the metric's unit, where this is expected (n,).

    The size of what lies between 0 and 1, where ratios live, is its distance to the nearer end: of 99 % successes a
    fall to 97 % is three times the failures. Other metrics of that size only get a lower floor by it.
    """
    size = np.abs(expected)
    size = np.where((expected > 0) & (expected < 1), np.minimum(size, 1 - size), size)
    return np.asarray(np.fmax(relative * size, absolute))

"""What policies say of the series of a partition, as arrays: one row for each different outcome, few of them.

A slot's row is its column `regime`; so a batch reads `regimes.bars.only(columns["regime"][slots])`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from app.alerts.policy import Direction, Limits, Policies, PolicySettings, Resolved
from detectors.bars import Bar, Bars
from detectors.contract import Floats, Ints


def bar_of(settings: PolicySettings) -> Bar:
    """What series with these settings must pass to be told of: beyond their own limits, any change will do."""
    floors = (settings.least_relative_change, settings.least_absolute_change)
    relative, absolute = floors if settings.limits is None else (0.0, 0.0)
    return Bar(
        threshold=-math.log10(settings.alerts_per_week),
        up=settings.direction is not Direction.DOWN,
        down=settings.direction is not Direction.UP,
        relative=relative,
        absolute=math.nan if absolute is None else absolute,
    )


def limits_of(settings: PolicySettings) -> tuple[float, float]:
    """The lower and the upper fixed limit, NaN where there is none."""
    given = settings.limits or Limits()
    return math.nan if given.lower is None else given.lower, math.nan if given.upper is None else given.upper


class Regimes:
    """The outcomes of all policies, in order of first sight; row 0 is that of no policy.

    bars: what each asks of its series before they are told of, as the policies say it. countries: whose public
    holidays count, "" where nobody's do; country: int64, the first row that has the same. limits: float64 (n, 2), the
    lower and the upper one, NaN where there is none.
    """

    def __init__(self, policies: Policies) -> None:
        self.policies = policies
        self.resolved: list[Resolved] = []
        self._codes: dict[int, int] = {}
        self._add(policies.resolve_chain(()))

    def codes(self, series: Sequence[tuple[str, Mapping[str, str]]]) -> Ints:
        """The row of each series, by its metric and dimensions."""
        if not self.policies.ordered:
            return np.zeros(len(series), np.int64)
        return np.array([self._code(self.policies.resolve(*each)) for each in series], np.int64)

    def _code(self, outcome: Resolved) -> int:
        if id(outcome) not in self._codes:
            self._add(outcome)
        return self._codes[id(outcome)]

    def _add(self, outcome: Resolved) -> None:
        """`Policies` keeps every outcome alive, so its identity stands for it."""
        self._codes[id(outcome)] = len(self.resolved)
        self.resolved.append(outcome)
        self.bars = Bars.of([bar_of(each.settings) for each in self.resolved])
        self.countries = [each.settings.country or "" for each in self.resolved]
        self.country: Ints = np.array([self.countries.index(each) for each in self.countries], np.int64)
        self.limits: Floats = np.array([limits_of(each.settings) for each in self.resolved])

    def bars_of(self, codes: Ints, least: Floats) -> Bars:
        """What series of these rows must pass. least: what was found of each to be the least change that is news."""
        return self.bars.only(codes).with_least(least)

    def settings(self, code: int) -> PolicySettings:
        """What holds for the series of this row."""
        return self.resolved[code].settings

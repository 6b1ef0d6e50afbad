"""What policies say of the series of a partition, as arrays: one row for each different outcome, few of them.

A slot's row is its column `regime`; so a batch reads `regimes.threshold[columns["regime"][slots]]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from app.alerts.policy import Policies, PolicySettings, Resolved
from detectors.contract import Floats, Ints


class Regimes:
    """The outcomes of all policies, in order of first sight; row 0 is that of no policy.

    threshold: float64, the rarity that the alert budget asks for, log10 weeks.
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
        settings = [each.settings for each in self.resolved]
        self.threshold: Floats = -np.log10([each.alerts_per_week for each in settings])

    def settings(self, code: int) -> PolicySettings:
        return self.resolved[code].settings

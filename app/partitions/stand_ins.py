"""The basic detector in place of every series' own, while a flag asks for it. What was trained stays where it is."""

from __future__ import annotations

import numpy as np

from app.partitions.model import Model
from detectors import registry
from detectors.contract import Bools, Fields, Ints

STAND_IN = "basic"
SIMPLE = (STAND_IN, "static")
"""Detectors that nothing stands in for: the basic one itself, and limits that a person fixed."""


class StandIns:
    """One model with a row for each series that was judged by it. Rebuilt from stored points, so never checkpointed."""

    def __init__(self) -> None:
        self.model = Model(registry.get(STAND_IN))
        self.row: Ints = np.zeros(0, np.int64)  # of each slot
        self._ready: Bools = np.zeros(0, bool)

    def make_room(self, count: int) -> None:
        missing = max(count - len(self.row), 0)
        self.row = np.pad(self.row, (0, missing), constant_values=-1)
        self._ready = np.pad(self._ready, (0, missing))

    def untrained(self, slots: Ints) -> Ints:
        """Those of these slots that it has not learned, or is to learn again."""
        return slots[~self._ready[slots]]

    def learn(self, slots: Ints, baseline: Fields, state: Fields) -> None:
        new = slots[self.row[slots] < 0]
        self.row[new] = self.model.add_rows(new.size)
        self.model.learn(self.row[slots], baseline, state)
        self._ready[slots] = True

    def forget(self, slots: Ints) -> None:
        """These series have been trained, or are gone: what was learned before is out of date."""
        self._ready[slots] = False

"""The series that one detector judges, as a struct of arrays that grows."""

from __future__ import annotations

import numpy as np

from detectors.contract import Detector, Fields, Ints, put, take

BLOCK = 256  # rows of one checkpoint row


class Model:
    """One detector with the baseline and state rows of the series it judges.

    `anchor` is the state as the last training left it: where a scoring again begins.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.baseline, self.state = detector.cold(0)
        self.anchor = detector.cold(0)[1]
        self.count = 0
        self.dirty_baselines: set[int] = set()
        self.dirty_states: set[int] = set()

    def add_rows(self, count: int) -> Ints:
        """Room for `count` more series, cold; returns their rows."""
        rows = np.arange(self.count, self.count + count)
        baseline, state = self.detector.cold(count)
        self.baseline = grown(self.baseline, self.count + count)
        self.state = grown(self.state, self.count + count)
        self.anchor = grown(self.anchor, self.count + count)
        self.count += count
        self.learn(rows, baseline, state)
        return rows

    def learn(self, rows: Ints, baseline: Fields, state: Fields) -> None:
        """A training's result takes the place of what the rows held."""
        put(self.baseline, rows, baseline)
        put(self.state, rows, state)
        put(self.anchor, rows, state)
        self._touch(self.dirty_baselines, rows)
        self._touch(self.dirty_states, rows)

    def forget(self, rows: Ints) -> None:
        """Whoever these rows belonged to is judged by another detector, or erased: nothing of it stays."""
        self.learn(rows, *self.detector.cold(rows.size))

    def correct(self, rows: Ints, baseline: Fields) -> None:
        """The same baselines with something put right in them; their state stands."""
        put(self.baseline, rows, baseline)
        self._touch(self.dirty_baselines, rows)

    def remember(self, rows: Ints, state: Fields) -> None:
        """The state after a batch of points."""
        put(self.state, rows, state)
        self._touch(self.dirty_states, rows)

    def anchor_here(self) -> None:
        """A scoring again begins with the state of now."""
        rows = np.arange(self.count)
        put(self.anchor, rows, take(self.state, rows))
        self._touch(self.dirty_baselines, rows)

    def state_of(self, rows: Ints) -> Fields:
        return take(self.state, rows)

    def anchor_of(self, rows: Ints) -> Fields:
        return take(self.anchor, rows)

    @staticmethod
    def _touch(dirty: set[int], rows: Ints) -> None:
        dirty.update(np.unique(rows // BLOCK).tolist())


def grown(fields: Fields, count: int) -> Fields:
    """The same fields with room for at least `count` rows; capacity doubles, so growing stays cheap."""
    some = next(iter(fields.values()))
    if len(some) >= count:
        return fields
    capacity = max(count, 2 * len(some), BLOCK)
    wider: Fields = {}
    for name, array in fields.items():
        wider[name] = np.zeros((capacity, *array.shape[1:]), array.dtype)
        wider[name][: len(array)] = array
    return wider

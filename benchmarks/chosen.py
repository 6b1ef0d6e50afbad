"""The choice of detector as a detector: for each series the one that did best on its own past, chosen as in service."""

from __future__ import annotations

from collections import Counter

import numpy as np

from detectors.choice import choose
from detectors.contract import Detector, Fields, Floats, History, Ints, Points, Scores, put, take

AGAIN_AFTER_SECONDS = 28 * 86_400
LEARNING_SECONDS = 14 * 86_400
MOST_COLUMNS = 10_000
BUDGET_MS = 10_000.0
SIGNATURE_COLUMNS = 500


class Chosen:
    """Judges each series by its own detector; fields are those of all, their names behind the detector's.

    A choice is made at the first fit after 14 days, and every 28 days after that, on what came before that moment.
    """

    name = "chosen"
    version = 1

    def __init__(self, default: Detector, others: list[Detector]) -> None:
        self.default, self.others = default, others
        self.every = {each.name: each for each in (default, *others)}
        self.evidence = default.evidence
        self.counted: Counter[str] = Counter()
        self._known: dict[bytes, str] = {}

    def cold(self, count: int) -> tuple[Fields, Fields]:
        """All series by the default."""
        baseline, state = self._joined({name: each.cold(count) for name, each in self.every.items()})
        return baseline | {"trained": np.zeros(count, bool), "which": np.zeros(count, np.int64)}, state

    def fit(self, history: History) -> tuple[Fields, Fields]:
        """Choose where it is due, then fit each series by its own."""
        chosen = np.array(self._chosen(history))
        baseline, state = self.cold(len(history.values))
        for code, (name, each) in enumerate(self.every.items()):
            rows = np.flatnonzero(chosen == name)
            if rows.size:
                part = History(history.values[rows], history.timestamp, history.local, history.cadence)
                fitted, after = self._joined({name: each.fit(part)})
                fitted |= {"trained": fitted[f"{name}.trained"], "which": np.full(rows.size, code)}
                put(baseline, rows, fitted)
                put(state, rows, after)
        return baseline, state

    def score(self, points: Points, baseline: Fields, state: Fields) -> tuple[Scores, Fields]:
        """Each point by its series' detector."""
        count = len(points.value)
        numbers = {name: np.full(count, np.nan) for name in ("expected", "lower", "upper", "rarity")}
        direction, evidence = np.zeros(count, np.int8), np.full((count, len(self.evidence)), np.nan, np.float32)
        after = {name: array.copy() for name, array in state.items()}
        which = baseline["which"][points.row]
        for code, (name, each) in enumerate(self.every.items()):
            rows = np.flatnonzero(which == code)
            if not rows.size:
                continue
            scores, learned = each.score(points.only(rows), _of(name, baseline), take(_of(name, state), rows))
            for field, array in numbers.items():
                array[rows] = getattr(scores, field)
            direction[rows] = scores.direction
            put(after, rows, {f"{name}.{field}": array for field, array in learned.items()})
        return Scores(**numbers, direction=direction, evidence=evidence), after

    def _joined(self, parts: dict[str, tuple[Fields, Fields]]) -> tuple[Fields, Fields]:
        baseline, state = (
            {f"{name}.{field}": array for name, both in parts.items() for field, array in both[side].items()}
            for side in (0, 1)
        )
        return baseline, state

    def _chosen(self, history: History) -> list[str]:
        """The standing choice of each series; made anew where nothing is known of it at its last 28 days' boundary."""
        end = history.timestamp[-1] // AGAIN_AFTER_SECONDS * AGAIN_AFTER_SECONDS
        if end - history.timestamp[0] < LEARNING_SECONDS:
            end = min(history.timestamp[0] + LEARNING_SECONDS, history.timestamp[-1] + 1)
        columns = int(np.searchsorted(history.timestamp, end))
        if (columns - 1) * history.cadence < LEARNING_SECONDS - 86_400:
            return [self.default.name] * len(history.values)
        first = max(columns - MOST_COLUMNS, 0)
        past = History(
            history.values[:, first:columns],
            history.timestamp[first:columns],
            history.local[first:columns],
            history.cadence,
        )
        keys = [_signature(row) for row in past.values]
        self._choose(past, keys, np.array([i for i, key in enumerate(keys) if key not in self._known], np.int64))
        return [self._known[key] for key in keys]

    def _choose(self, past: History, keys: list[bytes], new: Ints) -> None:
        if not new.size:
            return
        part = History(past.values[new], past.timestamp, past.local, past.cadence)
        best = choose(part, default=self.default, others=self.others, budget_ms=BUDGET_MS)
        self.counted.update(best.detector)
        self._known.update(zip([keys[row] for row in new.tolist()], best.detector, strict=True))


def _of(name: str, fields: Fields) -> Fields:
    return {field.removeprefix(f"{name}."): array for field, array in fields.items() if field.startswith(f"{name}.")}


def _signature(row: Floats) -> bytes:
    """By which a series and a moment are known again, although a window may begin later."""
    return row[-SIGNATURE_COLUMNS:].tobytes()

"""What must not be learned from: the spans that labels, open anomalies, events and gaps exclude, as a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from detectors.contract import Bools, History, Ints
from feedback.desensitise import LevelChange, relevelled


@dataclass(frozen=True)
class SharedSpans:
    """Spans that many series have in common. series_id: int64 (S,). start, end: unix seconds (K,), ends included."""

    series_id: Ints
    start: Ints
    end: Ints


@dataclass(frozen=True)
class Exclusions:
    """All that trainings must not learn from.

    series_id, start, end: int64 (n,), one span of one series each; unix seconds, both ends included. shared: spans of
    events and gaps, each for all the series that it concerns. level_changes: since when series have a new level.
    """

    series_id: Ints
    start: Ints
    end: Ints
    shared: Sequence[SharedSpans] = ()
    level_changes: Sequence[LevelChange] = ()

    @classmethod
    def none(cls) -> Exclusions:
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing)


def training_mask(excluded: Exclusions, series_id: Ints, timestamp: Ints, cadence: int) -> Bools:
    """True where a step of a series must not be learned from, (S, N).

    series_id (S,); timestamp (N,) unix seconds of the steps, rising; a step holds what lies within `cadence` of it.
    """
    ordered = np.argsort(series_id, kind="stable")
    depth = np.zeros((series_id.size, timestamp.size + 1), np.int64)  # spans that begin less those that ended
    row, mine = _rows_of(series_id, ordered, excluded.series_id)
    _lay(depth, row, timestamp, cadence, excluded.start[mine], excluded.end[mine])
    for spans in excluded.shared:
        rows, _ = _rows_of(series_id, ordered, spans.series_id)
        every = np.repeat(rows, spans.start.size)
        starts, ends = (np.tile(times, rows.size) for times in (spans.start, spans.end))
        _lay(depth, every, timestamp, cadence, starts, ends)
    return np.asarray(np.cumsum(depth[:, :-1], axis=1) > 0)


def learnable(history: History, series_id: Ints, excluded: Exclusions) -> History:
    """What a training may learn of these series (S,): without what is excluded, and at their present level."""
    mask = training_mask(excluded, series_id, history.timestamp, history.cadence)
    return relevelled(without(history, mask), series_id, excluded.level_changes)


def without(history: History, mask: Bools) -> History:
    """The same history with what is masked taken for missing."""
    return replace(history, values=np.where(mask, np.nan, history.values))


def _rows_of(series_id: Ints, ordered: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """For each of `wanted` that is among `series_id`: its row there, and its place in `wanted`."""
    if not series_id.size or not wanted.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(series_id, wanted, sorter=ordered), series_id.size - 1)
    row = ordered[at]
    found = np.flatnonzero(series_id[row] == wanted)
    return row[found], found


def _lay(depth: Ints, row: Ints, timestamp: Ints, cadence: int, start: Ints, end: Ints) -> None:
    """Enter each span into its row: one up where it begins, one down behind its end."""
    first = np.searchsorted(timestamp, start - cadence, side="right")
    behind = np.searchsorted(timestamp, end, side="right")
    some = behind > first
    np.add.at(depth, (row[some], first[some]), 1)
    np.add.at(depth, (row[some], behind[some]), -1)

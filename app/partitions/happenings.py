"""The events and gaps that concern the series of a partition: what they explain of its points, and which are lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from app.store.happenings import FAR_FUTURE
from app.store.series import Matcher
from detectors.contract import Bools, Floats, Ints
from feedback.events import Effect, Explained


class Newcomer(Protocol):
    """A series that the partition takes in."""

    @property
    def series_id(self) -> int: ...
    @property
    def slot(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def dimensions(self) -> Mapping[str, str]: ...


@dataclass
class Happening:
    """One event or gap. start, end: its spans in unix seconds, (K,), from start until before end, by start.

    matcher: which series of those to come belong to it; None where only those that it has. effect: what an event does.
    label_id: of the label that made it, 0: somebody declared it. is_found: Heed noticed it by itself.
    """

    id: int
    start: Ints
    end: Ints
    matcher: Matcher | None
    effect: Effect | None = None
    label_id: int = 0
    is_found: bool = False
    members: Bools = field(default_factory=lambda: np.zeros(0, bool))  # by slot
    ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))  # series id by slot

    def join(self, slots: Ints, series_ids: Ints) -> None:
        if not slots.size:
            return
        short = int(slots.max()) + 1 - self.members.size
        if short > 0:
            self.members = np.pad(self.members, (0, short))
            self.ids = np.pad(self.ids, (0, short))
        self.members[slots] = True
        self.ids[slots] = series_ids

    def has_any(self, slots: Ints) -> bool:
        """Whether any of these slots is a series of its."""
        return bool(self.members[slots[slots < self.members.size]].any())

    def takes_place(self, slot: Ints, timestamp: Ints) -> tuple[Ints, Ints]:
        """Rows of the points (n,) that lie in a span of a series of its, and which span that is."""
        span = np.searchsorted(self.start, timestamp, side="right") - 1
        inside = (span >= 0) & (timestamp < self.end[np.maximum(span, 0)])
        inside &= (slot < self.members.size) & self.members[np.minimum(slot, self.members.size - 1)]
        rows = np.flatnonzero(inside)
        return rows, span[rows]


class Happenings:
    """Standing events and unfilled gaps. Nearly always none takes place, and then nothing is done."""

    def __init__(self, events: Sequence[Happening] = (), gaps: Sequence[Happening] = ()) -> None:
        self.events = [each for each in events if each.start.size]
        self.gaps = [each for each in gaps if each.start.size]
        self._event_spans, self._gap_spans = _Spans(self.events), _Spans(self.gaps)

    def meet(self, newcomers: Iterable[Newcomer]) -> None:
        """New series belong to what selects them."""
        for newcomer in newcomers:
            for each in (*self.events, *self.gaps):
                if each.matcher is not None and each.matcher.matches(newcomer.metric, newcomer.dimensions):
                    each.join(np.array([newcomer.slot]), np.array([newcomer.series_id]))

    def explained(self, slot: Ints, timestamp: Ints) -> Explained | None:
        """What events explain of these points (n,); None where none takes place."""
        found: Explained | None = None
        for index in self._event_spans.touched(timestamp):
            event = self.events[index]
            rows, span = event.takes_place(slot, timestamp)
            if rows.size:
                into = (timestamp[rows] - event.start[span]) / (event.end[span] - event.start[span])
                found = found or Explained.nothing(slot.size)
                found = found.and_by(rows, event.effect or Effect.unknown(), event.ids[slot[rows]], into)
        return found

    def without_lost(self, slot: Ints, timestamp: Ints, value: Floats) -> Floats:
        """The values (n,) with those that lie in a gap taken for missing."""
        for index in self._gap_spans.touched(timestamp):
            rows, _ = self.gaps[index].takes_place(slot, timestamp)
            if rows.size:
                value = value.copy()
                value[rows] = np.nan
        return value

    def in_open_gap(self, slots: Ints) -> Bools:
        """Which of these slots (n,) have a gap that has not ended."""
        lost = np.zeros(slots.size, bool)
        for gap in self.gaps:
            if gap.end[-1] >= FAR_FUTURE and gap.members.size:
                lost |= (slots < gap.members.size) & gap.members[np.minimum(slots, gap.members.size - 1)]
        return lost

    def open_gaps_of(self, slots: Ints) -> set[int]:
        """Ids of the gaps that have not ended and that some of these slots are in."""
        return {gap.id for gap in self.gaps if gap.end[-1] >= FAR_FUTURE and gap.has_any(slots)}

    def in_gap(self, since: int) -> Ints:
        """Slots of series with an unfilled gap that ended after `since`, unix seconds."""
        recent = [each.members for each in self.gaps if each.end[-1] > since]
        return np.unique(np.concatenate([np.flatnonzero(each) for each in recent])) if recent else np.zeros(0, np.int64)


class _Spans:
    """All spans of many happenings, to find quickly the few that a batch may touch."""

    def __init__(self, happenings: Sequence[Happening]) -> None:
        nothing = [np.zeros(0, np.int64)]
        self.start = np.concatenate([each.start for each in happenings] or nothing)
        self.end = np.concatenate([each.end for each in happenings] or nothing)
        self.whose = np.repeat(np.arange(len(happenings)), [each.start.size for each in happenings])

    def touched(self, timestamp: Ints) -> list[int]:
        if not self.start.size or not timestamp.size:
            return []
        touching = (self.start <= timestamp.max()) & (self.end > timestamp.min())
        return [int(index) for index in np.unique(self.whose[touching])]

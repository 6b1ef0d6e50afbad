"""How the points of each series come in: how late, how regularly, how many, and since when they are all the same.

What the last checkpoint did not hold of delays, late points, corrections and of what came live is forgotten by a
restart; all else is counted again from the log.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from app.partitions.model import grown
from detectors.contract import Bools, Fields, Floats, Ints

DAY = 86_400
DAYS = 8
"""Counts are kept by the day of the point's own time: seven whole days and the present one."""
HISTORY_SECONDS = 7 * DAY
"""Points older than that when they come are history: they say nothing of how late points usually are."""
REMEMBERED = 64
"""So many arrivals are remembered of how late points come."""
WAIT_FADES = 0.02

_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "arrivals": (np.int64, ()),  # batches that brought a newer point, history left out
    "wait": (np.float64, ()),  # seconds of age that the newest point usually reaches before the next one comes
    "delay": (np.float64, ()),  # mean of log(1 + seconds) between a point's time and its arrival
    "delay_spread": (np.float64, ()),  # mean square deviation from it
    "day": (np.int64, ()),  # newest day with a point, days since 1970
    "received": (np.uint32, (DAYS,)),  # points with a value, by day
    "late": (np.uint32, (DAYS,)),  # of these, those that came after a newer one
    "corrected": (np.uint32, (DAYS,)),  # points that replaced another value
    "duplicate": (np.uint32, (DAYS,)),  # points that were there already
    "zeros": (np.int64, ()),  # points that were exactly 0, as far as they came in order
    "zero_run": (np.int64, ()),  # how many of them are the newest points of the series
    "zero_since": (np.int64, ()),  # unix seconds of the first of these, 0: the newest point is not zero
    "newest": (np.float64, ()),  # value of the newest point that has one
    "repeats": (np.int64, ()),  # points with the value of the one before; zeros count as none
    "repeat_run": (np.int64, ()),  # how many of them are the newest points of the series
    "repeat_since": (np.int64, ()),  # unix seconds of the first of these, 0: the newest point brought something new
    "longest_run": (np.int64, ()),  # most repeats in a row before the present run
    "live_since": (np.int64, ()),  # unix seconds of the first point that came live, not as history; 0: none yet
}
COUNTED = ("received", "late", "corrected", "duplicate")


class Arrivals:
    """Arrays by slot, as the partition's columns."""

    def __init__(self) -> None:
        self.columns: Fields = {name: np.zeros((0, *shape), dtype) for name, (dtype, shape) in _COLUMNS.items()}

    def make_room(self, count: int) -> None:
        self.columns = grown(self.columns, count)

    def erase(self, slot: int) -> None:
        for column in self.columns.values():
            column[slot] = 0

    def note(
        self,
        slot: Ints,
        timestamp: Ints,
        value: Floats,
        *,
        last_at: Ints,
        cadence: Ints,
        corrected: Bools,
        now: datetime | None,
    ) -> None:
        """Points (n,) have come, by slot and then time; `last_at` is the newest that their series had before.

        now: when they came, None in a replay, whose log also holds points that were only scored again.
        """
        if not slot.size:
            return
        ahead = timestamp > last_at
        counts = np.flatnonzero(ahead) if now is None else np.arange(slot.size)
        if counts.size:
            there = np.isfinite(value[counts])
            self._count(slot[counts], timestamp[counts], there, ahead=ahead[counts], corrected=corrected[counts])
        rows = np.flatnonzero(ahead)
        if not rows.size:
            return
        there = rows[np.isfinite(value[rows])]
        self._note_zeros(slot[there], timestamp[there], value[there])
        self._note_repeats(slot[there], timestamp[there], value[there])
        if now is not None:
            self._note_delay(slot[rows], timestamp[rows], last_at[rows], cadence[rows], int(now.timestamp()))

    def note_live(self, slot: Ints, timestamp: Ints) -> None:
        """Points have come of which somebody would have been told, had they been strange."""
        since = self.columns["live_since"]
        new = since[slot] == 0
        since[slot[new]] = np.iinfo(np.int64).max
        np.minimum.at(since, slot[new], timestamp[new])

    def note_duplicates(self, slot: Ints, timestamp: Ints) -> None:
        """Points that were there already have come again."""
        day = timestamp // DAY
        known = (day > self.columns["day"][slot] - DAYS) & (day <= self.columns["day"][slot])
        np.add.at(self.columns["duplicate"], (slot[known], day[known] % DAYS), 1)

    def of_last_days(self, name: str, slots: Ints, today: int) -> Ints:
        """The count of that name over the last seven days and the present one; `today` in days since 1970."""
        day = self.columns["day"][slots][:, None]
        place = np.arange(DAYS)[None, :]
        of_bucket = day - (day - place) % DAYS
        counts = np.where(of_bucket > today - DAYS, self.columns[name][slots].astype(np.int64), 0)
        return np.asarray(counts.sum(axis=1))

    def zeros_are_unknown(self, slots: Ints, point_count: Ints) -> Bools:
        """Which series were never, or almost never, zero before their present run of zeros."""
        before = self.columns["zeros"][slots] - self.columns["zero_run"][slots]
        known = point_count - self.columns["zero_run"][slots]
        return np.asarray((known >= LEAST_KNOWN) & (before <= ALMOST_NEVER * known))

    def _count(self, slot: Ints, timestamp: Ints, there: Bools, *, ahead: Bools, corrected: Bools) -> None:
        day = timestamp // DAY
        slots, start = _groups(slot)
        self._turn_to(slots, np.maximum.reduceat(day, start))
        recent = day > self.columns["day"][slot] - DAYS
        counted = {
            "received": recent & there & ~corrected,
            "late": recent & there & ~ahead & ~corrected,
            "corrected": recent & corrected,
        }
        for name, which in counted.items():
            rows = np.flatnonzero(which)
            if rows.size:
                self._add(name, slot[rows], day[rows])

    def _add(self, name: str, slot: Ints, day: Ints) -> None:
        """Count points (n,), by slot and then time, on their days."""
        start = np.flatnonzero(np.append(True, (slot[1:] != slot[:-1]) | (day[1:] != day[:-1])))
        self.columns[name][slot[start], day[start] % DAYS] += np.diff(np.append(start, slot.size)).astype(np.uint32)

    def _turn_to(self, slots: Ints, newest: Ints) -> None:
        """Forget what is eight days before the newest."""
        before = self.columns["day"][slots]
        later = np.flatnonzero(newest > before)
        if not later.size:
            return
        slots, before, newest = slots[later], before[later], newest[later]
        for step in range(DAYS):
            day = newest - step
            mine = day > before
            for name in COUNTED:
                self.columns[name][slots[mine], day[mine] % DAYS] = 0
        self.columns["day"][slots] = newest

    def _note_zeros(self, slot: Ints, timestamp: Ints, value: Floats) -> None:
        zero = value == 0
        if not zero.any() and not self.columns["zero_run"][slot].any():
            return
        self._note_run("zeros", "zero", slot, timestamp, zero)

    def _note_repeats(self, slot: Ints, timestamp: Ints, value: Floats) -> None:
        if not slot.size:
            return
        slots, start = _groups(slot)
        before = np.append(np.nan, value[:-1])
        before[start] = self.columns["newest"][slots]
        repeat = (value == before) & (value != 0)
        self.columns["newest"][slots] = value[np.append(start[1:], slot.size) - 1]
        carried = self.columns["repeat_run"][slots]
        if not repeat.any() and not carried.any():
            return  # nearly always
        longest = np.maximum.reduceat(_ended_runs(repeat, start, carried), start)
        self.columns["longest_run"][slots] = np.maximum(self.columns["longest_run"][slots], longest)
        self._note_run("repeats", "repeat", slot, timestamp, repeat)

    def _note_run(self, count_name: str, run_name: str, slot: Ints, timestamp: Ints, marked: Bools) -> None:
        """Count the marked points (n,), how many of them are the newest of their series, and since when."""
        slots, start = _groups(slot)
        count = np.add.reduceat(marked.astype(np.int64), start)
        place = np.arange(slot.size)
        last_other = np.maximum.reduceat(np.where(marked, -1, place), start)  # last point that is not marked, -1: none
        end = np.append(start[1:], slot.size)
        goes_on = last_other < 0
        run = np.where(goes_on, self.columns[f"{run_name}_run"][slots] + count, end - 1 - last_other)
        first = timestamp[np.minimum(np.where(goes_on, start, last_other + 1), slot.size - 1)]
        since = self.columns[f"{run_name}_since"][slots]
        self.columns[count_name][slots] += count
        self.columns[f"{run_name}_run"][slots] = run
        kept = goes_on & (since > 0)
        self.columns[f"{run_name}_since"][slots] = np.where(run == 0, 0, np.where(kept, since, first))

    def _note_delay(self, slot: Ints, timestamp: Ints, last_at: Ints, cadence: Ints, now: int) -> None:
        fresh = np.flatnonzero(now - timestamp <= HISTORY_SECONDS)
        if not fresh.size:
            return
        slot, last_at, cadence = slot[fresh], last_at[fresh], cadence[fresh]
        late = np.log1p(np.maximum(now - timestamp[fresh], 0))
        slots, start = _groups(slot)
        column = {name: self.columns[name][slots] for name in ("arrivals", "wait", "delay", "delay_spread")}
        mean = np.add.reduceat(late, start) / np.diff(np.append(start, slot.size))
        weight = 1 / np.minimum(column["arrivals"] + 1, REMEMBERED)
        off = mean - column["delay"]
        self.columns["delay"][slots] += weight * off
        self.columns["delay_spread"][slots] = (1 - weight) * (column["delay_spread"] + weight * off**2)
        waited = np.maximum(now - last_at[start], 0)
        most = np.maximum(2 * column["wait"], 2 * cadence[start])  # an outage must not become usual at once
        longer = np.minimum(waited, most)
        shorter = column["wait"] - WAIT_FADES * (column["wait"] - waited)
        known = last_at[start] > 0
        self.columns["wait"][slots] = np.where(~known, 0, np.where(waited > column["wait"], longer, shorter))
        self.columns["arrivals"][slots] += known


LEAST_KNOWN = 48
"""Points that a series must have had before it can be said that zeros are unknown to it."""
ALMOST_NEVER = 0.01


def _ended_runs(marked: Bools, start: Ints, carried: Ints) -> Ints:
    """Of points (n,) in groups that begin at `start`: how long a run of marked ones each of the others ended, else 0.

    carried: how long the run is that each group goes on with.
    """
    place = np.arange(marked.size)
    group = np.repeat(np.arange(start.size), np.diff(np.append(start, marked.size)))
    last_other = np.where(marked, -1, place)
    last_other[start] = np.maximum(last_other[start], start - 1)
    last_other = np.maximum.accumulate(last_other)
    since_start = marked & (last_other < start[group])
    in_a_row = np.where(marked, place - last_other, 0) + np.where(since_start, carried[group], 0)
    before = np.append(0, in_a_row[:-1])
    before[start] = carried
    return np.where(marked, 0, before)


def _groups(slot: Ints) -> tuple[Ints, Ints]:
    """The distinct slots of an array that is sorted by them, and where each begins."""
    start = np.flatnonzero(np.append(True, slot[1:] != slot[:-1]))
    return slot[start], start

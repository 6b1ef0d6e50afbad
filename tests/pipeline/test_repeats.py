"""What is counted of the points of each series, however they are cut into batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.partitions.arrivals import Arrivals

SERIES = 3
value = st.sampled_from([0.0, 1.0, 2.0])


@given(st.lists(st.tuples(st.integers(0, SERIES - 1), value), max_size=60), st.lists(st.integers(1, 9), max_size=60))
def test_runs_of_one_value_are_counted_alike_in_any_batches(sent: list[tuple[int, float]], sizes: list[int]) -> None:
    arrivals = Arrivals()
    arrivals.make_room(SERIES)
    last = np.zeros(SERIES, np.int64)
    begin = 0
    for size in [*sizes, len(sent)]:
        slots = np.array([each[0] for each in sent[begin : begin + size]], np.int64)
        order = np.argsort(slots, kind="stable")
        times = np.arange(begin, begin + slots.size)[order] + 1
        values = np.array([each[1] for each in sent[begin : begin + size]])[order]
        none = np.zeros(slots.size, bool)
        ones = np.ones(slots.size, np.int64)
        arrivals.note(slots[order], times, values, last_at=last[slots[order]], cadence=ones, corrected=none, now=None)
        np.maximum.at(last, slots[order], times)
        begin += size
    names = ("repeats", "repeat_run", "repeat_since", "longest_run")
    counted = np.stack([arrivals.columns[name][:SERIES] for name in names], axis=1)
    assert counted.tolist() == [_counted(sent, series) for series in range(SERIES)]


def _counted(sent: list[tuple[int, float]], series: int) -> list[int]:
    repeats = run = since = longest = 0
    before = 0.0  # a series that begins with zeros repeats nothing
    for time, (_, now) in ((time, each) for time, each in enumerate(sent, 1) if each[0] == series):
        if now == before and now != 0:
            repeats, run, since = repeats + 1, run + 1, since or time
        else:
            longest, run, since = max(longest, run), 0, 0
        before = now
    return [repeats, run, since, longest]

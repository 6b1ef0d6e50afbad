"""How points come in is counted: received, late, corrected, repeated, their delay, and runs of zeros."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from app.partitions.arrivals import DAY, Arrivals

HOUR = 3_600
MONDAY = 1_767_571_200 // DAY
START = MONDAY * DAY
ONE = np.array([0])


class Coming:
    """One hourly series whose points come in."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.arrivals.make_room(1)
        self.last_at = 0

    def come(
        self, hours: list[int], values: list[float] | None = None, *, delay: int = 0, corrected: bool = False
    ) -> None:
        at = START + HOUR * np.array(hours)
        self.arrivals.note(
            np.zeros(at.size, np.int64),
            at,
            np.array(values or [5.0] * at.size),
            last_at=np.full(at.size, self.last_at),
            cadence=np.full(at.size, HOUR),
            corrected=np.full(at.size, corrected),
            now=datetime.fromtimestamp(int(at.max()) + delay, UTC),
        )
        self.last_at = max(self.last_at, int(at.max()))

    def count(self, name: str, day: int = 0) -> int:
        return int(self.arrivals.of_last_days(name, ONE, MONDAY + day)[0])

    def now(self, name: str) -> float:
        return float(self.arrivals.columns[name][0])


def test_points_count_by_the_day_they_are_of_and_are_forgotten_after_a_week() -> None:
    series = Coming()
    series.come([0, 1, 2])
    series.come([30])
    assert [series.count("received", day) for day in (0, 1, 7, 8, 9)] == [4, 4, 4, 1, 0]
    series.come([8 * 24 + 2])
    assert series.count("received", 8) == 2


def test_late_points_and_corrections_are_told_from_new_ones() -> None:
    series = Coming()
    series.come([0, 1, 5])
    series.come([2, 3])
    series.come([5], corrected=True)
    series.arrivals.note_duplicates(np.zeros(2, np.int64), START + HOUR * np.array([0, 1]))
    assert [series.count(name) for name in ("received", "late", "corrected", "duplicate")] == [5, 2, 1, 2]


def test_points_known_to_be_missing_are_not_received() -> None:
    series = Coming()
    series.come([0, 1, 2], [5.0, np.nan, 5.0])
    assert series.count("received") == 2


def test_the_usual_delay_is_learned_and_history_says_nothing_of_it() -> None:
    series = Coming()
    series.come(list(range(24)), delay=30 * DAY)
    assert series.now("arrivals") == 0
    for hour in range(24, 120):
        series.come([hour], delay=90)
    assert np.expm1(series.now("delay")) == pytest.approx(90, rel=0.01)
    assert series.now("wait") == pytest.approx(HOUR + 90, rel=0.01)


def test_an_outage_does_not_make_silence_usual_at_once() -> None:
    series = Coming()
    for hour in range(50):
        series.come([hour])
    series.come([150])
    assert series.now("wait") <= 2 * HOUR


def test_a_run_of_zeros_is_known_by_its_start_and_length_however_its_points_are_grouped() -> None:
    whole, single = Coming(), Coming()
    values = [5.0, 0.0, 3.0, 0.0, 0.0, 0.0]
    whole.come(list(range(6)), values)
    for hour, value in enumerate(values):
        single.come([hour], [value])
    for series in (whole, single):
        assert [series.now(name) for name in ("zeros", "zero_run", "zero_since")] == [4, 3, START + 3 * HOUR]
        series.come([6])
        assert [series.now(name) for name in ("zeros", "zero_run", "zero_since")] == [4, 0, 0]


def test_zeros_are_unknown_where_they_were_almost_never_seen_before_the_present_run() -> None:
    rare, usual, young = Coming(), Coming(), Coming()
    rare.come(list(range(200)), [5.0] * 190 + [0.0] * 10)
    usual.come(list(range(200)), [5.0, 0.0] * 95 + [0.0] * 10)
    young.come(list(range(20)), [5.0] * 10 + [0.0] * 10)
    unknown = [
        each.arrivals.zeros_are_unknown(ONE, np.array([n])) for each, n in ((rare, 200), (usual, 200), (young, 20))
    ]
    assert [bool(each[0]) for each in unknown] == [True, False, False]


def test_a_series_is_live_from_the_earliest_of_the_first_points_that_were_no_history() -> None:
    arrivals = Arrivals()
    arrivals.make_room(3)
    arrivals.note_live(np.array([0, 0, 2]), np.array([20, 10, 30]))
    arrivals.note_live(np.array([0, 2]), np.array([5, 40]))
    assert arrivals.columns["live_since"][:3].tolist() == [10, 0, 30]

"""What the defaults promise on clean series, in the small; `python -m benchmarks.calibration` has the whole of it."""

from __future__ import annotations

import pytest

from benchmarks.calibration import DAY, HOUR, MINUTE, PROMISED, alert_rate, carrying, clean, told


@pytest.mark.parametrize("course", [(15 * MINUTE, 5, 4, 8), (HOUR, 5, 6, 20), (6 * HOUR, 8, 12, 20), (DAY, 26, 24, 20)])
def test_one_alert_a_week_for_wrong_reasons_is_about_one_alert_a_week(course: tuple[int, int, int, int]) -> None:
    least, most = PROMISED
    assert least <= alert_rate(clean, course, 1.0, "seasonal") <= most


def test_noise_that_carries_over_is_no_reason_to_fall_silent() -> None:
    least, most = PROMISED
    assert least <= alert_rate(carrying(0.8), (HOUR, 5, 6, 20), 1.0, "seasonal") <= most


def test_falls_of_three_tenths_for_three_hours_are_told_while_they_last() -> None:
    assert told(0.3, 3, "seasonal") >= 0.99

"""A few answers go far: what twenty labels on ten series are worth to all series of the metric in the week after."""

from __future__ import annotations

from benchmarks.siblings import second_weeks


def test_twenty_labels_on_ten_series_halve_the_false_alerts_of_the_next_week_their_siblings_too() -> None:
    silent, answered = second_weeks()
    assert answered.false <= silent.false / 2
    assert answered.false_of_siblings < silent.false_of_siblings
    assert answered.real >= silent.real

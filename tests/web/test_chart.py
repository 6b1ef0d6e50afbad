"""The chart as geometry."""

from __future__ import annotations

import math
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.store.points import PointBatch
from app.web.chart import HEIGHT, WIDTH, Chart, Mark, NamedMark, draw
from tests.running import DAY, HOUR, MONDAY


def batch(values: list[float], *, step: int = HOUR, band: float = 5.0) -> PointBatch:
    value = np.array(values, np.float64)
    time = MONDAY + step * np.arange(len(values))
    judged = np.nan_to_num(value, nan=10.0).astype(np.float32)
    return PointBatch(
        np.ones(len(values), np.int64),
        time,
        value,
        expected=judged,
        lower=judged - np.float32(band),
        upper=judged + np.float32(band),
        rarity=np.zeros(len(values), np.float32),
    )


def chart_of(values: list[float], marks: list[Mark] | None = None, timezone: str = "UTC", step: int = HOUR) -> Chart:
    chart = draw(batch(values, step=step), marks or [], cadence_seconds=step, timezone=timezone)
    assert chart is not None
    return chart


def test_too_few_points_make_no_chart() -> None:
    assert draw(batch([1.0]), [], cadence_seconds=HOUR, timezone="UTC") is None
    assert draw(batch([math.nan, 1.0]), [], cadence_seconds=HOUR, timezone="UTC") is None


def test_a_missing_value_breaks_the_line() -> None:
    assert chart_of([1, 2, 3, 4]).value.count("M") == 1
    assert chart_of([1, 2, math.nan, 4, 5]).value.count("M") == 2


def test_an_anomaly_is_shaded_and_its_points_are_marked() -> None:
    chart = chart_of([10, 11, 30, 31, 10, 11], [Mark(MONDAY + 2 * HOUR, MONDAY + 3 * HOUR)])
    assert len(chart.dots) == 2
    assert chart.spans[0].x == 30.0
    assert chart.spans[0].width == 40.0
    assert chart.strange.count("L") == 1


def test_days_begin_at_local_midnight() -> None:
    berlin = chart_of([1.0, 2.0] * 48, timezone="Europe/Berlin")
    assert [tick.label for tick in berlin.x_ticks] == ["6 Jan", "7 Jan", "8 Jan", "9 Jan"]
    assert berlin.x_ticks[0].at == round(100 * 23 / 95, 2)


def test_a_short_span_is_labelled_in_hours() -> None:
    assert [tick.label for tick in chart_of([1.0, 2.0] * 12).x_ticks] == ["06:00", "12:00", "18:00"]


def test_a_very_wide_band_does_not_flatten_the_line() -> None:
    chart = draw(batch([10, 20, 10, 20], band=10_000.0), [], cadence_seconds=HOUR, timezone="UTC")
    assert chart is not None
    tops = [float(y) for y in re.findall(r",(-?[\d.]+)", chart.value)]
    assert max(tops) - min(tops) > HEIGHT / 4


finite = st.floats(-1e30, 1e30) | st.just(0.0)


@given(
    st.lists(finite | st.just(math.nan), min_size=2, max_size=40),
    st.sampled_from([60, HOUR, DAY, 30 * DAY]),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"]),
)
def test_any_values_are_drawn_within_the_picture(values: list[float], step: int, timezone: str) -> None:
    chart = draw(batch(values, step=step), [Mark(MONDAY, MONDAY + step)], cadence_seconds=step, timezone=timezone)
    if chart is None:
        return
    for x, y in re.findall(r"([-\d.]+),([-\d.]+)", chart.value + chart.band + chart.expected):
        assert 0 <= float(x) <= WIDTH
        assert -HEIGHT <= float(y) <= 2 * HEIGHT
    assert len(chart.y_ticks) <= 8
    assert all(0 <= tick.at <= 100 for tick in chart.x_ticks)


def test_events_are_cut_to_the_picture_and_names_that_would_meet_are_left_out() -> None:
    events = [
        NamedMark("before", MONDAY - 2 * DAY, MONDAY - DAY),
        NamedMark("begins before", MONDAY - DAY, MONDAY + 5 * HOUR),
        NamedMark("meets it", MONDAY + 10 * HOUR, MONDAY + 20 * HOUR),
        NamedMark("a name that is much too long to be shown", MONDAY + 90 * HOUR, MONDAY + 300 * HOUR),
    ]
    chart = draw(batch([10.0] * 101), [], cadence_seconds=HOUR, timezone="UTC", events=events)
    assert chart is not None
    assert [(each.x, each.width, each.label) for each in chart.events] == [
        (0.0, 5.0, "begins before"),
        (10.0, 10.0, ""),
        (90.0, 10.0, "a name that is much too…"),
    ]
    assert [each.label_at for each in chart.events if each.label] == [0.0, 100.0]

"""Numbers, times and rarity are said as people say them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.wording import (
    clipped,
    difference,
    lasting,
    moment,
    name_in_words,
    on_moment,
    quantity,
    rarity_in_words,
    span,
    unit_of,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def test_a_name_that_is_nothing_but_a_unit_tells_none() -> None:
    assert [unit_of(metric) for metric in ("latency_ms", "checkout.seconds", "ms", "orders")] == [" ms", " s", "", ""]


@pytest.mark.parametrize(
    ("actual", "expected", "said"),
    [
        (387, 1003.2718, ("387", "1,000", "610", "61 %")),
        (12345, 20111.2, ("12,300", "20,100", "7,800", "39 %")),
        (1234567, 2000000.5, ("1.23 million", "2 million", "770,000", "38 %")),
        (100.12, 100.01, ("100.12", "100.01", "0.11", "0.11 %")),
        (0.0313, 0.0501, ("0.031", "0.05", "0.019", "38 %")),
        (0, 0.8143, ("0", "0.81", "0.81", "100 %")),
        (0.0308, 0.0342, ("0.0308", "0.0342", "0.0034", "9.9 %")),
        (3, 0, ("3", "0", "3", None)),
        (-3.2, 4.56, ("−3.2", "4.56", "7.76", "170 %")),
        (1e300, 1, ("1.0 × 10³⁰⁰", "1", "1.0 × 10³⁰⁰", None)),
    ],
)
def test_a_difference_is_rounded_to_what_matters(
    actual: float, expected: float, said: tuple[str, str, str, str | None]
) -> None:
    numbers = difference(actual, expected)
    assert (numbers.actual, numbers.expected, numbers.size, numbers.percent) == said


def test_a_share_that_falls_by_a_share_is_said_in_points() -> None:
    assert difference(1.2, 3.14, " %").size == "1.94 points"


@given(finite, finite)
def test_any_two_numbers_can_be_compared_in_words(actual: float, expected: float) -> None:
    numbers = difference(actual, expected)
    for text in (numbers.actual, numbers.expected, numbers.size):
        assert len(text) < 30
        assert "e" not in text.replace("trillion", "")
        assert re.search(r"[0-9]", text)


@given(finite)
def test_any_number_can_be_said(value: float) -> None:
    assert len(quantity(value)) < 30


@pytest.mark.parametrize(
    ("weeks", "said"),
    [
        (0.01, "many times a week"),
        (0.33, "3 times a week"),
        (0.5, "twice a week"),
        (1, "once a week"),
        (2, "once in 2 weeks"),
        (41.3, "once in 40 weeks"),
        (130, "once in 2 years"),
        (5217, "once in 100 years"),
        (1e6, "less than once in 100 years"),
        (math.inf, "less than once in 100 years"),
    ],
)
def test_rarity_is_said_as_a_wait(weeks: float, said: str) -> None:
    assert rarity_in_words(weeks) == said


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("Asia/Tokyo", "Tue 3 Nov, 21:00 (Tokyo time)"),
        ("America/New_York", "Tue 3 Nov, 07:00 (New York time)"),
        ("America/Argentina/Buenos_Aires", "Tue 3 Nov, 09:00 (Buenos Aires time)"),
        ("UTC", "Tue 3 Nov, 12:00 (UTC)"),
        ("Etc/GMT-3", "Tue 3 Nov, 15:00 (UTC+03)"),
        ("No/Such_Zone", "Tue 3 Nov, 12:00 (UTC)"),
        ("../etc/passwd", "Tue 3 Nov, 12:00 (UTC)"),
    ],
)
def test_a_moment_is_told_in_the_zone_of_the_series(zone: str, said: str) -> None:
    assert moment(NOON, zone, NOON) == said


def test_something_happens_on_a_day_at_an_hour() -> None:
    assert on_moment(NOON, "Asia/Tokyo", NOON) == "on Tue 3 Nov at 21:00 (Tokyo time)"


@pytest.mark.parametrize(
    ("actual", "expected", "is_all"), [(14, 0, True), (-14, 0, True), (14, 3, False), (0, 14, False)]
)
def test_a_difference_from_nothing_is_all_there_is(actual: float, expected: float, is_all: bool) -> None:
    assert difference(actual, expected, " %").is_from_nothing is is_all


def test_a_span_names_the_day_once_and_the_year_only_if_it_is_another() -> None:
    assert span(NOON, NOON.replace(year=2099), "UTC", NOON).endswith(" 2099, 12:00 (UTC)")
    assert span(NOON, NOON + timedelta(hours=2), "UTC", NOON) == "from Tue 3 Nov, 12:00 to 14:00 (UTC)"
    assert (
        span(NOON, NOON + timedelta(days=1), "UTC", NOON + timedelta(days=400))
        == "from Tue 3 Nov 2026, 12:00 to Wed 4 Nov, 12:00 (UTC)"
    )


@pytest.mark.parametrize(
    ("minutes", "said"), [(0, "1 minute"), (25, "25 minutes"), (240, "4 hours"), (60 * 24 * 3, "3 days")]
)
def test_a_length_of_time_is_said_in_one_unit(minutes: int, said: str) -> None:
    assert lasting(timedelta(minutes=minutes)) == said


def test_names_are_one_line_of_bounded_length() -> None:
    assert clipped("a\nb\u202ec" + "x" * 500) == "a b c" + "x" * 74 + "…"
    name = name_in_words("orders" * 100, {f"dimension{index}": "v" * 1000 for index in range(50)})
    assert len(name) < 600
    assert name.endswith(", …)")

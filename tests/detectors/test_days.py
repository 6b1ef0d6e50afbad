"""What kinds of days a calendar has."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from detectors.calendar import DAY
from detectors.contract import Ints
from detectors.days import (
    AFTER,
    BEFORE,
    DAY_OF_MONTH,
    DAYS_LEFT,
    FAMILIES,
    HOLIDAY,
    HOLIDAYS,
    KINDS,
    LAST_WORKING_DAYS,
    WORKING_DAY,
    UnknownCountryError,
    check_country,
    kinds_of_day,
    kinds_of_day_of_many,
)
from detectors.occasions import is_holiday


def noon(*days: str) -> Ints:
    return np.array([(date.fromisoformat(day) - date(1970, 1, 1)).days * DAY + DAY // 2 for day in days])


def test_a_holiday_and_the_days_beside_it_are_known_by_the_same_number_every_year() -> None:
    eve, *christmas, after = kinds_of_day(noon("2023-12-24", "2023-12-25", "2023-12-26", "2023-12-27"), "DE")[:, 0]
    assert [HOLIDAY <= kind < HOLIDAY + HOLIDAYS for kind in christmas] == [True, True]
    assert eve - BEFORE == christmas[0] - HOLIDAY
    assert after - AFTER == christmas[1] - HOLIDAY
    later = kinds_of_day(noon("2031-12-24", "2031-12-25", "2031-12-26", "2031-12-27"), "DE")[:, 0]
    assert later.tolist() == [eve, *christmas, after]


def test_a_moving_holiday_is_the_same_holiday() -> None:
    monday = kinds_of_day(noon("2024-04-01", "2025-04-21"), "DE")[:, 0]
    assert is_holiday(kinds_of_day(noon("2024-04-01"), "DE")).all()
    assert monday[0] == monday[1]


def test_a_part_of_a_country_has_holidays_of_its_own() -> None:
    epiphany = noon("2025-01-06")
    assert is_holiday(kinds_of_day(epiphany, "DE-BY")).all()
    assert not is_holiday(kinds_of_day(epiphany, "DE")).any()


def test_without_a_country_there_are_months_but_no_holidays() -> None:
    days = noon("2025-12-25", "2025-01-31", "2024-02-29", "2025-03-15")
    kinds = kinds_of_day(days, "")
    assert not kinds[:, 0].any()
    assert (kinds[:, 1] - DAY_OF_MONTH).tolist() == [24, 30, 28, 14]
    assert kinds[:, 2].tolist() == [DAYS_LEFT + 6, DAYS_LEFT, DAYS_LEFT, 0]


def test_the_last_working_day_is_neither_a_weekend_nor_a_holiday() -> None:
    friday, saturday = kinds_of_day(noon("2025-05-30", "2025-05-31"), "DE")[:, 3]
    assert (friday, saturday) == (WORKING_DAY, 0)
    first = WORKING_DAY + LAST_WORKING_DAYS
    assert kinds_of_day(noon("2025-05-01", "2025-05-02"), "DE")[:, 3].tolist() == [0, first]
    assert kinds_of_day(noon("2025-05-01", "2025-05-02"), "")[:, 3].tolist() == [first, first + 1]


def test_every_day_of_every_calendar_has_kinds_that_the_table_holds() -> None:
    every = np.arange(-3 * DAY, 60_000 * DAY, 40 * DAY)
    for country in ("", "DE", "US", "NP", "SA", "IL"):
        kinds = kinds_of_day(every, country)
        assert kinds.shape == (len(every), FAMILIES)
        assert kinds.min() >= 0
        assert kinds.max() < KINDS


def test_each_instant_may_have_its_own_country() -> None:
    fourth_of_july = np.repeat(noon("2025-07-04"), 3)
    kinds = kinds_of_day_of_many(fourth_of_july, ["US", "DE"], np.array([1, 0, 1]))
    assert is_holiday(kinds).tolist() == [False, True, False]


@pytest.mark.parametrize("country", ["XX", "DE-ZZ", "de", "Germany", "", "DE-BY-X"])
def test_a_country_without_known_holidays_is_refused_with_the_cure(country: str) -> None:
    with pytest.raises(UnknownCountryError, match="such as DE"):
        check_country(country)

"""What kind of day it is: a public holiday of a country, the day before or after one, a place in the month.

A kind is a small number, and one day may be of several kinds: a row of `FAMILIES` numbers, 0 where it is nothing of
that family. The numbers of different families never meet, so that one table can hold what each kind does.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

import holidays
import numpy as np

from detectors.calendar import DAY
from detectors.contract import Ints

FAMILIES = 4
"""Holiday or the day beside it; day of the month; days left to the month's end; working days from either end."""
HOLIDAYS = 24
"""Different holidays told apart; the few countries that have more let some share a number."""
HOLIDAY, BEFORE, AFTER = 1, 1 + HOLIDAYS, 1 + 2 * HOLIDAYS
DAY_OF_MONTH = 1 + 3 * HOLIDAYS
DAYS_LEFT = DAY_OF_MONTH + 31
WORKING_DAY = DAYS_LEFT + 7
KINDS = WORKING_DAY + 6
LAST_WORKING_DAYS = 3

_FIRST, _LAST = date(1970, 1, 1), date(2100, 1, 1)
_HOLIDAY_YEARS = range(1995, 2060)
_CODE = re.compile("[A-Z]{2}(-[A-Z0-9]{1,3})?")
_CURE = "no public holidays are known of this country: give an ISO 3166 code such as DE, or DE-BY for a part of it"


class UnknownCountryError(ValueError):
    """No public holidays are known of this country or part of it."""


def kinds_of_day(local: Ints, country: str) -> Ints:
    """Kinds of the days of wall-clock seconds (N,), (N, FAMILIES).

    country: ISO 3166, perhaps with a part of it, such as `DE` or `DE-BY`; "" where no holidays are to be known.
    """
    table = _table(country)
    return table[np.clip(local // DAY, 0, len(table) - 1)]


def kinds_of_day_of_many(local: Ints, countries: list[str], country: Ints) -> Ints:
    """The same where each instant has its own country: `countries[country[i]]` for `local[i]`."""
    distinct = np.unique(country).tolist()
    if len(distinct) == 1:
        return kinds_of_day(local, countries[distinct[0]])
    kinds = np.zeros((len(local), FAMILIES), np.int64)
    for code in distinct:
        there = country == code
        kinds[there] = kinds_of_day(local[there], countries[code])
    return kinds


def check_country(country: str) -> str:
    """The same, where its holidays are known. Raises UnknownCountryError."""
    if not _CODE.fullmatch(country):
        raise UnknownCountryError(_CURE)
    _table(country)
    return country


def place_in_month(kind: int) -> str:
    """What days of a kind of the last three families are called: `last day of the month`."""
    if kind < DAYS_LEFT:
        return f"{_ordinal(kind - DAY_OF_MONTH + 1)} of the month"
    if kind < WORKING_DAY:
        return _counted_from_end(kind - DAYS_LEFT, "day")
    if kind < WORKING_DAY + LAST_WORKING_DAYS:
        return _counted_from_end(kind - WORKING_DAY, "working day")
    return f"{_ordinal(kind - WORKING_DAY - LAST_WORKING_DAYS + 1)} working day of the month"


def _counted_from_end(left: int, what: str) -> str:
    return f"last {what} of the month" if not left else f"{_ordinal(left + 1)} last {what} of the month"


def _ordinal(number: int) -> str:
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


@lru_cache(maxsize=64)
def _table(country: str) -> Ints:
    """A row of kinds for every day since 1970."""
    days = np.arange((_LAST - _FIRST).days, dtype=np.int64)
    names, weekend = _holidays(country)
    kinds = np.zeros((len(days), FAMILIES), np.int64)
    kinds[:, 0] = _beside_holidays(names)
    month = days.astype("datetime64[D]").astype("datetime64[M]")
    first = month.astype("datetime64[D]").astype(np.int64)
    left = (month + 1).astype("datetime64[D]").astype(np.int64) - 1 - days
    kinds[:, 1] = DAY_OF_MONTH + days - first
    kinds[:, 2] = np.where(left < 7, DAYS_LEFT + left, 0)
    works = (names == 0) & ~np.isin((days + 3) % 7, list(weekend))
    kinds[:, 3] = _working_days(works, month.astype(np.int64))
    kinds.setflags(write=False)
    return kinds


def _holidays(country: str) -> tuple[Ints, set[int]]:
    """Number of the holiday on every day, from 1, 0 where there is none; the days of the week without work."""
    found = np.zeros((_LAST - _FIRST).days, np.int64)
    if not country:
        return found, {5, 6}
    land, _, part = country.partition("-")
    try:
        calendar = holidays.country_holidays(land, subdiv=part or None, years=_HOLIDAY_YEARS)
    except NotImplementedError:
        raise UnknownCountryError(_CURE) from None
    numbers: dict[str, int] = {}
    for day, name in sorted(calendar.items()):
        number = numbers.setdefault(_plain(name), len(numbers))
        found[(day - _FIRST).days] = 1 + number % HOLIDAYS
    return found, set(calendar.weekend)


def _plain(name: str) -> str:
    """The holiday itself: without a second one on that day, and without `(observed)`."""
    return name.split("; ", maxsplit=1)[0].split(" (", maxsplit=1)[0]


def _beside_holidays(names: Ints) -> Ints:
    """Kinds of the first family. A holiday is never the day beside another, and before counts more than after."""
    before, after = np.append(names[1:], 0), np.append(0, names[:-1])
    beside = np.where(before > 0, BEFORE + before - 1, np.where(after > 0, AFTER + after - 1, 0))
    return np.where(names > 0, HOLIDAY + names - 1, beside)


def _working_days(works: Ints, month: Ints) -> Ints:
    """The last working days of a month, then the first ones; 0 for all others."""
    place = np.flatnonzero(works)
    _, start, count = np.unique(month[place], return_index=True, return_counts=True)
    from_start = np.arange(len(place)) - np.repeat(start, count)
    from_end = np.repeat(count, count) - 1 - from_start
    kind = np.where(from_start < LAST_WORKING_DAYS, WORKING_DAY + LAST_WORKING_DAYS + from_start, 0)
    kinds = np.zeros(len(works), np.int64)
    kinds[place] = np.where(from_end < LAST_WORKING_DAYS, WORKING_DAY + from_end, kind)
    return kinds

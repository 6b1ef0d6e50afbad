"""A simulated web shop: hourly figures by country with days, weeks, growth and noise, and a story told on top of them.

The same seed and start give the same shop. Points are those of real life as far as Heed can see: sessions are noisy and
a little persistent, orders are drawn from them, revenue follows from orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WEEK_HOURS = 168
METRICS = ("orders", "revenue", "sign_ups", "conversion")


@dataclass(frozen=True)
class Country:
    """Where customers live: how many sessions an average hour has, and how far its clocks are from UTC."""

    code: str
    sessions: float
    utc_offset: int
    basket: float


COUNTRIES = (
    Country("DE", 21_000, 1, 61.0),
    Country("FR", 15_000, 1, 54.0),
    Country("GB", 18_000, 0, 58.0),
    Country("ES", 11_000, 1, 43.0),
    Country("US", 32_000, -6, 72.0),
)


@dataclass(frozen=True)
class Chapter:
    """Something that happens to the shop: from an hour on, for some hours, to some metrics in some countries."""

    title: str
    told: str
    first_hour: int
    hours: int
    factors: dict[str, float]
    countries: tuple[str, ...]
    answer: str

    def touches(self, metric: str, country: str) -> bool:
        return metric in self.factors and country in self.countries

    def is_meant_by(self, text: str) -> bool:
        """Whether a message speaks of a series that it touches."""
        return any(metric in text for metric in self.factors) and any(country in text for country in self.countries)


def at(week: int, weekday: int, hour: int) -> int:
    """Hours from the start of the replay (a Monday, midnight UTC); weeks count from 1, Monday is 1."""
    return (week - 1) * WEEK_HOURS + (weekday - 1) * 24 + hour


EVERYWHERE = tuple(country.code for country in COUNTRIES)

CAMPAIGN = Chapter(
    title="The campaign",
    told="A newsletter goes out in Germany: sign-ups are two and a half times as many for four hours.",
    first_hour=at(8, 4, 16),
    hours=4,
    factors={"sign_ups": 2.5},
    countries=("DE",),
    answer="false_alarm",
)

STORY = (
    Chapter(
        title="The drop in one country",
        told="The payment provider fails in France: for five hours six of ten orders are lost.",
        first_hour=at(7, 3, 12),
        hours=5,
        factors={"orders": 0.4, "revenue": 0.4, "conversion": 0.4},
        countries=("FR",),
        answer="real",
    ),
    CAMPAIGN,
    Chapter(
        title="The billing day",
        told="Subscriptions are billed in Britain: two hours of revenue three times as high.",
        first_hour=at(9, 2, 7),
        hours=2,
        factors={"revenue": 3.0},
        countries=("GB",),
        answer="false_alarm",
    ),
    Chapter(
        title="The price change",
        told="Spanish prices rise by a third, for good: revenue goes up and stays there.",
        first_hour=at(10, 2, 9),
        hours=10 * WEEK_HOURS,
        factors={"revenue": 1.35},
        countries=("ES",),
        answer="new_normal",
    ),
)

ENCORE = Chapter(
    title="The campaign again",
    told="A week on, the newsletter goes out in Germany once more: the same rise of sign-ups.",
    first_hour=at(11, 4, 16),
    hours=4,
    factors={"sign_ups": 2.5},
    countries=("DE",),
    answer="false_alarm",
)


@dataclass(frozen=True)
class Reading:
    """The hourly figures of one metric in one country. timestamps: int64 unix seconds (N,); values: float64 (N,)."""

    metric: str
    country: str
    timestamps: NDArray[np.int64]
    values: Floats


def last_monday(now: datetime) -> datetime:
    """Midnight UTC of the Monday that is not after `now`."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=midnight.weekday())


class Shop:
    """`weeks` weeks of the shop, the first beginning on the Monday `start`."""

    def __init__(self, *, seed: int, start: datetime, weeks: int, chapters: tuple[Chapter, ...]) -> None:
        self.start = start
        self.hours = weeks * WEEK_HOURS
        self.timestamps = int(start.timestamp()) + 3600 * np.arange(self.hours, dtype=np.int64)
        self._figures: dict[tuple[str, str], Floats] = {}
        for number, country in enumerate(COUNTRIES):
            figures = _quiet_figures(country, self.hours, np.random.default_rng((seed, number)))
            for metric, values in figures.items():
                self._figures[metric, country.code] = _tell(values, metric, country.code, chapters)

    def readings(self, first_hour: int, end_hour: int) -> Iterator[Reading]:
        """All series from `first_hour` up to, not including, `end_hour`."""
        hours = slice(first_hour, end_hour)
        for (metric, country), values in self._figures.items():
            yield Reading(metric, country, self.timestamps[hours], values[hours])


def _quiet_figures(country: Country, hours: int, rng: np.random.Generator) -> dict[str, Floats]:
    """A country without the story."""
    sessions = rng.poisson(country.sessions * _season(hours, country.utc_offset) * _wobble(hours, rng))
    orders = rng.binomial(sessions, 0.031)
    baskets = country.basket * (1 + 0.35 * rng.standard_normal(hours) / np.sqrt(np.maximum(orders, 1)))
    return {
        "orders": orders.astype(np.float64),
        "revenue": np.round(orders * baskets, 2),
        "sign_ups": rng.poisson(0.024 * sessions).astype(np.float64),
        "conversion": np.round(100 * orders / np.maximum(sessions, 1), 3),
    }


def _season(hours: int, utc_offset: int) -> Floats:
    """Average 1 over a week: nights are quiet, evenings busiest, weekends start late."""
    local = np.arange(hours) + utc_offset
    hour, day = local % 24, local // 24 % 7
    weekend = day >= 5
    noon = np.exp(-(((hour - 12 - 1.5 * weekend) / 3.5) ** 2))
    evening = 1.35 * np.exp(-(((hour - 20) / 2.6) ** 2))
    shape = (0.3 + noon + evening) * np.array([1.0, 0.97, 0.98, 1.0, 1.04, 0.93, 1.1])[day]
    return np.asarray(shape / shape[:WEEK_HOURS].mean())


def _wobble(hours: int, rng: np.random.Generator) -> Floats:
    """Growth of a third of a percent a week, and weather: a persistent noise of about 3 percent."""
    shocks = 0.018 * rng.standard_normal(hours)
    weather = np.empty(hours)
    level = 0.0
    for hour in range(hours):
        level = 0.8 * level + shocks[hour]
        weather[hour] = level
    return np.asarray(np.exp(weather) * (1 + 0.0033 * np.arange(hours) / WEEK_HOURS))


def _tell(values: Floats, metric: str, country: str, chapters: tuple[Chapter, ...]) -> Floats:
    """The figures with what the chapters do to them."""
    told = values.copy()
    for chapter in chapters:
        if chapter.touches(metric, country):
            told[chapter.first_hour : chapter.first_hour + chapter.hours] *= chapter.factors[metric]
    return np.round(told, 3) if metric == "conversion" else np.round(told, 2 if metric == "revenue" else 0)

"""The demo's shop is the same for the same seed, looks like a shop, and has its story in the right places."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from app.demo.shop import COUNTRIES, ENCORE, METRICS, STORY, WEEK_HOURS, Chapter, Shop, last_monday

MONDAY = datetime(2026, 9, 14, tzinfo=UTC)


def shop(seed: int = 1, *, quiet: bool = False) -> Shop:
    return Shop(seed=seed, start=MONDAY, weeks=11, chapters=() if quiet else (*STORY, ENCORE))


def figures(of: Shop, metric: str, country: str) -> NDArray[np.float64]:
    return next(r.values for r in of.readings(0, of.hours) if (r.metric, r.country) == (metric, country))


def test_the_same_seed_gives_the_same_shop_and_another_seed_another() -> None:
    assert (figures(shop(1), "orders", "DE") == figures(shop(1), "orders", "DE")).all()
    assert (figures(shop(1), "orders", "DE") != figures(shop(2), "orders", "DE")).any()


def test_there_is_a_series_for_each_metric_and_country() -> None:
    readings = list(shop().readings(0, 24))
    assert len({(r.metric, r.country) for r in readings}) == len(METRICS) * len(COUNTRIES)
    assert all(len(r.values) == len(r.timestamps) == 24 for r in readings)


def test_evenings_are_busier_than_nights_and_weeks_resemble_each_other() -> None:
    orders = figures(shop(quiet=True), "orders", "DE").reshape(-1, WEEK_HOURS)
    assert orders[:, 19].mean() > 3 * orders[:, 2].mean()
    assert np.corrcoef(orders[0], orders[1])[0, 1] > 0.95


@pytest.mark.parametrize("chapter", [*STORY, ENCORE], ids=lambda chapter: chapter.title)
def test_a_chapter_changes_what_it_says_and_nothing_else(chapter: Chapter) -> None:
    told = Shop(seed=1, start=MONDAY, weeks=11, chapters=(chapter,))
    quiet = shop(quiet=True)
    for metric in METRICS:
        for country in COUNTRIES:
            changed = figures(told, metric, country.code) != figures(quiet, metric, country.code)
            expected = chapter.touches(metric, country.code)
            assert changed.any() == expected
            assert not changed[: chapter.first_hour].any()


def test_the_replay_ends_on_a_monday_so_that_weeks_of_the_story_are_weeks() -> None:
    assert last_monday(datetime(2026, 11, 25, 17, 3, tzinfo=UTC)) == datetime(2026, 11, 23, tzinfo=UTC)

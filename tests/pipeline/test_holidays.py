"""A running Heed knows the holidays of its series' countries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.train import everything, train
from detectors.calendar import DAY
from detectors.contract import Floats, Ints
from tests.detectors.german_shop import ZONE, instants, sales
from tests.running import alerts, posted, running

CITIES = ("Berlin", "Hamburg")


def has_a_year(heed: Heed) -> tuple[Ints, dict[str, Floats]]:
    """Two shops with daily sales up to 23 December, trained; returns the days that come, and what will be sold."""
    whole = instants("2024-11-25", "2025-12-29", DAY)
    coming = whole >= instants("2025-12-24", "2025-12-25")[0]
    sold = {city: sales(whole, seed=seed, noise=0.04) for seed, city in enumerate(CITIES)}
    for city in CITIES:
        points = posted("sales", whole[~coming], sold[city][~coming], city=city)
        heed.committer.submit(points, None, Delivery.SILENT).result()
    for _ in range(2):  # the first finds the cadence
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    return whole[coming], {city: values[coming] for city, values in sold.items()}


def sell(heed: Heed, days: Ints, sold: dict[str, Floats], factor: Floats | float = 1.0) -> None:
    for city, values in sold.items():
        for day, value in zip(days, values * factor, strict=True):
            heed.committer.submit(posted("sales", np.array([day]), [float(value)], city=city)).result()


@pytest.mark.parametrize(("country", "told"), [("DE", False), (None, True)])
@pytest.mark.any_database
def test_christmas_is_told_only_where_no_country_is_known(
    database_url: str, tmp_path: Path, country: str | None, told: bool
) -> None:
    with running(database_url, tmp_path, country=country, timezone=ZONE) as heed:
        days, sold = has_a_year(heed)
        sell(heed, days, sold)
        assert bool(alerts(heed)) == told


@pytest.mark.any_database
def test_a_christmas_far_below_the_last_one_is_told_after_a_restart_too(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path, country="DE", timezone=ZONE) as heed:
        days, sold = has_a_year(heed)
    with running(database_url, tmp_path, country="DE", timezone=ZONE) as heed:
        sell(heed, days, sold, np.array([1.0, 0.2, 0.2, 1.0, 1.0]))
        assert alerts(heed)

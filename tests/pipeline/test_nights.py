"""What a night says of itself, and how long it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from app.main import Heed
from detectors.contract import Floats, Ints
from tests.running import HOUR, MONDAY, Shop, alerts, running


def night(heed: Heed, *, after_days: int = 0) -> str:
    job = next(job for job in heed.jobs if job.name == "train-nightly")
    return str(job.run(heed.clock.now() + timedelta(days=after_days)))


def test_a_night_that_fails_says_so(tmp_path: Path) -> None:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        Shop(heed).is_known()
        with heed.database.engine.begin() as connection:
            connection.exec_driver_sql(
                "CREATE TRIGGER refuse BEFORE INSERT ON retrain_part BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
        assert night(heed).endswith("; failed: IntegrityError, after 0 trained, 1 kept their old baseline")


@dataclass
class Plain(Shop):
    """Orders between 200 at night and 800 by day, whose noise knows no size."""

    def values(self, hours: Ints) -> Floats:
        noise = np.random.default_rng(self.seed).normal(0, 20, 24 * 7 * 30)
        return np.asarray(500 + 300 * np.sin(2 * np.pi * hours / 24) + noise[hours])


def test_a_series_that_moved_by_a_factor_is_followed_and_not_told_of_day_by_day(tmp_path: Path) -> None:
    """Two fifths of the orders are gone for good, and nobody answers."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        shop = Plain(heed)
        shop.is_known()
        first = shop.clock
        for hours, outcome in (
            (28, "0 trained, 1 kept their old baseline"),
            (20, "1 trained, 0 kept their old baseline"),
        ):
            shop.send(hours, factor=0.6)
            assert night(heed).endswith(outcome)
        shop.send(72, factor=0.6)
        told = [(int(each.started_at.timestamp()) - MONDAY) // HOUR - first for each in alerts(heed)]
        assert told[0] == 0
        assert max(told) < 48
        shop.send(3, factor=0.6 * 0.5)
        assert len(alerts(heed)) == len(told) + 1

"""A conversion rate over days of many visits and nights of few: told at noon, not by night."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.train import everything, train
from app.store import points
from detectors.contract import Floats
from tests.detectors.test_weights import RATE, conversion, visits
from tests.running import HOUR, MONDAY, alerts, posted, running

WEEK = 168


def send(heed: Heed, first: int, values: Floats, events: Floats, delivery: Delivery | None = None) -> None:
    at = MONDAY + HOUR * (first + np.arange(len(values)))
    rates = replace(posted("conversion", at, values), weight=events)
    heed.committer.submit(rates, None, delivery).result(60)


def test_chance_among_twenty_visits_is_not_told_and_the_same_change_among_twenty_thousand_is(
    database_url: str, tmp_path: Path
) -> None:
    """After a restart too, which judges the log once more."""
    hours = np.arange(7 * WEEK)
    events = visits(MONDAY + HOUR * hours)
    values = conversion(MONDAY + HOUR * hours, events, seed=1)
    night = np.flatnonzero(events <= 20)
    assert values[night].max() >= 4 * RATE
    with running(database_url, tmp_path) as heed:
        send(heed, 0, values[: 6 * WEEK], events[: 6 * WEEK], Delivery.SILENT)
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        send(heed, 6 * WEEK, values[6 * WEEK :], events[6 * WEEK :])
        told = [alert for alert in alerts(heed) if alert.delivery == "live"]
        assert told == []
        with heed.database.reading() as session:
            stored = points.read_points(session, [1], 0, 1 << 40)
        np.testing.assert_array_equal(stored.weight, events.astype(np.float32))
    with running(database_url, tmp_path) as heed:
        noon = 7 * WEEK + np.arange(13)
        events = visits(MONDAY + HOUR * noon)
        later = conversion(MONDAY + HOUR * noon, events, seed=2)
        later[-1] = values[night].max()
        send(heed, 7 * WEEK, later, events)
        (alert,) = [alert for alert in alerts(heed) if alert.delivery == "live"]
        assert alert.title == "conversion is unusually high"
        assert alert.started_at.timestamp() == MONDAY + HOUR * noon[-1]

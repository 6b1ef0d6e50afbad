"""A new series among siblings that are known, on the running service and both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.desensitise import NewNormal, begin
from app.pipeline.train import everything, train, young
from app.pipeline.watch import watches
from detectors.training import Progress
from tests.running import HOUR, MONDAY, Shop, alerts, running

COUNTRIES = ("DE", "FR", "IT")
HISTORY = 5 * 168


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, alerts_per_week=0.01) as heed:  # no alert by chance, of any shop
        yield heed


def known_shops(heed: Heed, *, grown_by: float = 1.0) -> list[Shop]:
    """Shops of several countries with five weeks of history, trained. The last one has grown in the last of them."""
    shops = [Shop(heed, country=country, seed=seed) for seed, country in enumerate(COUNTRIES)]
    for shop in shops:
        shop.send(HISTORY - 168, at_once=True, delivery=Delivery.SILENT)
        factor = grown_by if shop is shops[-1] else 1.0
        shop.send(168, at_once=True, delivery=Delivery.SILENT, factor=factor)
    train(heed.committer, now=heed.clock.now(), reason="history", wanted=everything)
    return shops


def learning(heed: Heed, series_id: int) -> Progress:
    return watches(heed.committer, [series_id])[series_id].learning


def lives(shops: list[Shop], hours: int, factor: float = 1.0) -> None:
    """All shops go on; the factor is that of the last one."""
    for shop in shops:
        shop.send(hours, at_once=True, factor=factor if shop is shops[-1] else 1.0)


def train_young(heed: Heed) -> None:
    train(heed.committer, now=heed.clock.now(), reason="young", wanted=young)


def opened(heed: Heed, metric: str) -> Shop:
    """A shop without a past."""
    newcomer = Shop(heed, country="ES", metric=metric, seed=9)
    newcomer.clock = HISTORY
    return newcomer


def after_thirty_hours(heed: Heed, metric: str) -> tuple[list[Shop], int]:
    """A shop that opened thirty hours ago, and the id of its series."""
    shops = known_shops(heed)
    shops.append(opened(heed, metric))
    lives(shops, 30)
    train_young(heed)
    return shops, len(shops)


def test_a_new_series_alerts_after_a_day_by_what_its_siblings_lent_it(heed: Heed) -> None:
    shops, newcomer = after_thirty_hours(heed, "orders")
    assert learning(heed, newcomer).siblings == len(COUNTRIES)
    assert learning(heed, newcomer).may_alert
    lives(shops, 3)
    lives(shops, 3, factor=0.4)
    assert [alert.title for alert in alerts(heed)] == ["orders (country ES) is unusually low"]


def test_a_sibling_with_a_new_level_lends_its_past_at_that_level(heed: Heed) -> None:
    """Weeks of a third of its size among those that were lent would be a wide band, and no alert."""
    shops = known_shops(heed, grown_by=3.0)
    since = datetime.fromtimestamp(MONDAY + HOUR * (HISTORY - 168), UTC)
    wanted = NewNormal(reason="moved", author="ops", now=heed.clock.now(), series_id=len(shops), start=since)
    begin(heed.committer, wanted)
    shops.append(opened(heed, "orders"))
    for hours, factor in ((30, 1.0), (3, 1.0), (3, 0.75)):
        for shop, times in zip(shops, (1.0, 1.0, 3.0, factor), strict=True):
            shop.send(hours, at_once=True, factor=times)
        if hours == 30:
            train_young(heed)
    assert "orders (country ES) is unusually low" in [alert.title for alert in alerts(heed)]


def test_a_series_without_siblings_waits_and_says_so(heed: Heed) -> None:
    shops, newcomer = after_thirty_hours(heed, "visits")
    assert (learning(heed, newcomer).siblings, learning(heed, newcomer).may_alert) == (0, False)
    assert learning(heed, newcomer).reason == "less than 2 days of history"
    lives(shops, 3)
    lives(shops, 3, factor=0.4)
    assert alerts(heed) == []


def test_what_was_borrowed_outlives_a_restart(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        _, newcomer = after_thirty_hours(heed, "orders")
        before = learning(heed, newcomer)
    with running(database_url, tmp_path) as heed:
        assert learning(heed, newcomer) == before


def test_a_settled_series_learns_from_itself_alone(heed: Heed) -> None:
    shops = known_shops(heed)
    assert [learning(heed, series_id).siblings for series_id in range(1, len(shops) + 1)] == [0] * len(shops)
    assert int(heed.committer.partitions[0].columns["last_at"].max()) == MONDAY + HOUR * (HISTORY - 1)

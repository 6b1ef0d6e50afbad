"""Reported misses on a running Heed: the replay says what the next points then show."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.main import Heed
from app.pipeline.learn import label_alert, label_span
from app.store.tables import Anomaly
from feedback import guards
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, running

WEEK_HOURS = 168
BUDGET = 0.602  # log10 weeks that the default budget asks for
ANA: dict[str, Any] = {"author": "ana", "source": "api"}


@pytest.fixture
def heed(tmp_path: Path) -> Iterator[Heed]:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        yield heed


@pytest.fixture
def shop(heed: Heed) -> Shop:
    """Five weeks of trained history, and a quiet day."""
    shop = Shop(heed)
    shop.is_known()
    return shop


def a_fall(shop: Shop, factor: float) -> Anomaly | None:
    """Of one hour, and a week with that; the anomaly that was kept of it."""
    began = MONDAY + HOUR * shop.clock
    shop.send(1, factor=factor)
    shop.send(WEEK_HOURS - 1, at_once=True)
    falls = (each for each in anomalies(shop.heed) if int(each.started_at.timestamp()) == began)
    return next(falls, None)


def report(shop: Shop, hours_ago: int) -> dict[str, Any]:
    """That of so many hours ago was missed; what its replay says."""
    at = datetime.fromtimestamp(MONDAY + HOUR * (shop.clock - hours_ago), UTC)
    answer = label_span(shop.heed, 1, "missed", start=at, end=at, now=shop.heed.clock.now(), **ANA)
    replayed: dict[str, Any] = answer.receipt["replayed"]
    return replayed


def count_live(heed: Heed) -> int:
    return sum(alert.delivery == "live" for alert in alerts(heed))


def call_everything_a_false_alarm(heed: Heed) -> None:
    for alert in alerts(heed):
        if alert.status in ("firing", "resolved"):
            label_alert(heed, alert.id, "false_alarm", now=heed.clock.now(), confirmed=True, **ANA)


def test_a_miss_that_false_alarms_had_hidden_is_told_when_played_again_and_so_is_its_twin(
    heed: Heed, shop: Shop
) -> None:
    for _ in range(4):
        shop.send(1, factor=0.72)
        shop.send(28, at_once=True)
        call_everything_a_false_alarm(heed)
    hidden = a_fall(shop, 0.72)
    assert hidden is not None
    assert (hidden.outcome, hidden.rarity > BUDGET) == ("tolerated", True)
    assert report(shop, WEEK_HOURS)["told"]
    before = count_live(heed)
    a_fall(shop, 0.72)
    assert count_live(heed) == before + 1


def test_a_miss_a_little_less_rare_than_the_budget_asks_is_told_when_played_again_and_so_is_its_like(
    heed: Heed, shop: Shop
) -> None:
    missed = a_fall(shop, 0.84)
    assert missed is not None
    assert BUDGET - guards.MOST_LOWERED < missed.rarity < BUDGET
    assert report(shop, WEEK_HOURS)["told"]
    twin = a_fall(shop, 0.9)
    assert twin is not None
    assert (twin.outcome, twin.rarity < BUDGET) == ("told", True)
    assert count_live(heed) == 1


def test_a_miss_that_is_too_common_is_not_told_when_played_again_and_says_how_far_the_threshold_is_lowered(
    shop: Shop,
) -> None:
    assert a_fall(shop, 0.87) is None
    replayed = report(shop, WEEK_HOURS)
    assert (replayed["told"], replayed["hindrance"]) == (False, "too_common")
    assert "the threshold is lowered to once a week at most" in replayed["reason"]
    reported = next(each for each in anomalies(shop.heed) if each.outcome == "missed")
    assert reported.evidence["features"]["size"] < 0

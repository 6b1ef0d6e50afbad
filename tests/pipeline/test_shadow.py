"""A candidate detector judges beside the live one, and only counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.clock import wall_now
from app.main import Heed
from app.pipeline.shadow import count_shadows
from app.pipeline.train import everything, train
from app.store import shadows
from app.store.series import Matcher
from app.store.tables import Shadow
from tests.running import Shop, alerts, notification_reasons, running

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8"}


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, **WEBHOOK) as heed:
        yield heed


def test_a_shadow_counts_what_it_would_have_told_beside_what_was_told(heed: Heed) -> None:
    shop = trained_shop(heed)
    shadow_id = begin(heed, "basic")
    shop.send(10)
    shop.send(3, factor=0.2)
    shop.send(6)
    count_shadows(heed.committer, heed.clock.now())
    counted = shadow_of(heed, shadow_id)
    assert (counted.series_count, counted.would_be_alerts, counted.live_alerts) == (1, 1, 1)
    assert counted.counted_until == heed.clock.now()
    assert len(alerts(heed)) == 1
    assert notification_reasons(heed) == ["firing", "resolved"]


@pytest.mark.any_database
def test_counts_go_on_after_a_restart_and_nothing_is_counted_twice(database_url: str, tmp_path: Path) -> None:
    with running(database_url, tmp_path) as heed:
        shop = trained_shop(heed)
        shadow_id = begin(heed, "seasonal")
        shop.send(3, factor=0.2)
        shop.send(6)
        count_shadows(heed.committer, heed.clock.now())
        first = shadow_of(heed, shadow_id).would_be_alerts
    with running(database_url, tmp_path) as heed:
        count_shadows(heed.committer, heed.clock.now())
        assert shadow_of(heed, shadow_id).would_be_alerts == first == 1
        shop.heed = heed
        shop.send(20)
        shop.send(3, factor=0.2)
        shop.send(6)
        count_shadows(heed.committer, heed.clock.now())
        assert shadow_of(heed, shadow_id).would_be_alerts == 2


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_goes_on_over_a_count_is_counted_once(heed: Heed) -> None:
    shop = trained_shop(heed)
    shadow_id = begin(heed, "seasonal")
    shop.send(3, factor=0.2)
    count_shadows(heed.committer, heed.clock.now())
    assert shadow_of(heed, shadow_id).would_be_alerts == 1
    shop.send(3, factor=0.2)
    shop.send(6)
    count_shadows(heed.committer, heed.clock.now())
    assert shadow_of(heed, shadow_id).would_be_alerts == 1


@pytest.mark.any_database
def test_the_night_counts_by_itself(heed: Heed) -> None:
    shop = trained_shop(heed)
    shadow_id = begin(heed, "basic")
    shop.send(30)
    heed.committer.call(lambda: None)
    counted = shadow_of(heed, shadow_id)
    assert counted.counted_until > counted.counted_from


def test_without_shadows_nothing_is_done(heed: Heed) -> None:
    trained_shop(heed)
    tail = heed.committer.partitions[0].tail_points
    assert count_shadows(heed.committer, heed.clock.now()) == 0
    assert heed.committer.partitions[0].tail_points == tail


def trained_shop(heed: Heed) -> Shop:
    shop = Shop(heed)
    shop.has_history()
    shop.send(5)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    return shop


def begin(heed: Heed, detector: str) -> int:
    with heed.database.writing() as session:
        matcher = Matcher("ord*", {"country": ["DE"]})
        return shadows.begin(session, matcher, detector, event_now=heed.clock.now(), now=wall_now()).id


def shadow_of(heed: Heed, shadow_id: int) -> Shadow:
    with heed.database.reading() as session:
        found = shadows.get(session, shadow_id)
    assert found is not None
    return found

"""A gap that a verdict of bad data made ends by itself: on points that look normal, on corrections, or by its age."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.learn import label_alert
from app.pipeline.train import everything, train
from app.store.tables import Alert, Gap
from tests.running import Shop, running

HISTORY = 4 * 168 + 5  # five in the morning, after the nightly training


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, alerts_per_week=0.02, longest_gap_days=2) as heed:
        yield heed


def with_bad_data(heed: Heed) -> Shop:
    """Orders that fall to a tenth for four hours, which somebody calls bad data while it lasts."""
    shop = Shop(heed)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    shop.send(6)
    shop.send(4, factor=0.1)
    with heed.database.reading() as session:
        alert_id = session.scalars(sa.select(Alert.id).where(Alert.kind == "anomaly")).one()
    label_alert(heed, alert_id, "bad_data", author="ana", source="api", now=heed.clock.now())
    assert the_gap(heed).ended_at is None
    return shop


def the_gap(heed: Heed) -> Gap:
    with heed.database.reading() as session:
        return session.scalars(sa.select(Gap)).one()


def told(heed: Heed) -> list[tuple[str, str]]:
    with heed.database.reading() as session:
        return [(alert.kind, alert.status) for alert in session.scalars(sa.select(Alert).order_by(Alert.id))]


@pytest.mark.any_database
def test_it_ends_once_the_series_looks_normal_again(heed: Heed) -> None:
    shop = with_bad_data(heed)
    shop.send(11)
    assert the_gap(heed).ended_at is None
    shop.send(3)
    gap = the_gap(heed)
    assert gap.ended_by == "points that look normal again"
    assert gap.ended_at is not None
    assert gap.ended_at - gap.started_at <= timedelta(hours=6)
    assert told(heed) == [("anomaly", "withdrawn"), ("data", "resolved")]


@pytest.mark.any_database
def test_it_stays_open_while_the_data_are_bad(heed: Heed) -> None:
    shop = with_bad_data(heed)
    shop.send(30, factor=0.1)
    assert (the_gap(heed).ended_at, told(heed)) == (None, [("anomaly", "withdrawn"), ("data", "firing")])


def test_it_is_filled_once_what_was_wrong_is_sent_again(heed: Heed) -> None:
    shop = with_bad_data(heed)
    shop.clock -= 4
    shop.send(4, at_once=True)
    shop.send(2)
    gap = the_gap(heed)
    assert (gap.ended_by, gap.filled_at is not None) == ("points that were sent again", True)
    assert told(heed) == [("anomaly", "withdrawn"), ("data", "resolved")]


@pytest.mark.any_database
def test_it_is_given_up_at_its_longest_and_people_are_told(heed: Heed) -> None:
    """Guarantee 31."""
    shop = with_bad_data(heed)
    shop.send(50, factor=0.1)
    assert the_gap(heed).ended_by == "the longest time that a gap may stay open"
    with heed.database.reading() as session:
        alert = session.scalars(sa.select(Alert).where(Alert.kind == "data")).one()
    assert alert.title.endswith("; given up after 2 days, and judged again from now on")
    assert alert.status == "resolved"

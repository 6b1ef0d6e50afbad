"""Training and folding on the running service."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.learn import label_alert
from app.pipeline.train import due, everything, fold, train, young
from app.store.tables import BaselineVersion, Label, LogBatch, Series
from tests.running import HOUR, MONDAY, Shop, alerts, anomalies, posted, running


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path) as heed:
        yield heed


def retrain(heed: Heed) -> int:
    return train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything).trained


def test_a_fold_empties_the_log_and_finds_the_cadence(heed: Heed) -> None:
    times = MONDAY + 300 * np.arange(200)
    heed.committer.submit(posted("latency", times, np.ones(200))).result()
    fold(heed.committer, 0)
    with heed.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(LogBatch)) == 0
        assert session.scalars(sa.select(Series.cadence_seconds)).all() == [300]


def test_a_young_series_is_trained_once_it_has_ground_for_it_and_again_as_it_grows(heed: Heed) -> None:
    shop = Shop(heed)
    partition = heed.committer.partitions[0]
    shop.send(10)
    assert young(partition).size == 0
    shop.send(10)
    retrain(heed)
    assert young(partition).size == 0
    shop.send(40)
    assert partition.columns["trained_points"][0] >= 40


def test_a_minute_in_which_nothing_is_to_be_trained_asks_the_database_nothing(heed: Heed) -> None:
    Shop(heed).has_history(weeks=1)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():  # deliveries are looked for on others
            asked.append(statement)

    sa.event.listen(heed.database.engine, "before_cursor_execute", note)
    assert train(heed.committer, now=heed.clock.now(), reason="test", wanted=due).trained == 0
    assert asked == []


def test_trainings_learn_what_the_log_holds_too(heed: Heed) -> None:
    """Points that came after the fold are learned as those before it."""
    shop = Shop(heed)
    shop.has_history(weeks=3)
    fold(heed.committer, 0)
    shop.send(5)
    partition = heed.committer.partitions[0]
    heed.committer.call(lambda: None)
    train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
    model = partition.models[int(partition.columns["model"][0])]
    assert int(model.state["timestamp"][0]) == MONDAY + HOUR * (shop.clock - 1)


def test_each_training_is_a_version_with_a_reason(heed: Heed) -> None:
    Shop(heed).has_history(weeks=3)
    retrain(heed)
    with heed.database.reading() as session:
        version = session.scalars(sa.select(BaselineVersion).order_by(BaselineVersion.id.desc())).first()
    assert version is not None
    assert (version.reason, version.series_count) == ("test", 1)


@pytest.mark.any_database
def test_series_of_several_zones_and_cadences_are_trained_together(heed: Heed) -> None:
    for metric, cadence in (("minutely", 60), ("hourly", 3600)):
        times = MONDAY + cadence * np.arange(3 * 1440)
        heed.committer.submit(posted(metric, times, 10 + np.sin(times / 7000)), None, Delivery.SILENT).result()
    assert retrain(heed) == 2
    assert heed.committer.partitions[0].columns["cadence"][:2].tolist() == [60, 3600]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Tokyo"])
def test_days_that_begin_at_local_midnight_are_learned_as_their_weekday(
    zone: str, sqlite_template: Path, tmp_path: Path
) -> None:
    """Guarantee 21: through two changes of the clocks."""
    shutil.copy(sqlite_template, tmp_path / "heed.db")
    first = datetime(2025, 6, 2, tzinfo=ZoneInfo(zone))
    days = np.array([int((first + timedelta(days=day)).timestamp()) for day in range(315)])  # up to 12 April 2026
    usual = np.where(np.arange(315) % 7 >= 5, 500.0, 1_000.0)
    value = usual * (1 + 0.03 * np.random.default_rng(5).standard_normal(315))
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, timezone=zone, alerts_per_week=0.02) as heed:
        heed.committer.submit(posted("orders", days[:280], value[:280]), None, Delivery.SILENT).result()
        retrain(heed)
        for day in range(280, 315):
            heed.committer.submit(posted("orders", days[day : day + 1], value[day : day + 1])).result()
        assert anomalies(heed) == []


@pytest.mark.any_database
def test_what_people_call_real_is_not_learned_and_a_false_alarm_is(heed: Heed) -> None:
    expectation: dict[str, list[float]] = {}
    for verdict in ("real", "false_alarm"):
        shop = Shop(heed, country=verdict, seed=5)
        shop.has_history(weeks=3)
        for _ in range(3):  # the same three hours of three days in a row
            shop.send(10)
            shop.send(3, factor=0.3)
            shop.send(11)
        for alert in alerts(heed):
            if verdict in alert.title and not_labelled(heed, alert.id):
                label_alert(heed, alert.id, verdict, author="ana", source="api", now=heed.clock.now())
        retrain(heed)
        expectation[verdict] = spread_at(heed, len(expectation))
    assert expectation["real"] != expectation["false_alarm"]


def not_labelled(heed: Heed, alert_id: int) -> bool:
    with heed.database.reading() as session:
        return session.scalar(sa.select(Label.id).where(Label.alert_id == alert_id)) is None


def spread_at(heed: Heed, slot: int) -> list[float]:
    partition = heed.committer.partitions[0]
    model = partition.models[int(partition.columns["model"][slot])]
    row = int(partition.columns["row"][slot])
    return [float(v) for v in np.ravel(model.baseline["profile"][row])[:24]]

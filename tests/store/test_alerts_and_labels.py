"""Queries on alerts, anomalies and labels."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.store import alerts as stored_alerts
from app.store import labels as stored_labels
from app.store.alerts import AlertFilter
from app.store.database import Database
from app.store.labels import LabelFilter
from app.store.series import Matcher
from tests.pipeline.world import ANA, LINK, NOW, World, a_series, an_alert, an_untold_anomaly


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def found(world: World, wanted: AlertFilter, **page: int) -> list[int]:
    with world.database.reading() as session:
        return [alert.id for alert in stored_alerts.find(session, wanted, **({"limit": 10} | page))]


def labels_found(world: World, wanted: LabelFilter, **page: int) -> list[int]:
    with world.database.reading() as session:
        return [label.id for label in stored_labels.find(session, wanted, **({"limit": 10} | page))]


def test_alerts_are_listed_newest_first_and_page_by_page(world: World) -> None:
    series = a_series(world)
    ids = [an_alert(world, series, days_ago=day, is_open=False) for day in (3, 2, 1)]
    assert found(world, AlertFilter(), limit=2) == [ids[2], ids[1]]
    assert found(world, AlertFilter(), limit=2, before_id=ids[1]) == [ids[0]]


def test_alerts_are_found_by_status_series_matcher_time_and_label(world: World) -> None:
    german, french = a_series(world, "DE"), a_series(world, "FR")
    over, going_on = an_alert(world, german, days_ago=9, is_open=False), an_alert(world, french)
    world.label(over, "real")
    assert found(world, AlertFilter(status=["firing"])) == [going_on]
    assert found(world, AlertFilter(series_id=german)) == [over]
    assert found(world, AlertFilter(series=Matcher("ord*", {"country": ["FR"]}))) == [going_on]
    assert found(world, AlertFilter(start=NOW - timedelta(days=1))) == [going_on]
    assert found(world, AlertFilter(end=NOW - timedelta(days=1))) == [over]
    assert found(world, AlertFilter(labelled=True)) == [over]
    assert found(world, AlertFilter(labelled=False)) == [going_on]
    assert found(world, AlertFilter(kind="data")) == []


def test_labels_are_found_by_what_they_say_and_whether_they_stand(world: World) -> None:
    series = a_series(world)
    first, second = (an_alert(world, series, days_ago=day, is_open=False) for day in (2, 1))
    kept, undone = world.label(first, **LINK).label_id, world.label(second, "real", **ANA).label_id
    world.undo(undone)
    assert labels_found(world, LabelFilter()) == [undone, kept]
    assert labels_found(world, LabelFilter(stands=True)) == [kept]
    assert labels_found(world, LabelFilter(stands=False)) == [undone]
    assert labels_found(world, LabelFilter(verdict="real")) == [undone]
    assert labels_found(world, LabelFilter(alert_id=first, series_id=series)) == [kept]
    assert labels_found(world, LabelFilter(author="ana")) == [undone]
    assert labels_found(world, LabelFilter(), limit=1, before_id=undone or 0) == [kept]


def test_an_open_told_anomaly_is_kept_out_of_training_until_somebody_calls_it_normal(world: World) -> None:
    series = a_series(world)
    alert = an_alert(world, series)
    with world.database.reading() as session:
        assert stored_labels.labelled_and_open_spans(session).series_id.tolist() == [series]
    world.label(alert)
    with world.database.reading() as session:
        assert stored_labels.labelled_and_open_spans(session).series_id.tolist() == []


def test_anomalies_are_found_by_series_and_start(world: World) -> None:
    series = a_series(world)
    an_untold_anomaly(world, series, rarity=1.0, outcome="tolerated")
    with world.database.reading() as session:
        anomaly = stored_alerts.strongest_anomaly(session, series, NOW - timedelta(days=30), NOW)
        assert anomaly is not None
        run = (series, anomaly.started_at)
        elsewhere = (series + 1, anomaly.started_at)
        assert list(stored_alerts.anomalies_by_start(session, [run, elsewhere])) == [run]


def test_runs_of_alerts_that_are_over_are_known(world: World) -> None:
    series = a_series(world)
    alert = an_alert(world, series)
    with world.database.reading() as session:
        assert stored_alerts.closed_runs(session, [series]) == set()
    world.label(alert)
    with world.database.reading() as session:
        assert [each for each, _ in stored_alerts.closed_runs(session, [series])] == [series]

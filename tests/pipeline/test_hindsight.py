"""What a receipt says of past alerts is counted in alerts, not in the anomalies that they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.pipeline.hindsight import group_of
from app.pipeline.policies import current_policies
from app.store.database import Database
from app.store.tables import Alert, Series
from tests.pipeline.world import World, a_series, an_alert, an_anomaly, an_untold_anomaly


@pytest.fixture
def heed(database: Database) -> World:
    return World(database)


def tells_of(heed: World, alert_id: int, series_id: int, *, rarity: float, days_ago: float) -> None:
    """An alert tells of one anomaly more."""
    with heed.database.writing() as session:
        run: dict[str, Any] = {"rarity": rarity, "is_open": False, "alert_id": alert_id, "outcome": "told"}
        an_anomaly(session, series_id, **run, days_ago=days_ago)


def counted(hindsight: Mapping[str, Any]) -> tuple[int, list[int | None]]:
    return hindsight["count"], [each["alert_id"] for each in hindsight["alerts"]]


def test_an_alert_that_would_not_have_been_sent_counts_once_however_many_anomalies_it_tells_of(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    alert = an_alert(heed, german, is_open=False)
    earlier = an_alert(heed, german, rarity=1.0, is_open=False, days_ago=20)
    tells_of(heed, earlier, german, rarity=0.9, days_ago=19.9)
    tells_of(heed, earlier, french, rarity=0.7, days_ago=20)
    receipt = heed.label(alert).receipt
    assert counted(receipt["alerts_no_longer_sent"]) == (2, [alert, earlier])
    assert receipt["alerts_no_longer_sent"]["alerts"][1]["rarity_weeks"] == pytest.approx(10.0)
    assert "Of the alerts of the last 60 days, 2 would not have been sent." in receipt["text"]


def test_an_alert_of_which_something_is_still_told_would_still_have_been_sent(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    alert = an_alert(heed, german, is_open=False)
    earlier = an_alert(heed, german, rarity=1.0, is_open=False, days_ago=20)
    tells_of(heed, earlier, french, rarity=30.0, days_ago=20)
    given = heed.label(alert).receipt
    assert counted(given["alerts_no_longer_sent"]) == (1, [alert])
    undone = heed.undo(given["label_id"], dry_run=True).receipt
    assert counted(undone["alerts_now_sent"]) == (1, [alert])


def test_untold_anomalies_of_one_cause_would_have_been_one_alert(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    labels = [heed.label(an_alert(heed, series, is_open=False)).label_id for series in (german, french)]
    for series, days_ago in ((german, 5.0), (german, 4.98), (french, 5.0), (german, 9.0)):
        an_untold_anomaly(heed, series, rarity=0.7, outcome="tolerated", days_ago=days_ago)
    heed.undo(labels[1])
    receipt = heed.undo(labels[0], dry_run=True).receipt
    assert receipt["alerts_now_sent"]["count"] == 3  # the labelled one, and one each of five and of nine days ago
    assert "In the last 60 days, 3 more alerts would have been sent." in receipt["text"]


def test_what_would_have_joined_an_alert_that_was_sent_anyway_is_no_further_alert(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    given = heed.label(an_alert(heed, german, is_open=False)).label_id
    an_untold_anomaly(heed, german, rarity=0.7, outcome="tolerated")
    before = heed.undo(given, dry_run=True).receipt["alerts_now_sent"]["count"]
    sent = an_alert(heed, french, rarity=30.0, is_open=False, days_ago=5)
    grouped(heed, sent, german)
    assert heed.undo(given, dry_run=True).receipt["alerts_now_sent"]["count"] == before - 1


def grouped(heed: World, alert_id: int, series_id: int) -> None:
    """As the alert is where it was told: in the group of such a series."""
    with heed.database.writing() as session:
        session.get_one(Alert, alert_id).group_key = group_of(
            current_policies(session, {}), session.get_one(Series, series_id), 1
        )

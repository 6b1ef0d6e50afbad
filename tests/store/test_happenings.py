"""What trainings must not learn from, gathered from labels, anomalies, events and gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from app.store import happenings
from app.store.database import Database
from app.store.tables import Alert, Event, Gap, Label, Retrain
from feedback.training_mask import training_mask
from tests.pipeline.world import World, a_series, an_alert

MONDAY = datetime(2026, 2, 2, tzinfo=UTC)
UNTIL = datetime(2026, 3, 20, tzinfo=UTC)
DAY = 86_400


@pytest.fixture
def world(database: Database) -> World:
    return World(database)


def an_event(**other: Any) -> Event:
    fields: dict[str, Any] = {
        "name": "campaign",
        "metric": "orders",
        "dimensions": {},
        "started_at": MONDAY,
        "ended_at": MONDAY + timedelta(days=1),
        "timezone": "UTC",
        "rrule": "FREQ=MONTHLY;BYDAY=1MO",
        "also_on": [],
        "not_on": [],
        "author": "ana",
        "created_at": MONDAY,
    }
    return Event(**fields | other)


def a_gap(**other: Any) -> Gap:
    fields: dict[str, Any] = {
        "metric": "orders",
        "dimensions": {},
        "started_at": MONDAY,
        "ended_at": MONDAY + timedelta(days=2),
        "reason": "the exporter was down",
        "origin": "declared",
        "author": "ana",
        "created_at": MONDAY,
        "retrain_when_backfilled": False,
        "known_points": 0,
    }
    return Gap(**fields | other)


def masked_days(world: World, series_id: int) -> list[int]:
    """Days of February and March, from 1 February on, that are not learned of a series."""
    first = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    days = first + DAY * np.arange(47, dtype=np.int64)
    with world.database.reading() as session:
        excluded = happenings.exclusions(session, UNTIL)
    mask = training_mask(excluded, np.array([series_id], np.int64), days, DAY)
    return (np.flatnonzero(mask[0]) + 1).tolist()


def add(world: World, *rows: Event | Gap | Label) -> None:
    with world.database.writing() as session:
        session.add_all(rows)


def test_every_past_occurrence_of_an_event_is_left_out_of_training(world: World) -> None:
    german, other = a_series(world, "DE"), a_series(world, "FR")
    add(world, an_event(dimensions={"country": ["DE"]}))
    assert masked_days(world, german) == [2, 28 + 2]
    assert masked_days(world, other) == []


def test_a_gap_is_left_out_until_it_is_filled_and_an_open_one_to_the_end(world: World) -> None:
    german = a_series(world)
    add(world, a_gap(), a_gap(started_at=UNTIL - timedelta(days=2), ended_at=None))
    assert masked_days(world, german) == [2, 3, 46, 47]
    with world.database.writing() as session:
        for gap in happenings.standing(session, Gap):
            gap.filled_at = UNTIL
    assert masked_days(world, german) == []


@pytest.mark.parametrize("kind", ["anomaly", "data"])
def test_what_a_verdict_calls_bad_is_left_out_until_the_gap_that_it_made_or_is_about_is_filled(
    world: World, kind: str
) -> None:
    german = a_series(world)
    labelled = an_alert(world, german, is_open=False)
    label = world.label(labelled, "bad_data").label_id
    kept_out = world.label(an_alert(world, german, is_open=False, days_ago=3), "bad_data", only=["training"])
    gap = a_gap(label_id=label if kind == "anomaly" else None)
    add(world, gap)
    with world.database.writing() as session:
        alert = session.get_one(Alert, labelled)
        alert.kind, alert.gap_id = kind, gap.id
    assert masked_days(world, german) == [2, 3, 27, 30]
    with world.database.writing() as session:
        session.get_one(Gap, gap.id).filled_at = UNTIL
    assert masked_days(world, german) == [27]
    world.undo(kept_out.label_id)
    assert masked_days(world, german) == []


def test_the_retrain_of_a_gap_is_about_the_series_of_that_gap(world: World) -> None:
    german, french = a_series(world, "DE"), a_series(world, "FR")
    gap = a_gap(dimensions={"country": ["FR"]})
    add(world, gap)
    with world.database.reading() as session:
        of_gap = Retrain(metric="*", dimensions={}, gap_id=gap.id)
        assert happenings.series_ids_of(session, of_gap).tolist() == [french]
        assert happenings.series_ids_of(session, Retrain(metric="*", dimensions={})).tolist() == [german, french]


def test_a_gap_of_one_token_is_about_its_series_alone(world: World) -> None:
    german = a_series(world)
    add(world, a_gap(token_id=77))
    assert masked_days(world, german) == []


def test_what_a_revoked_label_made_does_not_stand(world: World) -> None:
    german = a_series(world)
    label = world.label(an_alert(world, german, is_open=False), "real").label_id
    add(world, an_event(label_id=label, series_id=german, metric="*"))
    assert masked_days(world, german)[:1] == [2]
    world.undo(label)
    assert masked_days(world, german) == []


def test_what_was_taken_back_does_not_stand(world: World) -> None:
    german = a_series(world)
    add(world, an_event(revoked_at=MONDAY), a_gap(revoked_at=MONDAY))
    assert masked_days(world, german) == []


def test_a_label_and_an_event_exclude_together(world: World) -> None:
    german = a_series(world)
    world.label(an_alert(world, german, is_open=False, days_ago=0), "real")
    add(world, an_event(rrule=None))
    assert masked_days(world, german) == [2, 28 + 2]

"""Guarantee 18: whatever was said and taken back in whatever order, what counts is what stands.

Labels, reported misses, and declared events and gaps that lie over the same alerts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule, run_state_machine_as_test

from app.store.database import Database
from app.store.tables import Alert, Anomaly, Event, Gap, Label, Notification, Series
from feedback.labels import EFFECTS, EffectOn, Verdict
from tests.pipeline.world import (
    ANA,
    LINK,
    NOW,
    World,
    a_gap,
    a_series,
    an_alert,
    an_event,
    an_untold_anomaly,
)

pytestmark = pytest.mark.any_database

RARITIES = (0.7, 1.5, 2.0, 6.0, 40.0)
UNTOLD, SILENT = -2, -1
"""Places of what nobody was told of, before the alerts."""
HAPPENINGS: dict[str, tuple[type[Event] | type[Gap], str]] = {
    "declared event": (Event, "name"),
    "declared gap": (Gap, "reason"),
}
"""And the field that tells them apart."""


def some_effects_of(verdict: str) -> st.SearchStrategy[set[EffectOn] | None]:
    """On what a label acts: all that its verdict acts on, or some of it."""
    separable = sorted(EFFECTS[Verdict(verdict)].separable)
    return st.none() | st.sets(st.sampled_from(separable), min_size=1)


def a_world_with_alerts(database: Database) -> World:
    """Alerts of two series, of all strengths, all over. Before them one that was only recorded, and an anomaly that
    nobody was told of."""
    world = World(database)
    german, french = a_series(world, "DE"), a_series(world, "FR")
    an_untold_anomaly(world, german, rarity=0.4, outcome="below_threshold", days_ago=days_ago(UNTOLD))
    an_alert(world, french, rarity=1.0, is_open=False, days_ago=days_ago(SILENT), delivery="silent")
    for place, rarity in enumerate(RARITIES):
        an_alert(world, french if place % 2 == 0 else german, rarity=rarity, is_open=False, days_ago=days_ago(place))
    return world


def days_ago(place: int) -> int:
    return len(RARITIES) - place


@dataclass(frozen=True)
class Act:
    """What somebody says, and when. places: of one anomaly, or of the first and the last that a happening is about."""

    what: str
    places: tuple[int, int]
    at: datetime
    is_anonymous: bool = False
    only: Collection[EffectOn] | None = None
    country: str | None = None

    def do(self, world: World) -> int:
        """Returns the id of what it makes."""
        with world.database.reading() as session:
            began = NOW - timedelta(days=days_ago(self.places[0]), hours=4)
            after = sa.select(Anomaly).where(Anomaly.started_at > began).order_by(Anomaly.started_at).limit(1)
            anomaly = session.scalars(after).one()
        if self.what == "missed":
            return world.report(anomaly.series_id, anomaly.started_at, now=self.at)
        if self.what in HAPPENINGS:
            span = 24 * days_ago(self.places[0]) + 4, 24 * days_ago(self.places[1])
            dimensions = {"country": [self.country]} if self.country else {}
            said = {"dimensions": dimensions, HAPPENINGS[self.what][1]: self.at.isoformat()}
            return world.declare((an_event if self.what == "declared event" else a_gap)(span, now=self.at, **said))
        assert anomaly.alert_id is not None
        who = LINK if self.is_anonymous else ANA
        world.label(anomaly.alert_id, self.what, dry_run=True, now=self.at)
        label_id = world.label(anomaly.alert_id, self.what, now=self.at, only=self.only, **who).label_id
        assert label_id is not None
        return label_id

    def undo(self, world: World, its_id: int) -> None:
        if self.what in HAPPENINGS:
            world.take_back(HAPPENINGS[self.what][0], its_id)
            return
        world.undo(its_id, dry_run=True)
        world.undo(its_id)


class Labelling(RuleBasedStateMachine):
    """People label, report and declare, and change their minds. `done`: what stands, by what it is and its id."""

    acts: Bundle[tuple[str, int]] = Bundle("acts")
    database: Database
    fresh_database: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        with self.database.writing() as session:
            for table in (Label, Anomaly, Notification, Alert, Event, Gap, Series):
                session.execute(sa.delete(table))
        self.world = a_world_with_alerts(self.database)
        self.done: dict[tuple[str, int], Act] = {}
        self.now = NOW

    def _do(self, act: Act) -> tuple[str, int]:
        key = act.what, act.do(self.world)
        self.done[key] = act
        return key

    def _later(self, days: int) -> datetime:
        self.now += timedelta(days=days)
        return self.now

    @rule(
        target=acts,
        place=st.integers(0, len(RARITIES) - 1),
        verdict=st.sampled_from(["false_alarm", "real", "bad_data", "event"]),
        is_anonymous=st.booleans(),
        later=st.integers(1, 100),
        data=st.data(),
    )
    def label(self, place: int, verdict: str, is_anonymous: bool, later: int, data: st.DataObject) -> tuple[str, int]:
        only = data.draw(some_effects_of(verdict))
        return self._do(Act(verdict, (place, place), self._later(later), is_anonymous, only))

    @rule(
        target=acts,
        what=st.sampled_from(sorted(HAPPENINGS)),
        places=st.tuples(st.integers(UNTOLD, len(RARITIES) - 1), st.integers(UNTOLD, len(RARITIES) - 1)),
        country=st.sampled_from([None, "DE"]),
        later=st.integers(1, 100),
    )
    def declare(self, what: str, places: tuple[int, int], country: str | None, later: int) -> tuple[str, int]:
        return self._do(Act(what, (min(places), max(places)), self._later(later), country=country))

    @rule(target=acts, place=st.sampled_from([UNTOLD, SILENT]), later=st.integers(1, 100))
    def report_a_miss(self, place: int, later: int) -> tuple[str, int]:
        return self._do(Act("missed", (place, place), self._later(later)))

    @rule(key=consumes(acts))
    def undo(self, key: tuple[str, int]) -> None:
        self.done.pop(key).undo(self.world, key[1])

    def teardown(self) -> None:
        """Compare with a world in which only what stands was ever said, in another order."""
        database = type(self).fresh_database()
        other = a_world_with_alerts(database)
        for act in sorted(self.done.values(), key=repr):
            act.do(other)
        assert other.told() == self.world.told(), list(self.done.values())
        assert other.taught(self.now) == self.world.taught(self.now), list(self.done.values())
        database.close()


@pytest.mark.hypothesis
def test_any_order_of_labels_and_undos_ends_in_the_state_of_those_that_stand(
    database: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """Guarantee 18."""
    copies = count()

    def fresh_database() -> Database:
        path = tmp_path / f"other{next(copies)}.db"
        shutil.copy(sqlite_template, path)
        return Database(f"sqlite:///{path}")

    class Here(Labelling):
        pass

    Here.database, Here.fresh_database = database, staticmethod(fresh_database)
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=6,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )

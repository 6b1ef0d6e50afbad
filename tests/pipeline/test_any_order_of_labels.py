"""Guarantee 18: whatever was labelled and undone in whatever order, what counts is the labels that stand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test

from app.store.database import Database
from app.store.tables import Alert, Anomaly, Label, Series
from feedback.labels import EFFECTS, EffectOn, Verdict
from tests.pipeline.world import ANA, LINK, NOW, World, a_series, an_alert

RARITIES = (0.7, 1.5, 2.0, 6.0, 40.0)


def some_effects_of(verdict: str) -> st.SearchStrategy[set[EffectOn] | None]:
    """On what a label acts: all that its verdict acts on, or some of it."""
    separable = sorted(EFFECTS[Verdict(verdict)].separable)
    return st.none() | st.sets(st.sampled_from(separable), min_size=1)


def a_world_with_alerts(database: Database) -> tuple[World, list[int]]:
    """Alerts of two series, of all strengths, all over."""
    world = World(database)
    german, french = a_series(world, "DE"), a_series(world, "FR")
    alerts = [
        an_alert(world, german if place % 2 else french, rarity=rarity, is_open=False, days_ago=5 - place)
        for place, rarity in enumerate(RARITIES)
    ]
    return world, alerts


class Labelling(RuleBasedStateMachine):
    """People label and change their minds. `given`: place of the alert, verdict, identity, time and effects by label
    id."""

    labels: Bundle[int] = Bundle("labels")
    database: Database
    fresh_database: Callable[[], Database]

    def __init__(self) -> None:
        super().__init__()
        with self.database.writing() as session:
            for table in (Label, Anomaly, Alert, Series):
                session.execute(sa.delete(table))
        self.world, self.alerts = a_world_with_alerts(self.database)
        self.given: dict[int, tuple[int, str, bool, datetime, set[EffectOn] | None]] = {}
        self.now = NOW

    @rule(
        target=labels,
        place=st.integers(0, len(RARITIES) - 1),
        verdict=st.sampled_from(["false_alarm", "real"]),
        is_anonymous=st.booleans(),
        later=st.integers(1, 100),
        data=st.data(),
    )
    def label(self, place: int, verdict: str, is_anonymous: bool, later: int, data: st.DataObject) -> int:
        self.now += timedelta(days=later)
        only = data.draw(some_effects_of(verdict))
        self.world.label(self.alerts[place], verdict, dry_run=True, now=self.now)
        label_id = self.world.label(
            self.alerts[place], verdict, now=self.now, only=only, **(LINK if is_anonymous else ANA)
        ).label_id
        assert label_id is not None
        self.given[label_id] = (place, verdict, is_anonymous, self.now, only)
        return label_id

    @rule(label_id=consumes(labels))
    def undo(self, label_id: int) -> None:
        self.world.undo(label_id, dry_run=True)
        self.world.undo(label_id)
        del self.given[label_id]

    @precondition(lambda self: self.given)
    @rule(random=st.randoms(use_true_random=False))
    def compare(self, random: object) -> None:
        """With a world in which only the labels that stand were ever given, in another order."""
        database = type(self).fresh_database()
        other, alerts = a_world_with_alerts(database)
        standing = list(self.given.values())
        random.shuffle(standing)  # type: ignore[attr-defined]
        for place, verdict, is_anonymous, at, only in standing:
            other.label(alerts[place], verdict, now=at, only=only, **(LINK if is_anonymous else ANA))
        assert other.taught(self.now) == self.world.taught(self.now)
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
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )

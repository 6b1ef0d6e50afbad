"""What a message says of an alert is what the database holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from app.alerts.message import (
    AlertFacts,
    Answered,
    LostData,
    Reason,
    Resemblance,
    WarmUp,
    remarks,
    resemblance,
    sentence,
)
from app.pipeline.explain import each_explained
from app.pipeline.facts import facts_of
from app.pipeline.notify import announce
from app.store.database import Database
from app.store.tables import Alert, Anomaly, Gap, Label
from tests.pipeline.outbox import LINKS, NOW, add_alerts

A_WEEK_AGO = NOW - timedelta(days=7)


@dataclass(frozen=True)
class Told:
    database: Database
    alert_id: int

    def facts(self) -> AlertFacts:
        with self.database.reading() as session:
            alert = session.get_one(Alert, self.alert_id)
            return facts_of(session, [alert], LINKS, origin="sales", now=NOW)[self.alert_id]

    def label(self, verdict: str = "false_alarm", at: datetime = A_WEEK_AGO, **changes: object) -> int:
        """A verdict on something like the alert, a week before it."""
        with self.database.writing() as session:
            anomaly = session.scalars(sa.select(Anomaly).where(Anomaly.alert_id == self.alert_id)).one()
            label = {
                "verdict": verdict,
                "series_id": anomaly.series_id,
                "started_at": at,
                "ended_at": at + timedelta(hours=1),
                "direction": anomaly.direction,
                "rarity": anomaly.rarity + 0.1,
                "author": "Anna",
                "source": "api",
                "weight": 1.0,
                "created_at": at,
                "receipt": {},
            } | changes
            return session.scalars(sa.insert(Label).values(label).returning(Label.id)).one()

    def earlier_alert(self, actual: float) -> int:
        """An alert of the same series that was told a week before, its lowest value given."""
        with self.database.writing() as session:
            anomaly = session.scalars(sa.select(Anomaly).where(Anomaly.alert_id == self.alert_id)).one()
            alert = session.get_one(Alert, self.alert_id)
            earlier = Alert(**{name: getattr(alert, name) for name in ("kind", "severity", "title", "delivery")})
            earlier.status, earlier.started_at, earlier.created_at = "resolved", A_WEEK_AGO, A_WEEK_AGO
            session.add(earlier)
            session.flush()
            copied = {c.key: getattr(anomaly, c.key) for c in sa.inspect(Anomaly).column_attrs if c.key != "id"}
            length = anomaly.last_abnormal_at - anomaly.started_at
            session.add(
                Anomaly(
                    **copied
                    | {
                        "alert_id": earlier.id,
                        "started_at": A_WEEK_AGO,
                        "last_abnormal_at": A_WEEK_AGO + length,
                        "peak_at": A_WEEK_AGO,
                        "actual": actual,
                    }
                )
            )
            return earlier.id


@pytest.fixture
def told(database: Database) -> Told:
    return Told(database, add_alerts(database)[0])


def test_the_facts_are_those_of_the_strangest_point(told: Told) -> None:
    facts = told.facts()
    said = sentence(facts, Reason.FIRING)
    assert said.startswith("orders (country C0) fell to 387 instead of about 1,000, that is 61 % or 610 less")
    assert facts.links["real"].startswith("https://heed.example/f/")


def test_an_alert_is_like_what_was_judged_on_the_same_series_and_went_the_same_way(told: Told) -> None:
    told.label("false_alarm")
    assert told.facts().resembles == Resemblance("false_alarm", A_WEEK_AGO)


def test_the_nearest_of_several_is_named(told: Told) -> None:
    told.label("false_alarm", rarity=1.0)
    told.label("real", rarity=1.5, at=A_WEEK_AGO - timedelta(days=1))
    assert told.facts().resembles == Resemblance("real", A_WEEK_AGO - timedelta(days=1))


@pytest.mark.parametrize(("actual", "is_like"), [(400.0, True), (950.0, False)], ids=["the same size", "far smaller"])
def test_an_earlier_alert_that_nobody_answered_is_named_if_it_is_like_it(
    told: Told, database: Database, actual: float, is_like: bool
) -> None:
    told.earlier_alert(actual)
    assert told.facts().resembles == (Resemblance(None, A_WEEK_AGO) if is_like else None)
    said = resemblance(told.facts())
    assert said == ("It is like the alert of Tue 27 Oct, which nobody answered." if is_like else None)


def test_what_people_judged_is_named_before_what_nobody_answered(told: Told) -> None:
    told.earlier_alert(400.0)
    told.label("real", at=A_WEEK_AGO - timedelta(days=7))
    assert told.facts().resembles == Resemblance("real", A_WEEK_AGO - timedelta(days=7))


def test_of_one_anomaly_the_three_nearest_are_told_with_what_was_said(told: Told, database: Database) -> None:
    told.earlier_alert(400.0)
    for days, verdict in ((1, "real"), (2, "false_alarm")):
        told.label(verdict, at=A_WEEK_AGO - timedelta(days=days))
    with database.reading() as session:
        [anomaly] = each_explained(session, told.facts()).anomalies
    assert [each.verdict for each in anomaly.resemblances] == ["real", "false_alarm", None]
    assert all(0 < each.distance < 1.2 for each in anomaly.resemblances)
    told.label("event", at=A_WEEK_AGO - timedelta(days=7))
    with database.reading() as session:
        [anomaly] = each_explained(session, told.facts()).anomalies
    assert len(anomaly.resemblances) == 3
    assert None not in [each.verdict for each in anomaly.resemblances]


def test_a_labelled_alert_is_compared_by_its_own_anomaly(told: Told) -> None:
    told.label("false_alarm", alert_id=told.earlier_alert(950.0))
    assert told.facts().resembles is None


@pytest.mark.parametrize(
    "changes", [{"direction": 1}, {"rarity": 4.0}, {"revoked_at": NOW}, {"rarity": None}, {"at": NOW}]
)
def test_nothing_else_is_like_it(told: Told, changes: dict[str, object]) -> None:
    told.label(**changes)  # type: ignore[arg-type]
    assert told.facts().resembles is None


def test_a_verdict_of_somebody_who_signed_in_is_told_with_the_name(told: Told) -> None:
    told.label("false_alarm", alert_id=told.alert_id)
    assert told.facts().answered == Answered("false_alarm", "Anna")


def test_a_verdict_through_a_link_is_told_without_a_name(told: Told) -> None:
    told.label("false_alarm", alert_id=told.alert_id, source="link")
    assert told.facts().answered == Answered("false_alarm", None)


def test_a_series_that_is_not_known_for_long_says_so(told: Told, database: Database) -> None:
    with database.writing() as session:
        session.execute(sa.update(Anomaly).values(evidence={"warm_up": {"days_seen": 12, "days_needed": 14}}))
    facts = told.facts()
    assert facts.foremost is not None
    assert facts.foremost.warm_up == WarmUp(12, 14)
    assert "12 of 14 days" in remarks(facts)[0]


@pytest.mark.parametrize(("origin", "lost_data"), [("silence", LostData.FOUND), ("declared", LostData.DECLARED)])
def test_a_data_alert_knows_how_its_gap_became_known(database: Database, origin: str, lost_data: LostData) -> None:
    with database.writing() as session:
        gap = Gap(
            metric="*",
            dimensions={},
            started_at=NOW,
            reason="",
            origin=origin,
            author="heed",
            created_at=NOW,
            retrain_when_backfilled=False,
            known_points=0,
        )
        session.add(gap)
        session.flush()
        announce(session, "checkout has been silent", NOW, gap_id=gap.id)
        alert_id = session.scalars(sa.select(Alert.id)).one()
    facts = Told(database, alert_id).facts()
    assert facts.lost_data is lost_data
    assert ("real" in facts.links) == (origin == "silence")


def test_what_is_withdrawn_says_whether_its_data_was_bad_or_there_is_nothing_left_to_tell_of(told: Told) -> None:
    assert sentence(told.facts(), Reason.WITHDRAWN).startswith(
        "Withdrawn, because by all that is known now there is nothing left to tell of: "
    )
    told.label("bad_data", at=NOW, alert_id=told.alert_id)
    assert sentence(told.facts(), Reason.WITHDRAWN).startswith(
        "Withdrawn, because the data was not complete or not right: "
    )


def test_what_is_withdrawn_for_a_gap_says_that_its_data_was_bad(told: Told) -> None:
    with told.database.writing() as session:
        gap = Gap(
            metric="*", dimensions={}, reason="the exporter was down", started_at=NOW, origin="declared", author="ana",
            created_at=NOW, retrain_when_backfilled=False, known_points=0,
        )  # fmt: skip
        session.add(gap)
        session.flush()
        session.get_one(Alert, told.alert_id).gap_id = gap.id
    assert "the data was not complete or not right" in sentence(told.facts(), Reason.WITHDRAWN)

"""A world with series, alerts and labels on a real database; only the owner of the partitions is a stand-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.alerts.policy import Policies
from app.partitions.partition import Partition
from app.pipeline import events, gaps, learn
from app.pipeline.creations import NOTHING_MADE, NOTHING_STANDS, Conditions, Foretold, Made, Standing, Wanted
from app.pipeline.happenings import Changed
from app.pipeline.ingest import Committer
from app.pipeline.learn import Answer, current_tolerances
from app.security import Links
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store.database import Database
from app.store.tables import Alert, Anomaly, Event, Gap, Label, LabelledSeries, Series
from feedback import guards
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

T = TypeVar("T")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
THRESHOLD = 0.602
POLICIES = Policies((), {"alerts_per_week": 10**-THRESHOLD})
LINK: dict[str, Any] = {"author": "link:team", "source": "link"}
ANA: dict[str, Any] = {"author": "ana", "source": "api"}


@dataclass(frozen=True)
class Rules:
    policy_defaults: Mapping[str, Any] = field(default_factory=lambda: {"alerts_per_week": 10**-THRESHOLD})
    label_half_life: timedelta = guards.HALF_LIFE


@dataclass
class StandInCommitter:
    """Answers as the committer does, from the tolerances alone; remembers what it was told. It has no points."""

    database: Database
    rules: Rules = field(default_factory=Rules)
    released: list[int] = field(default_factory=list)
    calls: int = 0
    partitions: Sequence[Partition] = ()

    def call(self, work: Callable[[], T]) -> T:
        return work()

    def relabel(self, store: Callable[[], Sequence[int]]) -> None:
        released = store()
        self.calls += 1
        self.released += released

    def rejudge(self, store: Callable[[], Changed]) -> None:
        self.relabel(lambda: store().released)

    def band(self, series_id: int, tolerances: Tolerances) -> Band | None:
        wide = 10 + tolerances.of(series_id, "orders", 1)
        return Band(NOW, expected=100, lower=100 - wide, upper=100 + wide)

    def power(self, series_id: int, worlds: Sequence[Conditions]) -> list[Power] | None:
        learned = [each.tolerances for each in worlds]
        asked = [each.of(series_id, "orders", 1) + each.widened.get(series_id, 0.0) for each in learned]
        return [Power(drops=0.9, spikes=0.9 if each < 3 else 0.1) for each in asked]


class MakesNothing:
    """For verdicts that create nothing."""

    def check(self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries]) -> None:
        pass

    def foretell(
        self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries] | None = None
    ) -> Foretold:
        return NOTHING_MADE

    def standing(self, session: Session, label: Label) -> Standing:
        return NOTHING_STANDS

    def wanted_again(self, session: Session, label: Label) -> Wanted | None:
        return None

    def make(self, label: Label, wanted: Wanted) -> Made | None:
        return None

    def unmake(self, label: Label, *, by: str, now: datetime) -> None:
        pass


@dataclass
class World:
    database: Database
    links: Links = field(default_factory=lambda: Links(b"0" * 32, "http://heed.test"))
    maker: MakesNothing = field(default_factory=MakesNothing)
    committer: StandInCommitter = field(init=False)

    def __post_init__(self) -> None:
        self.committer = StandInCommitter(self.database)

    def resume(self, runs: Sequence[Anomaly], now: datetime) -> None:
        """It has no points to go on by."""

    def label(self, alert_id: int, verdict: str = "false_alarm", **by: Any) -> Answer:
        signed: dict[str, Any] = {"now": NOW, "confirmed": True} | ANA | by
        return learn.label_alert(self, alert_id, verdict, **signed)

    def undo(self, label_id: int | None, *, dry_run: bool = False) -> Answer:
        assert label_id is not None
        return learn.revoke_label(self, label_id, by="ana", now=NOW, dry_run=dry_run)

    def tolerance(self, series_id: int, direction: int = 1) -> float:
        with self.database.reading() as session:
            return current_tolerances(session, NOW, POLICIES).of(series_id, "orders", direction)

    def taught(self, now: datetime) -> list[object]:
        """All that the labels that stand have taught, in the order of the series and alerts, whatever their ids."""
        with self.database.reading() as session:
            learned = current_tolerances(session, now, POLICIES)
            spans = stored_labels.labelled_and_open_spans(session)
        sides = [(each.everything, each.metrics, sorted(each.series.items())) for each in (learned.up, learned.down)]
        decades = [(everything, metrics, [d for _, d in series]) for everything, metrics, series in sides]
        of_series = [(key[1], weights) for key, weights in sorted(learned.triage.series.items())]
        triage = [learned.triage.everything, learned.triage.metrics, of_series, learned.triage.of_metric]
        judgements = [sorted(map(repr, each)) for _, each in sorted(learned.judgements.items())]
        return [decades, triage, judgements, spans.start.tolist(), spans.end.tolist()]

    def told(self) -> list[object]:
        """What each alert about a series is and why, whatever ids there are; none of what nobody reports any more."""
        with self.database.reading() as session:
            rows = session.execute(
                sa.select(Series.dimensions, Anomaly.started_at, Alert.status, Alert.ended_at, Event.name, Gap.reason)
                .join(Alert, Alert.id == Anomaly.alert_id)
                .join(Series, Series.id == Anomaly.series_id)
                .outerjoin(Event, Event.id == Alert.event_id)
                .outerjoin(Gap, Gap.id == Alert.gap_id)
                .where((Anomaly.outcome != "below_threshold") | (Alert.status != "withdrawn") | Gap.id.is_not(None))
                .order_by(Anomaly.started_at, Anomaly.series_id)
            )
            return [tuple(row) for row in rows]

    def declare(self, happening: Event | Gap) -> int:
        committer, now = cast(Committer, self.committer), happening.created_at
        if isinstance(happening, Event):
            return events.declare(committer, [happening], now)[0].id
        return gaps.declare(committer, happening, now).id

    def take_back(self, kind: type[Event] | type[Gap], its_id: int) -> None:
        module = events if kind is Event else gaps
        module.take_back(cast(Committer, self.committer), its_id, by="ana", now=NOW)

    def report(self, series_id: int, start: datetime, *, now: datetime = NOW) -> int:
        """That what began then was missed."""
        end = start + timedelta(hours=1)
        label_id = learn.label_span(self, series_id, "missed", start=start, end=end, now=now, **ANA).label_id
        assert label_id is not None
        return label_id

    def status(self, alert_id: int) -> str:
        with self.database.reading() as session:
            return session.get_one(Alert, alert_id).status


def a_series(world: World, country: str = "DE") -> int:
    with world.database.writing() as session:
        [series] = stored_series.find_or_create(
            session,
            [stored_series.identity("orders", {"country": country})],
            partition_count=1,
            timezone="UTC",
            token_id=None,
            now=NOW,
        )
        return series.id


def an_anomaly(
    session: Session,
    series_id: int,
    *,
    rarity: float,
    is_open: bool,
    alert_id: int | None,
    outcome: str,
    days_ago: float,
) -> None:
    start = NOW - timedelta(days=days_ago, hours=3, seconds=int(10 * rarity))
    session.add(
        Anomaly(
            series_id=series_id,
            alert_id=alert_id,
            started_at=start,
            last_abnormal_at=start + timedelta(hours=1),
            ended_at=None if is_open else start + timedelta(hours=2),
            direction=1,
            rarity=rarity,
            peak_at=start,
            actual=150.0,
            expected=100.0,
            lower=90.0,
            upper=110.0,
            impact=50.0,
            point_count=2,
            threshold=THRESHOLD,
            detector="seasonal",
            evidence={"features": {"always": 1.0, "rarer": min(rarity, 6.0) / 2, "size": -0.15}},
            outcome=outcome,
        )
    )


def an_alert(
    world: World,
    series_id: int,
    *,
    rarity: float = 2.0,
    is_open: bool = True,
    days_ago: float = 0.0,
    delivery: str = "live",
) -> int:
    with world.database.writing() as session:
        alert = Alert(
            kind="anomaly",
            status="firing" if is_open else "resolved",
            severity="warning",
            title="orders",
            started_at=NOW - timedelta(days=days_ago, hours=3),
            ended_at=None if is_open else NOW - timedelta(days=days_ago, hours=1, seconds=int(10 * rarity)),
            created_at=NOW - timedelta(days=days_ago, hours=3),
            delivery=delivery,
        )
        session.add(alert)
        session.flush()
        an_anomaly(
            session, series_id, rarity=rarity, is_open=is_open, alert_id=alert.id, outcome="told", days_ago=days_ago
        )
        return alert.id


def an_untold_anomaly(world: World, series_id: int, *, rarity: float, outcome: str, days_ago: float = 5.0) -> None:
    with world.database.writing() as session:
        an_anomaly(session, series_id, rarity=rarity, is_open=False, alert_id=None, outcome=outcome, days_ago=days_ago)


Span = tuple[float, float | None]
"""Hours before NOW in which something begins and ends; None: not yet."""


def an_event(span: Span = (6, 0), *, now: datetime = NOW, **said: Any) -> Event:
    """Of all series, declared now, unless it is said otherwise."""
    ended_at = _hours_ago(span[1])
    about: dict[str, Any] = {"metric": "*", "dimensions": {}, "name": "a sale"} | said
    when: dict[str, Any] = {"started_at": _hours_ago(span[0]), "ended_at": ended_at, "created_at": now}
    return Event(**about, **when, timezone="UTC", also_on=[], not_on=[], author="ana")


def a_gap(span: Span = (6, 0), *, now: datetime = NOW, **said: Any) -> Gap:
    """Of all series, declared now, unless it is said otherwise."""
    about: dict[str, Any] = {"metric": "*", "dimensions": {}, "reason": "the exporter was down"} | said
    when: dict[str, Any] = {"started_at": _hours_ago(span[0]), "ended_at": _hours_ago(span[1]), "created_at": now}
    return Gap(**about, **when, origin="declared", author="ana", retrain_when_backfilled=False)


def _hours_ago(hours: float | None) -> datetime | None:
    return None if hours is None else NOW - timedelta(hours=hours)

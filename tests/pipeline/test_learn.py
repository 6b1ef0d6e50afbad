"""Labels, receipts and undo on a real database; only the partitions' owner is a stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotBuiltYet, NotFound, Unprocessable
from app.pipeline import learn
from app.pipeline.learn import Answer, current_tolerances
from app.security import Links
from app.store import labels as stored_labels
from app.store import series as stored_series
from app.store.database import Database
from app.store.tables import Alert, Anomaly, Channel, Label, Notification
from feedback.receipt import Band, Power
from feedback.tolerance import Tolerances

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
THRESHOLD = 0.602
LINK: dict[str, Any] = {"author": "link:team", "source": "link"}
ANA: dict[str, Any] = {"author": "ana", "source": "api"}


@dataclass(frozen=True)
class Rules:
    threshold: float = THRESHOLD


@dataclass
class StandInCommitter:
    """Answers as the committer does, from the tolerances alone; remembers what it was told."""

    rules: Rules = field(default_factory=Rules)
    released: list[int] = field(default_factory=list)
    calls: int = 0

    def labels_changed(self, released: Sequence[int] = ()) -> None:
        self.calls += 1
        self.released += released

    def band(self, series_id: int, tolerances: Tolerances) -> Band | None:
        wide = 10 + tolerances.of(series_id, "orders", 1)
        return Band(NOW, expected=100, lower=100 - wide, upper=100 + wide)

    def power(self, series_id: int, tolerances: Tolerances) -> Power | None:
        return Power(drops=0.9, spikes=0.9 if tolerances.of(series_id, "orders", 1) < 3 else 0.1)


@dataclass
class Heed:
    database: Database
    links: Links = field(default_factory=lambda: Links(b"0" * 32, "http://heed.test"))
    committer: StandInCommitter = field(default_factory=StandInCommitter)

    def label(self, alert_id: int, verdict: str = "false_alarm", *, dry_run: bool = False, **by: Any) -> Answer:
        return learn.label_alert(self, alert_id, verdict, now=NOW, dry_run=dry_run, **(ANA | by))

    def undo(self, label_id: int | None, *, dry_run: bool = False) -> Answer:
        assert label_id is not None
        return learn.revoke_label(self, label_id, by="ana", now=NOW, dry_run=dry_run)

    def tolerance(self, series_id: int, direction: int = 1) -> float:
        with self.database.reading() as session:
            return current_tolerances(session, NOW, THRESHOLD).of(series_id, "orders", direction)

    def status(self, alert_id: int) -> str:
        with self.database.reading() as session:
            return session.get_one(Alert, alert_id).status


@pytest.fixture
def heed(database: Database) -> Heed:
    return Heed(database)


_hours = count(1)


def a_series(heed: Heed, country: str = "DE") -> int:
    with heed.database.writing() as session:
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
    start = NOW - timedelta(days=days_ago, hours=3, seconds=next(_hours))
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
            evidence={},
            outcome=outcome,
        )
    )


def an_alert(heed: Heed, series_id: int, *, rarity: float = 2.0, is_open: bool = True, days_ago: float = 0.0) -> int:
    with heed.database.writing() as session:
        alert = Alert(
            kind="anomaly",
            status="firing" if is_open else "resolved",
            severity="warning",
            title="orders",
            started_at=NOW - timedelta(days=days_ago, hours=3),
            ended_at=None if is_open else NOW - timedelta(days=days_ago, hours=1),
            created_at=NOW - timedelta(days=days_ago, hours=3),
            delivery="live",
        )
        session.add(alert)
        session.flush()
        an_anomaly(
            session, series_id, rarity=rarity, is_open=is_open, alert_id=alert.id, outcome="told", days_ago=days_ago
        )
        return alert.id


def an_untold_anomaly(heed: Heed, series_id: int, *, rarity: float, outcome: str) -> None:
    with heed.database.writing() as session:
        an_anomaly(session, series_id, rarity=rarity, is_open=False, alert_id=None, outcome=outcome, days_ago=5)


def a_channel_that_was_told(heed: Heed, alert_id: int) -> None:
    with heed.database.writing() as session:
        channel = Channel(name="team", kind="webhook", secrets=b"", created_at=NOW)
        session.add(channel)
        session.flush()
        session.add(
            Notification(
                id="n0",
                alert_id=alert_id,
                channel_id=channel.id,
                step=0,
                reason="firing",
                status="sent",
                next_attempt_at=NOW,
                created_at=NOW,
            )
        )


def count_labels(heed: Heed) -> int:
    with heed.database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Label)) or 0


def test_a_false_alarm_raises_the_tolerance_at_once_and_its_undo_takes_it_back(heed: Heed) -> None:
    series = a_series(heed)
    answer = heed.label(an_alert(heed, series, rarity=2.0), **LINK)
    assert heed.tolerance(series) > 0.2 * 2.0
    assert heed.committer.calls == 1
    heed.undo(answer.label_id)
    assert heed.tolerance(series) == 0
    assert heed.committer.calls == 2


def test_a_receipt_tells_what_changed(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series, rarity=2.0, is_open=False)
    weaker, stronger = (an_alert(heed, series, rarity=r, is_open=False, days_ago=20) for r in (1.0, 30.0))
    receipt = heed.label(alert).receipt
    assert receipt["effects"] == {
        "alert": "closed",
        "training": "included",
        "tolerance": "raised",
        "creates": "nothing",
    }
    assert receipt["tolerance"]["before"] == 0
    assert receipt["tolerance"]["after"] == pytest.approx(2.0 + 0.5 + 0.4 - THRESHOLD)
    assert receipt["threshold"]["before"] == pytest.approx(4.0, rel=0.01)
    assert receipt["threshold"]["after"] == pytest.approx(10**2.9, rel=0.01)
    assert {each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]} == {alert, weaker}
    assert stronger not in {each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]}
    assert receipt["alerts_now_sent"]["count"] == 0
    assert receipt["band"]["after"]["upper"] > receipt["band"]["before"]["upper"]
    assert receipt["power"]["before"] == {"size": 0.3, "drops": 0.9, "spikes": 0.9}
    assert receipt["statistics"] == {"days": 60, "alerts": 3, "real": 0, "false_alarm": 1, "unlabelled": 2}
    assert receipt["effective_from"] == "2026-03-02T12:00:00Z"
    assert receipt["undo_url"].startswith("http://heed.test/")
    assert len(receipt["text"]) > 3


def test_the_receipt_of_an_undo_names_the_alerts_that_would_be_sent_again(heed: Heed) -> None:
    series = a_series(heed)
    answer = heed.label(an_alert(heed, series, rarity=2.0, is_open=False))
    an_untold_anomaly(heed, series, rarity=2.1, outcome="tolerated")
    an_untold_anomaly(heed, series, rarity=2.1, outcome="warming_up")
    receipt = heed.undo(answer.label_id, dry_run=True).receipt
    assert receipt["action"] == "would_undo"
    assert receipt["alerts_now_sent"]["count"] == 2  # the labelled one, and the one that was tolerated
    assert receipt["tolerance"]["after"] == 0


def test_a_dry_run_gives_the_same_receipt_and_changes_nothing(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    tried = heed.label(alert, dry_run=True).receipt
    assert (count_labels(heed), heed.committer.calls, heed.status(alert), heed.tolerance(series)) == (0, 0, "firing", 0)
    done = heed.label(alert).receipt
    unlike = {"action", "label_id", "text", "undo_url"}
    assert {name: tried[name] for name in tried if name not in unlike} == {n: done[n] for n in done if n not in unlike}
    assert tried["label_id"] is None
    assert tried["undo_url"] is None


def test_a_false_alarm_closes_the_open_alert_and_tells_its_channels(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    a_channel_that_was_told(heed, alert)
    receipt = heed.label(alert).receipt
    assert receipt["alert_status"] == {"before": "firing", "after": "closed"}
    assert heed.status(alert) == "closed"
    assert heed.committer.released == [series]
    with heed.database.reading() as session:
        told = session.scalars(sa.select(Notification.reason).order_by(Notification.step))
        assert list(told) == ["firing", "closed"]


def test_a_real_problem_leaves_the_alert_open_and_its_points_out_of_training(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    receipt = heed.label(alert, "real").receipt
    assert receipt["alert_status"] == {"before": "firing", "after": "firing"}
    assert heed.status(alert) == "firing"
    assert receipt["effects"]["training"] == "excluded"
    with heed.database.reading() as session:
        spans = stored_labels.excluded_spans(session)
    assert series in spans.series_id.tolist()


def test_a_real_problem_pins_against_later_false_alarms(heed: Heed) -> None:
    series = a_series(heed)
    real = heed.label(an_alert(heed, series, rarity=3.0, is_open=False), "real")
    receipt = heed.label(an_alert(heed, series, rarity=8.0, is_open=False)).receipt
    assert receipt["pinned_by"] == [real.label_id]
    assert THRESHOLD + heed.tolerance(series) < 3.0
    assert any("real problem" in line for line in receipt["text"])


def test_undoing_a_false_alarm_takes_the_closing_back(heed: Heed) -> None:
    alert = an_alert(heed, a_series(heed))
    answer = heed.label(alert)
    receipt = heed.undo(answer.label_id).receipt
    assert receipt["alert_status"] == {"before": "closed", "after": "resolved"}
    assert heed.status(alert) == "resolved"


def test_the_same_key_twice_is_one_label_with_one_receipt(heed: Heed) -> None:
    """Guarantee 16, below the routes."""
    alert = an_alert(heed, a_series(heed))
    first = heed.label(alert, once_key="link:1:false_alarm:team", **LINK)
    again = heed.label(alert, once_key="link:1:false_alarm:team", **LINK)
    assert count_labels(heed) == 1
    assert (again.label_id, again.repeated) == (first.label_id, True)
    assert again.receipt | {"undo_url": ""} == first.receipt | {"undo_url": ""}


def test_a_link_may_be_pressed_again_after_its_label_was_undone(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    heed.undo(heed.label(alert, once_key="link:1", **LINK).label_id)
    assert not heed.label(alert, once_key="link:1", **LINK).repeated
    assert heed.tolerance(series) > 0


def test_undoing_twice_is_undoing_once(heed: Heed) -> None:
    answer = heed.label(an_alert(heed, a_series(heed)))
    heed.undo(answer.label_id)
    assert heed.undo(answer.label_id).repeated


def test_two_who_disagree_are_both_shown_and_the_stronger_identity_decides(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    by_analyst = heed.label(alert, "real")
    receipt = heed.label(alert, "false_alarm", **LINK).receipt
    assert [(each["label_id"], each["decides"]) for each in receipt["disagreements"]] == [(by_analyst.label_id, True)]
    assert heed.status(alert) == "firing"
    assert heed.tolerance(series) == 0


def test_an_analyst_overrules_a_link_and_the_alert_is_no_longer_closed(heed: Heed) -> None:
    alert = an_alert(heed, a_series(heed))
    heed.label(alert, "false_alarm", **LINK)
    receipt = heed.label(alert, "real").receipt
    assert receipt["alert_status"] == {"before": "closed", "after": "resolved"}
    assert [each["decides"] for each in receipt["disagreements"]] == [False]


def test_a_receipt_warns_when_little_power_is_left(heed: Heed) -> None:
    receipt = heed.label(an_alert(heed, a_series(heed), rarity=40.0)).receipt
    assert len(receipt["warnings"]) == 1


def test_a_span_without_an_anomaly_can_be_kept_out_of_training(heed: Heed) -> None:
    series = a_series(heed)
    span: dict[str, Any] = {"start": NOW - timedelta(days=3), "end": NOW - timedelta(days=2)}
    answer = learn.label_span(heed, series, "real", now=NOW, **span, **ANA)
    assert answer.receipt["direction"] is None
    with heed.database.reading() as session:
        spans = stored_labels.excluded_spans(session)
    assert spans.start.tolist() == [int(span["start"].timestamp())]
    assert heed.tolerance(series) == 0


def test_a_span_is_about_the_rarest_anomaly_in_it(heed: Heed) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series, rarity=2.0, days_ago=1, is_open=False)
    span: dict[str, Any] = {"start": NOW - timedelta(days=3), "end": NOW}
    answer = learn.label_span(heed, series, "false_alarm", now=NOW, **span, **ANA)
    assert answer.receipt["alert_id"] == alert
    assert heed.tolerance(series) > 1


def test_siblings_learn_a_little_and_a_receipt_says_so(heed: Heed) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    receipt = heed.label(an_alert(heed, german)).receipt
    assert heed.tolerance(french) == pytest.approx(0.25)
    assert receipt["tolerance_of_siblings"] == {"before": 0.0, "after": 0.25, "unit": "decades"}


@pytest.mark.parametrize("verdict", ["missed", "event", "new_normal", "bad_data"])
def test_a_verdict_that_is_not_built_yet_says_so(heed: Heed, verdict: str) -> None:
    with pytest.raises(NotBuiltYet, match="not built yet"):
        heed.label(an_alert(heed, a_series(heed)), verdict)


def test_what_does_not_exist_is_refused_with_the_cure(heed: Heed) -> None:
    with pytest.raises(NotFound, match="GET /v1/alerts"):
        heed.label(999)
    with pytest.raises(NotFound, match="GET /v1/labels"):
        heed.undo(999)
    with pytest.raises(Unprocessable, match="false_alarm"):
        heed.label(1, "nonsense")

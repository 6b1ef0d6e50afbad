"""Labels, receipts and undo on a real database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotFound, TooManyRequests, Unconfirmed, Unprocessable
from app.pipeline import learn
from app.pipeline.creations import Foretold, Wanted
from app.store import labels as stored_labels
from app.store.database import Database
from app.store.tables import Alert, Channel, Label, LabelledSeries, Notification
from feedback import guards
from feedback.labels import EffectOn
from tests.pipeline.world import (
    ANA,
    LINK,
    NOW,
    THRESHOLD,
    MakesNothing,
    World,
    a_series,
    an_alert,
    an_anomaly,
    an_untold_anomaly,
)


@pytest.fixture
def heed(database: Database) -> World:
    return World(database)


def a_channel_that_was_told(heed: World, alert_id: int) -> None:
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


def count_labels(heed: World) -> int:
    with heed.database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Label)) or 0


def test_a_false_alarm_raises_the_tolerance_at_once_and_its_undo_takes_it_back(heed: World) -> None:
    series = a_series(heed)
    answer = heed.label(an_alert(heed, series, rarity=2.0), **LINK)
    assert heed.tolerance(series) > 0.2 * 2.0
    assert heed.committer.calls == 1
    heed.undo(answer.label_id)
    assert heed.tolerance(series) == 0
    assert heed.committer.calls == 2


def test_a_receipt_tells_what_changed(heed: World) -> None:
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
    assert receipt["threshold_of_repeats"]["after"] == pytest.approx(10**2.9, rel=0.01)
    assert receipt["threshold"]["after"] == pytest.approx(10 ** (THRESHOLD + guards.VOICE), rel=0.01)
    assert {each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]} == {alert, weaker}
    assert stronger not in {each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]}
    assert receipt["alerts_now_sent"]["count"] == 0
    assert receipt["band"]["after"]["upper"] > receipt["band"]["before"]["upper"]
    assert receipt["power"]["before"] == {"size": 0.3, "drops": 0.9, "spikes": 0.9, "since": None}
    assert receipt["statistics"] == {"days": 60, "alerts": 3, "real": 0, "false_alarm": 1, "unlabelled": 2}
    assert receipt["effective_from"] == "2026-03-02T12:00:00Z"
    assert receipt["undo_url"].startswith("http://heed.test/")
    assert len(receipt["text"]) > 3


def test_the_receipt_of_an_undo_names_the_alerts_that_would_be_sent_again(heed: World) -> None:
    series = a_series(heed)
    answer = heed.label(an_alert(heed, series, rarity=2.0, is_open=False))
    an_untold_anomaly(heed, series, rarity=1.2, outcome="tolerated")
    an_untold_anomaly(heed, series, rarity=2.2, outcome="warming_up")
    receipt = heed.undo(answer.label_id, dry_run=True).receipt
    assert receipt["action"] == "would_undo"
    assert receipt["alerts_now_sent"]["count"] == 2  # the labelled one, and the one that was tolerated
    assert receipt["tolerance"]["after"] == 0


def test_a_dry_run_gives_the_same_receipt_and_changes_nothing(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    tried = heed.label(alert, dry_run=True).receipt
    assert (count_labels(heed), heed.committer.calls, heed.status(alert), heed.tolerance(series)) == (0, 0, "firing", 0)
    done = heed.label(alert).receipt
    unlike = {"action", "label_id", "text", "undo_url"}
    assert {name: tried[name] for name in tried if name not in unlike} == {n: done[n] for n in done if n not in unlike}
    assert tried["label_id"] is None
    assert tried["undo_url"] is None


def test_a_false_alarm_closes_the_open_alert_and_tells_its_channels(heed: World) -> None:
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


def test_a_real_problem_leaves_the_alert_open_and_its_points_out_of_training(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    receipt = heed.label(alert, "real").receipt
    assert receipt["alert_status"] == {"before": "firing", "after": "firing"}
    assert heed.status(alert) == "firing"
    assert receipt["effects"]["training"] == "excluded"
    with heed.database.reading() as session:
        spans = stored_labels.labelled_and_open_spans(session)
    assert series in spans.series_id.tolist()


def test_a_real_problem_pins_against_later_false_alarms(heed: World) -> None:
    series = a_series(heed)
    real = heed.label(an_alert(heed, series, rarity=3.0, is_open=False), "real")
    receipt = heed.label(an_alert(heed, series, rarity=8.0, is_open=False)).receipt
    assert receipt["pinned_by"] == [real.label_id]
    assert THRESHOLD + heed.tolerance(series) < 3.0
    assert any("real problem" in line for line in receipt["text"])


def test_undoing_a_false_alarm_takes_the_closing_back(heed: World) -> None:
    alert = an_alert(heed, a_series(heed))
    answer = heed.label(alert)
    receipt = heed.undo(answer.label_id).receipt
    assert receipt["alert_status"] == {"before": "closed", "after": "resolved"}
    assert heed.status(alert) == "resolved"


def test_the_same_key_twice_is_one_label_with_one_receipt(heed: World) -> None:
    """Guarantee 16, below the routes."""
    alert = an_alert(heed, a_series(heed))
    first = heed.label(alert, once_key="link:1:false_alarm:team", **LINK)
    again = heed.label(alert, once_key="link:1:false_alarm:team", **LINK)
    assert count_labels(heed) == 1
    assert (again.label_id, again.repeated) == (first.label_id, True)
    assert again.receipt | {"undo_url": ""} == first.receipt | {"undo_url": ""}


def test_a_link_may_be_pressed_again_after_its_label_was_undone(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    heed.undo(heed.label(alert, once_key="link:1", **LINK).label_id)
    assert not heed.label(alert, once_key="link:1", **LINK).repeated
    assert heed.tolerance(series) > 0


def test_undoing_twice_is_undoing_once(heed: World) -> None:
    answer = heed.label(an_alert(heed, a_series(heed)))
    heed.undo(answer.label_id)
    assert heed.undo(answer.label_id).repeated


def test_a_false_alarm_about_what_is_over_tells_nobody_and_lets_its_run_go(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series, is_open=False)
    a_channel_that_was_told(heed, alert)
    heed.label(alert)
    assert heed.status(alert) == "closed"
    assert heed.committer.released == [series]
    with heed.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Notification)) == 1


def test_a_run_of_a_later_alert_is_not_let_go_by_a_label_on_an_earlier_one(heed: World) -> None:
    series = a_series(heed)
    earlier = an_alert(heed, series, is_open=False, days_ago=3)
    an_alert(heed, series)
    heed.label(earlier)
    assert heed.committer.released == []


def test_two_who_disagree_are_both_shown_and_the_stronger_identity_decides(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series)
    by_analyst = heed.label(alert, "real")
    receipt = heed.label(alert, "false_alarm", **LINK).receipt
    assert [(each["label_id"], each["decides"]) for each in receipt["disagreements"]] == [(by_analyst.label_id, True)]
    assert heed.status(alert) == "firing"
    assert heed.tolerance(series) == 0


def test_an_analyst_overrules_a_link_and_the_alert_is_no_longer_closed(heed: World) -> None:
    alert = an_alert(heed, a_series(heed))
    heed.label(alert, "false_alarm", **LINK)
    receipt = heed.label(alert, "real").receipt
    assert receipt["alert_status"] == {"before": "closed", "after": "resolved"}
    assert [each["decides"] for each in receipt["disagreements"]] == [False]


def not_learned(heed: World) -> list[int]:
    with heed.database.reading() as session:
        spans = stored_labels.labelled_and_open_spans(session)
    return [int(each) for each in spans.series_id]


def test_of_two_labels_the_one_that_decides_says_what_is_learned(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series, is_open=False)
    heed.label(alert, "real", **LINK)
    assert not_learned(heed) == [series]
    by_analyst = heed.label(alert)
    assert "Its points count as normal when baselines are trained." in by_analyst.receipt["text"]
    assert not_learned(heed) == []
    late = heed.label(alert, "real", **LINK)
    assert "Whether its points count when baselines are trained, another verdict decides." in late.receipt["text"]
    heed.label(alert, "event", only=[EffectOn.TRAINING])
    assert not_learned(heed) == [series]
    heed.undo(by_analyst.label_id)
    assert series in not_learned(heed)


def test_labels_on_one_span_decide_as_those_on_one_alert(heed: World) -> None:
    span: dict[str, Any] = {"start": NOW - timedelta(days=3), "end": NOW - timedelta(days=2), "now": NOW}
    series = a_series(heed)
    learn.label_span(heed, series, "real", **span, **LINK)
    by_analyst = learn.label_span(heed, series, "false_alarm", **span, **ANA)
    assert not_learned(heed) == []
    heed.undo(by_analyst.label_id)
    assert not_learned(heed) == [series]


def test_a_receipt_warns_when_little_power_is_left(heed: World) -> None:
    receipt = heed.label(an_alert(heed, a_series(heed), rarity=40.0)).receipt
    assert len(receipt["warnings"]) == 1


def test_a_span_without_an_anomaly_can_be_kept_out_of_training(heed: World) -> None:
    series = a_series(heed)
    span: dict[str, Any] = {"start": NOW - timedelta(days=3), "end": NOW - timedelta(days=2)}
    answer = learn.label_span(heed, series, "real", now=NOW, **span, **ANA)
    assert answer.receipt["direction"] is None
    with heed.database.reading() as session:
        spans = stored_labels.labelled_and_open_spans(session)
    assert spans.start.tolist() == [int(span["start"].timestamp())]
    assert heed.tolerance(series) == 0


def test_a_span_is_about_the_rarest_anomaly_in_it(heed: World) -> None:
    series = a_series(heed)
    alert = an_alert(heed, series, rarity=2.0, days_ago=1, is_open=False)
    span: dict[str, Any] = {"start": NOW - timedelta(days=3), "end": NOW}
    answer = learn.label_span(heed, series, "false_alarm", now=NOW, confirmed=True, **span, **ANA)
    assert answer.receipt["alert_id"] == alert
    assert heed.tolerance(series) > 1


def test_siblings_learn_a_little_and_a_receipt_says_so(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    receipt = heed.label(an_alert(heed, german)).receipt
    assert heed.tolerance(french) == pytest.approx(0.25)
    assert receipt["tolerance_of_siblings"] == {"before": 0.0, "after": 0.25, "unit": "decades"}


def test_a_receipt_names_alerts_of_siblings_as_far_as_what_was_taught_reaches(heed: World) -> None:
    """Beyond the most that tolerance alone asks of siblings."""
    french = an_alert(heed, a_series(heed, "FR"), rarity=2.3, is_open=False, days_ago=6)
    receipts = [
        heed.label(an_alert(heed, a_series(heed, country), rarity=2.3, is_open=False)).receipt
        for country in ("DE", "GB", "ES", "PL")
    ]
    named = {each["alert_id"] for receipt in receipts for each in receipt["alerts_no_longer_sent"]["alerts"]}
    assert french in named


def test_what_would_make_heed_deaf_is_refused_unless_it_is_confirmed(heed: World) -> None:
    """The power check: the sentence says which changes would be hidden, and nothing is changed."""
    series = a_series(heed)
    alert = an_alert(heed, series, rarity=6.0)
    with pytest.raises(Unconfirmed, match="spikes of 30 % it would now tell only 10 %"):
        heed.label(alert, confirmed=False)
    assert heed.status(alert) == "firing"
    assert heed.tolerance(series) == 0
    heed.label(alert, confirmed=True)
    assert heed.status(alert) == "closed"


class Widens(MakesNothing):
    """Tolerates much of the labelled series."""

    def foretell(
        self, session: Session, label: Label, wanted: Wanted, further: Sequence[LabelledSeries] | None = None
    ) -> Foretold:
        return Foretold(widened={label.series_id: 4.0})


def test_a_new_normal_may_tolerate_much_only_for_as_long_as_it_takes_to_settle(heed: World) -> None:
    heed.maker = Widens()
    alert = an_alert(heed, a_series(heed))
    with pytest.raises(Unconfirmed, match="spikes of 30 % it would now tell only 10 %"):
        heed.label(alert, "new_normal", confirmed=False, wanted=Wanted(longest=timedelta(days=60)))
    heed.label(alert, "new_normal", confirmed=False)


def test_a_label_that_would_make_another_series_of_its_alert_deaf_is_refused_too(heed: World) -> None:
    german, french = a_series(heed, "DE"), a_series(heed, "FR")
    alert = an_alert(heed, german, rarity=2.0)
    with heed.database.writing() as session:
        session.get_one(Alert, alert).lead_series_id = german
        an_anomaly(session, french, rarity=6.0, is_open=True, alert_id=alert, outcome="told", days_ago=0)
    with pytest.raises(Unconfirmed, match=r"spikes of 30 % in orders \(country FR\) it would now tell only 10 %"):
        heed.label(alert, confirmed=False)


def test_whoever_holds_a_link_can_only_teach_so_much_a_day(heed: World) -> None:
    series = a_series(heed)
    alerts = [an_alert(heed, series, days_ago=number) for number in range(1, guards.MOST_A_DAY_BY_LINK + 2)]
    for alert in alerts[:-1]:
        heed.label(alert, "real", **LINK)
    with pytest.raises(TooManyRequests, match="Undo what was a mistake"):
        heed.label(alerts[-1], "real", **LINK)
    heed.label(alerts[-1], "real", **ANA)


def test_what_does_not_exist_is_refused_with_the_cure(heed: World) -> None:
    with pytest.raises(NotFound, match="GET /v1/alerts"):
        heed.label(999)
    with pytest.raises(NotFound, match="GET /v1/labels"):
        heed.undo(999)
    with pytest.raises(Unprocessable, match="false_alarm"):
        heed.label(1, "nonsense")

"""Verdicts that are taken back while what they are about goes on: the alert is what it would be without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.main import Heed
from app.pipeline import desensitise, train
from app.pipeline.erase import erase_series
from app.pipeline.learn import label_alert, revoke_label
from app.store import states
from app.store.tables import Alert, Notification
from feedback.tolerance import Tolerances
from tests.receiver import receiving
from tests.running import Shop, alerts, anomalies, running

pytestmark = pytest.mark.any_database


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with receiving() as receiver:
        webhook = {"webhook_url": receiver.url, "allow_private_targets": "127.0.0.0/8"}
        with running(database_url, tmp_path, alerts_per_week=0.25, **webhook) as heed:
            yield heed


@pytest.fixture
def shop(heed: Heed) -> Shop:
    """Five weeks of trained history, a quiet day and night, and two hours of a fall that goes on."""
    shop = Shop(heed)
    shop.is_known()
    shop.send(6)
    shop.send(2, factor=0.6)
    return shop


def about_series(heed: Heed) -> list[Alert]:
    return [each for each in alerts(heed) if each.kind == "anomaly"]


def told_of(heed: Heed, alert: Alert) -> list[str]:
    with heed.database.reading() as session:
        told = sa.select(Notification.reason).where(Notification.alert_id == alert.id)
        return list(session.scalars(told.order_by(Notification.step)))


def say(heed: Heed, verdict: str, alert: Alert | None = None) -> int:
    signed: dict[str, Any] = {"author": "ana", "source": "api", "now": heed.clock.now(), "confirmed": True}
    label_id = label_alert(heed, (alert or alerts(heed)[0]).id, verdict, **signed).label_id
    assert label_id is not None
    return label_id


def undo(heed: Heed, label_id: int, *, dry_run: bool = False) -> dict[str, Any]:
    return revoke_label(heed, label_id, by="ana", now=heed.clock.now(), dry_run=dry_run).receipt


@pytest.mark.parametrize("verdict", ["false_alarm", "new_normal", "event", "bad_data"])
def test_an_alert_is_open_again_when_the_verdict_that_closed_it_is_undone(heed: Heed, shop: Shop, verdict: str) -> None:
    """Guarantee 18: and its channels hear so, and what goes on opens no second one."""
    began = anomalies(heed)[0].started_at
    label_id = say(heed, verdict)
    for receipt in (undo(heed, label_id, dry_run=True), undo(heed, label_id)):
        assert receipt["alert_status"]["after"] == "firing"
    assert [(each.status, each.ended_at) for each in about_series(heed)] == [("firing", None)]
    reasons = told_of(heed, about_series(heed)[0])
    assert reasons[-1] == "updated"
    assert "resolved" not in reasons
    shop.send(1, factor=0.6)
    assert [each.status for each in about_series(heed)] == ["firing"]
    assert [each.started_at for each in anomalies(heed)] == [began]


def test_an_alert_says_that_it_is_open_again(heed: Heed, shop: Shop) -> None:
    label_id = say(heed, "false_alarm")
    for receipt in (undo(heed, label_id, dry_run=True), undo(heed, label_id)):
        assert "The alert is open again." in receipt["text"]


def test_what_went_on_since_the_verdict_belongs_to_the_alert_once_it_is_undone(heed: Heed, shop: Shop) -> None:
    label_id = say(heed, "false_alarm")
    shop.send(3, factor=0.6)
    for receipt in (undo(heed, label_id, dry_run=True), undo(heed, label_id)):
        assert receipt["alert_status"]["after"] == "firing"
    assert [each.status for each in alerts(heed)] == ["firing"]
    assert [each.point_count for each in anomalies(heed)] == [5]
    shop.send(6)
    assert [each.status for each in alerts(heed)] == ["resolved"]


def test_what_was_over_by_itself_meanwhile_ended_then(heed: Heed, shop: Shop) -> None:
    label_id = say(heed, "false_alarm")
    shop.send(1, factor=0.6)
    shop.send(8)
    for receipt in (undo(heed, label_id, dry_run=True), undo(heed, label_id)):
        assert receipt["alert_status"]["after"] == "resolved"
    (alert,), (run,) = alerts(heed), anomalies(heed)
    assert (alert.status, alert.ended_at) == ("resolved", run.ended_at)
    assert run.end_reason == "recovered"


def test_an_alert_that_was_trained_within_is_as_long_as_it_was_once_its_verdict_is_undone(
    heed: Heed, shop: Shop
) -> None:
    train.train(heed.committer, now=heed.clock.now(), reason="test", wanted=train.everything)
    shop.send(1, factor=0.6)
    (before,) = anomalies(heed)
    undo(heed, say(heed, "false_alarm"))
    (run,) = anomalies(heed)
    assert (run.started_at, run.rarity, run.evidence) == (before.started_at, before.rarity, before.evidence)
    assert [each.status for each in alerts(heed)] == ["firing"]


def test_an_alert_is_open_again_when_a_second_opinion_no_longer_closes_it(heed: Heed, shop: Shop) -> None:
    signed: dict[str, Any] = {"author": "team", "source": "link", "now": heed.clock.now()}
    label_alert(heed, alerts(heed)[0].id, "false_alarm", **signed)
    say(heed, "real")
    assert [each.status for each in alerts(heed)] == ["firing"]


def test_a_fall_of_the_day_before_is_open_again_in_the_morning_when_its_verdict_is_undone(
    heed: Heed, shop: Shop
) -> None:
    """Guarantee 18: a night's training lies in between."""
    shop.send(18, factor=1.0)
    shop.send(2, factor=0.6)
    (first, second) = about_series(heed)
    label_id = say(heed, "false_alarm", second)
    shop.send(8, factor=0.6)
    undo(heed, label_id)
    assert [(each.id, each.status) for each in about_series(heed)] == [(first.id, "resolved"), (second.id, "firing")]


def as_it_is(heed: Heed) -> list[object]:
    """What the next point is measured against, and what is known of the fall."""
    tolerances = heed.committer.partitions[0].tolerances
    runs = [(each.started_at, each.last_abnormal_at, each.ended_at, each.point_count) for each in anomalies(heed)]
    return [heed.committer.band(1, tolerances), runs, [each.status for each in about_series(heed)]]


@pytest.mark.parametrize("hours", [0, 4])
def test_a_new_normal_that_is_undone_leaves_what_a_heed_knows_that_never_heard_of_it(
    tmp_path: Path, hours: int
) -> None:
    """Guarantee 18."""
    found = []
    for name, verdict in (("with it", "new_normal"), ("without", None)):
        folder = tmp_path / name
        folder.mkdir()
        with running(f"sqlite:///{folder / 'heed.db'}", folder, alerts_per_week=0.25) as heed:
            shop = Shop(heed)
            shop.is_known()
            shop.send(6)
            shop.send(2, factor=0.6)
            label_id = say(heed, verdict) if verdict else 0
            for _ in range(hours):
                shop.send(1, factor=0.6)
            if label_id:
                said = undo(heed, label_id)["band"]["after"]
                band = heed.committer.band(1, Tolerances())
                assert band is not None
                assert said["expected"] == pytest.approx(band.expected)
            shop.send(1, factor=0.6)
            found.append(as_it_is(heed))
    assert found[0] == found[1]


def test_a_new_normal_of_a_quiet_time_is_undone_without_a_trace_too(heed: Heed, shop: Shop) -> None:
    """Guarantee 18: it was declared by itself, long after the alert."""
    shop.send(8)
    before = as_it_is(heed)
    wanted = desensitise.NewNormal(reason="a new shop", author="ana", now=heed.clock.now(), series_id=1)
    its_id = desensitise.begin(heed.committer, wanted)
    assert as_it_is(heed) != before
    desensitise.take_back(heed.committer, its_id, by="ana", now=heed.clock.now())
    assert as_it_is(heed) == before


def test_what_was_known_before_a_new_normal_is_not_brought_back_over_what_was_learned_since(
    heed: Heed, shop: Shop
) -> None:
    label_id = say(heed, "new_normal")
    shop.send(2, factor=0.6)
    train.train(heed.committer, now=heed.clock.now(), reason="test", wanted=train.everything)
    at = heed.committer.partitions[0].columns["trained_at"][0]
    shop.send(1, factor=0.6)
    undo(heed, label_id)
    assert heed.committer.partitions[0].columns["trained_at"][0] > at


def test_what_was_known_before_a_new_normal_is_forgotten_after_two_days(heed: Heed, shop: Shop) -> None:
    say(heed, "new_normal")
    assert is_kept(heed)
    shop.send(72, factor=0.6)
    assert not is_kept(heed)


def test_what_was_known_before_a_new_normal_is_erased_with_its_series(heed: Heed, shop: Shop) -> None:
    """Guarantee 29."""
    say(heed, "new_normal")
    assert is_kept(heed)
    erase_series(heed.committer, 1, by="ana")
    assert not is_kept(heed)


def is_kept(heed: Heed) -> bool:
    with heed.database.reading() as session:
        return bool(states.before_kinds(session))

"""An alert that grows: changed in place where that disturbs nobody, spoken of again where there is enough to say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from app.pipeline.look_after import snooze
from app.pipeline.notify import Notifier
from app.store.database import Database
from app.store.notifications import COLLECTING, QUIET
from app.store.tables import Alert, Anomaly, Channel, Series
from tests.pipeline.outbox import NOW, VAULT, add_alerts, add_channel, notifier, statuses, tell
from tests.receiver import Receiver, Reply, receiving

SOON = NOW + COLLECTING
LATER = NOW + QUIET + timedelta(seconds=5)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        receiver.reply = lambda _: Reply(body=b'{"ok": true, "ts": "1503435956.000247"}')
        yield receiver


@pytest.fixture
def in_slack(database: Database, receiver: Receiver) -> tuple[int, Notifier]:
    """An alert that a Slack app was told of, by its id, and who tells of it."""
    settings = {"token": "xoxb-0000-example", "channel": "C012AB3CD", "url": f"{receiver.url}/api"}
    with database.writing() as session:
        session.add(Channel(name="app", kind="slack_app", secrets=VAULT.seal(settings), created_at=NOW))
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    sending.run_once(NOW)
    return alert_id, sending


def spread(database: Database, alert_id: int, series: int, growth_to_repeat: float = 1.0) -> None:
    """So many more series of the same metric join the alert."""
    with database.writing() as session:
        for number in range(100, 100 + series):
            row = Series(
                key=number.to_bytes(16, "big"),
                metric="orders",
                dimensions={"country": f"C{number}"},
                partition=0,
                slot=number,
                timezone="Europe/Berlin",
                created_at=NOW,
            )
            session.add(row)
            session.flush()
            known = {each.name for each in Anomaly.__table__.columns} - {"id", "series_id"}
            first = session.query(Anomaly).filter_by(alert_id=alert_id).first()
            session.add(Anomaly(series_id=row.id, **{name: getattr(first, name) for name in known}))
        alert = session.get_one(Alert, alert_id)
        alert.series_count, alert.growth_to_repeat = 1 + series, growth_to_repeat


def heard(receiver: Receiver) -> list[object]:
    return [request.json.get("status") for request in receiver.accepted]


def test_growth_is_told_once_it_is_enough_and_after_some_quiet(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    sending.run_once(NOW)
    spread(database, alert_id, 4)
    assert tell(database, alert_id, "grown", NOW + timedelta(seconds=1)) == 1
    sending.run_once(NOW + QUIET - timedelta(seconds=1))
    assert heard(receiver) == ["firing"]
    sending.run_once(LATER)
    assert heard(receiver) == ["firing", "updated"]
    assert receiver.accepted[-1].json["series_count"] == 5


def test_a_little_growth_is_no_message(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    sending.run_once(NOW)
    spread(database, alert_id, 1, growth_to_repeat=2.0)
    tell(database, alert_id, "grown", NOW)
    sending.run_once(LATER)
    assert heard(receiver) == ["firing"]
    assert statuses(database) == ["sent", "skipped"]


def test_where_a_message_can_be_changed_it_is_and_only_what_matters_is_said_in_its_thread(
    database: Database, receiver: Receiver, in_slack: tuple[int, Notifier]
) -> None:
    alert_id, sending = in_slack
    spread(database, alert_id, 1, growth_to_repeat=2.0)
    tell(database, alert_id, "grown", NOW)
    sending.run_once(SOON)
    assert [request.path for request in receiver.requests] == ["/api/chat.postMessage", "/api/chat.update"]
    assert "Also: country C100" in receiver.requests[-1].text


def test_much_growth_is_measured_against_what_was_said_aloud(
    database: Database, receiver: Receiver, in_slack: tuple[int, Notifier]
) -> None:
    alert_id, sending = in_slack
    with database.writing() as session:
        only = session.query(Anomaly).filter_by(alert_id=alert_id).one()
        only.expected, only.actual = 1000.0, 600.0
        session.get_one(Alert, alert_id).growth_to_repeat = 0.1
    tell(database, alert_id, "grown", NOW)
    sending.run_once(SOON)
    assert [request.path for request in receiver.requests] == ["/api/chat.postMessage", "/api/chat.update"]
    with database.writing() as session:
        session.query(Anomaly).filter_by(alert_id=alert_id).one().actual = 100.0
    tell(database, alert_id, "grown", SOON)
    sending.run_once(SOON + COLLECTING)
    assert [request.path for request in receiver.requests[2:]] == ["/api/chat.update", "/api/chat.postMessage"]


def test_a_message_that_can_change_shows_a_snooze_at_once_and_says_what_was_new_when_it_is_over(
    database: Database, receiver: Receiver, in_slack: tuple[int, Notifier]
) -> None:
    alert_id, sending = in_slack
    until = NOW + timedelta(hours=2)
    with database.writing() as session:
        session.get_one(Alert, alert_id).snoozed_until = until
    tell(database, alert_id, "grown", NOW)
    sending.run_once(SOON)
    assert [request.path for request in receiver.requests] == ["/api/chat.postMessage", "/api/chat.update"]
    assert "Snoozed until " in receiver.requests[-1].text
    with database.writing() as session:
        session.get_one(Alert, alert_id).severity = "critical"
    for _ in range(2):
        tell(database, alert_id, "grown", SOON)
    sending.run_once(SOON + COLLECTING)
    assert [request.path for request in receiver.requests[2:]] == ["/api/chat.update"]
    sending.run_once(until)
    assert [request.path for request in receiver.requests[3:]] == ["/api/chat.update", "/api/chat.postMessage"]
    assert statuses(database) == 4 * ["sent"]


def test_what_is_heard_waits_for_the_end_of_a_snooze(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    sending.run_once(NOW)
    spread(database, alert_id, 4)
    tell(database, alert_id, "grown", NOW)
    until = NOW + timedelta(days=300)
    with database.writing() as session:
        snooze(session, session.get_one(Alert, alert_id), until)
    tell(database, alert_id, "grown", NOW)
    sending.run_once(until - timedelta(seconds=1))
    assert heard(receiver) == ["firing"]
    sending.run_once(until)
    assert heard(receiver) == ["firing", "updated"]


def test_growth_that_a_waiting_message_will_speak_of_anyway_is_no_other_message(
    database: Database, receiver: Receiver
) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    spread(database, alert_id, 4)
    assert tell(database, alert_id, "grown", NOW) == 0
    notifier(database).run_once(NOW)
    assert receiver.accepted[0].json["series_count"] == 5
    assert tell(database, alert_id, "grown", NOW) == 1
    assert tell(database, alert_id, "grown", NOW) == 0
    tell(database, alert_id, "resolved", NOW)
    notifier(database).run_once(LATER)
    assert heard(receiver) == ["firing", "resolved"]

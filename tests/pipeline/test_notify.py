"""Deliveries: at least once, in order, retried for days; each promise against a real receiver and both databases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime

import numpy as np
import pytest
import sqlalchemy as sa

from app.clock import wall_now
from app.pipeline.notify import KEEP_TRYING, LEASE, enqueue_all, retry_delay
from app.store import notifications as stored
from app.store.channels import enable_channel
from app.store.database import Database
from app.store.tables import Alert, Notification
from tests.pipeline.outbox import (
    NOW,
    add_alerts,
    add_channel,
    channel_of,
    notifier,
    outbox,
    statuses,
    tell,
)
from tests.receiver import Receiver, Reply, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def elsewhere() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def received_statuses(receiver: Receiver) -> list[object]:
    return [request.json["status"] for request in receiver.accepted]


def test_an_alert_reaches_every_channel_once(database: Database, receiver: Receiver, elsewhere: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    add_channel(database, "team", elsewhere.url, kind="slack")
    add_alerts(database)

    assert notifier(database).run_once(NOW) == 2
    assert notifier(database).run_once(NOW + timedelta(days=1)) == 0

    assert len(receiver.requests) == len(elsewhere.requests) == 1
    assert receiver.requests[0].headers["webhook-id"] == outbox(database)[0].id
    assert "orders (country C0)" in str(elsewhere.requests[0].json["text"])
    assert statuses(database) == ["sent", "sent"]


def test_links_in_a_message_name_the_channel_that_they_were_sent_to(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    notifier(database).run_once(NOW)
    links = receiver.requests[0].json["links"]
    assert isinstance(links, dict)
    assert {"false_alarm", "real"} <= set(links)
    assert all(str(url).startswith("https://heed.example/f/") for url in links.values())


def test_a_receiver_that_fails_thirty_percent_gets_every_alert(database: Database, receiver: Receiver) -> None:
    """Guarantee 11, with 60 alerts; all 1,000 of them in the soak test."""
    deliver_through_faults(database, receiver, alerts=60)


@pytest.mark.soak
def test_a_receiver_that_fails_thirty_percent_gets_a_thousand_alerts(database: Database, receiver: Receiver) -> None:
    """Guarantee 11."""
    deliver_through_faults(database, receiver, alerts=1000)


def deliver_through_faults(database: Database, receiver: Receiver, alerts: int) -> None:
    chance = np.random.default_rng(7)
    receiver.reply = lambda _: Reply(int(chance.choice([500, 502, 503, 429])) if chance.random() < 0.3 else 200)
    add_channel(database, "webhook", receiver.url)
    ids = add_alerts(database, alerts)

    now, sending = NOW, notifier(database)
    while "pending" in statuses(database) and now < NOW + timedelta(hours=1):
        sending.run_once(now)
        now += timedelta(seconds=5)

    assert Counter(request.json["id"] for request in receiver.accepted) == dict.fromkeys(ids, 1)
    assert set(statuses(database)) == {"sent"}


def test_messages_of_one_alert_arrive_in_their_order(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    tell(database, alert_id, "resolved")
    tell(database, alert_id, "updated")
    chance = np.random.default_rng(3)
    receiver.reply = lambda _: Reply(503 if chance.random() < 0.6 else 200)

    sending = notifier(database)
    for minute in range(60):
        sending.run_once(NOW + timedelta(minutes=minute))

    assert received_statuses(receiver) == ["firing", "resolved", "updated"]


def test_another_alert_does_not_wait_for_one_that_fails(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    _, second = add_alerts(database, 2)
    answers = iter([503, 200])
    receiver.reply = lambda _: Reply(next(answers))
    notifier(database).run_once(NOW)
    assert [request.json["id"] for request in receiver.accepted] == [second]


def test_an_update_that_still_waits_is_overtaken_by_what_comes_after(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    for reason in ("updated", "updated", "resolved"):
        tell(database, alert_id, reason)
    notifier(database).run_once(NOW)
    assert received_statuses(receiver) == ["firing", "resolved"]
    assert statuses(database) == ["sent", "skipped", "skipped", "sent"]


def test_a_snoozed_alert_says_nothing_until_the_time_has_come(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    sending.run_once(NOW)
    with database.writing() as session:
        session.get_one(Alert, alert_id).snoozed_until = NOW + timedelta(hours=8)

    tell(database, alert_id, "updated", NOW + timedelta(hours=1))
    tell(database, alert_id, "resolved", NOW + timedelta(hours=2))
    sending.run_once(NOW + timedelta(hours=7))
    assert received_statuses(receiver) == ["firing"]
    sending.run_once(NOW + timedelta(hours=8))
    assert received_statuses(receiver) == ["firing", "resolved"]


def test_the_answer_to_a_snoozed_alert_is_told_at_once(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    with database.writing() as session:
        session.get_one(Alert, alert_id).snoozed_until = NOW + timedelta(hours=8)
    tell(database, alert_id, "updated")
    tell(database, alert_id, "closed")
    notifier(database).run_once(NOW)
    assert received_statuses(receiver) == ["firing", "resolved"]


def test_the_end_of_an_alert_that_nobody_was_told_of_is_not_told(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    receiver.always(400)
    notifier(database).run_once(NOW)
    receiver.always(200)
    tell(database, alert_id, "resolved")
    notifier(database).run_once(NOW + timedelta(minutes=1))
    assert statuses(database) == ["dead", "skipped"]
    assert received_statuses(receiver) == []


def test_a_channel_added_later_hears_of_new_alerts_only(
    database: Database, receiver: Receiver, elsewhere: Receiver
) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    add_channel(database, "late", elsewhere.url)
    tell(database, alert_id, "resolved")
    add_alerts(database)
    notifier(database).run_once(NOW)
    assert sorted(map(str, received_statuses(receiver))) == ["firing", "firing", "resolved"]
    assert received_statuses(elsewhere) == ["firing"]


def test_an_alert_that_comes_back_is_told_again_with_its_next_step(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    (alert_id,) = add_alerts(database)
    sending = notifier(database)
    for reason in ("resolved", "updated", "resolved"):
        tell(database, alert_id, reason)
        sending.run_once(NOW)
    assert received_statuses(receiver) == ["firing", "resolved", "updated", "resolved"]
    assert [notification.step for notification in outbox(database)] == [0, 1, 2, 3]


def test_many_alerts_are_put_into_the_outbox_at_once(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    ids = add_alerts(database, 600)
    with database.writing() as session:
        assert enqueue_all(session, ids, "resolved", NOW) == 600
    assert len(outbox(database)) == 1200


@pytest.mark.parametrize("http_date", [False, True])
def test_retry_after_is_obeyed_by_the_whole_channel(database: Database, receiver: Receiver, http_date: bool) -> None:
    """Guarantee 13."""
    add_channel(database, "webhook", receiver.url)
    add_alerts(database, 3)
    asked = format_datetime(NOW + timedelta(minutes=5), usegmt=True) if http_date else "300"
    receiver.always(429, {"Retry-After": asked})
    sending = notifier(database)
    sending.run_once(NOW)
    receiver.always(200)

    for seconds in (1, 60, 299):
        assert sending.run_once(NOW + timedelta(seconds=seconds)) == 0
    assert len(receiver.requests) == 1
    assert sending.run_once(NOW + timedelta(seconds=305)) == 3
    assert set(statuses(database)) == {"sent"}


@pytest.mark.parametrize("status", [404, 410])
def test_a_channel_that_is_gone_is_disabled_and_ops_hear_of_it_elsewhere(
    database: Database, receiver: Receiver, elsewhere: Receiver, status: int
) -> None:
    """Guarantee 13."""
    gone = add_channel(database, "sales team", receiver.url)
    add_channel(database, "ops", elsewhere.url)
    add_alerts(database, 3)
    receiver.always(status)
    notifier(database).run_once(NOW)
    notifier(database).run_once(NOW + timedelta(hours=5))

    assert len(receiver.requests) == 1
    assert channel_of(database, gone).disabled_reason == f"the receiver answered {status}: it does not exist any more"
    news = [str(request.json["text"]) for request in elsewhere.requests if "sales team" in str(request.json["text"])]
    assert news == [
        f"Alerts no longer reach sales team: the receiver answered {status}: it does not exist any more. "
        "Correct the channel and enable it again: what waits for it is kept for three days."
    ]
    assert len(elsewhere.requests) == 4


def test_what_a_disabled_channel_missed_is_sent_once_it_is_enabled_again(
    database: Database, receiver: Receiver
) -> None:
    channel_id = add_channel(database, "webhook", receiver.url)
    add_alerts(database, 2)
    receiver.always(410)
    notifier(database).run_once(NOW)
    receiver.always(200)
    with database.writing() as session:
        assert enable_channel(session, channel_id)
    assert notifier(database).run_once(NOW + timedelta(hours=1)) == 2
    assert set(statuses(database)) == {"sent"}


def test_a_disabled_channel_gets_no_new_notifications(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    receiver.always(410)
    notifier(database).run_once(NOW)
    add_alerts(database)
    assert len(outbox(database)) == 1


def test_a_delivery_is_tried_for_three_days_then_kept_as_a_dead_letter(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    receiver.always(503)
    sending = notifier(database)
    for hour in range(0, 78, 3):
        sending.run_once(NOW + timedelta(hours=hour))
    (letter,) = outbox(database)
    assert letter.status == "dead"
    assert letter.error == "the receiver answered 503"
    last = receiver.requests[-1]
    assert int(last.headers["webhook-timestamp"]) >= (NOW + KEEP_TRYING).timestamp()


def test_a_dead_letter_can_be_replayed(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    receiver.always(422)
    sending = notifier(database)
    sending.run_once(NOW)
    (letter,) = outbox(database)
    receiver.always(200)
    with database.writing() as session:
        assert stored.replay_dead(session, letter.id, NOW + timedelta(days=30))
    sending.run_once(NOW + timedelta(days=30))
    assert statuses(database) == ["sent"]
    assert receiver.accepted[0].headers["webhook-id"] == letter.id


def test_what_waits_three_days_for_a_disabled_channel_becomes_a_dead_letter(
    database: Database, receiver: Receiver
) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    receiver.always(404)
    sending = notifier(database)
    sending.run_once(NOW)
    sending.run_once(NOW + KEEP_TRYING + timedelta(minutes=1))
    assert statuses(database) == ["dead"]


def test_retries_come_ever_more_slowly_and_never_in_step() -> None:
    rng = np.random.default_rng(0)
    delays = [retry_delay(attempts, rng).total_seconds() for attempts in range(1, 40)]
    assert 1 <= delays[0] <= 2
    assert max(delays) <= 3600
    assert min(delays[-10:]) >= 1800
    assert len({round(delay, 3) for delay in delays[-10:]}) == 10


def test_two_notifiers_never_send_the_same_message_twice(database: Database, receiver: Receiver) -> None:
    """Claims are made by compare-and-set, so any number of workers is harmless."""
    add_channel(database, "webhook", receiver.url)
    ids = add_alerts(database, 60)
    workers = [notifier(database) for _ in range(3)]
    threads = [threading.Thread(target=worker.run_once, args=(NOW,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(request.json["id"] for request in receiver.requests) == dict.fromkeys(ids, 1)


def test_a_worker_that_lost_its_lease_records_nothing(database: Database, receiver: Receiver) -> None:
    """Guarantee 20: it froze past its lease, another took over, and its late word no longer counts."""
    channel_id = add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    frozen = claim(database, channel_id, NOW)
    later = NOW + LEASE + timedelta(seconds=1)
    successor = claim(database, channel_id, later)
    with database.writing() as session:
        assert not stored.record_dead(session, frozen, "woke up too late")
        assert stored.record_sent(session, successor, later, None, {"causes": 1, "size": 0.6}, "firing")
    assert statuses(database) == ["sent"]


def test_a_leased_message_is_nobody_elses_until_the_lease_ends(database: Database, receiver: Receiver) -> None:
    channel_id = add_channel(database, "webhook", receiver.url)
    add_alerts(database)
    claim(database, channel_id, NOW)
    assert notifier(database).run_once(NOW + LEASE - timedelta(seconds=1)) == 0
    assert notifier(database).run_once(NOW + LEASE) == 1


def claim(database: Database, channel_id: int, now: datetime) -> stored.Claim:
    with database.reading() as session:
        found = stored.next_due(session, channel_id, now)
    assert found is not None
    with database.writing() as session:
        assert stored.take(session, found, now + LEASE)
    return found


def test_a_slow_channel_does_not_hold_up_another(database: Database, receiver: Receiver, elsewhere: Receiver) -> None:
    add_channel(database, "slow", receiver.url)
    add_channel(database, "fast", elsewhere.url)
    receiver.always(200, stall_seconds=4.0)
    sending = notifier(database)
    sending.start()
    add_alerts(database, 3, wall_now())
    sending.wake()
    elsewhere.wait_for(3)
    assert len(receiver.requests) < 3
    sending.stop()


def test_a_woken_notifier_does_not_wait_for_its_next_look(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    sending = notifier(database)
    sending.start()
    for number in range(1, 6):
        add_alerts(database, 1, wall_now())
        sending.wake()
        receiver.wait_for(number)
    sending.stop()
    assert set(statuses(database)) == {"sent"}


def test_an_alert_that_comes_while_its_channel_is_busy_does_not_wait_for_the_next_look(
    database: Database, receiver: Receiver
) -> None:
    add_channel(database, "webhook", receiver.url)
    sending = notifier(database)
    sending.start()
    for _ in range(30):
        add_alerts(database, 1, wall_now())
        sending.wake()
    receiver.wait_for(30, timeout_seconds=30)
    sending.stop()


def test_a_message_that_can_not_be_written_holds_up_no_other(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)
    broken, sound = add_alerts(database, 2)
    with database.writing() as session:
        session.execute(sa.update(Notification).where(Notification.alert_id == broken).values(reason="nonsense"))
    notifier(database).run_once(NOW)
    assert [request.json["id"] for request in receiver.requests] == [sound]
    first = outbox(database)[0]
    assert (first.status, first.error) == ("pending", "the message could not be written (ValueError)")


def test_an_unreadable_secret_disables_the_channel_and_says_why(database: Database, receiver: Receiver) -> None:
    channel_id = add_channel(database, "webhook", receiver.url)
    with database.writing() as session:
        session.execute(sa.text("UPDATE channel SET secrets = :garbage"), {"garbage": b"garbage"})
    add_alerts(database)
    notifier(database).run_once(NOW)
    reason = channel_of(database, channel_id).disabled_reason
    assert reason is not None
    assert "secret key file" in reason
    with database.reading() as session:
        assert session.scalars(sa.select(Alert.title).where(Alert.kind == "data")).one().startswith("Alerts no longer")


def test_stopping_finishes_the_message_at_hand_and_leaves_the_rest_in_the_outbox(
    database: Database, receiver: Receiver
) -> None:
    add_channel(database, "webhook", receiver.url)
    add_alerts(database, 20, wall_now())
    receiver.always(200, stall_seconds=0.2)
    sending = notifier(database)
    sending.start()
    receiver.wait_for(2)
    sending.stop()
    assert len(receiver.requests) < 10
    assert Counter(statuses(database)) == {"sent": len(receiver.requests), "pending": 20 - len(receiver.requests)}

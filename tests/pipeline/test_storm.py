"""A storm: a channel takes so many messages in ten minutes, and its last one tells of all the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.channels.setup import make_channel
from app.clock import wall_now
from app.formats.contract import PostedPoints
from app.main import Heed
from app.outbound import Outbound
from app.pipeline.notify import Notifier
from app.pipeline.train import everything, train
from app.store import notifications as stored
from app.store.database import Database
from app.store.series import identity
from app.store.tables import Alert, Channel, Notification
from tests.pipeline.outbox import NOW, VAULT, NoPictures, add_alerts, add_channel, notifier, outbox, statuses, tell
from tests.receiver import Received, Receiver, Reply, receiving
from tests.running import HOUR, alerts, anomalies, running
from tests.services.alertmanager import running_alertmanager
from tests.serving import Served

pytestmark = pytest.mark.any_database

TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def add_limited_channel(database: Database, url: str, kind: str = "webhook", most: int = 5) -> int:
    channel_id = add_channel(database, kind, url, kind)
    with database.writing() as session:
        session.get_one(Channel, channel_id).most_messages = most
    return channel_id


def digested(request: Received) -> set[object]:
    """The alerts that a message told of together."""
    listed = request.json["alerts"]
    assert isinstance(listed, list)
    return {each["id"] for each in listed}


def kinds(receiver: Receiver) -> list[object]:
    return [request.json["kind"] for request in receiver.accepted]


def test_sixty_alerts_at_once_are_five_messages_of_which_the_last_tells_of_fifty_six(
    database: Database, receiver: Receiver
) -> None:
    add_limited_channel(database, receiver.url)
    ids = add_alerts(database, 60)
    sending = notifier(database)
    for minute in range(10):
        sending.run_once(NOW + timedelta(minutes=minute))
    assert kinds(receiver) == ["anomaly"] * 4 + ["digest"]
    last = receiver.accepted[-1].json
    assert str(last["title"]).startswith("56 alerts since Tue 3 Nov, 13:00 (UTC): 56 go on")
    apart = {request.json["id"] for request in receiver.accepted[:4]}
    assert apart | digested(receiver.accepted[-1]) == set(ids)
    assert set(statuses(database)) == {"sent"}


def test_the_most_severe_are_told_first(database: Database, receiver: Receiver) -> None:
    add_limited_channel(database, receiver.url)
    ids = add_alerts(database, 12)
    with database.writing() as session:
        for alert_id in (ids[7], ids[10]):
            session.get_one(Alert, alert_id).severity = "critical"
    notifier(database).run_once(NOW)
    assert [request.json["id"] for request in receiver.accepted[:4]] == [ids[7], ids[10], ids[0], ids[1]]


def test_what_comes_meanwhile_waits_and_is_told_together_when_there_is_room(
    database: Database, receiver: Receiver
) -> None:
    add_limited_channel(database, receiver.url)
    storm = add_alerts(database, 20)
    notifier(database).run_once(NOW)
    late = add_alerts(database, 3, NOW + timedelta(minutes=1))
    for alert_id in storm:
        tell(database, alert_id, "resolved", NOW + timedelta(minutes=2))
    notifier(database).run_once(NOW + timedelta(minutes=9))  # another process, or the same after a restart
    assert len(receiver.accepted) == 5
    notifier(database).run_once(NOW + TEN_MINUTES + timedelta(seconds=5))
    assert len(receiver.accepted) == 10
    last = receiver.accepted[-1].json
    assert last["kind"] == "digest"
    apart = {request.json["id"] for request in receiver.accepted[5:9]}
    assert apart | digested(receiver.accepted[-1]) == {*storm, *late}
    assert set(statuses(database)) == {"sent"}


def test_a_digest_that_fails_is_sent_again_with_the_same_id_and_the_same_alerts(
    database: Database, receiver: Receiver
) -> None:
    add_limited_channel(database, receiver.url)
    add_alerts(database, 9)
    receiver.reply = lambda asked: Reply(503 if '"digest"' in asked.last_text else 200)
    sending = notifier(database)
    sending.run_once(NOW)
    add_alerts(database, 2, NOW + timedelta(seconds=1))
    sending.run_once(NOW + timedelta(seconds=30))
    receiver.always(200)
    notifier(database).run_once(NOW + timedelta(minutes=3))
    digests = [request for request in receiver.requests if request.json["kind"] == "digest"]
    first = digests[0].headers["webhook-id"]
    again = [request for request in digests if request.headers["webhook-id"] == first]
    assert len(again) >= 2
    assert {len(digested(request)) for request in again} == {5}
    notifier(database).run_once(NOW + timedelta(minutes=20))
    assert set(statuses(database)) == {"sent"}


def test_a_digest_that_is_refused_is_a_dead_letter_for_each_alert_that_can_be_replayed(
    database: Database, receiver: Receiver
) -> None:
    add_limited_channel(database, receiver.url)
    add_alerts(database, 8)
    receiver.reply = lambda asked: Reply(400 if '"digest"' in asked.last_text else 200)
    notifier(database).run_once(NOW)
    dead = [each.id for each in outbox(database) if each.status == "dead"]
    assert len(dead) == 4
    with database.writing() as session:
        assert stored.replay_dead(session, dead[-1], NOW + TEN_MINUTES)
    notifier(database).run_once(NOW + TEN_MINUTES + timedelta(seconds=5))
    assert statuses(database).count("sent") == 5


def test_an_alert_that_was_told_of_in_a_digest_is_told_to_be_over(database: Database, receiver: Receiver) -> None:
    add_limited_channel(database, receiver.url, most=1)
    one, two = add_alerts(database, 2)
    sending = notifier(database)
    sending.run_once(NOW)
    assert kinds(receiver) == ["digest"]
    tell(database, two, "resolved", NOW + timedelta(minutes=20))
    sending.run_once(NOW + timedelta(minutes=20))
    assert (receiver.accepted[-1].json["id"], receiver.accepted[-1].json["status"]) == (two, "resolved")
    assert one not in [request.json["id"] for request in receiver.accepted]


def test_what_follows_each_alert_by_itself_hears_of_each(database: Database, receiver: Receiver) -> None:
    add_channel(database, "webhook", receiver.url)  # one without a limit
    ids = add_alerts(database, 12)
    notifier(database).run_once(NOW)
    assert [request.json["id"] for request in receiver.accepted] == ids


def test_a_storm_is_one_group_to_alertmanager_which_tells_of_it_in_one_message(
    database: Database, receiver: Receiver
) -> None:
    """Guarantee 14, with the real Alertmanager."""
    now = wall_now()
    with running_alertmanager(tells=receiver.url) as url:
        with database.writing() as session:
            make_channel(session, VAULT, name="prometheus", kind="alertmanager", settings={"url": url}, now=now)
        ids = add_alerts(database, 60, now)
        notifier(database).run_once(now)
        (group,) = httpx.get(f"{url}/api/v2/alerts/groups").json()
        assert {int(each["labels"]["heed_alert"]) for each in group["alerts"]} == set(ids)
        (message,) = receiver.wait_for(1)
        assert message.json["groupLabels"] == {"alertname": "Heed"}
        end(database, ids, now)
        notifier(database).run_once(now)
        assert httpx.get(f"{url}/api/v2/alerts/groups").json() == []
        assert len(receiver.requests) == 1  # that it is over waits for its next message


ROUTING_KEY = "R0123456789ABCDEFGHIJKLMNOPQRSTU"


def incidents(receiver: Receiver) -> list[tuple[str, str]]:
    """What PagerDuty was asked to do with which incident, less the name of the host."""
    return [
        (str(each.json["event_action"]), str(each.json["dedup_key"]).split("/", 2)[2]) for each in receiver.accepted
    ]


def add_pagerduty(database: Database, url: str) -> None:
    settings = {"routing_key": ROUTING_KEY, "url": url}
    with database.writing() as session:
        make_channel(session, VAULT, name="oncall", kind="pagerduty", settings=settings, now=NOW)


def end(database: Database, ids: Sequence[int], now: datetime) -> None:
    with database.writing() as session:
        for alert_id in ids:
            alert = session.get_one(Alert, alert_id)
            alert.status, alert.ended_at = "resolved", now
    for alert_id in ids:
        tell(database, alert_id, "resolved", now)


def test_a_storm_is_five_incidents_and_the_fifth_ends_with_the_last_of_its_alerts(
    database: Database, receiver: Receiver
) -> None:
    add_pagerduty(database, receiver.url)
    ids = add_alerts(database, 40)
    sending = notifier(database)
    sending.run_once(NOW)
    apart = [str(each) for each in ids[:4]]
    assert [which for _, which in incidents(receiver)[:4]] == apart
    action, together = incidents(receiver)[4]
    assert (action, together.partition("/")[0], len(incidents(receiver))) == ("trigger", "digest", 5)
    assert receiver.accepted[4].json["payload"]["summary"].startswith("36 alerts since ")  # type: ignore[index]

    end(database, ids[:30], NOW + timedelta(minutes=1))  # ends are no pages, so they need not wait for room
    sending.run_once(NOW + timedelta(minutes=1))
    assert incidents(receiver)[5:] == [("resolve", each) for each in apart]

    end(database, ids[30:], NOW + timedelta(minutes=2))
    sending.run_once(NOW + timedelta(minutes=2))
    assert incidents(receiver)[9:] == [("resolve", together)]
    assert set(statuses(database)) == {"sent", "skipped"}

    with database.writing() as session:
        session.get_one(Alert, ids[-1]).status = "firing"
    tell(database, ids[-1], "updated", NOW + timedelta(minutes=30))
    sending.run_once(NOW + timedelta(minutes=30))
    end(database, [ids[-1]], NOW + timedelta(minutes=31))
    sending.run_once(NOW + timedelta(minutes=31))
    assert incidents(receiver)[10:] == [("trigger", str(ids[-1])), ("resolve", str(ids[-1]))]


def test_what_comes_after_a_full_ten_minutes_is_one_more_incident(database: Database, receiver: Receiver) -> None:
    add_pagerduty(database, receiver.url)
    add_alerts(database, 10)
    sending = notifier(database)
    sending.run_once(NOW)
    add_alerts(database, 10, NOW + timedelta(minutes=1))
    sending.run_once(NOW + timedelta(minutes=2))
    assert len(incidents(receiver)) == 5
    sending.run_once(NOW + TEN_MINUTES + timedelta(minutes=1))
    assert len(incidents(receiver)) == 10
    assert len({which for _, which in incidents(receiver)}) == 10


def test_a_digest_links_to_all_its_alerts(served: Served, receiver: Receiver) -> None:
    heed = served.heed
    heed.notifier.stop()  # it may reach no private address, and must not be the first to try
    with heed.database.writing() as session:
        session.add(
            Channel(
                name="team",
                kind="slack",
                secrets=heed.vault.seal({"url": receiver.url}),
                created_at=wall_now(),
                most_messages=1,
            )
        )
    ids = add_alerts(heed.database, 7, wall_now())
    outbound = Outbound.allowing(["127.0.0.0/8"])
    Notifier(heed.database, heed.vault, heed.links, outbound, NoPictures()).run_once(wall_now())
    (message,) = receiver.accepted
    assert "7 alerts since " in message.text
    assert "And 2 more." in message.text
    (link,) = re.findall(r'"url":"([^"]*/d/[^"]*)"', message.text)
    page = httpx.get(link).text
    assert len(re.findall(r'href="\.\./a/', page)) == len(ids)
    assert httpx.get(link[:-3] + "xxx").status_code == 404


HISTORY = 4 * 24
THEN = int(wall_now().timestamp()) // HOUR * HOUR - HOUR * (HISTORY + 3)
"""Four days ago: to the wall clock, points of long ago would be a source that fell silent."""


def post_fleet(heed: Heed, metrics: int, each: int, hours: range, factor: float, delivery: Delivery) -> None:
    """Hourly points of so many metrics in so many countries, all in one request."""
    identities = [
        identity(f"m{metric}", {"country": f"C{country}"}) for metric in range(metrics) for country in range(each)
    ]
    hour = np.array(hours)
    noise = np.random.default_rng(hours.start).normal(1, 0.02, (len(identities), hour.size))
    values = 100 * (1 + 0.4 * np.sin(2 * np.pi * hour / 24)) * noise * factor
    heed.committer.submit(
        PostedPoints(
            identities,
            np.repeat(np.arange(len(identities), dtype=np.int32), hour.size),
            np.tile(THEN + HOUR * hour, len(identities)),
            values.ravel(),
            np.arange(values.size),
            [],
        ),
        None,
        delivery,
    ).result()


@pytest.mark.parametrize(
    ("metrics", "each"),
    [pytest.param(20, 10, id="200 series"), pytest.param(1_000, 5, id="5000 series", marks=pytest.mark.soak)],
)
def test_a_storm_of_failing_series_is_five_messages_and_all_of_it_is_in_the_inbox(
    database_url: str, tmp_path: Path, receiver: Receiver, metrics: int, each: int
) -> None:
    """Guarantee 14, with 200 series of 20 metrics; in the soak test with 5,000 of 1,000."""
    settings = {"webhook_url": receiver.url, "allow_private_targets": "127.0.0.0/8", "clock": "wall"}
    with running(database_url, tmp_path, **settings) as heed:
        for day in range(4):
            post_fleet(heed, metrics, each, range(24 * day, 24 * day + 24), 1.0, Delivery.SILENT)
        train(heed.committer, now=heed.clock.now(), reason="test", wanted=everything)
        for hour in range(3):
            post_fleet(heed, metrics, each, range(HISTORY + hour, HISTORY + hour + 1), 0.1, Delivery.LIVE)
        receiver.wait_for(5, timeout_seconds=60)
        told = {each.alert_id for each in anomalies(heed) if each.alert_id is not None}
        assert len(alerts(heed)) >= metrics
        assert {alert.id for alert in alerts(heed)} == told
        heed.notifier.stop()
        assert len(receiver.requests) == 5
        assert waiting_or_told(heed) == told
        digest = receiver.requests[-1].json
        assert digest["kind"] == "digest"


def waiting_or_told(heed: Heed) -> set[int]:
    with heed.database.reading() as session:
        return set(session.scalars(sa.select(Notification.alert_id)))


def test_the_limit_counts_real_minutes_only_where_points_are_not_replayed(
    database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    with running(database_url, tmp_path, webhook_url=receiver.url, allow_private_targets="127.0.0.0/8") as heed:
        add_alerts(heed.database, 7, wall_now())
        heed.notifier.wake()
        assert len(receiver.wait_for(7)) == 7

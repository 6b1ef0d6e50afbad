"""Silences: alerts are kept and not sent, and told when they outlast the silence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.clock import wall_now
from app.security import Scope
from app.store.tables import Notification
from tests.pipeline.outbox import add_channel, notifier
from tests.receiver import Receiver, receiving
from tests.running import HOUR, MONDAY, Shop
from tests.serving import Served

pytestmark = pytest.mark.any_database

HISTORY = 5 * 168


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def at(hour: float) -> str:
    return (datetime.fromtimestamp(MONDAY, UTC) + timedelta(hours=hour)).isoformat()


def a_shop(served: Served, country: str = "DE") -> Shop:
    shop = Shop(served.heed, country)
    shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    served.retrain()
    shop.send(3)
    return shop


def silence(served: Served, hours: float = 100.0, start: float = HISTORY, **dimensions: list[str]) -> dict[str, Any]:
    body = {
        "matcher": {"metric": "orders", "dimensions": dimensions},
        "start": at(start),
        "end": at(HISTORY + hours),
        "comment": "the warehouse moves",
    }
    answer = served.client.post("/v1/silences", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def reasons(served: Served) -> list[str]:
    """Of the messages that were put into the outbox, in their order."""
    with served.heed.database.reading() as session:
        return list(session.scalars(sa.select(Notification.reason).order_by(Notification.alert_id, Notification.step)))


def may_be_sent(served: Served) -> list[str]:
    """Reasons of the messages that nothing keeps back, but for earlier ones of the same alert."""
    notifier(served.heed.database).run_once(wall_now())
    with served.heed.database.reading() as session:
        sent = sa.select(Notification.reason).where(Notification.status == "sent")
        return list(session.scalars(sent.order_by(Notification.step)))


def listens(served: Served, receiver: Receiver) -> None:
    served.heed.notifier.stop()  # messages stay in the outbox, to be looked at
    add_channel(served.heed.database, "webhook", receiver.url)


def test_a_silenced_alert_is_in_the_inbox_with_its_reason_and_not_sent(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    made = silence(served, country=["DE"])
    assert (made["status"], made["alerts"]) == ("in_force", 0)
    shop.send(3, factor=0.3)
    alert = served.alert()
    assert (alert["status"], alert["delivery"], alert["silence_id"]) == ("firing", "silenced", made["id"])
    assert any("the warehouse moves" in remark for remark in alert["remarks"])
    assert reasons(served) == []
    (listed,) = served.client.get("/v1/silences?in_force=true").json()["silences"]
    assert listed["alerts"] == 1


def test_what_outlasts_its_silence_is_told_and_what_does_not_is_not(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    silence(served, hours=7)
    shop.send(2, factor=0.3)
    assert reasons(served) == []
    shop.send(4, factor=0.3)  # the silence ends meanwhile
    assert reasons(served) == ["firing"]
    alert = served.alert()
    assert (alert["delivery"], alert["silence_id"]) == ("live", None)


def test_what_is_over_before_its_silence_ends_is_never_told(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    silence(served, hours=30)
    shop.send(2, factor=0.3)
    shop.send(40)
    assert reasons(served) == []
    assert served.alert()["status"] == "resolved"


def test_to_end_a_silence_tells_at_once_what_goes_on(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    made = silence(served)
    shop.send(2, factor=0.3)
    ended = served.client.delete(f"/v1/silences/{made['id']}").json()
    assert (ended["status"], ended["ended_by"]) == ("over", "HEED_ADMIN_TOKEN")
    assert reasons(served) == ["firing"]
    assert served.client.delete(f"/v1/silences/{made['id']}").json() == ended


def test_an_alert_that_was_told_says_nothing_more_while_it_is_silenced(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    shop.send(2, factor=0.3)
    assert reasons(served) == ["firing"]
    made = silence(served)
    shop.send(12)
    assert served.alert()["status"] == "resolved"
    assert reasons(served) == ["firing", "resolved"]
    assert may_be_sent(served) == ["firing"]
    served.client.delete(f"/v1/silences/{made['id']}")
    assert may_be_sent(served) == ["firing", "resolved"]


def test_a_silence_covers_only_the_series_that_it_names(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    german, french = Shop(served.heed, "DE"), Shop(served.heed, "FR", seed=4)
    for shop in (german, french):
        shop.send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    served.retrain()
    silence(served, country=["DE"])
    for shop in (german, french):
        shop.send(3)
    for _ in range(2):
        for shop in (german, french):
            shop.send(1, factor=0.3)
    listed = served.client.get("/v1/alerts").json()["alerts"]
    by_country = {each["anomalies"][0]["series"]["dimensions"]["country"]: each["delivery"] for each in listed}
    assert by_country == {"DE": "silenced", "FR": "live"}


def test_a_silence_may_be_changed_while_it_lasts(served: Served) -> None:
    a_shop(served)
    made = silence(served)
    url = f"/v1/silences/{made['id']}"
    changed = served.client.patch(url, json={"end": at(HISTORY + 200), "comment": "it takes longer"}).json()
    assert (changed["comment"], changed["end"][:13]) == ("it takes longer", at(HISTORY + 200)[:13])
    assert served.client.patch(url, json={"end": at(HISTORY - 1)}).status_code == 422
    served.client.delete(url)
    assert "is over" in served.client.patch(url, json={"end": at(HISTORY + 300)}).text
    assert served.client.get("/v1/silences?in_force=true").json()["silences"] == []


def test_a_silence_needs_an_end_to_come_and_a_reason(served: Served) -> None:
    a_shop(served)
    whole = {"matcher": {}, "start": at(HISTORY), "end": at(HISTORY + 50), "comment": "x"}
    for missing in ("end", "comment", "start", "matcher"):
        part = {name: value for name, value in whole.items() if name != missing}
        assert served.client.post("/v1/silences", json=part).status_code == 422
    past = served.client.post("/v1/silences", json=whole | {"start": at(0), "end": at(HOUR / 3600)})
    assert (past.status_code, "lies in the past" in past.text) == (422, True)
    backwards = served.client.post("/v1/silences", json=whole | {"start": at(HISTORY + 60)})
    assert (backwards.status_code, "before `end`" in backwards.text) == (422, True)
    assert served.client.delete("/v1/silences/999").status_code == 404


def in_file(comment: str = "the warehouse moves", **changed: Any) -> dict[str, Any]:
    whole = {"matcher": {"metric": "orders"}, "start": at(HISTORY), "end": at(HISTORY + 100), "comment": comment}
    return whole | changed


def apply(served: Served, *silences: dict[str, Any]) -> list[tuple[str, str]]:
    """What became of each silence, by its comment."""
    answer = served.client.post("/v1/apply", json={"silences": silences})
    assert answer.status_code == 200, answer.text
    return [(each["action"], each["name"]) for each in answer.json()["changes"]]


def test_a_silence_of_a_file_is_kept_to_as_any_other_and_ends_with_it(served: Served, receiver: Receiver) -> None:
    listens(served, receiver)
    shop = a_shop(served)
    assert apply(served, in_file()) == [("create", "the warehouse moves")]
    assert apply(served, in_file()) == [("leave", "the warehouse moves")]
    shop.send(2, factor=0.3)
    assert reasons(served) == []
    (made,) = served.client.get("/v1/silences?in_force=true").json()["silences"]
    assert (made["alerts"], made["author"], made["end"][:13]) == (1, "HEED_ADMIN_TOKEN", at(HISTORY + 100)[:13])
    assert apply(served, in_file(matcher={"metric": "o*"})) == [("change", "the warehouse moves")]
    assert reasons(served) == []
    assert apply(served) == [("remove", "the warehouse moves")]
    assert reasons(served) == ["firing"]
    assert served.client.get("/v1/silences?in_force=true").json()["silences"] == []


def test_a_file_takes_over_the_silences_that_it_names_and_no_others(served: Served) -> None:
    Shop(served.heed).send(HISTORY, at_once=True, delivery=Delivery.SILENT)
    by_hand = silence(served)
    served.client.post("/v1/silences", json=in_file("by hand"))
    longer = in_file(end=at(HISTORY + 200), matcher=by_hand["matcher"])
    assert apply(served, longer, in_file("done", end=at(HISTORY - 9), start=at(1))) == [
        ("change", "the warehouse moves"),
        ("leave", "done"),
    ]
    assert apply(served, in_file(end=at(HISTORY - 9), start=at(1))) == [("remove", "the warehouse moves")]
    listed = served.client.get("/v1/silences").json()["silences"]
    assert [each["comment"] for each in listed if each["status"] != "over"] == ["by hand"]


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ([in_file(), in_file()], ["silences", 1, "comment"]),
        ([in_file("a"), in_file("b", end=at(HISTORY - 1))], ["silences", 1]),
    ],
)
def test_a_wrong_silence_of_a_file_is_refused_with_its_place(
    shared: Served, wrong: list[Any], place: list[Any]
) -> None:
    answer = shared.client.post("/v1/apply", json={"silences": wrong})
    assert answer.status_code == 422
    assert [each["path"] for each in answer.json()["errors"]] == [place]
    assert shared.client.get("/v1/silences").json()["silences"] == []


def test_an_analyst_may_silence_and_a_producer_may_not(served: Served) -> None:
    body = {"matcher": {}, "start": at(HISTORY), "end": "2100-01-01T00:00:00Z", "comment": "x"}
    with served.as_scope(Scope.ANALYST) as analyst, served.as_scope(Scope.INGEST) as producer:
        assert analyst.post("/v1/silences", json=body).status_code == 201
        assert producer.post("/v1/silences", json=body).status_code == 403

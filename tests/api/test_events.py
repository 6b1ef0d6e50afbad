"""Events over HTTP: declared, imported, explaining what was told and expecting what comes again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.alerts.rules import Delivery
from app.pipeline.rescore import score_again
from feedback.recurrence import TOO_FAR_AWAY
from tests.running import HOUR, MONDAY, Shop, notification_reasons, posted
from tests.serving import Served, serving

pytestmark = pytest.mark.any_database

WEBHOOK = {"webhook_url": "http://127.0.0.1:9/", "allow_private_targets": "127.0.0.0/8", "alerts_per_week": 0.01}
"""And so small a budget that the many ordinary weeks of these tests bring no alert by chance."""
START = datetime.fromtimestamp(MONDAY, UTC)
SEVENTH_WEEK = 4 * 168  # 2 February 2026, the first Monday of its month
LONG = 12
"""Hours of a campaign, from eight in the morning on."""


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(database_url, tmp_path, **WEBHOOK) as served:
        yield served


def at(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def told(served: Served, status: str = "") -> list[dict[str, Any]]:
    query = f"&status={status}" if status else ""
    found: list[dict[str, Any]] = served.client.get(f"/v1/alerts?kind=anomaly&limit=200{query}").json()["alerts"]
    return found


def a_trained_shop(served: Served, country: str = "DE", seed: int = 1) -> Shop:
    """Four normal weeks up to the first Monday of February."""
    shop = Shop(served.heed, country, seed=seed)
    shop.send(SEVENTH_WEEK, at_once=True, delivery=Delivery.SILENT)
    assert served.retrain()["status"] == "done"
    return shop


def campaign(shop: Shop, factor: float = 3.0, hours: int = LONG) -> None:
    """A Monday with a campaign on."""
    shop.send(8)
    shop.send(hours, factor=factor)
    shop.send(24 - 8 - hours)


def until_the_first_monday_of(shop: Shop, month: int) -> None:
    """Ordinary days up to then, a week a POST."""
    until = int((datetime(2026, month, {3: 2, 4: 6, 5: 4}[month], tzinfo=UTC) - START).total_seconds() // HOUR)
    while shop.clock < until:
        shop.send(min(168, until - shop.clock), at_once=True, delivery=Delivery.LIVE)


def declare(served: Served, **other: Any) -> dict[str, Any]:
    body = {
        "name": "first Monday",
        "matcher": {"metric": "orders"},
        "start": at(SEVENTH_WEEK + 8),
        "end": at(SEVENTH_WEEK + 8 + LONG),
        "rrule": "FREQ=MONTHLY;BYDAY=1MO",
        "timezone": "UTC",
    }
    answer = served.client.post("/v1/events", json=body | other)
    assert answer.status_code == 201, answer.text
    declared: dict[str, Any] = answer.json()
    return declared


def test_a_campaign_is_told_once_then_expected_and_a_drop_of_half_of_it_is_told(served: Served) -> None:
    """Guarantee 32."""
    shop = a_trained_shop(served)
    campaign(shop)
    assert len(told(served)) == 1
    event = declare(served)
    assert [each["status"] for each in told(served)] == ["closed"]
    assert event["learned"]["factor"][0] == pytest.approx(3.0, rel=0.15)

    until_the_first_monday_of(shop, 3)
    campaign(shop)
    until_the_first_monday_of(shop, 4)
    assert len(told(served)) == 1

    campaign(shop, factor=1.5)
    assert [each["status"] for each in told(served)] == ["resolved", "closed"]
    point = served.client.get("/v1/series/1/points", params={"start": at(shop.clock - 12), "end": at(shop.clock - 11)})
    (value, expected, lower) = (point.json()["points"][0][name] for name in ("value", "expected", "lower"))
    assert expected == pytest.approx(2 * value, rel=0.2)
    assert value < lower


def test_what_is_declared_first_has_a_wide_band_and_what_is_beyond_it_is_told(served: Served) -> None:
    """Guarantee 32."""
    shop = a_trained_shop(served)
    declare(served, rrule=None)
    campaign(shop)
    assert told(served) == []
    declare(served, start=at(shop.clock), end=at(shop.clock + 12), rrule=None)
    shop.send(12, factor=9.0)
    assert len(told(served)) == 1


def test_an_event_declared_while_it_lasts_explains_as_much_as_was_seen_of_it(served: Served) -> None:
    shop = a_trained_shop(served)
    shop.send(4, factor=7.0)
    declare(served, start=at(shop.clock - 4), end=at(shop.clock + 8), rrule=None)
    shop.send(8, factor=7.0)
    assert [each["status"] for each in told(served)] == ["closed"]


def test_siblings_that_were_never_in_it_are_expected_to_do_as_the_others(served: Served) -> None:
    shops = [a_trained_shop(served, country, seed) for seed, country in enumerate(("DE", "FR", "GB"))]
    for shop in shops:
        campaign(shop)
    declare(served)
    late = Shop(served.heed, "AT", seed=9)
    late.clock = SEVENTH_WEEK + 24
    for shop in (*shops, late):
        until_the_first_monday_of(shop, 3)
    before = len(told(served))
    for shop in (*shops, late):
        campaign(shop)
    assert len(told(served)) == before


def test_a_declared_event_closes_the_alert_it_explains_and_taken_back_it_opens_again(served: Served) -> None:
    shop = a_trained_shop(served)
    shop.send(6, factor=3.0)
    (alert,) = told(served)
    event = declare(served, start=at(shop.clock - 6), end=at(shop.clock + 1), rrule=None)
    (closed,) = told(served)
    assert (closed["status"], closed["event_id"]) == ("closed", event["id"])
    first, *_, last = notification_reasons(served.heed)  # it may have grown while the first was on its way
    assert (first, last) == ("firing", "closed")
    receipt = served.client.post(f"/v1/alerts/{alert['id']}/labels?dry_run=true", json={"verdict": "real"}).json()
    assert receipt["statistics"]["alerts"] == 0

    gone = served.client.delete(f"/v1/events/{event['id']}").json()
    assert (gone["stands"], gone["revoked_by"]) == (False, "HEED_ADMIN_TOKEN")
    (again,) = told(served)
    assert (again["status"], again["event_id"]) == ("firing", None)


def test_a_retroactive_event_leaves_no_trace_in_what_was_learned(served: Served) -> None:
    """Guarantee 32. Beside a twin that never had it."""
    shop, twin = a_trained_shop(served, "DE", 3), a_trained_shop(served, "FR", 3)
    campaign(shop)
    campaign(twin, factor=1.0)
    declare(served, matcher={"metric": "orders", "dimensions": {"country": ["DE"]}}, rrule=None)
    score_again(served.heed.committer, served.heed.clock.now())
    for each in (shop, twin):
        each.send(48, at_once=True)
    assert served.retrain("after the event")["status"] == "done"
    bands = [expected(served, series, shop.clock - 24) for series in (1, 2)]
    np.testing.assert_allclose(bands[0], bands[1], rtol=0.03)  # a Monday less: a noise of 5 % over four weeks


def expected(served: Served, series_id: int, hour: int) -> list[float]:
    partition = served.heed.committer.partitions[0]
    slot = int(partition.slots_of([series_id])[0])
    model = partition.models[int(partition.columns["model"][slot])]
    row = int(partition.columns["row"][slot])
    profile = model.baseline["profile"][row] * model.baseline["unit"][row] + model.baseline["center"][row]
    return [float(each) for each in profile]


def test_a_changed_event_is_what_it_is_now(served: Served) -> None:
    event = declare(served)
    changed = served.client.patch(f"/v1/events/{event['id']}", json={"name": "spring", "rrule": "FREQ=YEARLY"}).json()
    assert (changed["name"], changed["rrule"], changed["start"]) == ("spring", "FREQ=YEARLY", event["start"])
    assert served.client.get("/v1/events").json()["events"] == [changed]


def test_an_event_of_one_series_is_given_to_those_of_a_matcher_and_recurs_no_longer(served: Served) -> None:
    for country in ("DE", "FR"):
        Shop(served.heed, country).send(2)
    event = declare(served, matcher=None, series_id=1)
    changes = {"matcher": {"metric": "orders", "dimensions": {"country": ["FR"]}}, "rrule": None}
    changed = served.client.patch(f"/v1/events/{event['id']}", json=changes).json()
    assert (changed["series_id"], changed["matcher"]) == (None, changes["matcher"])
    assert changed["rrule"] is None
    assert served.heed.committer.partitions[0].happenings.events[0].members[:2].tolist() == [False, True]


def test_a_start_that_its_rule_does_not_have_is_refused_with_the_next_one(served: Served) -> None:
    event = declare(served)
    tuesday = {"start": at(SEVENTH_WEEK + 32), "end": at(SEVENTH_WEEK + 44)}
    body = {"name": "x", "matcher": {}, "rrule": "FREQ=MONTHLY;BYDAY=1MO", "timezone": "UTC", **tuesday}
    for refused in (
        served.client.post("/v1/events", json=body),
        served.client.patch(f"/v1/events/{event['id']}", json=tuesday),
        served.client.post("/v1/apply", json={"events": [body]}),
    ):
        assert refused.status_code == 422
        assert "its next one is 2026-03-02T08:00:00+00:00" in refused.json()["detail"]
    assert served.client.get(f"/v1/events/{event['id']}").json() == event


def test_an_event_is_judged_by_after_a_restart(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, **WEBHOOK) as served:
        shop = a_trained_shop(served)
        campaign(shop)
        declare(served)
        until_the_first_monday_of(shop, 3)
        shop.send(8)
        shop.send(2, factor=3.0)
    with serving(database_url, tmp_path, **WEBHOOK) as served:
        shop.heed = served.heed
        shop.send(6, factor=3.0)
        assert [each["status"] for each in told(served)] == ["closed"]


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ({"end": at(0)}, "before `end`"),
        ({"rrule": "FREQ=SECONDLY"}, "daily, weekly"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "never comes"),
        ({"rrule": "FREQ=DAILY;UNTIL=junkZ"}, "UNTIL"),
        ({"timezone": "Mars/Olympus"}, "IANA"),
        ({"matcher": None}, "matcher or a series_id"),
        ({"matcher": None, "series_id": 99}, "GET /v1/series"),
    ],
)
def test_an_event_that_cannot_be_is_refused_with_the_cure(shared: Served, wrong: dict[str, Any], cure: str) -> None:
    body = {"name": "x", "matcher": {}, "start": at(SEVENTH_WEEK), "end": at(SEVENTH_WEEK + 1)}
    answer = shared.client.post("/v1/events", json=body | wrong)
    assert answer.status_code in (404, 422)
    assert cure in answer.text


def test_an_event_that_is_not_there_is_a_404(shared: Served) -> None:
    for method in ("get", "delete"):
        assert getattr(shared.client, method)("/v1/events/999").status_code == 404
    assert shared.client.patch("/v1/events/999", json={"name": "x"}).status_code == 404


def test_points_of_a_series_that_comes_later_belong_to_the_event(served: Served) -> None:
    declare(served)
    times = MONDAY + HOUR * np.arange(10)
    served.heed.committer.submit(posted("orders", times, np.ones(10), country="NL")).result()
    happenings = served.heed.committer.partitions[0].happenings
    assert happenings.events[0].members[:1].tolist() == [True]


CALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:shop
BEGIN:VEVENT
UID:monday
SUMMARY:Every first Monday
DTSTART;TZID=Europe/Berlin:20260202T080000
DTEND;TZID=Europe/Berlin:20260202T200000
RRULE:FREQ=MONTHLY;BYDAY=1MO
END:VEVENT
BEGIN:VEVENT
UID:broken
SUMMARY:Each second
DTSTART:20260202T080000Z
DURATION:PT1S
RRULE:FREQ=SECONDLY
END:VEVENT
END:VCALENDAR
"""


def import_calendar(served: Served, text: str) -> dict[str, Any]:
    where = "/v1/events/import?calendar=shop&metric=orders&dimension=country:DE"
    answer = served.client.post(where, content=text, headers={"Content-Type": "text/calendar"})
    assert answer.status_code == 201, answer.text
    imported: dict[str, Any] = answer.json()
    return imported


def test_a_calendar_is_imported_with_its_matcher_and_brought_up_to_date_when_sent_again(served: Served) -> None:
    first = import_calendar(served, CALENDAR)
    assert (first["events"], [each["index"] for each in first["rejected"]]) == (1, [1])
    assert "daily, weekly" in first["rejected"][0]["reason"]
    assert import_calendar(served, CALENDAR)["unchanged"] == 1
    moved = import_calendar(served, CALENDAR.replace("T080000\n", "T090000\n"))
    assert (moved["events"], moved["taken_back"]) == (1, 1)
    stands = [each for each in served.client.get("/v1/events?calendar=shop").json()["events"] if each["stands"]]
    assert [each["matcher"] for each in stands] == [{"metric": "orders", "dimensions": {"country": ["DE"]}}]
    assert stands[0]["timezone"] == "Europe/Berlin"


EXPORTED = """BEGIN:VCALENDAR
PRODID:-//A calendar program//EN
VERSION:2.0
METHOD:PUBLISH
X-WR-CALNAME:Shop
BEGIN:VTIMEZONE
TZID:(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:reminder
SUMMARY:Call the bank
DTSTART:20260202T080000Z
BEGIN:VALARM
ACTION:DISPLAY
TRIGGER:-PT15M
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:holiday
SUMMARY:Inventory
DTSTART;VALUE=DATE:20260605
DTEND;VALUE=DATE:20260607
TRANSP:TRANSPARENT
END:VEVENT
BEGIN:VEVENT
UID:weekly
SUMMARY:Newsletter
DTSTART;TZID="(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm,
  Vienna":20260602T090000
DTEND;TZID="(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm,
  Vienna":20260602T110000
RRULE:FREQ=WEEKLY;BYDAY=TU
EXDATE;VALUE=DATE:20260609
END:VEVENT
BEGIN:VEVENT
UID:weekly
SUMMARY:Newsletter by night
RECURRENCE-ID;RANGE=THISANDFUTURE:20260623T070000Z
DTSTART:20260623T190000Z
DTEND:20260623T210000Z
END:VEVENT
BEGIN:VEVENT
UID:off
SUMMARY:Fair
STATUS:CANCELLED
DTSTART:20260702T080000Z
DTEND:20260702T090000Z
END:VEVENT
BEGIN:VEVENT
UID:far
SUMMARY:Doomsday
DTSTART;TZID=Europe/Berlin:00010101T000000
DURATION:P1D
END:VEVENT
END:VCALENDAR
"""


def test_of_what_a_calendar_program_exports_all_that_can_be_is_imported_and_the_rest_named(served: Served) -> None:
    answer = import_calendar(served, EXPORTED.replace("\n", "\r\n"))
    assert answer["events"] == 2
    assert [(each["index"], each["name"], each["reason"]) for each in answer["rejected"]] == [
        (0, "Call the bank", "It takes up no time, so it explains nothing. Give it an end in the calendar."),
        (3, "Newsletter by night", THIS_AND_FUTURE),
        (5, "Doomsday", TOO_FAR_AWAY),
    ]
    weekly, inventory = served.client.get("/v1/events?calendar=shop").json()["events"]
    assert (inventory["name"], inventory["end"]) == ("Inventory", "2026-06-07T00:00:00Z")
    assert (weekly["name"], weekly["timezone"]) == ("Newsletter", "Europe/Berlin")
    assert weekly["rrule"] == "FREQ=WEEKLY;BYDAY=TU;UNTIL=20260623T085959"
    assert weekly["not_on"] == ["2026-06-09T09:00:00"]


THIS_AND_FUTURE = (
    "It changes an occurrence and all that follow (RANGE=THISANDFUTURE), which is not followed: the event ends before "
    "it. Make it an event of its own in the calendar."
)


def test_an_event_that_somebody_deleted_comes_back_only_once_its_calendar_has_it_otherwise(served: Served) -> None:
    imported = {"events": 1, "unchanged": 0, "taken_back": 0, "stay_deleted": 0}
    assert counts(import_calendar(served, CALENDAR)) == imported
    served.client.delete("/v1/events/1")
    assert counts(import_calendar(served, CALENDAR)) == {**imported, "events": 0, "stay_deleted": 1}
    longer = CALENDAR.replace("T200000", "T210000")
    assert counts(import_calendar(served, longer)) == imported
    assert counts(import_calendar(served, EMPTY)) == {**imported, "events": 0, "taken_back": 1}
    assert counts(import_calendar(served, longer)) == imported  # the calendar had dropped it, nobody here did


EMPTY = "BEGIN:VCALENDAR\nVERSION:2.0\nEND:VCALENDAR\n"


def counts(imported: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in imported.items() if isinstance(number, int)}


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\xff\xfe", b"BEGIN:VCALENDAR", b"[1]"])
def test_what_is_no_calendar_is_refused(shared: Served, body: bytes) -> None:
    answer = shared.client.post("/v1/events/import", content=body, headers={"Content-Type": "text/calendar"})
    assert answer.status_code in (201, 422)
    if answer.status_code == 201:
        assert answer.json()["events"] == 0

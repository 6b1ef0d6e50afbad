"""The verdicts that create something, over HTTP: what they do at once, what the receipt says, and their undo."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline.creations import Wanted
from app.pipeline.learn import finish_what_was_begun, label_alert, revoke_label
from app.store.labels import labelled_and_open_spans
from app.store.series import Matcher
from app.store.tables import Label
from tests.running import HOUR, MONDAY, Shop
from tests.serving import Served, serving

CREATING = {"event": "events", "bad_data": "gaps", "new_normal": "desensitisations"}
FALLEN = 5 * 168 + 24
"""The hour in which the orders of `has_an_alert` fall."""


def give(served: Served, alert: dict[str, Any], verdict: str, **more: Any) -> dict[str, Any]:
    answer = served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": verdict} | more)
    assert answer.status_code in (200, 201), answer.text
    receipt: dict[str, Any] = answer.json()
    return receipt


def status(served: Served, alert: dict[str, Any]) -> str:
    return str(served.client.get(f"/v1/alerts/{alert['id']}").json()["status"])


def created(served: Served, verdict: str) -> list[dict[str, Any]]:
    kind = CREATING[verdict]
    listed: list[dict[str, Any]] = served.client.get(f"/v1/{kind}").json()[kind]
    return listed


def at(hours: float) -> str:
    return datetime.fromtimestamp(MONDAY + HOUR * hours, UTC).isoformat()


@pytest.mark.parametrize(
    ("verdict", "after", "said"),
    [
        ("event", "closed", "explained by the event"),
        ("bad_data", "withdrawn", "taken for lost"),
        ("new_normal", "closed", "learned at once"),
    ],
)
def test_a_verdict_makes_what_it_stands_for_and_its_undo_takes_that_back(
    served: Served, alert: dict[str, Any], verdict: str, after: str, said: str
) -> None:
    receipt = give(served, alert, verdict)
    assert any(said in sentence for sentence in receipt["text"]), receipt["text"]
    assert receipt["alert_status"]["after"] == after == status(served, alert)
    (made,) = created(served, verdict)
    assert receipt["created"] == {"kind": CREATING[verdict].removesuffix("s"), "id": made["id"]}
    assert made["label_id"] == receipt["label_id"]

    undone = served.client.delete(f"/v1/labels/{receipt['label_id']}").json()
    assert undone["action"] == "undone"
    assert not any(each.get("stands", each.get("status") != "undone") for each in created(served, verdict))


def test_bad_data_withdraws_an_alert_although_its_gap_was_taken_back_and_it_is_scored_again(served: Served) -> None:
    """Guarantee 18."""
    alert = served.has_an_alert()
    receipt = give(served, alert, "bad_data")
    assert served.client.delete(f"/v1/gaps/{receipt['created']['id']}").status_code == 200
    after = served.client.get(f"/v1/alerts/{alert['id']}").json()
    assert (after["status"], after["gap_id"]) == ("withdrawn", None)
    undone = served.client.delete(f"/v1/labels/{receipt['label_id']}").json()
    assert undone["alert_status"] == {"before": "withdrawn", "after": "firing"}
    assert status(served, alert) == "firing"


@pytest.mark.parametrize("verdict", CREATING)
def test_a_dry_run_says_what_would_be_made_and_makes_nothing(
    served: Served, alert: dict[str, Any], verdict: str
) -> None:
    receipt = give(served, alert, verdict, dry_run=True)
    assert receipt["action"] == "would_label"
    assert (created(served, verdict), status(served, alert)) == ([], "firing")


def test_each_effect_of_a_verdict_is_to_be_had_by_itself(served: Served, alert: dict[str, Any]) -> None:

    def only(verdict: str, effect: str) -> dict[str, Any]:
        receipt = give(served, alert, verdict, only=[effect], confirm=True)
        nothing = {"alert": "stays", "training": "included", "tolerance": "unchanged", "creates": "nothing"}
        assert {name: did for name, did in receipt["effects"].items() if did != nothing[name]}.keys() == {effect}
        has_changed = receipt["threshold"]["before"] != receipt["threshold"]["after"]
        assert has_changed == (effect == "tolerance")
        assert bool(created(served, "event")) == (effect == "creates")
        return receipt

    for verdict, effect, after in (
        ("real", "training", "firing"),
        ("false_alarm", "tolerance", "firing"),
        ("event", "alert", "closed"),
    ):
        receipt = only(verdict, effect)
        assert status(served, alert) == after
        assert served.client.delete(f"/v1/labels/{receipt['label_id']}").status_code == 200
    only("event", "creates")


def test_a_span_is_left_out_of_training_without_any_other_effect(served: Served, alert: dict[str, Any]) -> None:
    series = alert["anomalies"][0]["series"]["id"]
    calm = {"series_id": series, "start": at(FALLEN - 100), "end": at(FALLEN - 90)}
    answer = served.client.post("/v1/labels", json=calm | {"verdict": "event", "only": ["training"]})
    assert answer.status_code == 201
    with served.heed.database.reading() as session:
        spans = labelled_and_open_spans(session)
    assert MONDAY + HOUR * (FALLEN - 100) in spans.start
    assert created(served, "event") == []
    (label,) = served.client.get("/v1/labels").json()["labels"]
    assert label["only"] == ["training"]
    refused = served.client.post("/v1/labels", json=calm | {"verdict": "false_alarm", "only": ["training"]})
    assert refused.status_code == 422
    assert "`false_alarm` can act alone on `alert` and `tolerance`" in refused.json()["detail"]


def test_an_event_may_be_named_and_recur_for_other_series_too(served: Served, alert: dict[str, Any]) -> None:
    said = {"name": "spring sale", "rrule": "FREQ=YEARLY", "matcher": {"metric": "orders"}, "end": at(FALLEN + 48)}
    give(served, alert, "event", creates=said)
    (event,) = created(served, "event")
    assert (event["name"], event["rrule"], event["matcher"]["metric"]) == ("spring sale", "FREQ=YEARLY", "orders")


def test_an_event_that_a_verdict_makes_takes_place_when_it_was_seen_whatever_its_rule_says(
    served: Served, alert: dict[str, Any]
) -> None:
    give(served, alert, "event", creates={"rrule": "FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "end": at(FALLEN + 48)})
    assert status(served, alert) == "closed"


@pytest.mark.parametrize(
    ("verdict", "creates"),
    [
        ("event", {"rrule": "FREQ=NEVER"}),
        ("event", {"matcher": {"metric": "nothing"}}),
        ("bad_data", {"end": at(0)}),
        ("new_normal", {"matcher": {"metric": "nothing"}}),
        ("new_normal", {"start": at(FALLEN + 1_000)}),
        ("real", {"name": "what for"}),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_changed_and_when_only_tried(
    served: Served, alert: dict[str, Any], verdict: str, creates: dict[str, Any]
) -> None:
    asked = {"verdict": verdict, "creates": creates, "confirm": True}
    answer = served.client.post(f"/v1/alerts/{alert['id']}/labels", json=asked)
    assert answer.status_code == 422, answer.text
    assert served.client.get("/v1/labels").json()["labels"] == []
    assert status(served, alert) == "firing"
    tried = served.client.post(f"/v1/alerts/{alert['id']}/labels?dry_run=true", json=asked)
    assert (tried.status_code, tried.json()["detail"]) == (422, answer.json()["detail"])


@pytest.mark.parametrize(
    ("verdict", "creates", "cure"),
    [
        (
            "new_normal",
            {"rrule": "FREQ=DAILY"},
            "`rrule` says nothing of `new_normal`: only an event recurs. Answer `e",
        ),
        (
            "new_normal",
            {"end": at(FALLEN)},
            "`end` says nothing of `new_normal`: a new level has no end. Send `max_dur",
        ),
        ("new_normal", {"retrain_when_backfilled": False}, "Retrain with POST /v1/retrains, or leave it out."),
        ("bad_data", {"rrule": "FREQ=DAILY"}, "`rrule` says nothing of `bad_data`"),
        ("bad_data", {"timezone": "Europe/Berlin"}, "`timezone` says nothing of `bad_data`"),
        ("event", {"max_duration_days": 3}, "`max_duration_days` says nothing of `event`: only a new normal settles."),
        (
            "false_alarm",
            {"name": "what for"},
            "`false_alarm` creates nothing here that could be described. Leave `creat",
        ),
    ],
)
def test_what_says_nothing_of_what_a_verdict_makes_is_refused_with_the_cure(
    served: Served, alert: dict[str, Any], verdict: str, creates: dict[str, Any], cure: str
) -> None:
    asked = {"verdict": verdict, "creates": creates, "confirm": True}
    answer = served.client.post(f"/v1/alerts/{alert['id']}/labels", json=asked)
    assert answer.status_code == 422, answer.text
    assert cure in answer.json()["detail"]


@pytest.mark.parametrize("times", [(FALLEN + 2_000, FALLEN + 2_024), (FALLEN + 2, FALLEN + 48), (FALLEN - 9, FALLEN)])
def test_an_event_that_would_not_explain_the_alert_is_refused_with_the_times_that_would(
    served: Served, alert: dict[str, Any], times: tuple[int, int]
) -> None:
    creates = {"start": at(times[0]), "end": at(times[1])}
    answer = served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "event", "creates": creates})
    assert answer.status_code == 422, answer.text
    assert f"must cover all that is labelled, from {at(FALLEN)} to {at(FALLEN + 5)}" in answer.json()["detail"]
    assert "POST /v1/events" in answer.json()["detail"]
    assert status(served, alert) == "firing"
    covering = {"start": at(FALLEN), "end": at(FALLEN + 6)}
    give(served, alert, "event", creates=covering)


def test_a_new_normal_of_a_span_that_is_to_come_is_refused_before_anything_is_changed(
    served: Served, alert: dict[str, Any]
) -> None:
    series = alert["anomalies"][0]["series"]["id"]
    ahead = {"verdict": "new_normal", "series_id": series, "start": at(FALLEN + 15), "end": at(FALLEN + 20)}
    answer = served.client.post("/v1/labels", json=ahead | {"confirm": True})
    assert (answer.status_code, "lies in the future" in answer.json()["detail"]) == (422, True)
    assert served.client.get("/v1/labels").json()["labels"] == []


def report(served: Served, start: float, end: float, **more: Any) -> Any:
    body = {"verdict": "missed", "series_id": 1, "start": at(start), "end": at(end)} | more
    return served.client.post("/v1/labels", json=body)


def a_small_drop(served: Served) -> int:
    """Too small to be told at the default budget; the hour that it began in."""
    shop = Shop(served.heed)
    shop.has_history()
    assert served.retrain()["status"] == "done"
    shop.send(24)
    began = shop.clock
    shop.send(1, factor=0.92)
    shop.send(12)
    assert served.client.get("/v1/alerts?kind=anomaly").json()["alerts"] == []
    return began


def test_a_miss_opens_its_alert_in_silence_and_says_whether_it_would_be_told_now(served: Served) -> None:
    began = a_small_drop(served)
    kept_out = report(served, began, began, only=["training"], dry_run=True).json()
    assert (kept_out["replayed"], "Played again" in " ".join(kept_out["text"])) == (None, False)
    answer = report(served, began, began)
    assert answer.status_code == 201, answer.text
    receipt = answer.json()
    (alert,) = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
    assert (alert["delivery"], alert["status"], receipt["alert_id"]) == ("silent", "resolved", alert["id"])
    replayed = receipt["replayed"]
    cures = {"too_common": "alerts_per_week", "below_floor": "least_relative_change"}
    assert replayed["told"] or cures[replayed["hindrance"]] in replayed["cure"]
    assert any("Played again" in sentence for sentence in receipt["text"])

    served.client.delete(f"/v1/labels/{receipt['label_id']}")
    assert status(served, alert) == "withdrawn"


def test_a_miss_may_be_of_what_was_found_but_told_to_nobody(served: Served) -> None:
    shop = Shop(served.heed)
    shop.has_history()
    shop.send(24, at_once=True, delivery=Delivery.SILENT)
    began = shop.clock
    shop.send(4, factor=0.4, at_once=True, delivery=Delivery.SILENT)
    (silent,) = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
    answer = report(served, began, began + 3)
    assert answer.status_code == 201, answer.text
    assert answer.json()["alert_id"] == silent["id"]


def test_a_miss_that_people_were_told_of_is_refused_with_the_alert(served: Served, alert: dict[str, Any]) -> None:
    answer = report(served, FALLEN, FALLEN + 3)
    assert answer.status_code == 409
    assert f"alert {alert['id']}" in answer.json()["detail"]


@pytest.mark.usefixtures("alert")
def test_a_miss_where_nothing_is_known_says_why_it_cannot_be_told(served: Served) -> None:
    replayed = report(served, -24, -22).json()["replayed"]
    assert (replayed["told"], replayed["hindrance"]) == (False, "no_points")
    young = report(served, 2, 4).json()["replayed"]
    assert (young["told"], young["hindrance"]) == (False, "too_young")


def test_a_new_normal_is_judged_at_its_new_level_from_the_next_point_on(served: Served, alert: dict[str, Any]) -> None:
    give(served, alert, "new_normal")
    shop = Shop(served.heed)
    shop.clock = FALLEN + 6
    shop.send(24, factor=0.4)
    alerts = served.client.get("/v1/alerts?kind=anomaly").json()["alerts"]
    assert len(alerts) <= 2, [each["title"] for each in alerts]


def test_links_in_a_message_offer_every_answer_but_missed(served: Served, alert: dict[str, Any]) -> None:
    assert list(alert["links"]) == ["false_alarm", "real", "event", "new_normal", "bad_data"]


class ProcessEnded(Exception):
    pass


@dataclass
class EndsBeforeAnythingIsMade:
    """A service whose process ends once a label is committed, before it made, or took back, anything."""

    heed: Heed

    @property
    def maker(self) -> EndsBeforeAnythingIsMade:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heed, name) if hasattr(self.heed, name) else getattr(self.heed.maker, name)

    def make(self, label: Label, wanted: Wanted) -> None:
        raise ProcessEnded

    def unmake(self, label: Label, *, by: str, now: datetime) -> None:
        raise ProcessEnded


def test_a_process_that_ends_while_a_label_acts_leaves_nothing_undone_at_the_next_start(
    database_url: str, tmp_path: Path
) -> None:
    """Neither what was said of the event to make, nor that another verdict, or its undo, takes it back and makes it."""
    ana: dict[str, Any] = {"author": "ana", "source": "api", "confirmed": True}
    link: dict[str, Any] = {"author": "link:team", "source": "link", "confirmed": True}
    sale = Wanted("spring sale", rrule="FREQ=YEARLY", matcher=Matcher("ord*"))
    with serving(database_url, tmp_path) as served:
        alert, now = served.has_an_alert(), served.heed.clock.now()
        with pytest.raises(ProcessEnded):
            label_alert(EndsBeforeAnythingIsMade(served.heed), alert["id"], "event", wanted=sale, now=now, **link)
        assert created(served, "event") == []
    with serving(database_url, tmp_path) as served:
        (event,) = standing(served, "event")
        assert (event["name"], event["rrule"], event["matcher"]["metric"]) == ("spring sale", "FREQ=YEARLY", "ord*")
        (label,) = served.client.get("/v1/labels").json()["labels"]
        assert label["receipt"]["created"] == {"kind": "event", "id": event["id"]}
        assert status(served, alert) == "closed"
        with pytest.raises(ProcessEnded):
            label_alert(EndsBeforeAnythingIsMade(served.heed), alert["id"], "real", now=now, **ana)
        assert len(standing(served, "event")) == 1
    with serving(database_url, tmp_path) as served:
        assert (standing(served, "event"), status(served, alert)) == ([], "firing")
        real = served.client.get("/v1/labels").json()["labels"][0]["id"]
        with pytest.raises(ProcessEnded):
            revoke_label(EndsBeforeAnythingIsMade(served.heed), real, by="ana", now=now)
    with serving(database_url, tmp_path) as served:
        (again,) = standing(served, "event")
        assert (again["name"], again["rrule"], status(served, alert)) == ("spring sale", "FREQ=YEARLY", "closed")
        assert finish_what_was_begun(served.heed) == 0


def press(served: Served, alert: dict[str, Any], verdict: str) -> int:
    """By whoever holds a link; returns the label's id."""
    now = served.heed.clock.now()
    answer = label_alert(served.heed, alert["id"], verdict, author="link:team", source="link", now=now, confirmed=True)
    assert answer.label_id is not None
    return answer.label_id


def standing(served: Served, verdict: str) -> list[dict[str, Any]]:
    return [each for each in created(served, verdict) if each.get("stands", each.get("status") != "undone")]


@pytest.mark.parametrize("verdict", CREATING)
def test_an_analyst_undoes_what_a_link_made_and_their_undo_makes_it_again(
    served: Served, alert: dict[str, Any], verdict: str
) -> None:
    press(served, alert, verdict)
    (made,) = standing(served, verdict)
    foretold = give(served, alert, "real", dry_run=True)["alert_status"]["after"]
    receipt = give(served, alert, "real")
    assert "What the verdict made that decided until now is taken back." in receipt["text"]
    assert receipt["alert_status"]["after"] == foretold == status(served, alert)
    assert foretold in ("firing", "resolved")
    assert not any("withdrawn, and" in each or "is closed" in each for each in receipt["text"])
    assert standing(served, verdict) == []

    undone = served.client.delete(f"/v1/labels/{receipt['label_id']}").json()
    assert (
        undone["alert_status"]["after"] == status(served, alert) == ("withdrawn" if verdict == "bad_data" else "closed")
    )
    (again,) = standing(served, verdict)
    assert {name: again.get(name) for name in ("start", "end", "name", "reason", "label_id")} == {
        name: made.get(name) for name in ("start", "end", "name", "reason", "label_id")
    }
    assert again["id"] != made["id"]


@pytest.mark.parametrize("verdict", CREATING)
def test_a_link_makes_nothing_of_what_an_analyst_called_real_until_that_is_taken_back(
    served: Served, alert: dict[str, Any], verdict: str
) -> None:
    receipt = give(served, alert, "real")
    press(served, alert, verdict)
    assert (standing(served, verdict), status(served, alert)) == ([], "firing")
    assert finish_what_was_begun(served.heed) == 0
    assert served.client.delete(f"/v1/labels/{receipt['label_id']}").status_code == 200
    assert len(standing(served, verdict)) == 1
    assert status(served, alert) == ("withdrawn" if verdict == "bad_data" else "closed")

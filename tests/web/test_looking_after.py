"""Links that look after an alert or report a miss: a GET shows, a POST acts, as the links of verdicts do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.clock import wall_now
from app.pipeline.notify import announce
from app.security import LINK_LIFETIME
from tests.serving import Served
from tests.web.test_links import SCANNERS, labels, text_of, undo_path

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_scanners_that_follow_the_links_look_after_nothing(shared: Served) -> None:
    """Guarantee 15."""
    alert = shared.alert()
    with httpx.Client() as scanner:
        for agent, method in SCANNERS.items():
            for link in alert["actions"].values():
                answer = scanner.request(method, link, headers={"User-Agent": agent})
                assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
    after = shared.alert()
    assert (after["acknowledged_at"], after["snoozed_for"], labels(shared)) == (None, None, [])


@only_sqlite
def test_a_reader_takes_an_alert_on_by_the_link_once(served: Served, alert: dict[str, Any]) -> None:
    link = alert["actions"]["acknowledge"]
    assert "I&#39;m on it" in httpx.get(link).text
    page = httpx.post(link)
    assert "Noted: somebody looks after it" in page.text
    assert "Someone with a link looks after it." in text_of(page)
    first = served.alert()
    assert first["acknowledged_by"] == "someone with a link"
    httpx.post(link)
    assert served.alert()["acknowledged_at"] == first["acknowledged_at"]
    assert "Nothing is left to do here" in httpx.get(link).text
    assert "acknowledge" not in served.alert()["actions"]


@only_sqlite
def test_a_reader_snoozes_an_alert_until_it_changes_by_the_link(served: Served, alert: dict[str, Any]) -> None:
    page = httpx.post(alert["actions"]["snooze"])
    assert "Snoozed until it gets worse or is over." in text_of(page)
    assert served.alert()["snoozed_for"] == "change"
    assert "Snooze until it changes" not in httpx.get(alert["url"]).text
    assert httpx.post(alert["actions"]["snooze"]).status_code == 200
    served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "false_alarm"})
    assert httpx.post(alert["actions"]["acknowledge"]).status_code == 422


@only_sqlite
def test_a_link_that_has_snoozed_an_alert_does_not_snooze_it_again_once_that_is_over(
    served: Served, alert: dict[str, Any]
) -> None:
    of_its_message = served.heed.links.action_url(alert["id"], "snooze", "api", wall_now() - timedelta(minutes=1))
    assert httpx.post(of_its_message).status_code == 200
    served.client.delete(f"/v1/alerts/{alert['id']}/snooze")
    again = httpx.post(of_its_message)
    assert (again.status_code, "use the button of its newest message" in again.text) == (422, True)
    assert "Nothing is left to do here" in httpx.get(of_its_message).text
    assert served.alert()["snoozed_for"] is None
    assert httpx.post(served.alert()["actions"]["snooze"]).status_code == 200
    assert served.alert()["snoozed_for"] == "change"


def test_a_forged_expired_or_foreign_link_looks_after_nothing(shared: Served) -> None:
    """Guarantee 16."""
    alert, links = shared.alert(), shared.heed.links
    long_ago = wall_now() - LINK_LIFETIME - timedelta(minutes=1)
    verdict = alert["links"]["real"].rpartition("/")[2]
    expired = links.action_url(alert["id"], "snooze", "api", long_ago)
    assert httpx.post(f"{shared.url}/k/{verdict}").status_code == 404
    assert httpx.post(f"{shared.url}/m/{verdict}", data={"series_id": 1, "start": "x", "end": "x"}).status_code == 404
    assert httpx.post(expired).status_code == 410
    assert httpx.post(alert["actions"]["snooze"][:-3]).status_code == 404
    assert shared.alert()["snoozed_for"] is None


def missed(alert: dict[str, Any], **said: Any) -> httpx.Response:
    filled_in = {"series_id": 1, "start": "2026-02-05T06:00", "end": "2026-02-05T09:00", "comment": "a promotion"}
    return httpx.post(alert["actions"]["missed"], data=filled_in | said)


@only_sqlite
def test_a_reader_reports_from_the_page_of_an_alert_what_else_was_missed(served: Served, alert: dict[str, Any]) -> None:
    page = httpx.get(alert["url"]).text
    link = re.search(r'href="\.\./(m/[^"]+)">Something else was missed here', page)
    assert link is not None
    form = httpx.get(f"{served.url}/{link.group(1)}").text
    assert 'type="datetime-local"' in form
    receipt = missed(alert)
    assert receipt.status_code == 200, text_of(receipt)
    assert "Noted: missed" in receipt.text
    [label] = labels(served)
    assert (label["verdict"], label["source"], label["comment"]) == ("missed", "link", "a promotion")
    assert (label["started_at"], label["ended_at"]) == ("2026-02-05T06:00:00Z", "2026-02-05T09:00:00Z")
    missed(alert)
    assert len(labels(served)) == 1
    httpx.post(f"{served.url}/{undo_path(receipt)}")
    assert labels(served)[0]["revoked_at"] is not None


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"end": "2026-02-05T05:00"}, 422, "The span ends before it starts"),
        ({"start": "2025-08-05T05:00"}, 422, "That is more than a month"),
        ({"start": "9999-12-31T23:59", "end": "9999-12-31T23:59"}, 422, "Give times that have passed"),
        ({"start": "0001-01-01T00:00"}, 422, "Give times that have passed"),
        ({"start": "yesterday"}, 422, "Give both times as a date"),
        ({"series_id": 99}, 404, "This link is about other series"),
    ],
)
def test_a_miss_that_cannot_be_is_refused_with_the_form(
    shared: Served, said: dict[str, Any], status: int, why: str
) -> None:
    page = missed(shared.alert(), **said)
    assert page.status_code == status
    assert why in text_of(page)
    assert labels(shared) == []


def test_what_an_answer_would_change_can_be_seen_before_it_is_given(shared: Served) -> None:
    link = shared.alert()["links"]["false_alarm"]
    assert "See first what it would change" in httpx.get(link).text
    page = httpx.get(link, params={"dry_run": "true"})
    assert "Nothing has changed yet; this is what the label would do." in text_of(page)
    assert "are now told when they are as rare as" in text_of(page)
    assert page.text.count("<button") == 1
    assert labels(shared) == []


def test_what_a_part_of_an_answer_would_change_can_be_seen_and_nothing_that_was_typed_is_lost(shared: Served) -> None:
    link = shared.alert()["links"]["false_alarm"]
    page = httpx.post(link, params={"dry_run": "true"}, data={"only": "alert", "comment": "<a sale>"})
    assert "Nothing has changed yet; this is what the label would do." in text_of(page)
    assert "are now told when they are as rare as" not in text_of(page)
    assert re.findall(r'value="(\w+)" checked', page.text) == ["alert"]
    assert ">&lt;a sale&gt;</textarea>" in page.text
    assert labels(shared) == []


@only_sqlite
def test_an_alert_about_no_series_can_be_taken_on_and_nothing_else(served: Served) -> None:
    with served.heed.database.writing() as session:
        announce(session, "Alerts no longer reach sales: it does not exist any more", wall_now())
    [alert] = served.client.get("/v1/alerts?kind=data").json()["alerts"]
    assert set(alert["actions"]) == {"acknowledge"}
    assert httpx.get(alert["actions"]["acknowledge"]).status_code == 200
    assert "Someone with a link looks after it." in httpx.post(alert["actions"]["acknowledge"]).text
    assert httpx.get(served.heed.links.missed_url(alert["id"], "api", wall_now())).status_code == 404

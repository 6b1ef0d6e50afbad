"""Signed links over HTTP: a GET shows, a POST acts."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.alerts.message import Action
from app.clock import wall_now
from app.security import LINK_LIFETIME, Links
from app.store.tables import Picture
from tests.serving import Served

SCANNERS = {
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)": "GET",
    "Slackbot 1.0 (+https://api.slack.com/robots)": "GET",
    "Slack-ImgProxy (+https://api.slack.com/robots)": "GET",
    "Mozilla/5.0 (compatible; Microsoft Office; MSOffice 16)": "HEAD",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0; Pro)": "OPTIONS",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) SkypeUriPreview Preview/0.5": "GET",
    "Mozilla/5.0 (compatible; Barracuda Sentinel (EE))": "GET",
    "BarracudaCentral": "HEAD",
    "Mimecast": "GET",
    "Proofpoint URL Defense": "GET",
    "Mozilla/5.0 (compatible; Cisco IronPort)": "HEAD",
    "Google-Safety": "GET",
    "GoogleImageProxy": "GET",
    "Google-Read-Aloud": "GET",
    "facebookexternalhit/1.1": "GET",
    "WhatsApp/2.23.2 A": "GET",
    "TelegramBot (like TwitterBot)": "GET",
    "Discordbot/2.0": "GET",
    "LinkedInBot/1.0": "GET",
    "Twitterbot/1.0": "HEAD",
    "Mozilla/5.0 (compatible; bingbot/2.0)": "GET",
    "Mattermost-Bot/1.1": "GET",
    "ZoomBot (zoombot@zoom.us)": "GET",
    "Iframely/1.3.1": "GET",
    "python-requests/2.31": "PROPFIND",
}


def labels(served: Served) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = served.client.get("/v1/labels").json()["labels"]
    return listed


def undo_path(page: httpx.Response) -> str:
    match = re.search(r'action="\.\./(u/[^"]+)"', page.text)
    assert match is not None
    return match.group(1)


def text_of(page: httpx.Response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.text))


def test_a_get_shows_the_alert_and_one_button(shared: Served) -> None:
    alert = shared.alert()
    page = httpx.get(alert["links"]["false_alarm"])
    assert page.status_code == 200
    assert "orders (country DE) is unusually low" in page.text
    assert "instead of about" in text_of(page)
    assert page.text.count("<button") == 1
    assert "<svg" in page.text
    assert "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.any_database
def test_scanners_and_unfurlers_change_nothing(shared: Served) -> None:
    """Guarantee 15."""
    alert = shared.alert()
    links = [*alert["links"].values(), alert["url"]]
    with httpx.Client() as scanner:
        for agent, method in SCANNERS.items():
            for purpose in ({}, {"Purpose": "prefetch", "Sec-Purpose": "prefetch;prerender", "X-Moz": "prefetch"}):
                for link in links:
                    answer = scanner.request(method, link, headers={"User-Agent": agent} | purpose)
                    assert answer.status_code == (200 if method in ("GET", "HEAD") else 405)
        for _ in range(100):
            scanner.get(links[0])
    assert labels(shared) == []
    assert shared.client.get(f"/v1/alerts/{alert['id']}").json()["status"] == "firing"


def standing(served: Served) -> list[object]:
    """All that pressing a link could change."""
    alert = {name: value for name, value in served.alert().items() if name not in ("url", "links", "actions")}
    return [labels(served), alert, served.client.get("/v1/channels").json()]


def a_link_of_each_kind(served: Served, alert: dict[str, Any], now: datetime) -> list[str]:
    """All that a message may hold: answers, what can be done, pages, the picture, undo, unsubscribe."""
    links, alert_id = served.heed.links, alert["id"]
    return [
        *links.verdict_urls(alert_id, list(alert["links"]), "webhook", now).values(),
        *(links.action_url(alert_id, action.value, "webhook", now) for action in (Action.ACKNOWLEDGE, Action.SNOOZE)),
        links.missed_url(alert_id, "webhook", now),
        links.budget_url(alert_id, "shop", 1.0, 0.5, origin="webhook", now=now),
        links.alert_url(alert_id, "webhook", now),
        links.chart_url(alert_id, int(datetime.fromisoformat(alert["started_at"]).timestamp()) + 21_600, now),
        links.undo_url(1, now),
        links.leave_url(1, now),
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("count", [26, pytest.param(1_000, marks=pytest.mark.soak)])
def test_a_scanner_of_each_kind_opens_every_link_and_nothing_changes(served: Served, count: int) -> None:
    """Guarantee 15, with 1,000 links in the soak test."""
    served.client.post(
        "/v1/channels", json={"name": "w", "kind": "webhook", "settings": {"url": "https://example.com"}}
    )
    served.client.post("/v1/channels/1/disable")
    alert = served.has_an_alert()
    served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "real"})
    assert [each["id"] for each in labels(served)] == [1]
    served.client.post("/v1/channels/1/enable")
    before = standing(served)
    moments = [wall_now() - timedelta(minutes=5 * back) for back in range(count)]
    links = [link for now in moments for link in a_link_of_each_kind(served, alert, now)][:count]
    assert len(set(links)) == count

    def scan(link: str) -> int:
        with httpx.Client(timeout=60.0) as scanner:
            asked = [scanner.request(way, link, headers={"User-Agent": who}) for who, way in SCANNERS.items()]
        return sum(answer.status_code in (200, 405) for answer in asked)

    with ThreadPoolExecutor(8) as scanners:
        assert sum(scanners.map(scan, links)) == count * len(SCANNERS)
    assert standing(served) == before


def test_a_post_labels_and_shows_the_receipt(served: Served, alert: dict[str, Any]) -> None:
    page = httpx.post(alert["links"]["false_alarm"], data={"comment": " a bank holiday "})
    assert page.status_code == 200
    assert "Noted: a false alarm" in page.text
    assert "are now told when" in text_of(page)
    given = labels(served)
    assert [(each["verdict"], each["source"], each["comment"]) for each in given] == [
        ("false_alarm", "link", "a bank holiday")
    ]
    assert served.client.get(f"/v1/alerts/{alert['id']}").json()["status"] == "closed"


def test_a_part_of_a_verdict_is_to_be_had_from_its_page(served: Served, alert: dict[str, Any]) -> None:
    path = alert["links"]["false_alarm"]
    page = httpx.get(path).text
    assert [each for each in ("alert", "training", "tolerance", "creates") if f'value="{each}"' in page] == [
        "alert",
        "tolerance",
    ]
    assert httpx.post(path, data={"only": "training"}).status_code == 422
    assert httpx.post(path, data={"only": ["alert"]}).status_code == 200
    assert [each["only"] for each in labels(served)] == [["alert"]]


def test_the_same_link_pressed_twice_is_one_label_and_shows_the_same_receipt(
    served: Served, alert: dict[str, Any]
) -> None:
    """Guarantee 16."""
    link = alert["links"]["real"]
    first, again, looked_at = httpx.post(link), httpx.post(link), httpx.get(link)
    receipt = re.compile(r"<li>.*</li>")
    assert receipt.findall(first.text) == receipt.findall(again.text) == receipt.findall(looked_at.text) != []
    assert len(labels(served)) == 1


def test_a_link_pressed_many_times_at_once_is_one_label(served: Served, alert: dict[str, Any]) -> None:
    """Guarantee 16."""
    with ThreadPoolExecutor(8) as crowd:
        pages = list(crowd.map(httpx.post, [alert["links"]["false_alarm"]] * 16))
    assert [page.status_code for page in pages] == [200] * 16
    assert len(labels(served)) == 1


def test_a_newer_message_of_the_same_channel_carries_the_same_press(served: Served, alert: dict[str, Any]) -> None:
    links = served.heed.links
    for minutes in (0, 5):
        sent_at = wall_now() + timedelta(minutes=minutes)
        assert httpx.post(links.verdict_url(alert["id"], "real", "slack", sent_at)).status_code == 200
    assert len(labels(served)) == 1
    httpx.post(links.verdict_url(alert["id"], "real", "another channel", wall_now()))
    assert len(labels(served)) == 2


def test_undo_works_from_the_page_without_a_login_and_the_answer_can_be_given_again(
    served: Served, alert: dict[str, Any]
) -> None:
    link = alert["links"]["false_alarm"]
    path = undo_path(httpx.post(link))
    assert "Undo" in httpx.get(f"{served.url}/{path}").text
    assert labels(served)[0]["revoked_at"] is None
    undone = httpx.post(f"{served.url}/{path}")
    assert "Taken back" in undone.text
    assert labels(served)[0]["revoked_at"] is not None
    assert "Taken back" in httpx.post(f"{served.url}/{path}").text
    assert "Taken back" in httpx.get(f"{served.url}/{path}").text
    assert "<button" in httpx.get(link).text
    assert "Noted" in httpx.post(link).text
    assert [each["revoked_at"] is None for each in labels(served)] == [True, False]


def test_the_undo_link_of_a_receipt_of_the_api_works(served: Served, alert: dict[str, Any]) -> None:
    receipt = served.client.post(f"/v1/alerts/{alert['id']}/labels", json={"verdict": "real"}).json()
    assert "Taken back" in httpx.post(receipt["undo_url"]).text
    assert labels(served)[0]["revoked_at"] is not None


def test_the_page_of_an_alert_offers_every_answer_and_shows_what_was_said(
    served: Served, alert: dict[str, Any]
) -> None:
    page = httpx.get(alert["url"])
    assert page.text.count("<button") == 5 + 2  # and two that look after it
    path = f"/v1/alerts/{alert['id']}/labels"
    served.client.post(path, json={"verdict": "real", "comment": "the shop was down"})
    httpx.post(alert["links"]["false_alarm"])
    page = httpx.get(alert["url"])
    said = text_of(page)
    assert "the shop was down" in said
    assert "HEED_ADMIN_TOKEN" in said
    assert "someone with a link" in said
    assert "See what it changed, or undo it" in said


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_chart_shows_the_events_of_its_days(served: Served, alert: dict[str, Any]) -> None:
    at = datetime.fromisoformat(alert["started_at"])
    chart_url = served.heed.pictures.url(alert["id"])
    bare = httpx.get(chart_url).content
    declared = (("spring sale", "orders", 30), ("pipes <burst>", "orders", 120), ("rain", "weather", 50))
    for name, metric, hours in declared:
        start, end = at - timedelta(hours=hours), at - timedelta(hours=hours - 9)
        event = {"name": name, "matcher": {"metric": metric}, "start": start.isoformat(), "end": end.isoformat()}
        assert served.client.post("/v1/events", json=event).status_code == 201
    page = httpx.get(alert["url"]).text
    assert re.findall(r'<text class="event[^>]*>([^<]*)</text>', page) == ["pipes &lt;burst&gt;", "spring sale"]
    assert "event</span>" in page
    with served.heed.database.writing() as session:
        session.execute(sa.delete(Picture))
    assert httpx.get(chart_url).content != bare


def bad_links(served: Served, alert: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """Links that must be refused, with the status of the page that says so."""
    links, long_ago = served.heed.links, wall_now() - LINK_LIFETIME
    foreign = Links(b"the key of another installation", served.url)
    good = alert["links"]["real"].rpartition("/")[2]
    return {
        "expired": (links.verdict_url(alert["id"], "real", "slack", long_ago), 410),
        "expired page": (links.alert_url(alert["id"], "slack", long_ago), 410),
        "expired undo": (links.undo_url(1, long_ago), 410),
        "foreign": (foreign.verdict_url(alert["id"], "real", "slack", wall_now()), 404),
        "forged": (f"{served.url}/f/{good[:-3]}AAA", 404),
        "of another purpose": (f"{served.url}/f/{alert['url'].rpartition('/')[2]}", 404),
        "of another purpose, undo": (f"{served.url}/u/{good}", 404),
        "nonsense": (f"{served.url}/f/x", 404),
        "percent": (f"{served.url}/f/%00%ff", 404),
        "long": (f"{served.url}/f/{'a' * 6000}", 404),
        "of no alert": (links.verdict_url(99, "real", "slack", wall_now()), 404),
        "of no label": (links.undo_url(99, wall_now()), 404),
    }


def test_a_bad_link_is_refused_with_a_clear_page_and_does_nothing(shared: Served) -> None:
    """Guarantee 16."""
    alert = shared.alert()
    for kind, (link, status) in bad_links(shared, alert).items():
        for answer in (httpx.get(link), httpx.post(link)):
            if answer.status_code == 405:
                continue  # an alert's page takes no POST
            assert answer.status_code == status, kind
            assert answer.headers["content-type"].startswith("text/html")
            assert "Nothing was changed" in answer.text
    assert labels(shared) == []


@pytest.mark.parametrize("comment", ["x" * 2001, "\x00"])
def test_a_comment_that_cannot_be_stored_is_refused_with_a_page(shared: Served, comment: str) -> None:
    alert = shared.alert()
    page = httpx.post(alert["links"]["real"], data={"comment": comment})
    assert page.status_code == 422
    assert "Nothing was changed" in page.text
    assert labels(shared) == []

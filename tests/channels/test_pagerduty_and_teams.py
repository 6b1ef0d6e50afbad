"""What the incident and the card say beyond what the contract asks of every channel."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.alerts.message import Reason, Resemblance
from app.channels import pagerduty, teams
from tests.channels.anomalies import CASES, alert, anomaly

FIRING = CASES[0].notice
TEAMS_LIMIT_BYTES = 28_000
VERDICTS = ["False alarm", "Real problem", "One-off event", "New normal", "Bad data"]
ACTIONS = ["I'm on it", "Snooze until it changes", "Something missed?"]


@pytest.mark.parametrize("reason", [Reason.RESOLVED, Reason.AGED, Reason.CLOSED, Reason.WITHDRAWN])
def test_the_end_of_an_alert_resolves_the_incident_that_its_start_opened(reason: Reason) -> None:
    opened, ended = pagerduty.payload(FIRING), pagerduty.payload(replace(FIRING, reason=reason))
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == ended["dedup_key"] == "heed/heed.example/90210"


def test_an_alert_that_goes_on_stays_one_incident() -> None:
    again = pagerduty.payload(replace(FIRING, reason=Reason.UPDATED))
    assert again["event_action"] == "trigger"
    assert again["dedup_key"] == pagerduty.payload(FIRING)["dedup_key"]


def test_an_incident_says_what_happened_within_the_limits_of_pagerduty() -> None:
    event = pagerduty.payload(replace(FIRING, facts=alert(anomaly("orders" * 500, note="x" * 5000))))
    assert len(event["payload"]["summary"]) <= 1024
    assert event["payload"]["severity"] == "warning"
    assert [link["text"] for link in event["links"]] == [*VERDICTS, *ACTIONS, "Details"]


@pytest.mark.parametrize("key", ["", "short", "R0123456789ABCDEFGHIJKLMNOPQRST!"])
def test_a_routing_key_that_can_not_be_one_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        pagerduty.PagerDuty(routing_key=key)


def test_a_card_reads_in_the_order_that_a_reader_needs() -> None:
    facts = replace(
        FIRING.facts,
        chart_url="https://heed.example/c.png",
        explained_by="DE makes 86 %.",
        resembles=Resemblance("real", FIRING.now),
    )
    card = teams.payload(replace(FIRING, facts=facts))["attachments"][0]["content"]
    assert [element["type"] for element in card["body"]] == ["RichTextBlock", "Image", *["RichTextBlock"] * 3]
    assert "TextBlock" not in {element["type"] for element in card["body"]}  # it would read Markdown out of names


def test_a_card_shows_six_buttons_and_keeps_the_others_in_its_menu() -> None:
    actions = teams.payload(FIRING)["attachments"][0]["content"]["actions"]
    shown = [action["title"] for action in actions if "mode" not in action]
    menu = [action["title"] for action in actions if action.get("mode") == "secondary"]
    assert shown == [*VERDICTS, "Details"]
    assert menu == ACTIONS


def test_a_card_stays_within_the_size_that_teams_takes() -> None:
    endless = [anomaly("ö" * 5000, **{f"dimension {index}" * 50: "💥" * 5000 for index in range(50)})] * 100
    card = teams.payload(replace(FIRING, facts=alert(*endless)))
    assert len(json.dumps(card).encode()) < TEAMS_LIMIT_BYTES

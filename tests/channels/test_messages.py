"""Messages as their readers get them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from app.alerts.message import (
    Answered,
    Escalation,
    LostData,
    Reason,
    Resemblance,
    Snoozed,
    buttons,
    further_lines,
    if_nobody_answers,
    remarks,
    sentence,
)
from app.alerts.rules import End, SnoozedFor
from app.channels import slack, webhook
from tests.channels.anomalies import CASES, DROP, NOW, Case, alert, anomaly, notice_of
from tests.channels.golden import as_json, golden

INTERNAL_IDS = ("4711", "90210", "1b4e28ba")


def as_read(case: Case) -> str:
    """The message without decoration: sentence, further lines, buttons."""
    facts = case.facts
    blocks = slack.payload(case.facts, case.reason)["blocks"]
    named = [button["text"]["text"] for button in blocks[-1]["elements"]]
    lines = [sentence(facts, case.reason), *further_lines(facts), " ".join(f"[{text}]" for text in named)]
    return "\n\n".join(lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_messages_read_as_they_were_approved(case: Case) -> None:
    assert as_read(case) == golden(f"{case.name}.txt", as_read(case))
    slack_message = as_json(slack.payload(case.facts, case.reason))
    assert slack_message == golden(f"{case.name}.slack.json", slack_message)
    posted = as_json(webhook.payload(case.notice))
    assert posted == golden(f"{case.name}.webhook.json", posted)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_messages_hold_no_raw_floats_foreign_zones_or_internal_ids(case: Case) -> None:
    said = as_read(case)
    assert not re.search(r"\d\.\d{5}", said)
    assert not any(internal in said for internal in INTERNAL_IDS)
    assert "UTC" not in said or "UTC" in {a.series.timezone for a in case.facts.anomalies}
    assert "None" not in said
    assert "nan" not in said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_message_is_one_sentence(case: Case) -> None:
    said = sentence(case.facts, case.reason)
    assert said.endswith(".")
    assert ". " not in said
    assert len(said) < 300


def test_slack_blocks_come_in_the_order_that_a_reader_needs() -> None:
    facts = replace(
        alert(DROP),
        chart_url="https://heed.example/chart.png",
        explained_by="DE and FR make 86 % of the drop.",
        resembles=Resemblance("false_alarm", NOW - timedelta(days=7)),
    )
    blocks = slack.payload(facts, CASES[0].reason)["blocks"]
    assert [block["type"] for block in blocks] == ["section", "image", "context", "context", "context", "actions"]
    assert "86 %" in blocks[2]["elements"][0]["text"]
    assert blocks[3]["elements"][0]["text"] == "It is like the false alarm of Tue 27 Oct."


def test_only_verdicts_that_act_have_a_button() -> None:
    facts = replace(alert(DROP, verdicts=("false_alarm", "real", "new_normal")), actions={})
    shown = slack.payload(facts, CASES[0].reason)["blocks"][-1]["elements"]
    assert [button["text"]["text"] for button in shown] == ["False alarm", "Real problem", "New normal", "Details"]
    assert shown[0]["url"] == facts.links["false_alarm"]


def test_a_closed_alert_offers_its_page_and_no_more_verdicts() -> None:
    shown = slack.payload(CASES[0].facts, Reason.CLOSED)["blocks"][-1]["elements"]
    assert [button["text"]["text"] for button in shown] == ["Details"]


def test_an_alert_that_goes_on_can_be_taken_on_and_snoozed_and_one_that_is_over_cannot() -> None:
    names = {"acknowledge": "I'm on it", "snooze": "Snooze until it changes", "missed": "Something missed?"}
    facts = alert(DROP)
    said = {each.action: each.text for each in buttons(facts, Reason.UPDATED)}
    assert {action: text for action, text in said.items() if action in names} == names
    assert [each.action for each in buttons(facts, Reason.RESOLVED)] == [*facts.links, "missed", "details"]


def test_what_has_gone_silent_is_not_called_back_to_normal() -> None:
    silent = replace(DROP, ended_at=NOW + timedelta(days=2), end=End.SILENT)
    said = sentence(alert(silent), Reason.RESOLVED)
    assert said.startswith("orders (country DE) has sent nothing for so long that this counts as over: it fell to 387 ")
    assert "normal" not in said


def test_who_looks_after_an_alert_is_said_while_it_goes_on() -> None:
    assert "Anna looks after it." in remarks(replace(alert(DROP), looked_after_by="Anna"))
    over = replace(alert(replace(DROP, ended_at=NOW)), looked_after_by="Anna")
    assert remarks(over) == ()


def test_what_happens_if_nobody_answers_follows_from_the_facts() -> None:
    facts = replace(alert(DROP), escalates=Escalation(NOW + timedelta(hours=1), ("on call", "bosses")))
    asked = "If nobody looks after it, on call and bosses will be told, too, on Tue 3 Nov at 15:05 (Berlin time)."
    closes = "If nobody answers, it closes by itself: once it is back to normal, or after 24 hours as the new normal."
    assert if_nobody_answers(facts) == asked
    assert if_nobody_answers(replace(facts, looked_after_by="Anna")) == closes
    assert if_nobody_answers(replace(facts, snooze=Snoozed(what=SnoozedFor.RECOVERY))) == closes
    assert if_nobody_answers(replace(facts, answered=Answered("real", "Anna"))) is None


def test_lost_data_say_what_happens_if_nobody_answers_while_they_are_lost() -> None:
    found = replace(notice_of("checkout has been silent"), lost_data=LostData.FOUND)
    said = if_nobody_answers(found) or ""
    assert said.startswith("If nobody answers, nothing that these series send is judged or learned from until they ")
    assert remarks(replace(found, lost_data=LostData.DECLARED)) == (
        "Until it ends, nothing that these series send is judged or learned from.",
    )
    assert if_nobody_answers(replace(found, answered=Answered("real", "Anna"))) is None
    assert remarks(replace(found, ended_at=NOW + timedelta(hours=1))) == ()


def test_what_an_alert_about_no_series_says_besides_holds_until_it_is_over() -> None:
    broken = notice_of("Policy shop told of 12 alerts. From now on they come once a day")
    assert remarks(broken) == ("From now on they come once a day.",)
    assert remarks(replace(broken, ended_at=NOW + timedelta(days=7))) == ()
    over_when_told = replace(notice_of("Heed was paused. 3 alerts are over"), ended_at=NOW)
    assert remarks(over_when_told) == ("3 alerts are over.",)


def test_a_snooze_is_said_of_an_alert_about_no_series_too() -> None:
    silent = notice_of("checkout has been silent")
    assert remarks(replace(silent, snooze=Snoozed(what=SnoozedFor.RECOVERY))) == ("Snoozed until it is over.",)
    until = replace(silent, snooze=Snoozed(until=NOW + timedelta(hours=2)))
    assert remarks(until) == ("Snoozed until Tue 3 Nov, 15:05 (UTC).",)


def test_slack_takes_nothing_in_a_name_for_a_command() -> None:
    hostile = anomaly("orders", note="<!channel> <https://evil.example|click> & *bold*")
    message = slack.payload(alert(hostile), CASES[0].reason)
    text = message["blocks"][0]["text"]
    assert "<" not in text["text"].replace("&lt;", "")
    assert text["verbatim"] is True
    assert "<" not in message["text"]


def test_slack_messages_stay_within_the_limits_of_slack() -> None:
    """A section takes 3,000 characters, a button's text 75, a message 50 blocks."""
    endless = anomaly("&<>" * 5000, **{f"dimension_{index}" * 50: "<&>" * 5000 for index in range(100)})
    facts = replace(alert(*[endless] * 200), explained_by="&" * 5000, chart_url="https://heed.example/c.png")
    blocks = slack.payload(facts, CASES[0].reason)["blocks"]
    assert len(blocks) <= 50
    assert len(blocks[0]["text"]["text"]) <= 3000
    for block in blocks:
        texts = [element.get("text") for element in block.get("elements", []) if isinstance(element.get("text"), str)]
        assert all(len(text) <= 3000 for text in texts)
        assert all(re.search(r"&(?!(amp|lt|gt);)", text) is None for text in texts)


def test_the_webhook_has_the_facts_under_their_stable_names() -> None:
    posted = webhook.payload(CASES[0].notice)
    assert list(posted) == [
        "id", "status", "kind", "severity", "title", "text", "remarks", "started_at", "ended_at", "url", "links",
        "actions", "explained_by", "series_count", "anomalies", "chart_url", "offer", "alerts",
    ]  # fmt: skip
    assert list(posted["anomalies"][0]) == [
        "series", "started_at", "ended_at", "direction", "actual", "expected", "lower", "upper", "rarity_weeks",
        "impact", "detector", "shape",
    ]  # fmt: skip
    assert list(posted["anomalies"][0]["series"]) == ["id", "metric", "dimensions"]
    assert posted["started_at"] == "2026-11-03T12:00:00Z"
    assert posted["anomalies"][0]["rarity_weeks"] == 41.3


def test_an_endless_return_period_is_still_a_number_in_json() -> None:
    facts = alert(replace(DROP, rarity=float("inf")))
    assert webhook.payload(replace(CASES[0].notice, facts=facts))["anomalies"][0]["rarity_weeks"] == 1e6


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.FIRING, "firing"),
        (Reason.UPDATED, "updated"),
        (Reason.RESOLVED, "resolved"),
        (Reason.AGED, "resolved"),
        (Reason.CLOSED, "resolved"),
        (Reason.WITHDRAWN, "withdrawn"),
    ],
)
def test_the_webhook_knows_four_statuses(reason: Reason, status: str) -> None:
    assert webhook.payload(replace(CASES[0].notice, reason=reason))["status"] == status


def test_an_alert_of_long_ago_says_its_year() -> None:
    old = replace(DROP, started_at=NOW.replace(year=2014))
    assert "Mon 3 Nov 2014, 14:05 (Berlin time)" in sentence(alert(old), Reason.FIRING)

"""Sentences in an owner's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.message import AlertFacts, AnomalyFacts, Reason, SeriesFacts, sentence
from app.alerts.templates import PLACEHOLDERS, Worded, check_template, filled
from tests.channels.anomalies import DROP, FLUKE, WARMING, alert

EVERYTHING = " | ".join(f"{{{name}}}" for name in PLACEHOLDERS if name != "lasted")


def worded(facts: AlertFacts, **wording: str) -> AlertFacts:
    def of(series: SeriesFacts) -> SeriesFacts:
        return replace(series, wording=wording)

    return replace(facts, anomalies=tuple(replace(each, series=of(each.series)) for each in facts.anomalies))


def test_a_sentence_is_filled_with_what_the_alert_says() -> None:
    said = sentence(worded(alert(DROP), firing=EVERYTHING), Reason.FIRING)
    assert said == (
        "orders (country DE) | orders | country DE | fell to 387 instead of about 1,000, that is 61 % or 610 less | "
        "387 | 1,000 | 610 | 61 % | since Tue 3 Nov, 13:00 (Berlin time) | once in 40 weeks | warning"
    )


def test_a_message_that_is_not_worded_keeps_our_words() -> None:
    facts = alert(DROP)
    assert sentence(worded(facts, firing="{name}!"), Reason.UPDATED) == sentence(facts, Reason.UPDATED)
    assert sentence(worded(facts, firing="{name}!"), Reason.GROWN) == "orders (country DE)!"


def test_what_is_still_off_after_a_day_has_a_sentence_of_its_own() -> None:
    facts = worded(alert(DROP), resolved="Phew.", aged="Is {actual} what we get from now on?")
    assert sentence(facts, Reason.AGED) == "Is 387 what we get from now on?"
    assert sentence(facts, Reason.RESOLVED) == "Phew."
    assert sentence(worded(facts, resolved="Phew."), Reason.AGED) == sentence(alert(DROP), Reason.AGED)


@pytest.mark.parametrize(
    ("anomaly", "template"), [(WARMING, "{expected}"), (FLUKE, "{percent}"), (DROP, "{lasted}"), (DROP, "{gone}")]
)
def test_what_is_not_known_of_an_alert_brings_our_words_back(anomaly: AnomalyFacts, template: str) -> None:
    facts = alert(anomaly)
    assert sentence(worded(facts, firing=template), Reason.FIRING) == sentence(facts, Reason.FIRING)


@pytest.mark.parametrize(
    "template", ["{nme}", "{name.__class__}", "{name!r:>99}", "{", "}", "{{name}}", "", "a\nb", "x" * 501]
)
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"\{severity\}, and nothing else|one line"):
        check_template(template)


@given(st.text(max_size=30))
def test_what_is_filled_in_is_not_read_as_a_template(name: str) -> None:
    assert filled("{name} {severity}", {"name": f"{{severity}}{name}", "severity": "x"}) == f"{{severity}}{name} x"


def test_every_message_that_can_be_worded_is_one_that_is_sent() -> None:
    assert {each.value for each in Worded} <= {each.value for each in Reason}

"""Alerts in a real Alertmanager: on, worse, over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app.alerts.message import AlertFacts, Reason
from app.channels.alertmanager import Alertmanager
from app.channels.contract import Notice
from app.outbound import Outbound
from tests.channels.anomalies import CASES, DROP, alert, anomaly
from tests.services.alertmanager import running_alertmanager

OUTBOUND = Outbound.allowing(["127.0.0.0/8"])


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[str]:
    with running_alertmanager() as url:
        yield url


def tell(alertmanager: str, reason: Reason, facts: AlertFacts) -> None:
    Alertmanager(alertmanager).send(Notice("id", reason, facts, datetime.now(UTC)), OUTBOUND)


def active(alertmanager: str, facts: AlertFacts) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{alertmanager}/api/v2/alerts").json()
    return [each for each in found if each["labels"]["heed_alert"] == str(facts.id)]


def test_an_alert_is_active_until_it_is_resolved(alertmanager: str) -> None:
    facts = replace(alert(DROP), id=1)
    tell(alertmanager, Reason.FIRING, facts)
    (found,) = active(alertmanager, facts)
    assert found["labels"] == {
        "alertname": "Heed",
        "heed_alert": "1",
        "heed_kind": "anomaly",
        "metric": "orders",
        "country": "DE",
        "severity": "warning",
    }
    assert "61 %" in found["annotations"]["description"]
    assert found["annotations"]["false_alarm"] == facts.links["false_alarm"]

    tell(alertmanager, Reason.RESOLVED, facts)
    assert active(alertmanager, facts) == []


def test_an_alert_whose_severity_rises_stays_one_alert(alertmanager: str) -> None:
    facts = replace(alert(DROP), id=2)
    tell(alertmanager, Reason.FIRING, facts)
    tell(alertmanager, Reason.UPDATED, replace(facts, severity="critical"))
    (found,) = active(alertmanager, facts)
    assert found["labels"]["severity"] == "critical"
    tell(alertmanager, Reason.CLOSED, replace(facts, severity="critical"))
    assert active(alertmanager, facts) == []


def test_any_names_of_dimensions_become_labels(alertmanager: str) -> None:
    odd = anomaly(
        "orders", **{"alertname": "x", "app.kubernetes.io/name": "shop", "0": "zero", "empty": "", "größe": "L"}
    )
    facts = replace(alert(odd), id=3)
    tell(alertmanager, Reason.FIRING, facts)
    (found,) = active(alertmanager, facts)
    assert found["labels"]["alertname"] == "Heed"
    assert found["labels"]["dimension_alertname"] == "x"
    assert found["labels"]["app_kubernetes_io_name"] == "shop"
    assert found["labels"]["dimension_0"] == "zero"
    assert found["labels"]["gr__e"] == "L"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_alertmanager_takes_every_typical_message(alertmanager: str, case: Any) -> None:
    tell(alertmanager, case.reason, replace(case.facts, id=100 + CASES.index(case)))

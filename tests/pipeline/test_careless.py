"""Guarantee 17: a careless labeller calls everything a false alarm for thirty days, and hears of all that is severe.

Every label is confirmed: whoever does not confirm is refused those that hide most, which is the milder case.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.main import Heed
from app.pipeline import train
from app.pipeline.learn import label_alert
from app.store.tables import Alert, Anomaly, Series
from tests.pipeline.fleet import Fleet
from tests.running import HOUR, MONDAY, alerts, running

DAYS = 30
COUNTRIES = ("DE", "FR", "GB", "ES", "IT", "NL", "PL", "SE")


@dataclass(frozen=True)
class Incident:
    """Orders of one country are multiplied by a factor for some hours; an hour counts from MONDAY."""

    country: str
    first_hour: int
    hours: int
    factor: float


def a_careless_month(heed: Heed, seed: int) -> tuple[int, list[Incident]]:
    """A severe incident a day and milder ones between; returns how many labels were given, and what was not told."""
    rng = np.random.default_rng(seed)
    fleet = Fleet(heed, COUNTRIES, seed=seed)
    fleet.send(5 * 168, delivery=Delivery.SILENT)
    train.train(heed.committer, now=heed.clock.now(), reason="test", wanted=train.everything)
    labels, hidden = 0, []
    for _day in range(DAYS):
        severe = _incident(rng, fleet.clock, [0.0, 0.25, 0.45, 3.2, 5.0])
        mild = _incident(rng, fleet.clock + 12, [0.7, 0.75, 1.3, 1.4])
        for incident in (severe, mild):
            fleet.send(incident.first_hour - fleet.clock)
            for _hour in range(incident.hours):
                fleet.send(1, {incident.country: incident.factor})
                labels += _call_everything_a_false_alarm(heed)
            fleet.send(12 - fleet.clock % 12)
            labels += _call_everything_a_false_alarm(heed)
        if not _was_told(heed, severe):
            hidden.append(severe)
    return labels, hidden


def _incident(rng: np.random.Generator, from_hour: int, factors: list[float]) -> Incident:
    first = from_hour + int(rng.integers(1, 7))
    return Incident(str(rng.choice(COUNTRIES)), first, int(rng.integers(2, 5)), float(rng.choice(factors)))


def _call_everything_a_false_alarm(heed: Heed) -> int:
    firing = [alert for alert in alerts(heed) if alert.kind == "anomaly" and alert.status in ("firing", "resolved")]
    for alert in firing:
        signed: dict[str, Any] = {"author": "careless", "source": "api", "now": heed.clock.now()}
        label_alert(heed, alert.id, "false_alarm", **signed, confirmed=True)
    return len(firing)


def _was_told(heed: Heed, incident: Incident) -> bool:
    start = MONDAY + HOUR * incident.first_hour
    end = start + HOUR * incident.hours
    country = Series.dimensions["country"].as_string() == incident.country
    told = (
        sa.select(Anomaly, Alert).join(Alert, Alert.id == Anomaly.alert_id).join(Series, Series.id == Anomaly.series_id)
    )
    with heed.database.reading() as session:
        return any(
            start <= max(alert.created_at, anomaly.started_at).timestamp() < end
            for anomaly, alert in session.execute(told.where(country, Alert.delivery == Delivery.LIVE))
        )


@pytest.mark.parametrize("seed", [1, 2])
def test_thirty_days_of_a_careless_labeller_hide_no_severe_incident(tmp_path: Path, seed: int) -> None:
    """Guarantee 17."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        labels, hidden = a_careless_month(heed, seed)
    assert labels > DAYS
    assert hidden == []

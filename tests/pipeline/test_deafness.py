"""Labels don't make Heed deaf to changes of the owner's size unless somebody confirms it: real points, real scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.alerts.rules import Delivery
from app.errors import Unconfirmed
from app.main import Heed
from app.pipeline import train
from app.pipeline.creations import Conditions
from app.pipeline.learn import label_alert
from feedback.receipt import Power
from tests.pipeline.fleet import Fleet
from tests.running import alerts, running

COUNTRIES = ("DE", "FR")
FALLS = 14


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        fleet = Fleet(heed, COUNTRIES)
        fleet.send(5 * 168, delivery=Delivery.SILENT)
        train.train(heed.committer, now=heed.clock.now(), reason="test", wanted=train.everything)
        fleet.send(24)
        yield fleet


def count_told(heed: Heed) -> int:
    return sum(alert.kind == "anomaly" for alert in alerts(heed))


def calls_falls_false_alarms(fleet: Fleet, falls: int) -> list[bool]:
    """An hour a day and a bit, one country after the other, falls by 28 %; whether each label was refused."""
    refused, answered = [], 0
    for number in range(falls):
        fleet.send(1, {COUNTRIES[number % 2]: 0.72})
        fleet.send(30)
        for alert in alerts(fleet.heed)[answered:]:
            try:
                label_alert(fleet.heed, alert.id, "false_alarm", author="ana", source="api", now=fleet.heed.clock.now())
                refused.append(False)
            except Unconfirmed:
                refused.append(True)
        answered = len(alerts(fleet.heed))
    return refused


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_power_is_told_as_if_nothing_were_going_on(fleet: Fleet, factor: float) -> None:
    """People label while an anomaly goes on: what it leaves in the state says nothing of how well the next is heard."""
    before = power_of_the_first(fleet)
    fleet.send(12, {"DE": factor})
    assert alerts(fleet.heed)[0].status == "firing"
    during = power_of_the_first(fleet)
    assert (during.drops, during.spikes) == pytest.approx((before.drops, before.spikes), abs=0.05)


def power_of_the_first(fleet: Fleet) -> Power:
    [power] = fleet.heed.committer.power(1, [Conditions(fleet.heed.committer.partitions[0].tolerances)]) or []
    return power


def test_labels_that_together_hide_falls_of_the_owners_size_are_refused_and_such_falls_stay_told(fleet: Fleet) -> None:
    """None of them takes half of what the one before left."""
    refused = calls_falls_false_alarms(fleet, 16)
    assert not refused[0]
    assert any(refused)
    before = count_told(fleet.heed)
    for _ in range(FALLS):
        fleet.send(1, {"DE": 0.7})
        fleet.send(12)
    assert count_told(fleet.heed) - before >= FALLS / 2

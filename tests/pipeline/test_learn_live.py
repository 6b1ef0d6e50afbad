"""What labels do to a running Heed: real points, real scores, real alerts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.main import Heed
from app.pipeline.learn import Answer, label_alert, revoke_label
from feedback import guards
from tests.running import Shop, alerts, running

WEEK_HOURS = 168


@pytest.fixture
def heed(database_url: str, tmp_path: Path) -> Iterator[Heed]:
    with running(database_url, tmp_path, alerts_per_week=0.25) as heed:
        yield heed


@pytest.fixture
def shop(heed: Heed) -> Shop:
    """Five weeks of trained history, and a quiet day."""
    shop = Shop(heed)
    shop.is_known()
    return shop


def press_false_alarm(heed: Heed) -> Answer:
    """On the newest alert, through a link."""
    newest = alerts(heed)[-1].id
    return label_alert(heed, newest, "false_alarm", author="team", source="link", now=heed.clock.now())


def a_week_with(shop: Shop, factor: float, hours: int = 3) -> None:
    shop.send(hours, factor=factor)
    shop.send(WEEK_HOURS - hours, at_once=True)


@pytest.mark.parametrize("factor", [1.4, 0.6])
@pytest.mark.any_database
def test_a_twin_a_week_later_is_silent_after_one_click(heed: Heed, shop: Shop, factor: float) -> None:
    """Its way back to normal too."""
    a_week_with(shop, factor)
    assert len(alerts(heed)) == 1
    press_false_alarm(heed)
    a_week_with(shop, factor)
    assert len(alerts(heed)) == 1


@pytest.mark.any_database
def test_a_receipt_of_a_false_alarm_says_apart_what_it_asks_of_a_repeat_and_of_all_else(heed: Heed, shop: Shop) -> None:
    """And so it is: as large a rise at another hour is told, the same one a week later is not."""
    a_week_with(shop, 1.4)
    receipt = press_false_alarm(heed).receipt
    repeats, others = receipt["threshold_of_repeats"], receipt["threshold"]
    assert repeats["before"] == others["before"] == pytest.approx(4.0)
    assert others["after"] == pytest.approx(10**guards.VOICE * others["before"])
    assert repeats["after"] > 1e6
    same, other = receipt["text"][1:3]
    assert same.startswith("The same rise at this hour of the week is now told when")
    assert other.startswith("Other rises of orders (country DE) that look like it are now told when")
    a_week_with(shop, 1.4)
    assert len(alerts(heed)) == 1
    shop.send(36, at_once=True)
    before = len(alerts(heed))
    shop.send(1, factor=1.4)
    assert len(alerts(heed)) == before + 1


@pytest.mark.parametrize("factor", [1.4, 0.6])
@pytest.mark.any_database
def test_a_twin_a_week_later_is_told_where_the_label_was_undone(heed: Heed, shop: Shop, factor: float) -> None:
    a_week_with(shop, factor)
    answer = press_false_alarm(heed)
    revoke_label(heed, answer.label_id or 0, by="team", now=heed.clock.now())
    a_week_with(shop, factor)
    assert len(alerts(heed)) == 2


@pytest.mark.parametrize(("days", "is_told"), [(2, True), (180, False)])
def test_labels_fade_as_fast_as_is_set(tmp_path: Path, days: int, is_told: bool) -> None:
    """The twin that is silent after one click is told a week after it where a label lasts for two days."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path, label_half_life_days=days) as heed:
        shop = Shop(heed)
        shop.is_known()
        a_week_with(shop, 1.4)
        text = press_false_alarm(heed).receipt["text"]
        assert text[-1] == f"It holds from the next point on, in full for about {days} days; then it fades."
        shop.send(WEEK_HOURS, at_once=True)
        before = len(alerts(heed))
        shop.send(3, factor=1.4)
        assert len(alerts(heed)) == before + is_told


def test_a_false_alarm_pressed_at_once_silences_the_rest_of_it(heed: Heed, shop: Shop) -> None:
    shop.send(1, factor=1.4)
    press_false_alarm(heed)
    shop.send(3, factor=1.4)
    shop.send(24)
    assert [alert.status for alert in alerts(heed)] == ["closed"]


@pytest.mark.any_database
def test_what_turns_out_far_stranger_than_when_it_was_called_a_false_alarm_is_told_again(
    heed: Heed, shop: Shop
) -> None:
    """Guarantee 17, in the small."""
    shop.send(1, factor=1.25)
    press_false_alarm(heed)
    shop.send(2, factor=6.0)
    assert [alert.status for alert in alerts(heed)] == ["closed", "firing"]


@pytest.mark.any_database
def test_a_careless_labeller_hides_no_outage(heed: Heed, shop: Shop) -> None:
    """Guarantee 17, in the small: everything mild is called a false alarm, then orders stop."""
    for factor in (0.75, 1.3, 0.7):
        shop.send(2, factor=factor)
        shop.send(22)
        for alert in alerts(heed):
            label_alert(heed, alert.id, "false_alarm", author="team", source="link", now=heed.clock.now())
    before = len(alerts(heed))
    shop.send(6, factor=0.0)
    assert len(alerts(heed)) == before + 1


def test_a_receipt_shows_the_band_and_the_power_of_the_real_detector(heed: Heed, shop: Shop) -> None:
    a_week_with(shop, 1.4)
    receipt = press_false_alarm(heed).receipt
    assert receipt["band"]["after"]["upper"] > receipt["band"]["before"]["upper"]
    assert receipt["band"]["after"]["lower"] == receipt["band"]["before"]["lower"]
    assert receipt["power"]["before"]["spikes"] > receipt["power"]["after"]["spikes"]
    assert receipt["power"]["before"]["drops"] == receipt["power"]["after"]["drops"]
    assert [each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]] == [alerts(heed)[0].id]

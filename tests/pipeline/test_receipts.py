"""What receipts of verdicts that create something promise, and whether it comes true: real points and alerts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import Unconfirmed
from app.main import Heed
from app.pipeline.creations import NOTHING_SAID, Wanted
from app.pipeline.learn import label_alert, revoke_label
from app.store.series import Matcher
from feedback.desensitise import WIDEST
from tests.running import Shop, alerts, running


@pytest.fixture
def heed(tmp_path: Path) -> Iterator[Heed]:
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        yield heed


@pytest.fixture
def shop(heed: Heed) -> Shop:
    """Five weeks of trained history; a rise by two fifths that was over a week ago, and one that goes on."""
    shop = Shop(heed)
    shop.is_known()
    shop.send(3, factor=1.4)
    shop.send(165, at_once=True)
    shop.send(3, factor=1.4)
    assert [each.status for each in alerts(heed)] == ["resolved", "firing"]
    return shop


def say(heed: Heed, verdict: str, *, wanted: Wanted = NOTHING_SAID, dry_run: bool = True) -> dict[str, Any]:
    """Of the newest alert."""
    newest = alerts(heed)[-1].id
    signed: dict[str, Any] = {"author": "ana", "source": "api", "now": heed.clock.now()}
    return label_alert(heed, newest, verdict, **signed, wanted=wanted, dry_run=dry_run).receipt


def drops(receipt: dict[str, Any]) -> list[float]:
    return [receipt["power"][name]["drops"] for name in ("before", "after")]


def no_longer_sent(receipt: dict[str, Any]) -> set[int]:
    return {each["alert_id"] for each in receipt["alerts_no_longer_sent"]["alerts"]}


def test_the_receipt_of_an_event_shows_its_band_and_the_alert_that_it_closes(heed: Heed, shop: Shop) -> None:
    receipt = say(heed, "event")
    before, after = receipt["band"]["before"], receipt["band"]["after"]
    assert (after["lower"] < before["lower"], after["upper"] > before["upper"]) == (True, True)
    assert no_longer_sent(receipt) == {2}
    assert not any("no alert" in each for each in receipt["text"])


def test_the_receipt_of_a_recurring_event_names_the_earlier_alerts_that_it_then_closes(heed: Heed, shop: Shop) -> None:
    first = alerts(heed)[0].started_at
    weekly = Wanted(rrule="FREQ=WEEKLY", start=first - timedelta(hours=1), end=first + timedelta(hours=5))
    assert no_longer_sent(say(heed, "event", wanted=weekly)) == {1, 2}
    say(heed, "event", wanted=weekly, dry_run=False)
    assert [each.status for each in alerts(heed)] == ["closed", "closed"]


def test_the_receipt_of_bad_data_says_that_the_next_point_is_not_judged_and_which_alert_is_withdrawn(
    heed: Heed, shop: Shop
) -> None:
    receipt = say(heed, "bad_data")
    assert receipt["band"]["before"] is not None
    assert receipt["band"]["after"] is None
    assert any("those to come are not judged, until they look normal again" in each for each in receipt["text"])
    assert no_longer_sent(receipt) == {2}


@pytest.mark.parametrize("verdict", ["event", "bad_data", "new_normal"])
def test_the_receipt_of_an_undo_names_the_alert_that_is_then_explained_by_nothing(
    heed: Heed, shop: Shop, verdict: str
) -> None:
    given = say(heed, verdict, dry_run=False)
    undone = revoke_label(heed, given["label_id"], by="ana", now=heed.clock.now(), dry_run=True).receipt
    assert [each["alert_id"] for each in undone["alerts_now_sent"]["alerts"]] == [2]


@pytest.mark.parametrize("verdict", ["false_alarm", "event", "bad_data", "new_normal"])
def test_the_receipt_of_an_undo_shows_the_band_with_what_was_made_and_without_it(
    heed: Heed, shop: Shop, verdict: str
) -> None:
    given = say(heed, verdict, dry_run=False)
    known = edges(given["band"]["after"]) if verdict != "new_normal" else edges_now(heed)
    undone = revoke_label(heed, given["label_id"], by="ana", now=heed.clock.now()).receipt["band"]
    assert edges(undone["before"]) == pytest.approx(known, rel=0.1)
    assert edges(undone["after"]) == pytest.approx(edges_now(heed), rel=0.1)


def edges(band: dict[str, Any] | None) -> list[float]:
    return [band[name] for name in ("expected", "lower", "upper")] if band else []


def edges_now(heed: Heed) -> list[float]:
    """By the level that is learned, events and gaps apart."""
    band = heed.committer.band(1, heed.committer.partitions[0].tolerances)
    assert band is not None
    return [band.expected, band.lower, band.upper]


def test_the_receipt_of_a_new_normal_shows_how_much_more_is_tolerated_and_the_level_that_is_then_expected(
    heed: Heed, shop: Shop
) -> None:
    tried = say(heed, "new_normal")
    assert tried["tolerance"] == {"before": 0.0, "after": WIDEST, "unit": "decades"}
    assert tried["threshold"]["after"] == pytest.approx(10**WIDEST * tried["threshold"]["before"])
    assert no_longer_sent(tried) == {2}
    given = say(heed, "new_normal", dry_run=False)
    expected = heed.committer.band(1, heed.committer.partitions[0].tolerances)
    assert expected is not None
    assert tried["band"]["after"]["expected"] == pytest.approx(expected.expected, rel=0.05)
    undone = revoke_label(heed, given["label_id"], by="ana", now=heed.clock.now(), dry_run=True).receipt
    assert undone["tolerance"] == {"before": WIDEST, "after": 0.0, "unit": "decades"}


def test_the_power_takes_in_what_the_verdict_makes_and_then_what_it_made(heed: Heed, shop: Shop) -> None:
    hour = Wanted(end=heed.clock.now() + timedelta(hours=2))
    before, after = drops(say(heed, "event", wanted=hour))
    assert before - 0.1 < after < before
    before, after = drops(say(heed, "bad_data"))
    assert before - 0.2 < after < before
    say(heed, "event", wanted=Wanted(end=heed.clock.now() + timedelta(days=2)), dry_run=False)
    made = say(heed, "false_alarm")["power"]
    assert made["before"]["drops"] == pytest.approx(made["unlabelled"]["drops"] - 2 / 7, abs=0.1)


def test_an_event_or_a_gap_that_would_hide_most_of_a_week_is_made_only_if_it_is_confirmed(
    heed: Heed, shop: Shop
) -> None:
    now = heed.clock.now()
    for_ever = Wanted(end=now + timedelta(days=20_000))
    assert drops(say(heed, "event", wanted=for_ever))[1] == 0
    with pytest.raises(Unconfirmed, match="drops of 30 % it would now tell only 0 %, before"):
        say(heed, "event", wanted=for_ever, dry_run=False)
    with pytest.raises(Unconfirmed, match="drops of 30 % it would now tell only 0 %, before"):
        say(heed, "bad_data", wanted=for_ever, dry_run=False)
    later = Wanted(start=now + timedelta(days=30), end=now + timedelta(days=90))
    with pytest.raises(Unconfirmed, match=r"in the week from \d\d \w+ 2026 on it would then tell only 0 %"):
        say(heed, "bad_data", wanted=later, dry_run=False)
    assert say(heed, "bad_data", dry_run=False)["warnings"] == []


@pytest.mark.parametrize("verdict", ["event", "bad_data", "new_normal"])
def test_what_reaches_series_that_the_label_is_not_about_is_made_only_if_it_is_confirmed(
    heed: Heed, shop: Shop, verdict: str
) -> None:
    Shop(heed, country="FR").send(48, at_once=True)
    wide = Wanted(matcher=Matcher("orders"))
    with pytest.raises(Unconfirmed, match=r"1 series that the label is not about: orders \(country FR\)"):
        say(heed, verdict, wanted=wide, dry_run=False)
    assert [each["dimensions"] for each in say(heed, verdict, wanted=wide)["beyond"]] == [{"country": "FR"}]

"""Retrains over HTTP: asked for, judged, refused, cancelled, rolled back, by cron, and through a kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from app.alerts.rules import Delivery
from app.local_server import LocalServer, client_of, retrained
from app.main import Heed
from app.security import Scope
from app.store.tables import JobSlot
from detectors.contract import Fields, Floats, take
from tests.running import DAY, HOUR, MONDAY, Shop, posted
from tests.serving import Served, serving

WEEKS = 6
KNOWN = WEEKS * 168
"""Hours of normal orders."""
POISONED = 240
ADDED = 100.0
"""As many orders again at every hour, which is no factor of what comes at each: that a night would follow."""
ADMIN = "the-admin-token-of-the-tests"


@pytest.fixture
def waking(database_url: str, tmp_path: Path) -> Iterator[Served]:
    """By the wall clock, so that no night comes between points of months ago: only what is asked for trains."""
    with serving(database_url, tmp_path, clock="wall", alerts_per_week=0.02) as served:
        _wait_for_the_missed_night(served.heed)
        yield served


def _wait_for_the_missed_night(heed: Heed) -> None:
    """The training of today that a start makes up for: on a busy machine it may come after the first points."""
    deadline = time.monotonic() + 60
    missed = sa.select(JobSlot.finished_at).where(JobSlot.schedule == "train-nightly")
    while True:
        with heed.database.reading() as session:
            if any(session.scalars(missed)):
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def knowledge(heed: Heed, slot: int = 0) -> Fields:
    """All that a training changes of a series: baseline, state, and where a scoring again begins."""

    def look() -> Fields:
        partition = heed.committer.partitions[0]
        model = partition.models[int(partition.columns["model"][slot])]
        rows = partition.columns["row"][[slot]].astype(np.int64)
        known = take(partition.anchor_life, np.array([slot]))
        for part in ("baseline", "state", "anchor"):
            known |= {f"{part}.{name}": array for name, array in take(getattr(model, part), rows).items()}
        columns = ("model", "trained_points", "anchor_at", "since_anchor", "late_at", "siblings")
        return known | {name: partition.columns[name][[slot]] for name in columns}

    return heed.committer.call(look)


def same(one: Fields, other: Fields) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def send(served: Served, first: int, values: Floats, metric: str = "orders", **dimensions: str) -> None:
    times = MONDAY + HOUR * np.arange(first, first + len(values))
    points = posted(metric, times, values, **(dimensions or {"country": "DE"}))
    served.heed.committer.submit(points, None, Delivery.SILENT).result()


def decisions(served: Served, retrain: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.client.get(retrain["links"]["series"]).json()["series"]
    return found


def by_series(some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(some, key=lambda each: int(each["series_id"]))


def learned(served: Served, hours: int = KNOWN) -> Floats:
    """Orders that are known so long; returns those of a year."""
    values = Shop(served.heed).values(np.arange(24 * 7 * 30))
    send(served, 0, values[:hours])
    assert served.retrain()["counts"]["promoted"] == 1
    return values


def test_a_retrain_answers_at_once_and_says_of_each_series_what_it_did(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, values[KNOWN : KNOWN + POISONED])
    answer = waking.client.post("/v1/retrains", json={"reason": "a look", "matcher": {"metric": "ord*"}})
    assert answer.status_code == 202
    assert answer.json()["status"] == "scheduled"
    done = waking.ended(answer.json()["id"])
    assert (done["status"], done["series_done"], done["series_total"]) == ("done", 1, 1)
    assert done["counts"] == {"promoted": 1, "refused": 0, "skipped": 0, "failed": 0}
    (decision,) = decisions(waking, done)
    assert decision["decision"] == "promoted"
    assert "its errors on the recent past" in decision["reason"]
    assert decision["figures"]["points"] == KNOWN + POISONED
    assert waking.client.get(f"{done['links']['series']}?decision=refused").json()["series"] == []
    history = waking.client.get(f"/v1/series/{decision['series_id']}/baselines").json()
    assert history["now"]["reason"] == f"retrain {done['id']}: a look"
    newest, first = history["retrains"]
    assert newest["code"] == decision["code"]
    assert first["code"] in ("first", "not_worse")  # the minute's job may have trained it before
    assert history["retrains"][0]["version"] == history["now"]["id"]
    assert [each["id"] for each in waking.client.get("/v1/retrains").json()["retrains"]] == [done["id"], 1]


def test_a_retrain_of_a_series_without_points_in_its_window_says_so(waking: Served) -> None:
    learned(waking)
    empty = waking.retrain("a test", start=MONDAY - 9 * DAY, end=MONDAY - DAY)
    assert empty["counts"]["skipped"] == 1
    assert decisions(waking, empty)[0]["code"] == "no_points"


def _spiked(usual: Floats) -> Floats:
    return np.where(np.random.default_rng(1).random(usual.size) < 0.05, 5 * usual, usual)


def _mostly_missing(usual: Floats) -> Floats:
    return np.where(np.random.default_rng(2).random(usual.size) < 0.8, np.nan, usual)


def _half_lost(usual: Floats) -> Floats:
    return np.where(np.arange(usual.size) % 2 == 0, usual, np.inf)


POISONS: dict[str, tuple[Callable[[Floats], Floats], set[str]]] = {
    "an outage": (np.zeros_like, {"flat", "moved"}),
    "a stuck exporter": (lambda usual: np.full_like(usual, usual[0]), {"flat"}),
    "half of it missing": (_half_lost, {"sparse"}),
    "mostly null": (_mostly_missing, {"sparse"}),
    "a step": (lambda usual: 2 * usual, {"moved"}),
    "a wrong unit": (lambda usual: 1_000 * usual, {"moved"}),
    "spikes": (_spiked, {"unlike", "deaf"}),
    "another season": (lambda usual: np.roll(usual, 12), {"moved", "unlike"}),
    "another sign": (lambda usual: -usual, {"moved"}),
}


@pytest.mark.any_database
def test_a_retrain_on_poisoned_or_too_little_data_is_refused_ten_of_ten_and_the_old_baseline_goes_on(
    waking: Served,
) -> None:
    """Guarantee 19."""
    values = Shop(waking.heed).values(np.arange(KNOWN + POISONED))
    for poison in POISONS:
        send(waking, 0, values[:KNOWN], poison=poison)
    assert waking.retrain()["counts"]["promoted"] == len(POISONS) == 9
    for poison, (spoil, _) in POISONS.items():
        spoiled = spoil(values[KNOWN:])
        there = np.flatnonzero(~np.isinf(spoiled))
        points = posted("orders", MONDAY + HOUR * (KNOWN + there), spoiled[there], poison=poison)
        waking.heed.committer.submit(points, None, Delivery.SILENT).result()
    before = [knowledge(waking.heed, slot) for slot in range(len(POISONS))]
    refused = waking.retrain("after the poison")
    assert refused["counts"] == {"promoted": 0, "refused": 9, "skipped": 0, "failed": 0}
    for decision, (poison, (_, codes)) in zip(by_series(decisions(waking, refused)), POISONS.items(), strict=True):
        assert decision["code"] in codes, poison
    little = waking.retrain("three days", start=MONDAY + HOUR * (KNOWN - 72), end=MONDAY + HOUR * KNOWN)
    assert {each["code"] for each in decisions(waking, little)} == {"too_little"}
    assert all(same(knowledge(waking.heed, slot), known) for slot, known in enumerate(before))
    for series_id in range(1, len(POISONS) + 1):
        history = waking.client.get(f"/v1/series/{series_id}/baselines").json()
        assert history["now"]["reason"] == "retrain 1: history"
        assert [each["decision"] for each in history["retrains"]] == ["refused", "refused", "promoted"]


def test_values_beyond_all_measure_are_refused_with_a_reason_as_any_others(waking: Served) -> None:
    usual = learned(waking)
    send(waking, KNOWN, 1e200 * usual[:168])
    retrain = waking.retrain()
    assert retrain["status"] == "done"
    (decided,) = decisions(waking, retrain)
    assert decided["decision"] == "refused"


def test_what_was_refused_rests_from_the_nightly_training_for_a_week_and_can_be_forced(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, 2 * values[KNOWN : KNOWN + POISONED])
    waking.retrain("after a step")
    heed = waking.heed
    before = knowledge(heed)
    nightly = next(job for job in heed.jobs if job.name == "train-nightly")
    nightly.run(heed.clock.now())
    assert same(knowledge(heed), before)
    (forced,) = decisions(waking, waking.retrain("it is right", force=True))
    assert (forced["decision"], forced["code"]) == ("promoted", "moved")
    assert forced["reason"].startswith("forced, although its recent points lie 101% from what")
    assert not same(knowledge(heed), before)


@pytest.mark.parametrize(("days", "code"), [(40, "no_recent"), (120, "not_worse")])
def test_a_night_trains_series_of_days_too(waking: Served, days: int, code: str) -> None:
    midnights = MONDAY + DAY * np.arange(days + 3)
    orders = np.where(np.arange(days + 3) % 7 >= 5, 500.0, 1_000.0) * np.random.default_rng(1).normal(1, 0.03, days + 3)
    waking.heed.committer.submit(posted("orders", midnights[:days], orders[:days]), None, Delivery.SILENT).result()
    assert waking.retrain()["counts"]["promoted"] == 1
    waking.heed.committer.submit(posted("orders", midnights[days:], orders[days:]), None, Delivery.SILENT).result()
    nightly = next(job for job in waking.heed.jobs if job.name == "train-nightly")
    assert str(nightly.run(waking.heed.clock.now())).endswith("1 trained, 0 kept their old baseline")
    night = waking.client.get("/v1/series/1/baselines").json()["retrains"][0]
    assert (night["decision"], night["code"]) == ("promoted", code)


def test_series_of_weeks_are_retrained(waking: Served) -> None:
    mondays = MONDAY + 7 * DAY * np.arange(120)
    orders = 1_000 * np.random.default_rng(1).normal(1, 0.03, 120)
    for some in (slice(60), slice(60, 120)):
        waking.heed.committer.submit(posted("orders", mondays[some], orders[some]), None, Delivery.SILENT).result()
        assert waking.retrain("a look")["counts"]["failed"] == 0


def test_a_night_learns_what_nobody_labelled_only_once_it_has_lasted_a_week_and_says_why(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, (values + ADDED)[KNOWN : KNOWN + POISONED])
    heed, client = waking.heed, waking.client
    before, now = knowledge(heed), heed.clock.now()
    nightly = next(job for job in heed.jobs if job.name == "train-nightly")
    for days in (0, 6):
        assert str(nightly.run(now + timedelta(days=days))).endswith("0 trained, 1 kept their old baseline")
    assert same(knowledge(heed), before)
    assert str(nightly.run(now + timedelta(days=8))).endswith("1 trained, 0 kept their old baseline")
    history = client.get("/v1/series/1/baselines").json()
    assert history["now"]["reason"] == "nightly"
    assert [(each["author"], each["decision"]) for each in history["retrains"]] == [
        ("Heed", "promoted"),
        ("Heed", "refused"),
        ("Heed", "refused"),
        ("HEED_ADMIN_TOKEN", "promoted"),
    ]
    assert history["retrains"][0]["reason"].startswith("learned after a week, although ")
    nights = client.get("/v1/retrains?nights=true").json()["retrains"]
    assert [each["counts"]["promoted"] for each in nights] == [1, 0, 0]
    assert [each["reason"] for each in client.get("/v1/retrains").json()["retrains"]] == ["history"]
    refused = client.post(nights[0]["links"]["rollback"])
    assert refused.status_code == 409
    assert "keeps nothing of before" in refused.json()["detail"]


def test_a_week_in_which_nothing_was_learned_is_no_week_of_refusals(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, (values + ADDED)[KNOWN : KNOWN + POISONED])
    now = waking.heed.clock.now()
    nightly = next(job for job in waking.heed.jobs if job.name == "train-nightly")
    waking.client.put("/v1/flags/learning", json={"state": "frozen", "reason": "a test"}).raise_for_status()
    nightly.run(now + timedelta(days=7))
    waking.client.delete("/v1/flags/learning")
    ended = [str(nightly.run(now + timedelta(days=days))) for days in (8, 14, 15)]
    assert [each.endswith("1 trained, 0 kept their old baseline") for each in ended] == [False, False, True]


def test_a_rest_is_no_week_of_refusals(waking: Served) -> None:
    values = learned(waking)
    step = values + ADDED
    send(waking, KNOWN, step[KNOWN : KNOWN + POISONED])
    now = waking.heed.clock.now()
    nightly = next(job for job in waking.heed.jobs if job.name == "train-nightly")
    nightly.run(now)
    assert waking.retrain("after a step")["counts"]["refused"] == 1
    send(waking, KNOWN + POISONED, step[KNOWN + POISONED : KNOWN + POISONED + 169])
    ended = [str(nightly.run(now + timedelta(days=days))) for days in (8, 14, 15)]
    assert [each.endswith("1 trained, 0 kept their old baseline") for each in ended] == [False, False, True]


def test_the_new_baseline_wins_after_somebody_called_the_level_a_new_normal(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, 2 * values[KNOWN : KNOWN + POISONED])
    start = MONDAY + HOUR * KNOWN
    said = {"series_id": 1, "start": start, "reason": "prices were lowered"}
    assert waking.client.post("/v1/desensitisations", json=said).status_code == 201
    (decision,) = decisions(waking, waking.retrain("at the new level"))
    assert decision["decision"] == "promoted"


def test_a_span_that_is_excluded_is_not_learned_from(waking: Served) -> None:
    values = learned(waking)
    normal = values[KNOWN : KNOWN + POISONED].copy()
    normal[24:72] = 0.0
    send(waking, KNOWN, normal)
    assert waking.retrain("with the outage")["counts"]["refused"] == 1
    span = {"start": MONDAY + HOUR * (KNOWN + 24), "end": MONDAY + HOUR * (KNOWN + 72)}
    without = waking.retrain("without it", exclude=[span])
    assert without["counts"]["promoted"] == 1
    assert decisions(waking, without)[0]["figures"]["points"] == KNOWN + POISONED - 48 - 1  # both ends are left out


def test_a_rollback_brings_the_old_state_back_bit_for_bit_in_one_call(waking: Served) -> None:
    """The answer is the same when it is sent twice, and the history says what happened."""
    values = learned(waking)
    send(waking, KNOWN, 2 * values[KNOWN : KNOWN + POISONED])
    before = knowledge(waking.heed)
    forced = waking.retrain("by mistake", force=True)
    assert not same(knowledge(waking.heed), before)
    first = waking.client.post(forced["links"]["rollback"]).json()
    assert (first["restored"], first["kept"], first["restored_series"]) == (1, 0, [1])
    assert same(knowledge(waking.heed), before)
    again = waking.client.post(forced["links"]["rollback"]).json()
    assert again["restored_series"] == [1]
    history = waking.client.get("/v1/series/1/baselines").json()
    assert history["now"]["reason"] == f"rollback of retrain {forced['id']}"
    assert [each["rolled_back"] for each in history["retrains"]] == [True, False]


def test_points_that_came_after_a_retrain_are_judged_as_if_it_had_not_been_once_it_is_rolled_back(
    waking: Served,
) -> None:
    values = learned(waking)
    send(waking, KNOWN, values[KNOWN : KNOWN + 50])
    retrain = waking.retrain("an idle one")
    send(waking, KNOWN + 50, values[KNOWN + 50 : KNOWN + 80])
    waking.client.post(retrain["links"]["rollback"])
    rolled_back = knowledge(waking.heed)
    send(waking, 0, values[:KNOWN], country="FR")
    assert waking.retrain("history", matcher={"dimensions": {"country": ["FR"]}})["counts"]["promoted"] == 1
    send(waking, KNOWN, values[KNOWN : KNOWN + 80], country="FR")
    never = knowledge(waking.heed, slot=1)
    assert rolled_back["state.level"] == pytest.approx(never["state.level"])
    assert rolled_back["since_anchor"] == never["since_anchor"]
    assert (rolled_back["baseline.profile"] == never["baseline.profile"]).all()


def test_a_series_that_was_retrained_since_keeps_its_baseline_and_is_named(waking: Served) -> None:
    values = learned(waking)
    send(waking, 0, values[:KNOWN], country="FR")
    both = waking.retrain("both")
    one = waking.retrain("France alone", matcher={"dimensions": {"country": ["FR"]}})
    back = waking.client.post(both["links"]["rollback"]).json()
    assert (back["restored_series"], back["kept_series"]) == ([1], [2])
    assert waking.client.post(one["links"]["rollback"]).json()["restored_series"] == [2]


def test_what_was_rolled_back_while_a_later_retrain_was_in_force_goes_with_that_one(waking: Served) -> None:
    values = learned(waking)
    before = knowledge(waking.heed)
    send(waking, KNOWN, 2 * values[KNOWN : KNOWN + POISONED])
    first, second, third = (waking.retrain("by mistake", force=True) for _ in range(3))

    def roll_back(retrain: dict[str, Any]) -> tuple[list[int], list[int]]:
        answer = waking.client.post(retrain["links"]["rollback"]).json()
        return answer["restored_series"], answer["kept_series"]

    assert [roll_back(each) for each in (first, second)] == [([], [1])] * 2
    assert roll_back(third) == ([1], [])
    assert (knowledge(waking.heed)["baseline.profile"] == before["baseline.profile"]).all()
    assert [roll_back(each) for each in (first, second)] == [([1], [])] * 2
    history = waking.client.get("/v1/series/1/baselines").json()
    assert history["now"]["reason"] == f"rollback of retrain {first['id']}"
    assert [each["rolled_back"] for each in history["retrains"]] == [True, True, True, False]


def test_the_same_request_with_the_same_key_is_one_retrain(waking: Served) -> None:
    headers = {"Idempotency-Key": "backfill-7"}
    body = {"reason": "the backfill is in"}
    first, second = (waking.client.post("/v1/retrains", json=body, headers=headers) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    other = waking.client.post("/v1/retrains", json=body | {"force": True}, headers=headers)
    assert other.status_code == 422
    assert "Send a new key" in other.json()["detail"]
    assert len(waking.client.get("/v1/retrains").json()["retrains"]) == 1


def test_a_retrain_at_a_later_time_waits_for_it_and_can_be_cancelled(served: Served) -> None:
    """By the event clock."""
    shop = Shop(served.heed)
    shop.has_history()
    later = [
        served.client.post("/v1/retrains", json={"reason": "later", "at": MONDAY + HOUR * hour}).json()
        for hour in (5 * 168 + 12, 5 * 168 + 14)
    ]
    cancelled = served.client.delete(f"/v1/retrains/{later[0]['id']}").json()
    assert (cancelled["status"], cancelled["cancelled_by"]) == ("cancelled", "HEED_ADMIN_TOKEN")
    shop.send(13)
    assert served.client.get(f"/v1/retrains/{later[1]['id']}").json()["status"] == "scheduled"
    shop.send(3)
    states = [served.client.get(f"/v1/retrains/{each['id']}").json() for each in later]
    assert [(each["status"], each["series_done"]) for each in states] == [("cancelled", 0), ("done", 1)]
    assert served.client.delete(f"/v1/retrains/{later[0]['id']}").status_code == 200
    over = served.client.delete(f"/v1/retrains/{later[1]['id']}")
    assert (over.status_code, "rollback" in over.json()["detail"]) == (409, True)
    assert served.client.post(f"/v1/retrains/{later[1]['id']}/rollback").status_code == 200


def test_a_retrain_that_is_due_waits_while_learning_is_frozen(served: Served) -> None:
    shop = Shop(served.heed)
    shop.has_history()
    later = served.client.post("/v1/retrains", json={"reason": "later", "at": MONDAY + HOUR * (5 * 168 + 2)}).json()
    served.client.put("/v1/flags/learning", json={"state": "frozen", "reason": "a test"}).raise_for_status()
    shop.send(4)
    here = f"/v1/retrains/{later['id']}"
    assert served.client.get(here).json()["status"] == "scheduled"
    served.client.delete("/v1/flags/learning")
    shop.send(1)
    assert served.ended(later["id"])["status"] == "done"


def test_a_new_baseline_that_would_hide_a_labelled_problem_is_refused_and_says_so(waking: Served) -> None:
    """A window of restless weeks would hide what was told before."""
    values = learned(waking)
    later = values[KNOWN : KNOWN + POISONED].copy()
    later[20:26] *= 0.75
    send(waking, KNOWN, later)
    label = {
        "verdict": "missed",
        "series_id": 1,
        "start": MONDAY + HOUR * (KNOWN + 20),
        "end": MONDAY + HOUR * (KNOWN + 25),
    }
    for more in ({}, {"verdict": "real", "only": ["training"]}):
        assert waking.client.post("/v1/labels", json=label | more).status_code == 201
    (decision,) = decisions(waking, waking.retrain("the problem is left out"))
    figures = decision["figures"]
    assert (decision["decision"], figures["real"], figures["real_unheard"]) == ("promoted", 1, 0)
    restless = values[KNOWN + POISONED : KNOWN + 3 * POISONED]
    restless = restless * (1 + 0.08 * np.random.default_rng(3).standard_normal(restless.size))
    send(waking, KNOWN + POISONED, restless)
    (decision,) = decisions(waking, waking.retrain("restless", start=MONDAY + HOUR * (KNOWN + POISONED)))
    assert (decision["decision"], decision["figures"]["real_unheard"]) == ("refused", 1)


def test_a_detector_that_a_policy_names_is_not_refused_for_being_another(waking: Served) -> None:
    learned(waking)
    waking.client.post("/v1/policies", json={"name": "plain", "settings": {"detector": "basic"}}).raise_for_status()
    codes = [decisions(waking, waking.retrain("a look"))[0]["code"] for _ in range(2)]
    assert codes in (["other_detector", "not_worse"], ["not_worse", "not_worse"])  # the minute's job may be first
    assert waking.client.get("/v1/series/1").json()["detector"] == "basic"


def test_a_cron_is_run_once_in_the_night_in_which_the_clocks_go_back(database_url: str, tmp_path: Path) -> None:
    """Half past two comes twice in Berlin on 25 October. Each run is a retrain of its own; DELETE ends the cron."""
    with serving(database_url, tmp_path, timezone="Europe/Berlin") as served:
        start = int(datetime.fromisoformat("2026-10-24T00:00:00+02:00").timestamp())

        def send_hours(first: int, end: int) -> None:
            for hour in range(first, end):
                served.heed.committer.submit(posted("orders", np.array([start + 1_800 * hour]), [1.0])).result()

        send_hours(0, 2)
        cron = served.client.post("/v1/retrains", json={"reason": "nightly", "cron": "30 2 * * *"}).json()
        assert (cron["status"], cron["timezone"], cron["due_at"]) == (
            "scheduled",
            "Europe/Berlin",
            "2026-10-24T00:30:00Z",
        )
        send_hours(2, 3 * 48 - 6)
        runs = served.client.get(f"/v1/retrains?schedule_id={cron['id']}").json()["retrains"]
        assert [each["due_at"] for each in reversed(runs)] == [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ]
        assert {each["status"] for each in runs} == {"done"}
        assert served.client.post(cron["links"]["rollback"]).status_code == 409
        assert served.client.delete(f"/v1/retrains/{cron['id']}").json()["status"] == "cancelled"
        send_hours(3 * 48 - 6, 4 * 48)
        assert len(served.client.get(f"/v1/retrains?schedule_id={cron['id']}").json()["retrains"]) == 3


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        ({"start": MONDAY, "end": MONDAY}, "Send `start` before `end`"),
        ({"exclude": [{"start": MONDAY, "end": MONDAY - 1}]}, "Send `start` before `end`"),
        ({"matcher": {"metric": "nope"}}, "No series matches"),
        ({"cron": "every monday"}, "five fields"),
        ({"cron": "61 3 * * *"}, "can't be read"),
        ({"cron": "0 3 * * 9"}, "can't be read"),
        ({"cron": "0 3 31 2 *"}, "never comes"),
        ({"cron": "0 3 13 * fri"}, "`*` for the other"),
        ({"cron": "* * * * *"}, "Choose fewer minutes"),
    ],
)
def test_what_cannot_be_a_retrain_is_refused_with_the_cure(shared: Served, body: dict[str, Any], cure: str) -> None:
    answer = shared.client.post("/v1/retrains", json={"reason": "a test"} | body)
    assert answer.status_code == 422
    assert cure in answer.json()["detail"]


def test_a_retrain_of_all_series_is_done_at_once_where_there_are_none_yet(waking: Served) -> None:
    nothing = waking.retrain("a test")
    assert (nothing["status"], nothing["series_total"]) == ("done", 0)


def test_a_retrain_for_later_may_be_of_series_that_are_yet_to_come(waking: Served) -> None:
    body = {"reason": "weekly", "matcher": {"metric": "to come"}, "cron": "0 3 * * mon"}
    assert waking.client.post("/v1/retrains", json=body).status_code == 202


def test_a_retrain_needs_a_token_of_ops(shared: Served) -> None:
    with shared.as_scope(Scope.ANALYST) as client:
        assert client.post("/v1/retrains", json={"reason": "a test"}).status_code == 403
        assert client.get("/v1/series/1/baselines").status_code == 200
    assert shared.client.get("/v1/series/99/baselines").status_code == 404
    assert shared.client.get("/v1/retrains/99/series").status_code == 404
    assert shared.client.post("/v1/retrains/99/rollback").status_code == 404
    assert shared.client.delete("/v1/retrains/99").status_code == 404


def test_a_running_retrain_is_cancelled_before_its_next_part(waking: Served) -> None:
    values = learned(waking)
    send(waking, KNOWN, values[KNOWN : KNOWN + 24])
    before = knowledge(waking.heed)
    busy = threading.Event()
    holding = threading.Thread(target=lambda: waking.heed.committer.call(lambda: busy.wait(60)))
    holding.start()
    try:
        asked = waking.client.post("/v1/retrains", json={"reason": "a long one"}).json()
        here = f"/v1/retrains/{asked['id']}"
        while waking.client.get(here).json()["status"] != "running":
            time.sleep(0.01)
        assert waking.client.post(f"{here}/rollback").status_code == 409
        cancelled = waking.client.delete(here).json()
    finally:
        busy.set()
        holding.join()
    assert cancelled["status"] == "cancelled"
    send(waking, KNOWN + 24, np.ones(1), "visits")
    waking.retrain("the next one", matcher={"metric": "visits"})  # the same thread: the cancelled one is over
    assert same(knowledge(waking.heed), before)
    assert waking.client.get(here).json() == cancelled


SERIES = 40


def _history(client: httpx.Client) -> None:
    """Series of as many cadences, so that each is a part of its own."""
    series = [
        {
            "metric": "orders",
            "dimensions": {"shop": str(number)},
            "timestamps": (MONDAY + (3_600 + 60 * number) * np.arange(400)).tolist(),
            "values": (100 + np.arange(400) % 24 + np.random.default_rng(number).normal(0, 1, 400)).tolist(),
        }
        for number in range(SERIES)
    ]
    client.post("/v1/points?alert=silent", json={"series": series}).raise_for_status()


def _halfway(client: httpx.Client, retrain_id: int) -> dict[str, Any]:
    while True:
        retrain: dict[str, Any] = client.get(f"/v1/retrains/{retrain_id}").json()
        assert retrain["status"] != "done", "it was too quick to be met half way"
        if retrain["series_done"] >= 3:
            return retrain


def test_a_retrain_that_is_killed_is_gone_on_with_and_a_cancelled_one_is_taken_back_as_far_as_it_came(
    database_url: str, tmp_path: Path
) -> None:
    """Progress, `kill -9` and cancelling in the midst, over real HTTP."""
    environment = {
        "HEED_DATA_DIR": str(tmp_path / "data"),
        "HEED_DATABASE_URL": database_url,
        "HEED_ADMIN_TOKEN": ADMIN,
        "HEED_CLOCK": "wall",
    }
    with LocalServer(environment, log=tmp_path / "serve.log") as server:
        with client_of(server.url, ADMIN) as client:
            _history(client)
            asked = client.post("/v1/retrains", json={"reason": "history"}).json()
            seen = _halfway(client, asked["id"])
            assert (seen["status"], seen["series_total"]) == ("running", SERIES)
        server.kill()
        server.start()
        with client_of(server.url, ADMIN) as client:
            assert retrained(client, asked["id"]) == "done"
            decided = client.get(f"/v1/retrains/{asked['id']}/series?limit=500").json()["series"]
            assert len(decided) == len({each["series_id"] for each in decided}) == SERIES
            again = client.post("/v1/retrains", json={"reason": "again"}).json()
            _halfway(client, again["id"])
            client.delete(f"/v1/retrains/{again['id']}").raise_for_status()
            ended = client.get(f"/v1/retrains/{again['id']}").json()
            assert ended["status"] == "cancelled"
            assert 3 <= ended["series_done"] < SERIES
            back = client.post(f"/v1/retrains/{again['id']}/rollback").json()
            assert back["restored"] == ended["counts"]["promoted"]

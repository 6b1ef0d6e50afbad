"""Stored series are assessed as they are judged: by their own detector, and by what their policies ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.main import Heed
from app.pipeline import policies
from app.pipeline.assess import Past, assess_pasts, pasts_of
from app.pipeline.policies import Draft
from app.store import choices
from app.store.series import Matcher
from app.web.assessment import facts
from tests.running import HOUR, MONDAY, Shop, running


@pytest.fixture
def heed(tmp_path: Path) -> Iterator[Heed]:
    """With six weeks of orders."""
    with running(f"sqlite:///{tmp_path / 'heed.db'}", tmp_path) as heed:
        Shop(heed).has_history(weeks=6)
        yield heed


def past_of(heed: Heed, settings: dict[str, Any], chosen: Callable[[Session], None] = lambda _session: None) -> Past:
    """In one transaction, so that no training comes in between."""
    draft = Draft("shop", Matcher("orders", {}), settings)
    with heed.database.writing() as session:
        policies.create(session, draft, wall_now())
        chosen(session)
        current = policies.current_policies(session, {})
        [past], _ = pasts_of(session, Matcher("orders", {}), limit=1, now=heed.clock.now(), policies=current)
    return past


def shares(past: Past) -> dict[tuple[str, int], float | None]:
    [report] = assess_pasts([past], alerts_per_week=1.0)
    return {(each.kind, each.within_points): each.share for each in report.assessment.smallest}


def test_what_a_policy_keeps_quiet_is_not_promised(heed: Heed) -> None:
    found = shares(past_of(heed, {"direction": "down", "least_relative_change": 0.6}))
    assert found["spike", 24] is None
    assert found["drop", 3] is not None
    assert found["drop", 3] >= 0.6


def test_the_detector_that_was_chosen_is_assessed(heed: Heed) -> None:
    past = past_of(heed, {}, lambda session: choices.record(session, {1: ("basic", "it did best")}, wall_now()))
    assert past.detector == "basic"
    assert shares(past) != shares(Past(**vars(past) | {"detector": "seasonal"}))


def test_a_policy_that_names_a_detector_and_its_limits_has_the_last_word(heed: Heed) -> None:
    """Nothing is told above 50, however rare, but what reaches an owner's limit is."""
    past = past_of(heed, {"limits": {"lower": 20.0}})
    assert past.detector == "static"
    assert past.limits is not None
    assert past.limits[0] == 20.0
    found = shares(past)
    assert found["spike", 24] is None
    assert found["drop", 24] is not None


def test_a_series_that_the_fall_back_judges_is_assessed_by_it(heed: Heed) -> None:
    failed = partial(choices.record_fall_backs, trained=[1], failed={1: "no"}, detector="seasonal", reason="no past")
    assert past_of(heed, {}, failed).detector == "basic"


def test_a_ratio_is_assessed_with_the_events_behind_it() -> None:
    """Who knows that few events vary by chance, expects more of the many."""
    timestamp = MONDAY + HOUR * np.arange(6 * 168)
    events = np.round(20 * 1_000 ** np.clip(np.sin(np.pi * (timestamp // HOUR % 24 - 5) / 14), 0, 1) ** 0.5)
    value = np.random.default_rng(3).binomial(events.astype(int), 0.05) / events
    known, unknown = (Past("conversion", "UTC", timestamp, value, weight=weight) for weight in (events, None))
    [one, other] = assess_pasts([known, unknown], alerts_per_week=1.0)
    assert one.history.weights is not None
    courses = [each.assessment.course for each in (one, other)]
    width = [course.upper - course.lower for course in courses if course is not None]
    noon = (timestamp // HOUR % 24 == 12)[-width[0].size :]
    assert np.median(width[0][noon]) < 0.5 * np.median(width[1][noon])


def test_a_posted_history_of_single_events_is_assessed_by_what_would_judge_it() -> None:
    """`seasonal` would promise more than `counts` keeps, which takes over after two weeks."""
    timestamp = MONDAY + HOUR * np.arange(6 * 168)
    busy = 0.55 + 0.45 * np.sin(2 * np.pi * (timestamp // HOUR % 24) / 24)
    past = Past("refunds", "UTC", timestamp, np.random.default_rng(1).poisson(busy).astype(float))
    [report] = assess_pasts([past], alerts_per_week=1.0)
    assert report.past.detector == "counts"
    promised, by_default = (shares(each)["spike", 24] for each in (past, replace(past, series_id=1)))
    assert promised is not None
    assert by_default is not None
    assert promised > 1.3 * by_default
    [young] = assess_pasts([replace(past, timestamp=timestamp[:240], value=past.value[:240])], alerts_per_week=1.0)
    assert young.past.detector == "seasonal"


def test_points_that_fall_into_one_step_are_told_and_no_gap_is_made_of_the_rest() -> None:
    """3,000 at random times: a third of them do not count, and none is missing."""
    rng = np.random.default_rng(1)
    timestamp = np.unique(MONDAY + rng.integers(0, 35 * 86_400, 3_000))
    [report] = assess_pasts([Past("checks", "UTC", timestamp, rng.normal(50, 5, timestamp.size))], alerts_per_week=1.0)
    quality = report.assessment.quality
    assert quality.points + quality.sharing == timestamp.size
    assert quality.sharing > 500
    assert quality.findings[:2] == (
        "points come irregularly",
        f"{quality.sharing} points fell into one step with a later one, which alone counts",
    )
    assert not [finding for finding in quality.findings if "missing" in finding]


def test_what_comes_more_rarely_than_weekly_is_refused_as_such() -> None:
    timestamp = MONDAY + 30 * 86_400 * np.arange(60)
    [report] = assess_pasts([Past("rent", "UTC", timestamp, (timestamp % 7).astype(np.float64))], alerts_per_week=1.0)
    assert report.assessment.advice == "nothing_to_see"
    assert "more rarely than once a week" in report.assessment.recommendation
    assert report.assessment.smallest == ()
    [history] = [fact.text for fact in facts(report) if fact.name == "History"]
    assert history == "60 points over 1778 days, one every 30 days, time zone UTC."

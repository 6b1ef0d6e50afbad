"""Decisions about an anomaly, each a pure function that returns its named reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from app.store.series import Matcher
from detectors.bars import Bar, least_change
from detectors.contract import Bools, Ints
from detectors.static import is_beyond_a_limit

SHORTEST_FRESHNESS = timedelta(hours=1)
FRESH_STEPS = 3
SEVERE_RARITY = 3.0
"""log10 weeks: once in a thousand weeks, some twenty years, is severe whatever the metric."""


class Delivery(StrEnum):
    """Who is told of an alert: everybody at once, or nobody and why."""

    LIVE = "live"
    DIGEST = "digest"
    SILENT = "silent"
    STALE = "stale"
    SILENCED = "silenced"


class Outcome(StrEnum):
    """What became of a run of strange points."""

    TOLD = "told"
    BELOW_THRESHOLD = "below_threshold"
    TOLERATED = "tolerated"
    WARMING_UP = "warming_up"
    DIRECTION_NOT_WATCHED = "direction_not_watched"
    BELOW_FLOOR = "below_floor"
    WITHDRAWN = "withdrawn"


class End(StrEnum):
    """Why a run is over, where nobody ended it by an answer."""

    RECOVERED = "recovered"
    AGED = "aged"
    SILENT = "silent"


class SnoozedFor(StrEnum):
    """What an alert is snoozed for, where that is no time."""

    CHANGE = "change"
    RECOVERY = "recovery"


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


def freshness(cadence_seconds: int) -> timedelta:
    """How old a point may be and still be shouted about."""
    return max(SHORTEST_FRESHNESS, timedelta(seconds=FRESH_STEPS * cadence_seconds))


def are_fresh(at: Ints, cadence_seconds: Ints, now: float) -> Bools:
    """Which points (unix seconds) are that recent, each at the cadence of its series."""
    return np.asarray(now - at <= np.maximum(SHORTEST_FRESHNESS.total_seconds(), FRESH_STEPS * cadence_seconds))


def delivery_of(asked: Delivery | None, at: datetime, *, now: datetime, cadence_seconds: int) -> Delivery:
    """What the producer asked for; else recent points are told live and old ones only recorded."""
    if asked is not None:
        return asked
    return Delivery.LIVE if now - at <= freshness(cadence_seconds) else Delivery.STALE


@dataclass(frozen=True)
class Silencing:
    """A silence that is in force."""

    silence_id: int
    matcher: Matcher


def silence_of(metric: str, dimensions: Mapping[str, str], silences: Sequence[Silencing]) -> int | None:
    """The silence that keeps alerts of a series from being sent, the first of those in force; None where none does."""
    return next((each.silence_id for each in silences if each.matcher.matches(metric, dimensions)), None)


def outcome_of_untold(
    rarity: float, *, change: float, expected: float, direction: int, bar: Bar, may_alert: bool
) -> Outcome:
    """Why a run that ended was never told. rarity: of its peak, log10 weeks; change, expected: there, too."""
    if rarity < bar.threshold:
        return Outcome.BELOW_THRESHOLD
    if not may_alert:
        return Outcome.WARMING_UP
    if not (bar.down if direction < 0 else bar.up):
        return Outcome.DIRECTION_NOT_WATCHED
    if change < least_change(np.array([expected]), bar.relative, bar.absolute)[0]:
        return Outcome.BELOW_FLOOR
    return Outcome.TOLERATED


@dataclass(frozen=True)
class Critical:
    """From when on an anomaly is critical, where its owner says so.

    change: how far off it is, see `off_by`. impact: what it has cost so far, in the metric's unit. Either will do.
    """

    change: float | None = None
    impact: float | None = None


BY_RARITY = Critical()
"""The owner says nothing."""


def severity_of(
    rarity: float, *, detector: str = "", change: float = 0.0, impact: float = 0.0, critical: Critical = BY_RARITY
) -> Severity:
    """By what the owner says is critical, else by its rarity (log10 weeks), which an owner's limit says nothing of."""
    if critical.change is None and critical.impact is None:
        is_rare = rarity >= SEVERE_RARITY and not is_beyond_a_limit(detector, rarity)
        return Severity.CRITICAL if is_rare else Severity.WARNING
    is_far_off = critical.change is not None and change >= critical.change
    is_dear = critical.impact is not None and abs(impact) >= critical.impact
    return Severity.CRITICAL if is_far_off or is_dear else Severity.WARNING


def worse(one: Severity, other: Severity) -> Severity:
    return Severity.CRITICAL if Severity.CRITICAL in (one, other) else Severity.WARNING

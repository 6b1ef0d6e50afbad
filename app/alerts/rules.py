"""Decisions about an anomaly, each a pure function that returns its named reason."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

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


class Outcome(StrEnum):
    """What became of a run of strange points."""

    TOLD = "told"
    BELOW_THRESHOLD = "below_threshold"
    TOLERATED = "tolerated"
    WARMING_UP = "warming_up"
    WITHDRAWN = "withdrawn"


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


def freshness(cadence_seconds: int) -> timedelta:
    """How old a point may be and still be shouted about."""
    return max(SHORTEST_FRESHNESS, timedelta(seconds=FRESH_STEPS * cadence_seconds))


def delivery_of(asked: Delivery | None, at: datetime, *, now: datetime, cadence_seconds: int) -> Delivery:
    """What the producer asked for; else recent points are told live and old ones only recorded."""
    if asked is not None:
        return asked
    return Delivery.LIVE if now - at <= freshness(cadence_seconds) else Delivery.STALE


def outcome_of_untold(rarity: float, *, threshold: float, may_alert: bool) -> Outcome:
    """Why a run that ended was never told. `threshold` is the budget's, without tolerance; both in log10 weeks."""
    if rarity < threshold:
        return Outcome.BELOW_THRESHOLD
    return Outcome.TOLERATED if may_alert else Outcome.WARMING_UP


def severity_of(rarity: float) -> Severity:
    return Severity.CRITICAL if rarity >= SEVERE_RARITY else Severity.WARNING


def worse(one: Severity, other: Severity) -> Severity:
    return Severity.CRITICAL if Severity.CRITICAL in (one, other) else Severity.WARNING

"""Standing labels, made in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

from feedback.guards import ANALYST_WEIGHT
from feedback.labels import LabelEvidence, Verdict

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE_A_MONTH = 0.602  # log10 weeks: the threshold of a budget of 0.25 alerts a week
_ids = count(1)


def a_label(
    verdict: Verdict = Verdict.FALSE_ALARM,
    *,
    rarity: float | None = 2.0,
    series: int = 1,
    metric: str = "orders",
    direction: int = 1,
    weight: float = ANALYST_WEIGHT,
    age_days: float = 0.0,
    alert: int | None = None,
    author: str = "ana",
    growing: bool = False,
) -> LabelEvidence:
    """A label on an alert of its own unless told which."""
    label_id = next(_ids)
    created_at = NOW - timedelta(days=age_days)
    return LabelEvidence(
        label_id=label_id,
        verdict=verdict,
        series_id=series,
        metric=metric,
        direction=direction,
        rarity=rarity,
        weight=weight,
        author=author,
        started_at=created_at - timedelta(minutes=120),
        ended_at=created_at - timedelta(minutes=5 if growing else 90),
        created_at=created_at,
        alert_id=1_000 + label_id if alert is None else alert,
    )


def a_false_alarm(rarity: float = 2.0, **changes: object) -> LabelEvidence:
    return a_label(Verdict.FALSE_ALARM, rarity=rarity, **changes)  # type: ignore[arg-type]


def a_real_problem(rarity: float = 2.0, **changes: object) -> LabelEvidence:
    return a_label(Verdict.REAL, rarity=rarity, **changes)  # type: ignore[arg-type]

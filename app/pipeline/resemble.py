"""What of a series' past an anomaly is like: what people have judged, else an earlier alert that nobody answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from app.alerts.message import Resemblance
from app.store.tables import Anomaly
from detectors.calendar import local_seconds
from detectors.contract import Floats
from feedback.labels import LabelEvidence
from feedback.resemblance import ALIKE, Traits, distance, relative_size

SHORTEST_SECONDS = 60.0
MOST_NAMED = 3


@dataclass(frozen=True)
class _Happening:
    """An anomaly, or a span that somebody judged without one. verdict: None where nobody answered."""

    verdict: str | None
    started_at: datetime
    last_at: datetime
    direction: int
    rarity: float | None
    actual: float | None
    expected: float | None
    evidence: Mapping[str, Any]


def resembled(
    anomaly: Anomaly, past: Sequence[Anomaly], judged: Sequence[LabelEvidence], timezone: str
) -> tuple[Resemblance, ...]:
    """At most three that ended before this anomaly began and are like it: the nearest, what people judged first.

    past: earlier anomalies that people were told of. judged: labels that stand; both of any series.
    """
    labelled = [_judged(label, past) for label in judged if label.series_id == anomaly.series_id]
    answered = {label.alert_id for label in judged}
    unanswered = [
        _happening(each, None) for each in past if each.series_id == anomaly.series_id and each.alert_id not in answered
    ]
    found: list[Resemblance] = []
    for candidates in (labelled, unanswered):
        earlier = [each for each in candidates if each.last_at < anomaly.started_at]
        found += _nearest(_happening(anomaly, None), earlier, timezone)
    return tuple(found[:MOST_NAMED])


def _nearest(anomaly: _Happening, earlier: Sequence[_Happening], timezone: str) -> list[Resemblance]:
    """Those that are like it, the nearest first; of equals the newest."""
    if not earlier:
        return []
    newest_first = sorted(earlier, key=lambda each: each.started_at, reverse=True)
    traits = _traits([anomaly, *newest_first], timezone)
    apart = distance(_rows(traits, slice(0, 1)), _rows(traits, slice(1, None)))[0]
    nearest = [at for at in np.argsort(apart, kind="stable").tolist() if apart[at] < ALIKE]
    return [Resemblance(newest_first[at].verdict, newest_first[at].started_at, float(apart[at])) for at in nearest]


def _judged(label: LabelEvidence, past: Sequence[Anomaly]) -> _Happening:
    """The labelled anomaly as it ended, where it is known; else what the label says of it."""
    found = [
        each
        for each in past
        if label.alert_id is not None and (each.alert_id, each.series_id) == (label.alert_id, label.series_id)
    ]
    if found:
        return _happening(found[0], label.verdict)
    return _Happening(
        label.verdict, label.started_at, label.ended_at, label.direction, label.rarity, None, None, evidence={}
    )


def _happening(anomaly: Anomaly, verdict: str | None) -> _Happening:
    return _Happening(
        verdict,
        anomaly.started_at,
        anomaly.last_abnormal_at,
        anomaly.direction,
        anomaly.rarity,
        anomaly.actual,
        anomaly.expected,
        anomaly.evidence,
    )


def _traits(happenings: Sequence[_Happening], timezone: str) -> Traits:
    kinds = sorted({kind for each in happenings for kind, said in each.evidence.items() if _is_number(said)})
    evidence = [[each.evidence.get(kind, np.nan) for kind in kinds] for each in happenings]
    start = np.array([int(each.started_at.timestamp()) for each in happenings], np.int64)
    lasted = [(each.last_at - each.started_at).total_seconds() for each in happenings]
    return Traits(
        direction=_numbers([each.direction for each in happenings]),
        rarity=_numbers([each.rarity for each in happenings]),
        size=relative_size(
            *(_numbers([getattr(each, name) for each in happenings]) for name in ("actual", "expected"))
        ),
        evidence=np.array(evidence, np.float64).reshape(len(happenings), len(kinds)),
        local=local_seconds(start, timezone),
        lasted=np.maximum(_numbers(lasted), SHORTEST_SECONDS),
    )


def _rows(traits: Traits, rows: slice) -> Traits:
    return Traits(*(getattr(traits, name)[rows] for name in Traits.__dataclass_fields__))


def _numbers(values: Sequence[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _is_number(said: object) -> bool:
    return isinstance(said, int | float)

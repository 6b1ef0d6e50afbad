"""Gather what the scorecard and the health of detectors are counted from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy.orm import Session

from app.partitions.partition import UNKNOWN, Partition
from app.pipeline.ingest import Committer
from app.store import choices, scores
from app.store import labels as stored_labels
from detectors.contract import Ints
from detectors.training import DAY, may_alert
from feedback.labels import EffectOn, deciding_on, said_of_alerts
from feedback.scorecard import Missed, Record, Silenced, Told, Watched

NO_POLICY = "none"
WEEK = 7 * DAY
STALE = timedelta(days=9)
"""A night refuses what is new for a week at most; a baseline that is older, though points came, is stale."""


@dataclass(frozen=True)
class DetectorHealth:
    """How the series of one detector are. fell_back: those that `basic` judges in its place."""

    detector: str
    series: int
    trained: int
    warming_up: int
    stale: int
    fell_back: int
    oldest_training: datetime | None


def record_of(committer: Committer, session: Session, *, since: datetime, now: datetime) -> Record:
    """All that was told, said and spared since then, and what was watched for it. Times are event times."""
    standing = stored_labels.standing_evidence(session)
    said, reported = said_of_alerts(standing), deciding_on(EffectOn.TOLERANCE, standing)
    told = scores.told_since(session, since)
    missed = scores.missed_since(session, since, {each.label_id for each in reported})
    silenced = scores.silenced_since(session, since)
    concerned = {t.series_id for t in told} | {m.series_id for m in missed} | {s.series_id for s in silenced}
    groups = committer.call(lambda: _groups_of(committer, concerned))
    answered = dict(scores.answers_to(session, since))
    return Record(
        told=[
            Told(
                groups[each.series_id] | {"detector": each.detector},
                each.told_at,
                said[each.alert_id].verdict if each.alert_id in said else None,
                answered.get(each.alert_id) if each.alert_id in said else None,
            )
            for each in told
        ],
        missed=[Missed(groups[each.series_id], each.silenced) for each in missed],
        silenced=[Silenced(groups[each.series_id] | {"detector": each.detector}, each.count) for each in silenced],
        watched=committer.call(lambda: [each for one in committer.partitions for each in _watched(one, since, now)]),
    )


def _groups_of(committer: Committer, series_ids: Iterable[int]) -> defaultdict[int, dict[str, str]]:
    """What each of these series counts under; nothing for one that no partition holds any more."""
    wanted = sorted(series_ids)
    found: defaultdict[int, dict[str, str]] = defaultdict(dict)
    for partition in committer.partitions:
        for series_id, slot in zip(wanted, partition.slots_of(wanted).tolist(), strict=True):
            if slot != UNKNOWN:
                kinds = (int(partition.columns[name][slot]) for name in ("metric", "regime", "model"))
                found[series_id] = _groups(partition, *kinds)
    return found


def _groups(partition: Partition, metric: int, regime: int, model: int) -> dict[str, str]:
    policies = partition.regimes.resolved[regime].policies
    return {
        "metric": partition.metrics.names[metric],
        "policy": policies[0] if policies else NO_POLICY,
        "detector": partition.models[model].detector.name,
    }


def _watched(partition: Partition, since: datetime, now: datetime) -> list[Watched]:
    """Series of one metric, policy and detector together. A series was watched while its points came live."""
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    live_since = partition.arrivals.columns["live_since"][: partition.count]
    first = np.maximum(live_since, int(since.timestamp()))
    last = np.minimum(column["last_at"] + column["cadence"], int(now.timestamp()))
    weeks = np.where(live_since > 0, np.maximum(last - first, 0), 0) / WEEK
    kinds = np.stack([column["metric"], column["regime"], column["model"]], axis=1).astype(np.int64)
    found, member = np.unique(kinds, axis=0, return_inverse=True)
    member = member.reshape(-1)
    number = np.bincount(member, weights=weeks > 0, minlength=len(found))
    together = np.bincount(member, weights=weeks, minlength=len(found))
    return [
        Watched(
            _groups(partition, metric, regime, model),
            int(count),
            float(sum_of_weeks),
            float(count * partition.regimes.settings(regime).alerts_per_week),
        )
        for (metric, regime, model), count, sum_of_weeks in zip(found.tolist(), number, together, strict=True)
        if count
    ]


def detector_health(committer: Committer, session: Session, now: datetime) -> list[DetectorHealth]:
    """How the series of each detector are, by the detector's name."""
    fell_back = choices.count_fallen_back(session)
    rows = committer.call(lambda: [each for one in committer.partitions for each in _health(one, now)])
    names = sorted({each.detector for each in rows} | fell_back.keys())
    return [_together(name, [each for each in rows if each.detector == name], fell_back.get(name, 0)) for name in names]


def _health(partition: Partition, now: datetime) -> list[DetectorHealth]:
    column = {name: array[: partition.count] for name, array in partition.columns.items()}
    cadence, present = column["cadence"].astype(np.int64), int(now.timestamp())
    ready = may_alert(column["point_count"], column["first_at"], column["last_at"], cadence, column["siblings"])
    trained = column["trained_at"] > 0
    coming = present - column["last_at"] <= np.maximum(DAY, 10 * cadence)
    stale = trained & coming & (present - column["trained_at"] > STALE.total_seconds())
    return [
        DetectorHealth(
            detector=model.detector.name,
            series=int(mine.sum()),
            trained=int((mine & trained).sum()),
            warming_up=int((mine & ~ready).sum()),
            stale=int((mine & stale).sum()),
            fell_back=0,
            oldest_training=_oldest(column["trained_at"][mine & trained]),
        )
        for model, mine in ((model, column["model"] == code) for code, model in enumerate(partition.models))
        if mine.any()
    ]


def _oldest(trained_at: Ints) -> datetime | None:
    return datetime.fromtimestamp(int(trained_at.min()), UTC) if trained_at.size else None


def _together(name: str, parts: Sequence[DetectorHealth], fell_back: int) -> DetectorHealth:
    return DetectorHealth(
        detector=name,
        series=sum(each.series for each in parts),
        trained=sum(each.trained for each in parts),
        warming_up=sum(each.warming_up for each in parts),
        stale=sum(each.stale for each in parts),
        fell_back=fell_back,
        oldest_training=min((each.oldest_training for each in parts if each.oldest_training), default=None),
    )

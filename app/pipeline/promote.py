"""Put new baselines in place: one commit with what was decided of each series, and with what was there before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy.orm import Session

from app.clock import wall_now
from app.partitions.partition import DEFAULT_DETECTOR, Partition
from app.partitions.snapshot import snapshot
from app.pipeline import recover
from app.pipeline.candidates import Candidates
from app.pipeline.challenge import Outcome
from app.pipeline.fall_back import NOT_COMPARED
from app.pipeline.ingest import Committer
from app.pipeline.train import install
from app.store import choices, states
from app.store import retrains as stored
from app.store.packing import Plane, pack
from app.store.retrains import Counts
from app.store.tables import Retrain, RetrainPart
from detectors import training
from detectors.bars import least_of
from detectors.contract import Floats, Ints, take
from feedback.retrain import CODE, REASONS, Decision, Figures, Reason, decision_of, gives_way, is_to_rest

LARGEST = float(np.finfo(np.float32).max)
"""What a figure is stored as that is larger."""


def put_in_place(
    committer: Committer,
    retrain: Retrain,
    number: int,
    slots: Ints,
    decided: list[tuple[Candidates, Outcome]],
    now: datetime,
) -> bool | None:
    """One commit: the new baselines, what was there before, and what was decided. None where it was cancelled.

    True where points have come since these series were read: they are to be scored by the new baselines.
    """
    partition = committer.partitions[number]
    decided = [(each, _still_there(partition, each, out)) for each, out in decided]
    with committer.reloading(number), committer.database.writing() as session:
        if not stored.is_running(session, retrain.id):
            return None
        winners = np.concatenate([each.slots[out.promoted] for each, out in decided] or [np.zeros(0, np.int64)])
        by_night = stored.is_of_a_night(retrain)
        before = snapshot(partition, winners) if winners.size and not by_night else None
        late = [_install(session, partition, each, out, retrain, now) for each, out in decided]
        version = None
        if winners.size:
            reason = retrain.reason if by_night else f"retrain {retrain.id}: {retrain.reason}"
            version = states.new_version(
                session, partition=number, reason=reason, series_count=winners.size, now=wall_now()
            )
            partition.columns["version"][winners] = version
        decisions = _decisions(partition, slots, decided)
        ids = decisions["series"]
        if not ids.size:
            return False
        part = RetrainPart(
            retrain_id=retrain.id,
            number=stored.next_number(session, retrain.id),
            partition=number,
            first_series=int(ids.min()),
            last_series=int(ids.max()),
            decided_at=now,
            decisions=pack(decisions),
            before=None if before is None else pack(before),
            baseline_version_id=version,
        )
        stored.add_part(session, part, _counts(decisions), slots.size)
        recover.save(session, partition, version)
    recover.saved(partition)
    return any(late)


def _still_there(partition: Partition, of: Candidates, outcome: Outcome) -> Outcome:
    """A series that was erased since it was read gets nothing."""
    return replace(outcome, promoted=outcome.promoted & (partition.columns["series_id"][of.slots] == of.ids))


def _install(
    session: Session, partition: Partition, of: Candidates, outcome: Outcome, retrain: Retrain, now: datetime
) -> bool:
    """Let the winners be judged by what they won with; True where points have come since they were read."""
    at = partition.columns["last_at"][of.slots].astype(np.int64)
    by_night = stored.is_of_a_night(retrain)
    if by_night:
        waiting = of.slots[gives_way(outcome.codes) & ~outcome.promoted]
        since = partition.columns["refused_since"][waiting]
        partition.columns["refused_since"][waiting] = np.where(since > 0, since, int(now.timestamp()))
    else:
        resting = is_to_rest(outcome.codes) & ~outcome.promoted
        partition.rest(of.slots[resting])
    for rows, fitted in outcome.fitted:
        won = np.flatnonzero(outcome.promoted[rows])
        if won.size:
            install(partition, of.slots[rows[won]], _only(fitted, won))
    won = np.flatnonzero(outcome.promoted)
    slots = of.slots[won]
    came = partition.columns["point_count"][slots] - of.point_count[won]
    partition.anchor_before(slots, of.last_at[won], take(of.life, won), came)
    new: dict[str, Ints | Floats | int] = {
        "trained_points": of.point_count[won],
        "siblings": of.lesson.siblings[won],
        "least": least_of(of.history.values[won]),
        "asked": of.to_fit[won] + 1,
        "trained_at": int(now.timestamp()),
        "seen_log": of.newest_log,
        "retrain": partition.columns["retrain"][slots] if by_night else retrain.id,
        "rests_until": 0,
        "refused_since": 0,
        "late_at": np.where(came > 0, np.minimum(of.last_at[won] + 1, at[won]), 0),
    }
    for name, values in new.items():
        partition.columns[name][slots] = values
    partition.limit(slots)
    partition.touch(of.slots)
    choices.record_fall_backs(session, of.ids[won].tolist(), {}, detector=DEFAULT_DETECTOR, reason=NOT_COMPARED)
    return bool((came > 0).any())


def _only(fitted: training.Trained, rows: Ints) -> training.Trained:
    return training.Trained(
        {name: take(each, rows) for name, each in fitted.baselines.items()},
        {name: take(each, rows) for name, each in fitted.states.items()},
        [fitted.detector[row] for row in rows.tolist()],
        [fitted.reason[row] for row in rows.tolist()],
    )


def _decisions(partition: Partition, slots: Ints, decided: list[tuple[Candidates, Outcome]]) -> dict[str, Plane]:
    """What was decided of every slot, as planes with a row each; those of which nothing was read have no points."""
    seen = [each.slots for each, _ in decided]
    unseen = np.setdiff1d(slots, np.concatenate(seen)) if seen else slots
    every = np.concatenate([*seen, unseen])
    figures = [
        *(out.figures for _, out in decided),
        replace(Figures.unknown(unseen.size), points=np.zeros(unseen.size)),
    ]
    nothing = np.full(unseen.size, CODE[Reason.NO_POINTS])
    planes: dict[str, Plane] = {
        "series": partition.columns["series_id"][every].astype(np.int64),
        "reason": np.concatenate([*(out.codes for _, out in decided), nothing]).astype(np.uint16),
        "promoted": np.concatenate([*(out.promoted for _, out in decided), np.zeros(unseen.size, bool)]),
    }
    for name in Figures.__dataclass_fields__:
        figure = np.concatenate([getattr(each, name) for each in figures])
        planes[name] = np.clip(figure, -LARGEST, LARGEST).astype(np.float32)
    there = planes["series"] > 0  # the others were erased since they were read
    return {name: plane[there] for name, plane in planes.items()}


def _counts(decisions: dict[str, Plane]) -> Counts:
    kinds = [
        decision_of(REASONS[code], promoted=won)
        for code, won in zip(decisions["reason"].tolist(), decisions["promoted"].tolist(), strict=True)
    ]
    return Counts(**{each.value: kinds.count(each) for each in Decision})

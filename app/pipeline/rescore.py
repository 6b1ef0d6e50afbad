"""Score again the series whose points came late or were corrected, as if all had come in their order.

From the state that the last training left, over all points stored since, so that the outcome does not depend on the
order of arrival (guarantee 5). It runs on the committer's thread, a little after the points, so that a hundred late
points cost one scoring; series that have nothing late cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts import life as lives
from app.alerts.rules import Delivery
from app.clock import wall_now
from app.partitions.partition import IN_WORK, KINDS, UNKNOWN, Partition
from app.pipeline import fall_back, recover, score, stale
from app.pipeline.amend import Again, amend
from app.pipeline.ingest import Committer
from app.pipeline.score import Judged, Transition
from app.store import points
from app.store.points import PointBatch
from app.store.tables import Anomaly
from detectors.contract import Fields, Ints, take

log = structlog.get_logger()

SCORES = ("expected", "lower", "upper", "rarity")
PORTION_SERIES = 2_000
MOST_POINTS = score.MOST_ROUNDS
"""Points of a series that are scored again at a time: 2 days of minutes, about half a second of the committer's thread.
What has more since its training is scored in slices, with posted points in between."""
SLICED_SERIES = 200


def score_again(committer: Committer, now: datetime, *, asked: Delivery | None = None) -> int:
    """Score again every series that waits for it; returns how many. asked: who is told of new alerts, by default
    everybody of fresh ones.
    """
    return sum(_partition_again(committer, number, now, asked) for number in range(len(committer.partitions)))


def resume(committer: Committer, runs: Sequence[Anomaly], now: datetime) -> None:
    """Let these runs go on, which somebody had ended and no longer has, as far as their series are strange still.

    From where they began or, where their series was trained since, from there, if it was strange all along. What else
    waits to be scored again is, too.
    """
    if runs:
        committer.call(lambda: _take_up(committer, runs))
    score_again(committer, now)


def _take_up(committer: Committer, runs: Sequence[Anomaly]) -> None:
    by_series = {run.series_id: run for run in runs}
    within: list[int] = []
    for partition in committer.partitions:
        slots = partition.slots_of(by_series)
        slots = slots[slots != UNKNOWN]
        for slot in slots.tolist():
            run = by_series[int(partition.columns["series_id"][slot])]
            began = int(run.started_at.timestamp())
            if partition.columns["anchor_at"][slot] < began:
                partition.judge_again_from(np.array([slot]), began)
            elif (life := _at_its_training(partition, slot, run)) is not None:
                partition.take_up(slot, life)
                within.append(run.id)
    if within:
        with committer.database.writing() as session:
            for run_id in within:
                session.get_one(Anomaly, run_id).ended_at = None


def _at_its_training(partition: Partition, slot: int, run: Anomaly) -> Fields | None:
    """A run as its life was at a training after it began; None where it was over by then."""
    anchor_at = int(partition.columns["anchor_at"][slot])
    life = _as_known(run, partition.judge_of(slot)[0].detector.evidence)
    if run.ended_at is None or anchor_at <= run.ended_at.timestamp():
        life["last_abnormal_at"] = np.minimum(life["last_abnormal_at"], anchor_at)
        return life
    since = take(partition.anchor_life, np.array([slot]))
    if not lives.is_open(since)[0] or since["direction"][0] != run.direction:
        return None
    together = {name: life[name] + since[name] for name in ("impact", "abnormal_points")}
    rarer = since if since["peak_rarity"][0] > run.rarity else life
    peak = {name: array for name, array in rarer.items() if name.startswith("peak_")}
    return life | peak | together | {"last_abnormal_at": since["last_abnormal_at"], "calm": since["calm"]}


def _as_known(run: Anomaly, kinds: Sequence[str]) -> Fields:
    """The life of a run that goes on, as far as it was stored."""
    life = lives.newborn(1, KINDS)
    began = int(run.started_at.timestamp())
    known = {
        "opened_at": began,
        "told_at": began,
        "last_abnormal_at": int(run.last_abnormal_at.timestamp()),
        "peak_at": int(run.peak_at.timestamp()),
        "direction": run.direction,
        "peak_rarity": run.rarity,
        "peak_value": run.actual,
        "peak_expected": run.expected,
        "peak_lower": run.lower,
        "peak_upper": run.upper,
        "impact": run.impact,
        "abnormal_points": run.point_count,
        "frozen": True,
    }
    for name, value in known.items():
        life[name][0] = np.nan if value is None else value
    life["peak_evidence"][0, : len(kinds)] = [run.evidence.get(kind, np.nan) for kind in kinds]
    return life


def _partition_again(committer: Committer, number: int, now: datetime, asked: Delivery | None) -> int:
    short, long = committer.call(lambda: _waiting(committer.partitions[number]))
    for start in range(0, short.size, PORTION_SERIES):
        portion = short[start : start + PORTION_SERIES]
        committer.call(lambda slots=portion: _in_one_go(committer, number, slots, now, asked))  # type: ignore[misc]
    for start in range(0, long.size, SLICED_SERIES):
        _in_slices(committer, number, long[start : start + SLICED_SERIES], now, asked)
    return int(short.size + long.size)


def _waiting(partition: Partition) -> tuple[Ints, Ints]:
    """Slots with late points: those that are scored in one go, and those with more points, by cadence."""
    late_at = partition.columns["late_at"][: partition.count]
    late = np.flatnonzero((late_at > 0) & (late_at != IN_WORK))
    long = partition.columns["since_anchor"][late] > MOST_POINTS
    by_cadence = np.argsort(partition.columns["cadence"][late[long]], kind="stable")
    return late[~long], late[long][by_cadence]


def _in_one_go(committer: Committer, number: int, slots: Ints, now: datetime, asked: Delivery | None) -> None:
    partition = committer.partitions[number]
    late_at = partition.columns["late_at"][slots].copy()
    _finish(committer, number, _Work(score.Again.as_trained(partition, slots), late_at), now, asked)


def _in_slices(committer: Committer, number: int, slots: Ints, now: datetime, asked: Delivery | None) -> None:
    """So many points a call, from the training on; what comes meanwhile is taken in, or waits for the next time."""
    slots = np.sort(slots)
    work = committer.call(lambda: _begin(committer.partitions[number], slots))
    try:
        while committer.call(lambda: _slice(committer, number, work)):
            pass
        if not work.given_up:
            committer.call(lambda: _finish(committer, number, work, now, asked))
    finally:
        committer.call(lambda: _let_go(committer.partitions[number], work))


@dataclass
class _Work:
    """Series that are being scored again. late_at: since when their scores may be wrong, (S,), unix seconds.

    rescored, transitions: what was found in the slices that are done.
    """

    again: score.Again
    late_at: Ints
    rescored: list[PointBatch] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    given_up: bool = False

    @property
    def slots(self) -> Ints:
        return self.again.slots


def _begin(partition: Partition, slots: Ints) -> _Work:
    work = _Work(score.Again.as_trained(partition, slots), partition.columns["late_at"][slots].copy())
    partition.columns["late_at"][slots] = IN_WORK
    return work


def _let_go(partition: Partition, work: _Work) -> None:
    """What was not finished waits as before."""
    late = partition.columns["late_at"][work.slots]
    partition.columns["late_at"][work.slots] = np.where(late == IN_WORK, work.late_at, late)


def _slice(committer: Committer, number: int, work: _Work) -> bool:
    """Score the next points; returns whether more than the last slice is left."""
    partition, again = committer.partitions[number], work.again
    left = partition.columns["since_anchor"][work.slots] - again.counted
    ahead = partition.columns["last_at"][work.slots] - again.last_at
    if (np.minimum(left, ahead) <= MOST_POINTS).all():
        return False
    goes_on = ahead > 0
    pace = float((ahead[goes_on] / np.maximum(left[goes_on], 1)).min())
    until = int(again.last_at[goes_on].min() + max(MOST_POINTS * pace, 1)) + 1
    with committer.database.reading() as session:
        since = _first_of_each(_since(session, partition, again, until))
        known = score.Batch(since.slot, since.batch.timestamp, since.batch.value, score.given(since.batch.weight))
        judged = score.judge_again(partition, known, fall_back.stored_past(session), again)
    if judged.fell_back:  # the next training goes back to the series' own detector, and judges what was
        work.given_up, work.late_at[:] = True, 0
        log.info("late_points_wait_for_training", partition=number, series=int(work.slots.size))
        return False
    work.rescored.append(_with_scores(since, judged, work))
    work.transitions += judged.transitions
    again.go_on(partition, judged, known)
    whole = np.bincount(np.searchsorted(work.slots, since.slot), minlength=work.slots.size) < MOST_POINTS
    again.last_at[whole] = np.maximum(again.last_at[whole], until - 1)
    return True


def _first_of_each(since: _Since) -> _Since:
    """No more points of a series than a slice holds."""
    _, first, counts = np.unique(since.slot, return_index=True, return_counts=True)
    place = np.arange(since.slot.size) - np.repeat(first, counts)
    rows = np.flatnonzero(place < MOST_POINTS)
    return _Since(since.slot[rows], _only(since.batch, rows))


def _finish(committer: Committer, number: int, work: _Work, now: datetime, asked: Delivery | None) -> None:
    """Score what is left, and put all of it in place in one commit."""
    partition, slots = committer.partitions[number], work.slots
    with committer.reloading(number), committer.database.writing() as session:
        since = _since(session, partition, work.again, int(partition.columns["last_at"][slots].max()) + 1)
        past = fall_back.stored_past(session)
        known = score.Batch(since.slot, since.batch.timestamp, since.batch.value, score.given(since.batch.weight))
        judged = score.judge_again(partition, known, past, work.again)
        fall_back.record(session, partition, judged.fell_back)
        rescored = _joined([*work.rescored, _with_scores(since, judged, work)])
        log_id = partition.newest_log
        if len(rescored):
            log_id = points.append_log(
                session,
                partition=number,
                batch_id=f"again-{number}-{wall_now().isoformat()}",
                received_at=wall_now(),
                batch=rescored,
            )
        going_on = _known_before(partition, slots)
        ended = take(partition.life, slots)
        came_late = partition.columns["late_at"][slots].copy()
        work.again.go_on(partition, judged, known)
        score.install(partition, work.again.complete(partition, judged), log_id)
        if work.rescored:  # what came late while the slices were made is still to be scored
            partition.columns["late_at"][slots] = np.where(came_late == IN_WORK, 0, came_late)
        silent = stale.silent(partition, int(now.timestamp()))
        _keep_ended(partition, slots, ended, silent)
        due = amend(
            session,
            {slot: _again(partition, slot, silent) for slot in slots.tolist()},
            [*work.transitions, *judged.transitions],
            before=going_on,
            policy=partition.policy,
            now=now,
            wall_now=wall_now(),
            asked=asked,
        )
        recover.release_closed(session, partition, slots)
        recover.save(session, partition)
    recover.saved(partition)
    if len(rescored):
        partition.keep_tail(rescored, log_id, wall_now())
    if due:
        committer.told()
    log.info("scored_again", partition=number, series=int(slots.size), points=len(since.batch), changed=len(rescored))


def catch_up(session: Session, partition: Partition) -> int:
    """Show detectors the points since their anchor that others judged in their place, and judge nothing anew.

    Within the caller's transaction; returns how many series had some. What was told of these points stands.
    """
    slots = np.flatnonzero(partition.columns["since_anchor"][: partition.count])
    past = fall_back.stored_past(session)
    for start in range(0, slots.size, PORTION_SERIES):
        again = score.Again.as_trained(partition, slots[start : start + PORTION_SERIES])
        since = _since(session, partition, again, int(partition.columns["last_at"][again.slots].max()) + 1)
        known = score.Batch(since.slot, since.batch.timestamp, since.batch.value, score.given(since.batch.weight))
        for code, rows, state in score.judge_again(partition, known, past, again).states:
            partition.models[code].remember(rows, state)
    return int(slots.size)


@dataclass(frozen=True)
class _Since:
    """Points since the training of their series, by series and time; `slot` (n,) beside the columns of the batch."""

    slot: Ints
    batch: PointBatch


def _since(session: Session, partition: Partition, again: score.Again, until: int) -> _Since:
    """The points that are not done, before that time."""
    ids = partition.columns["series_id"][again.slots]
    stored = points.read_points(session, ids.tolist(), int(again.last_at.min()) + 1, until)
    order = np.argsort(ids)
    row = order[np.searchsorted(ids[order], stored.series)]
    left = np.flatnonzero(stored.timestamp > again.last_at[row])
    return _Since(again.slots[row[left]], _only(stored, left))


def _joined(batches: list[PointBatch]) -> PointBatch:
    names = PointBatch.__dataclass_fields__
    return PointBatch(*(np.concatenate([getattr(batch, name) for batch in batches]) for name in names))


def _only(batch: PointBatch, rows: Ints) -> PointBatch:
    return PointBatch(*(getattr(batch, name)[rows] for name in PointBatch.__dataclass_fields__))


def _with_scores(since: _Since, judged: Judged, work: _Work) -> PointBatch:
    """The points from the first late one of their series on, with their new scores; those before have theirs."""
    rows = np.flatnonzero(since.batch.timestamp >= work.late_at[np.searchsorted(work.slots, since.slot)])
    with np.errstate(over="ignore"):
        fresh = [getattr(judged, name)[rows].astype(np.float32) for name in SCORES]
    expected, lower, upper, rarity = fresh
    batch = _only(since.batch, rows)
    return replace(batch, expected=expected, lower=lower, upper=upper, rarity=rarity)


def _known_before(partition: Partition, slots: Ints) -> list[Transition]:
    """The runs as the training found them: those that nothing happens to since then stand as they were."""
    ran = slots[partition.anchor_life["told_at"][slots] > 0]
    return [score.as_trained(partition, slot) for slot in ran.tolist()]


def _keep_ended(partition: Partition, slots: Ints, before: Fields, silent: Ints) -> None:
    """A run that the silence of its series had ended stays so while the series is silent."""
    same = before["opened_at"] == partition.life["opened_at"][slots]
    rows = np.flatnonzero(same & (before["closed_at"] > 0) & np.isin(slots, silent))
    partition.life["closed_at"][slots[rows]] = before["closed_at"][rows]


def _again(partition: Partition, slot: int, silent: Ints) -> Again:
    series_id, anchor_at, cadence = (
        int(partition.columns[name][slot]) for name in ("series_id", "anchor_at", "cadence")
    )
    return Again(series_id, anchor_at, cadence, silent=bool((silent == slot).any()))

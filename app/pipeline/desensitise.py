"""New normals: series that have a new level are trained on it at once, tolerated more, and followed until they settle.

What stands is in the database: tolerance follows from the progress that is stored there, and every training moves the
history before a change onto the level since, so a restart or an undo needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.message import Reason
from app.alerts.wording import clipped, listed, name_in_words
from app.clock import wall_now
from app.errors import Conflict, Unprocessable
from app.partitions.partition import UNKNOWN, Partition
from app.pipeline import before
from app.pipeline.ingest import Committer
from app.pipeline.notify import announce, enqueue, held_until, put_off
from app.pipeline.rescore import resume
from app.pipeline.settle import cut_short, settle
from app.pipeline.train import grids, history_of, portions, train, window
from app.store import alerts as stored_alerts
from app.store import desensitisations as stored
from app.store import points, series
from app.store.happenings import exclusions
from app.store.series import Matcher
from app.store.tables import Alert, Anomaly, Desensitisation, DesensitisedSeries
from detectors.contract import Floats, History, Ints
from feedback.desensitise import LONGEST, Settling, Shift, onset, persists, settling, shift_between
from feedback.receipt import Band
from feedback.training_mask import Exclusions

log = structlog.get_logger()

MOST_SERIES = 1_000
"""Of one desensitisation: they are trained at once, while posted points wait."""
METRICS_NAMED = 3
GROWN = 1.5
"""The new level is learned again when so many times as much is known of it."""
LEAST_STEP = 0.02
"""Progress that is worth a new tolerance."""
OFFER_WITHIN = timedelta(days=8)
LONGEST_ALLOWED = timedelta(days=90)


@dataclass(frozen=True)
class NewNormal:
    """What is asked for. start: since when the level is new; else since each series' open anomaly, or `now`."""

    reason: str
    author: str
    now: datetime
    matcher: Matcher | None = None
    series_id: int | None = None
    further_ids: Sequence[int] = ()
    start: datetime | None = None
    longest: timedelta = LONGEST
    label_id: int | None = None


def begin(committer: Committer, wanted: NewNormal) -> int:
    """Let series settle on a new level from the next point on; returns the desensitisation's id.

    Raises Unprocessable where it is about no series, or too many, or starts in the future.
    """
    entered: list[int] = []

    def store() -> Sequence[int]:
        with committer.database.writing() as session:
            row, released = enter(session, wanted)
            entered.append(row.id)
            return released

    def together() -> None:
        committer.relabel(store)
        with committer.database.reading() as session:
            ids = [each.series_id for each in stored.members_of(session, entered)]
        known = before.what_was(committer, ids)
        adapt(committer, ids, wanted.now)
        before.keep(committer, entered[0], known)

    committer.call(together)
    return entered[0]


def enter(session: Session, wanted: NewNormal) -> tuple[Desensitisation, list[int]]:
    """Store it within the caller's transaction, and close the alerts that it explains unless a label made it.

    Returns it, and the ids of its series, whose runs are to be let go. `adapt` them once it is committed.
    """
    ids = series_of(session, wanted)
    matcher = wanted.matcher or Matcher()
    row = Desensitisation(
        metric=matcher.metric,
        dimensions={name: list(allowed) for name, allowed in matcher.dimensions.items()},
        series_id=wanted.series_id,
        longest_seconds=int(wanted.longest.total_seconds()),
        reason=wanted.reason,
        author=wanted.author,
        created_at=wanted.now,
        label_id=wanted.label_id,
    )
    session.add(row)
    session.flush()
    running = stored.open_anomalies(session, ids)
    for series_id in ids:
        anomaly = running.get(series_id)
        session.add(
            DesensitisedSeries(
                desensitisation_id=row.id,
                series_id=series_id,
                alert_id=anomaly.alert_id if anomaly else None,
                started_at=wanted.start or (onset_of(session, anomaly) if anomaly else wanted.now),
                until=wanted.now + wanted.longest,
                progress=0.0,
                lacks="no points yet since the change",
            )
        )
    settle(session, [anomaly.alert_id for anomaly in running.values() if anomaly.alert_id], wanted.now)
    log.info("desensitised", desensitisation=row.id, series=len(ids), reason=wanted.reason)
    return row, ids


def onset_of(session: Session, anomaly: Anomaly) -> datetime:
    """Since when the level is another, by how the points of the run were judged when they came."""
    first, peak = int(anomaly.started_at.timestamp()), int(anomaly.peak_at.timestamp())
    batch = points.read_points(session, [anomaly.series_id], first, peak + 1)
    if not len(batch):
        return anomaly.started_at
    off_by = anomaly.direction * (batch.value - batch.expected)
    return datetime.fromtimestamp(onset(batch.timestamp, off_by, (batch.upper - batch.lower) / 2), UTC)


def band_after(committer: Committer, series_id: int, start: datetime) -> Callable[[Band], Band]:
    """What becomes of a series' band once it is learned that its level is another since then."""
    return _shifted(_shift_of(committer, series_id, start))


def band_without(committer: Committer, member: DesensitisedSeries) -> Callable[[Band], Band]:
    """What becomes of a series' band once its new normal is taken back."""
    shift = _shift_of(committer, member.series_id, member.started_at, without=[member.desensitisation_id])
    return _shifted(shift and shift.back)


def _shift_of(committer: Committer, series_id: int, start: datetime, without: Collection[int] = ()) -> Shift | None:
    with committer.database.reading() as session:
        known = replace(Exclusions.none(), level_changes=stored.level_changes(session, without))
    since = int(start.timestamp())
    found = [
        shift_between(values, history, history.timestamp < since, history.timestamp >= since)
        for _, values, history in _histories(committer, [series_id], known)
    ]
    return found[0] if found else None


def _shifted(shift: Shift | None) -> Callable[[Band], Band]:
    def shifted(band: Band) -> Band:
        if shift is None:
            return band
        moved = shift.of(np.array([band.expected, band.lower, band.upper]))
        return Band(band.timestamp, *moved.tolist())

    return shifted


def series_of(session: Session, wanted: NewNormal) -> list[int]:
    """Ids of the series that it is about. Raises Unprocessable where there are none, or too many, or it is to come."""
    if wanted.start is not None and wanted.start > wanted.now:
        raise Unprocessable("`start` lies in the future. Send when the new level began, or leave it out.")
    if wanted.series_id is not None:
        ids = [each for each in (wanted.series_id, *wanted.further_ids) if series.get(session, each)]
    else:
        ids = [each.id for each in series.matching(session, wanted.matcher or Matcher())]
    if not ids:
        raise Unprocessable("No series matches. GET /v1/series lists what there is.")
    if len(ids) > MOST_SERIES:
        raise Unprocessable(f"{len(ids)} series match, more than {MOST_SERIES}: narrow the matcher, or send several.")
    return ids


def adapt(committer: Committer, series_ids: Sequence[int], now: datetime) -> None:
    """Train these series at the level that they have now."""
    wanted = np.array(sorted(set(series_ids)), np.int64)

    def slots(partition: Partition) -> Ints:
        found = partition.slots_of(wanted)
        found = found[found != UNKNOWN]
        return np.asarray(found[partition.columns["point_count"][found] > 0])

    train(committer, now=now, reason="new normal", wanted=slots)
    newest = {
        int(partition.columns["series_id"][slot]): int(partition.columns["last_at"][slot])
        for partition in committer.partitions
        for slot in slots(partition).tolist()
    }
    with committer.database.writing() as session:
        for member in stored.settling_of(session, newest).values():
            member.adapted_until = datetime.fromtimestamp(newest[member.series_id], UTC)


def end(committer: Committer, desensitisation_id: int, *, by: str, now: datetime) -> None:
    """Judge the series as usual again. The new level stays learned."""

    def store() -> Sequence[int]:
        with committer.database.writing() as session:
            row = session.get_one(Desensitisation, desensitisation_id, with_for_update=True)
            if row.ended_at is None:
                row.ended_at, row.ended_by = now, by
            for member in stored.members_of(session, [row.id]):
                if member.ended_at is None:
                    member.ended_at, member.outcome = now, "ended"
        return ()

    committer.relabel(store)


def change(committer: Committer, desensitisation_id: int, *, reason: str | None, longest: timedelta | None) -> None:
    """Another reason, or another time after which its series count as settled. Raises Conflict where it is over."""
    with committer.database.writing() as session:
        row = session.get_one(Desensitisation, desensitisation_id, with_for_update=True)
        if row.ended_at is not None or not stored.is_standing(session, row):
            raise Conflict("This desensitisation is over. Send a new one with POST /v1/desensitisations.")
        if reason is not None:
            row.reason = reason
        if longest is not None:
            row.longest_seconds = int(longest.total_seconds())
            for member in stored.members_of(session, [row.id]):
                if member.ended_at is None:
                    member.until = row.created_at + longest


def take_back(committer: Committer, desensitisation_id: int, *, by: str, now: datetime) -> None:
    """As if it had never been: the old level counts again, and alerts that it closed are as they would be."""

    def store() -> Sequence[int]:
        with committer.database.writing() as session:
            row = session.get_one(Desensitisation, desensitisation_id, with_for_update=True)
            if row.revoked_at is None:
                row.revoked_at, row.revoked_by = now, by
            return settle(session, [m.alert_id for m in stored.members_of(session, [row.id]) if m.alert_id], now)

    def together() -> None:
        committer.relabel(store)
        _undo(committer, now)
        with committer.database.reading() as session:
            ended = [
                run for each in stored.alerts_closed_by(session, desensitisation_id) for run in cut_short(session, each)
            ]
        resume(committer, ended, now)

    committer.call(together)


def follow(committer: Committer, now: datetime) -> str:
    """The hourly job: undo what was taken back, see how far series have settled, and say when they have."""
    undone = _undo(committer, now)
    with committer.database.reading() as session:
        members = stored.still_settling(session)
        proposable = stored.without_offer(session, now - OFFER_WITHIN)
    offered = _offer(committer, proposable)
    ended = _follow_members(committer, members, now) if members else 0
    before.forget_old(committer, now)
    if members:
        _announce(committer, now)
    said = {"taken back": undone, "settling": len(members), "over": ended, "offered": offered}
    return ", ".join(f"{count} {what}" for what, count in said.items() if count)


def _undo(committer: Committer, now: datetime) -> int:
    with committer.database.reading() as session:
        rows = stored.to_undo(session)
        if not rows:
            return 0
        of_row = {row.id: {each.series_id for each in stored.members_of(session, [row.id])} for row in rows}
    left = [of_row[each] - before.bring_back(committer, each) for each in sorted(of_row, reverse=True)]
    if any(left):
        adapt(committer, sorted(set().union(*left)), now)
    with committer.database.writing() as session:
        for row in rows:
            session.get_one(Desensitisation, row.id).undone_at = now
    return len(rows)


def _follow_members(committer: Committer, members: Sequence[DesensitisedSeries], now: datetime) -> int:
    """Store how far each has settled, widen tolerance accordingly, and train what has grown; returns how many ended."""
    found = _settlings(committer, members, now)
    steps = [(m, found[m.series_id]) for m in members if m.series_id in found]
    over = [(m, s) for m, s in steps if s.settled or now >= m.until]
    moved = [(m, s) for m, s in steps if abs(s.progress - m.progress) >= LEAST_STEP or s.reason != m.lacks]

    def store() -> Sequence[int]:
        with committer.database.writing() as session:
            for member, step in [*moved, *over]:
                row = session.get_one(DesensitisedSeries, (member.desensitisation_id, member.series_id))
                row.progress, row.lacks = step.progress, step.reason
                if now >= row.until or step.settled:
                    row.ended_at, row.outcome = now, "settled" if step.settled else "expired"
        return ()

    if moved or over:
        committer.relabel(store)
    grown = [m.series_id for m, _ in steps if _has_grown(committer, m)]
    grown += [m.series_id for m, _ in over]
    if grown:
        known = before.still_there(committer, {m.desensitisation_id for m in members})
        adapt(committer, grown, now)
        for desensitisation_id, kept in known.items():
            before.keep(committer, desensitisation_id, kept)
    for member, step in over:
        log.info("desensitisation_over", series=member.series_id, settled=step.settled, lacks=step.reason)
    return len(over)


def _has_grown(committer: Committer, member: DesensitisedSeries) -> bool:
    if member.adapted_until is None:
        return True
    partition, slot = committer.partition_of(member.series_id)
    start, last = int(member.started_at.timestamp()), int(partition.columns["last_at"][slot])
    return last - start >= GROWN * max(int(member.adapted_until.timestamp()) - start, 1)


def _settlings(committer: Committer, members: Sequence[DesensitisedSeries], now: datetime) -> dict[int, Settling]:
    starts = {each.series_id: int(each.started_at.timestamp()) for each in members}
    with committer.database.reading() as session:
        excluded = exclusions(session, now)
    earlier = [c for c in excluded.level_changes if c.start != starts.get(c.series_id)]  # the newest is what is judged
    return {
        series_id: settling(values, history, starts[series_id])
        for series_id, values, history in _histories(committer, starts, replace(excluded, level_changes=earlier))
    }


def _histories(
    committer: Committer, series_ids: Iterable[int], excluded: Exclusions
) -> Iterator[tuple[int, Floats, History]]:
    """Of each series its id, and its values (N,) within the history that holds them."""
    ids = list(series_ids)
    for number, partition in enumerate(list(committer.partitions)):
        slots = partition.slots_of(ids)
        for portion in portions(committer, number, slots[slots != UNKNOWN]):
            for grid_ids, history in committer.call(lambda p=portion, n=number: _read(committer, n, p, excluded)):  # type: ignore[misc]
                yield from zip(grid_ids.tolist(), history.values, [history] * len(grid_ids), strict=True)


def _read(committer: Committer, number: int, slots: Ints, excluded: Exclusions) -> list[tuple[Ints, History]]:
    partition = committer.partitions[number]
    start, until = window(partition, slots)
    with committer.database.reading() as session:
        found = grids(session, partition, slots, start, until)
        return [(grid.series_ids, history_of(partition, grid, excluded)) for grid in found]


def _announce(committer: Committer, now: datetime) -> None:
    """Say of what is over that it is."""
    told = 0
    with committer.database.writing() as session:
        for row in stored.finished(session):
            row.ended_at = now
            if not stored.members_of(session, [row.id]):  # its series were erased meanwhile
                continue
            said = _in_words(session, row)
            told += announce(session, said, now, since=row.created_at, over=True, reason=Reason.SETTLED)
    if told:
        committer.told()


def _in_words(session: Session, row: Desensitisation) -> str:
    members = stored.members_of(session, [row.id])
    settled = all(each.outcome == "settled" for each in members)
    named = list(series.get_many(session, {each.series_id for each in members}).values())
    if len(members) == 1:
        name, has = name_in_words(named[0].metric, named[0].dimensions), "has"
    else:
        name, has = f"{len(members):,} series of {_metrics_in_words(each.metric for each in named)}", "have"
    if settled:
        return f"{name} {has} settled at the new level"
    days = round(timedelta(seconds=row.longest_seconds) / timedelta(days=1))
    return f"{name} {has} not settled within {days} days at the new level, and will be judged as usual again"


def _metrics_in_words(metrics: Iterable[str]) -> str:
    """`orders, visits and 3 more metrics`."""
    names = [clipped(each) for each in sorted(set(metrics))]
    if len(names) > METRICS_NAMED + 1:
        names = [*names[:METRICS_NAMED], f"{len(names) - METRICS_NAMED:,} more metrics"]
    return listed(names)


def _offer(committer: Committer, proposable: Sequence[tuple[Alert, Anomaly]]) -> int:
    """Propose a new normal where a series has kept to one side since its alert."""
    starts = {a.series_id: (alert, int(a.started_at.timestamp())) for alert, a in proposable}
    if not starts:
        return 0
    with committer.database.reading() as session:
        excluded = replace(Exclusions.none(), level_changes=stored.level_changes(session))
    persistent = [
        starts[series_id][0]
        for series_id, values, history in _histories(committer, starts, excluded)
        if persists(values, history, starts[series_id][1])
    ]
    due = 0
    with committer.database.writing() as session:
        for alert in stored_alerts.by_id(session, [each.id for each in persistent]).values():
            alert.offer = "new_normal"
            if alert.status == "firing" and alert.delivery == "live":
                due += _say_offer(session, alert, committer.clock.now())
            log.info("new_normal_offered", alert=alert.id)
    if due:
        committer.told()
    return len(persistent)


def _say_offer(session: Session, alert: Alert, now: datetime) -> int:
    if held_until(alert, now) is not None:
        put_off(alert, now)
        return 0
    return enqueue(session, alert.id, Reason.UPDATED, wall_now())

"""Gaps: spans of lost, late or wrong data. One data alert takes the place of all alerts that they cause.

While a gap lasts its points are taken for missing: they teach nothing and open nothing. Once the late points are in,
the span is judged by them as if they had come in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import structlog
from sqlalchemy.orm import Session

from app.alerts.rules import Delivery
from app.alerts.wording import moment
from app.clock import wall_now
from app.errors import NotFound, Unprocessable
from app.partitions import checkpoint
from app.partitions.partition import UNKNOWN, Partition
from app.pipeline import retrain
from app.pipeline.happenings import Changed
from app.pipeline.ingest import Committer
from app.pipeline.notify import announce, enqueue
from app.pipeline.rescore import score_again
from app.pipeline.settle import began_within, settle
from app.store import alerts as stored_alerts
from app.store import happenings as stored
from app.store import points
from app.store.points import PointBatch
from app.store.tables import Alert, Anomaly, Gap
from detectors.contract import Bools, Floats, Ints

log = structlog.get_logger()

MOST_REMEMBERED = 2_000
"""So many points are kept of what was there when a gap was declared."""
JOINED_STEPS = 3
"""What a source loses no more steps later than what is lost already belongs to the same gap."""
LOOK_AGAIN = timedelta(hours=1)
FILLED = 0.9
"""Share of a gap's points that must be there for it to count as filled."""


def declare(committer: Committer, gap: Gap, now: datetime) -> Gap:
    """Say that data are lost. Alerts that began in it are withdrawn, and one tells of it. Raises Unprocessable."""
    if gap.ended_at is not None and gap.ended_at <= gap.started_at:
        raise Unprocessable("The gap ends before it starts. Send `start` before `end`.")
    there, due = _points_there(committer, gap, now)
    gap.known_points = len(there)
    if due > 0 and len(there) >= FILLED * due:  # they are not lost but wrong, and to be replaced
        gap.known = _packed(there)

    def store() -> Changed:
        with committer.database.writing() as session:
            session.add(gap)
            session.flush()
            ids = stored.series_ids_of(session, gap)
            released = _settle(committer, session, gap, ids, now)
            if gap.ended_at is None or gap.ended_at > now:
                _tell(session, gap, _declared_in_words(committer, gap, ids), now)
            return Changed(released, ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    log.info("gap_declared", gap=gap.id, origin=gap.origin, author=gap.author)
    return gap


@dataclass(frozen=True)
class Loss:
    """Data that Heed found to be lost. origin: silence or zeros. said: what people are told, of so many series and of
    which metrics.

    series_ids: (N,), the series that lost them; step_seconds: the longest of their cadences.
    """

    origin: str
    token_id: int | None
    series_ids: Ints
    started_at: datetime
    said: Callable[[int, Sequence[str]], str]
    step_seconds: int


def open_found(committer: Committer, loss: Loss, now: datetime) -> Gap | None:
    """Open a gap for what was found, or let an open one of the same source take it in; None where nothing was new."""
    changed: Gap | None = None

    def store() -> Changed:
        nonlocal changed
        with committer.database.writing() as session:
            since = loss.started_at - timedelta(seconds=JOINED_STEPS * loss.step_seconds)
            known = stored.found_since(session, loss.origin, since)
            judged = {each for gap in known for each in stored.series_ids_of(session, gap).tolist()}
            new = loss.series_ids[~np.isin(loss.series_ids, list(judged))]
            if not new.size:
                return Changed()  # somebody said that it is no gap, or that it is real
            same = (each for each in known if each.token_id == loss.token_id and _goes_on(each))
            gap = next(same, None) or _found(session, loss, now)
            stored.add_members(session, gap, new)
            _say(session, gap, loss, now)
            changed = gap
            log.info("gap_found", gap=gap.id, origin=gap.origin, series=int(new.size))
            released = _settle(committer, session, gap, stored.series_ids_of(session, gap), now)
            return Changed(released, new, int(loss.started_at.timestamp()))

    committer.rejudge(store)
    if changed is not None:
        score_again(committer, now)
    return changed


def _goes_on(gap: Gap) -> bool:
    return gap.ended_at is None and gap.revoked_at is None and gap.real_at is None


def _found(session: Session, loss: Loss, now: datetime) -> Gap:
    gap = Gap(
        metric="*",
        dimensions={},
        token_id=loss.token_id,
        started_at=loss.started_at,
        reason="",
        origin=loss.origin,
        author="heed",
        created_at=now,
        retrain_when_backfilled=False,
        known_points=0,
    )
    session.add(gap)
    session.flush()
    return gap


def _say(session: Session, gap: Gap, loss: Loss, now: datetime) -> None:
    """Tell of a found gap, once; where more of the same source is lost, the one alert says how much to who looks."""
    metrics = stored.metrics_of(session, gap)
    gap.metric = metrics[0] if len(metrics) == 1 else "*"
    gap.started_at = min(gap.started_at, loss.started_at)
    gap.reason = loss.said(stored.series_ids_of(session, gap).size, metrics)
    telling = stored_alerts.telling_of(session, gap.id)
    for alert in telling:
        alert.title = gap.reason
    if not telling:
        _tell(session, gap, gap.reason, now, severity="critical" if gap.origin == "zeros" else "warning")


def was_real(committer: Committer, gap_id: int, *, now: datetime | None) -> None:
    """What a found gap shows happened: its points are judged again and still teach nothing; None takes that back.

    Its one alert has told people already, so nothing more is sent of what is found.
    """

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            gap.real_at = now
            ids = stored.series_ids_of(session, gap)
            released = _settle(committer, session, gap, ids, committer.clock.now())
            return Changed(released, ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, committer.clock.now(), asked=Delivery.DIGEST)


def retrain_once_filled(committer: Committer, gap_id: int, *, asked: bool) -> None:
    """Whether the series of a found gap are trained again once its late points are in; too late once they are."""
    with committer.database.writing() as session:
        gap = existing(session, gap_id)
        if gap.filled_at is None:
            gap.retrain_when_backfilled = asked


def end(committer: Committer, gap_id: int, *, at: datetime, now: datetime, by: str, told: str = "") -> Gap:
    """The data are back. Points from then on count again; those of the span when they have been sent late.

    told: what people are told besides.
    """

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            if at <= gap.started_at:
                raise Unprocessable("The gap ends before it starts. Send an `end` after its `start`.")
            gap.ended_at, gap.ended_by = at, by
            _resolve(session, gap, at, told)
            ids = stored.series_ids_of(session, gap)
            return Changed(_settle(committer, session, gap, ids, now), ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        return session.get_one(Gap, gap_id)


def take_back(committer: Committer, gap_id: int, *, by: str, now: datetime) -> Gap:
    """There was no gap: its points count, and alerts that were withdrawn for it are told again where they stand."""

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            gap.revoked_at, gap.revoked_by = now, by
            _resolve(session, gap, now)
            ids = stored.series_ids_of(session, gap)
            return Changed(_settle(committer, session, gap, ids, now), ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        return session.get_one(Gap, gap_id)


def existing(session: Session, gap_id: int) -> Gap:
    gap = stored.get(session, Gap, gap_id)
    if gap is None or gap.revoked_at is not None:
        raise NotFound("There is no such gap. List them with GET /v1/gaps.")
    return gap


class GapFiller:
    """Notices that the late points of gaps have come: looks where some have, and once an hour in any case."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._looked: dict[int, tuple[int, datetime]] = {}  # how many late points had come of its series, and when

    def fill_what_came(self, now: datetime) -> int:
        """Let gaps go whose late points are in, judge their spans by them, retrain where asked; returns how many."""
        with self._committer.database.reading() as session:
            standing = [gap for gap in stored.standing(session, Gap) if stored.judged_as_missing(gap)]
            ended = [gap for gap in standing if gap.ended_at and gap.ended_at <= now]
            members = {gap.id: stored.series_ids_of(session, gap) for gap in ended}
        due = [gap for gap in ended if self._is_worth_a_look(gap, members[gap.id], now)]
        filled = [gap for gap in due if _has_come(self._committer, gap, now)]
        for gap in filled:
            fill(self._committer, gap.id, now=now)
        return len(filled)

    def _is_worth_a_look(self, gap: Gap, members: Ints, now: datetime) -> bool:
        came = self._committer.call(lambda: sum(_late_points(p, members) for p in self._committer.partitions))
        before, when = self._looked.get(gap.id, (-1, now))
        if came == before and now - when < LOOK_AGAIN:
            return False
        self._looked[gap.id] = came, now
        return True


def _late_points(partition: Partition, ids: Ints) -> int:
    """How many late points and corrections are counted of these series."""
    slots = _slots(partition, ids)
    return int(sum(partition.arrivals.columns[name][slots].sum() for name in ("late", "corrected")))


def fill(committer: Committer, gap_id: int, *, now: datetime, by: str = "its late points") -> Gap:
    """The points of the gap are complete and right now: judge by them, and retrain where the gap asks for it."""

    def store() -> Changed:
        with committer.database.writing() as session:
            gap = existing(session, gap_id)
            gap.filled_at = now
            gap.ended_at, gap.ended_by = gap.ended_at or now, gap.ended_by or by
            _resolve(session, gap, gap.ended_at)
            ids = stored.series_ids_of(session, gap)
            return Changed(_settle(committer, session, gap, ids, now), ids, int(gap.started_at.timestamp()))

    committer.rejudge(store)
    score_again(committer, now)
    with committer.database.reading() as session:
        gap = session.get_one(Gap, gap_id)
    log.info("gap_filled", gap=gap_id)
    if gap.retrain_when_backfilled and gap.retrained_at is None:
        reason = f"gap {gap_id} is filled"
        retrain.run_now(committer, gap, reason=reason, author=gap.author, key=f"gap-{gap_id}", now=now)
        with committer.database.writing() as session:
            gap = session.get_one(Gap, gap_id)
            gap.retrained_at = now
    return gap


def _slots(partition: Partition, ids: Ints) -> Ints:
    slots = partition.slots_of(ids)
    return np.asarray(slots[slots != UNKNOWN])


def _has_come(committer: Committer, gap: Gap, now: datetime) -> bool:
    """Whether nearly all of its points are there, and were not when it was declared, or are others now."""
    there, due = _points_there(committer, gap, now)
    if due == 0 or len(there) < FILLED * due:
        return False
    return gap.known_points < FILLED * due if gap.known is None else _are_replaced(gap, there)


def was_corrected(committer: Committer, gap: Gap, now: datetime) -> bool:
    """Whether what was wrong when the gap was declared has been sent again, right."""
    return gap.known is not None and _are_replaced(gap, _points_there(committer, gap, now)[0])


def _are_replaced(gap: Gap, there: PointBatch) -> bool:
    """Whether nearly all points that were known at first have another value now."""
    if gap.known is None:
        return False
    known = checkpoint.decode(gap.known)
    kind = [("series", np.int64), ("timestamp", np.int64)]
    before, after = np.zeros(known["series"].size, kind), np.zeros(len(there), kind)
    before["series"], before["timestamp"] = known["series"], known["timestamp"]
    after["series"], after["timestamp"] = there.series, there.timestamp
    _, old, new = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    replaced = (known["value"][old] != there.value[new]).sum()
    return bool(replaced >= FILLED * before.size)


def _packed(batch: PointBatch) -> bytes | None:
    """Some of the points, evenly, as they are."""
    if not len(batch):
        return None
    rows = np.unique(np.linspace(0, len(batch) - 1, MOST_REMEMBERED).astype(np.int64))
    return checkpoint.encode({name: getattr(batch, name)[rows] for name in ("series", "timestamp", "value")})


def _points_there(committer: Committer, gap: Gap, now: datetime) -> tuple[PointBatch, int]:
    """The points of its span that are stored with a value, and how many there should be."""
    start, stop = int(gap.started_at.timestamp()), int(min(gap.ended_at or now, now).timestamp())
    with committer.database.reading() as session:
        ids = stored.series_ids_of(session, gap)
        batch = points.read_points(session, ids.tolist(), start, stop)
    due = 0
    for partition in committer.partitions:
        cadence = partition.columns["cadence"][_slots(partition, ids)]
        due += int((max(stop - start, 0) // cadence[cadence > 0]).sum())
    there = np.flatnonzero(np.isfinite(batch.value))
    if gap.origin == "stuck":
        there = there[np.lexsort((batch.timestamp[there], batch.series[there]))]
    there = there[counts(gap, batch.value[there])]
    return PointBatch(batch.series[there], batch.timestamp[there], batch.value[there]), due


def counts(gap: Gap, value: Floats) -> Bools:
    """Which points, of one series after the other in time, show that what the gap lost is there: arrays (n,)."""
    if gap.origin == "zeros":
        return np.asarray(value != 0)
    if gap.origin == "stuck":
        return np.append(True, value[1:] != value[:-1])[: value.size]
    return np.ones(value.size, bool)


def caused(session: Session, gap: Gap, ids: Ints) -> list[tuple[Alert, list[Anomaly]]]:
    """Alerts of series that began in the gap, all their anomalies did, with these."""
    spans = stored.spans_of(gap, gap.started_at)
    told = stored_alerts.told_of_series(session, ids, since=gap.started_at)
    return [(alert, runs) for alert, runs in told if began_within(spans, runs)]


def _settle(committer: Committer, session: Session, gap: Gap, ids: Ints, now: datetime) -> list[int]:
    """Bring the alerts of series in line with a gap as it is now; returns the ids of series whose run is let go."""
    session.flush()
    concerned = stored_alerts.explained_or_caused_by(session, Gap, [gap.id])
    if stored.judged_as_missing(gap) and gap.revoked_at is None:
        concerned += [alert for alert, _ in caused(session, gap, ids)]
    alert_ids = {alert.id for alert in concerned}
    return settle(session, alert_ids, now, scored_again=lambda run: _is_scored_again(committer, run))


def _is_scored_again(committer: Committer, run: Anomaly) -> bool:
    """Whether a scoring again of its series reaches a run."""
    return any(
        partition.columns["since_anchor"][slot] > 0
        and run.last_abnormal_at.timestamp() > partition.columns["anchor_at"][slot]
        for partition in committer.partitions
        for slot in _slots(partition, np.array([run.series_id]))
    )


def _declared_in_words(committer: Committer, gap: Gap, series_ids: Ints) -> str:
    count = "1 series" if series_ids.size == 1 else f"{series_ids.size:,} series"
    since = as_readers_say_it(committer, gap.started_at, series_ids)
    return f"Data of {count} of {gap.metric} are lost or wrong since {since}: {gap.reason}"


def as_readers_say_it(committer: Committer, at: datetime, series_ids: Ints) -> str:
    """A time in the zone that most of these series have; UTC where there is none of them."""
    zones = Counter(
        partition.zones.names[code]
        for partition in committer.partitions
        for slots in [partition.slots_of(series_ids)]
        for code in partition.columns["zone"][slots[slots >= 0]].tolist()
    )
    return moment(at, zones.most_common(1)[0][0] if zones else "UTC", at)


def _tell(session: Session, gap: Gap, title: str, now: datetime, severity: str = "warning") -> None:
    """One alert for all the series of the gap."""
    announce(session, title, now, since=gap.started_at, severity=severity, gap_id=gap.id)


def _resolve(session: Session, gap: Gap, at: datetime, told: str = "") -> None:
    """What tells of the gap is over."""
    for alert in stored_alerts.telling_of(session, gap.id):
        if alert.status == "firing":
            alert.status, alert.ended_at = "resolved", at
            alert.title += told
            session.flush()
            enqueue(session, alert.id, "resolved", wall_now())

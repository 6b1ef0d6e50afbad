"""Retrains: asked for, due, claimed by one, brought on part by part, and what they decided of each series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from app.store.packing import Packed, Plane, pack
from app.store.tables import BaselineVersion, Retrain, RetrainPart, Series
from detectors.contract import Ints

SCHEDULED, RUNNING, DONE, CANCELLED, FAILED = "scheduled", "running", "done", "cancelled", "failed"
NIGHT = "night "
"""How the key of a nightly training begins; no other key does."""


@dataclass(frozen=True)
class Counts:
    """How many series of a part were decided which way."""

    promoted: int = 0
    refused: int = 0
    skipped: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Decided:
    """What a part says of some of its series: names of planes to arrays with a row for each, in the same order."""

    part: RetrainPart
    planes: dict[str, Plane]


def get(session: Session, retrain_id: int) -> Retrain | None:
    return session.get(Retrain, retrain_id)


def by_once_key(session: Session, once_key: str) -> Retrain | None:
    """The retrain that this request made before."""
    return session.scalars(sa.select(Retrain).where(Retrain.once_key == once_key)).first()


def find(
    session: Session,
    *,
    limit: int,
    before_id: int,
    nights: bool = False,
    status: str | None = None,
    schedule_id: int | None = None,
) -> list[Retrain]:
    """A page, the newest first, of those that were asked for, or of the nightly ones.

    Of one status, or of the runs of one cron, only where that is given.
    """
    by_night = sa.func.coalesce(Retrain.once_key, "").startswith(NIGHT)
    query = sa.select(Retrain).where(Retrain.id < before_id, by_night if nights else ~by_night)
    if status is not None:
        query = query.where(Retrain.status == status)
    if schedule_id is not None:
        query = query.where(Retrain.schedule_id == schedule_id)
    return list(session.scalars(query.order_by(Retrain.id.desc()).limit(limit)))


def is_of_a_night(retrain: Retrain) -> bool:
    """Whether nobody asked for it: it is the training of a night."""
    return (retrain.once_key or "").startswith(NIGHT)


def due(session: Session, now: datetime) -> list[Retrain]:
    """Those whose time has come and that nobody has begun, crons included, in the order of their times."""
    query = sa.select(Retrain).where(Retrain.status == SCHEDULED, Retrain.due_at <= now)
    return list(session.scalars(query.order_by(Retrain.due_at, Retrain.id)))


def claim(session: Session, retrain_id: int, now: datetime) -> bool:
    """True for the one who may run it."""
    mine = (Retrain.id == retrain_id) & (Retrain.status == SCHEDULED)
    return _update(session, mine, status=RUNNING, started_at=sa.func.coalesce(Retrain.started_at, now)) == 1


def claim_slot(session: Session, schedule: Retrain, following: datetime) -> bool:
    """True for the one who may make this run of a cron; the cron is next due at `following`."""
    mine = (Retrain.id == schedule.id) & (Retrain.status == SCHEDULED) & (Retrain.due_at == schedule.due_at)
    return _update(session, mine, due_at=following) == 1


def resume(session: Session) -> int:
    """Let what a process that died was running be begun again; returns how many."""
    return _update(session, Retrain.status == RUNNING, status=SCHEDULED)


def postpone(session: Session, retrain_id: int) -> None:
    """What has begun is gone on with when it is next looked for."""
    _update(session, (Retrain.id == retrain_id) & (Retrain.status == RUNNING), status=SCHEDULED)


def is_running(session: Session, retrain_id: int) -> bool:
    """Whether it goes on; its row is locked until the transaction ends, so that nobody cancels it in between."""
    return _update(session, (Retrain.id == retrain_id) & (Retrain.status == RUNNING), status=RUNNING) == 1


def cancel(session: Session, retrain_id: int, *, by: str, now: datetime) -> bool:
    """True where there was something left to cancel."""
    open_ = (Retrain.id == retrain_id) & Retrain.status.in_([SCHEDULED, RUNNING])
    return _update(session, open_, status=CANCELLED, ended_at=now, cancelled_by=by) == 1


def finish(session: Session, retrain_id: int, *, status: str, now: datetime, error: str | None = None) -> None:
    """A running one has ended."""
    mine = (Retrain.id == retrain_id) & (Retrain.status == RUNNING)
    _update(session, mine, status=status, ended_at=now, error=error)


def set_total(session: Session, retrain_id: int, total: int) -> None:
    _update(session, Retrain.id == retrain_id, series_count=total)


def add_part(session: Session, part: RetrainPart, counts: Counts, series: int) -> None:
    """Enter what was decided of so many series."""
    session.add(part)
    session.flush()
    added: dict[str, Any] = {name: getattr(Retrain, name) + number for name, number in vars(counts).items()}
    _update(session, Retrain.id == part.retrain_id, done_count=Retrain.done_count + series, **added)


def next_number(session: Session, retrain_id: int) -> int:
    """The number of the next part of a retrain."""
    newest = session.scalar(sa.select(sa.func.max(RetrainPart.number)).where(RetrainPart.retrain_id == retrain_id))
    return 0 if newest is None else newest + 1


def decided_ids(session: Session, retrain_id: int) -> Ints:
    """Ids of the series of which it has decided."""
    query = sa.select(RetrainPart.decisions).where(RetrainPart.retrain_id == retrain_id)
    return _joined(Packed(packed)["series"] for packed in session.scalars(query))


def parts(session: Session, retrain_id: int, *, after: int = -1) -> Iterator[RetrainPart]:
    """The parts of a retrain, by number, from the one after `after` on, without what was before."""
    query = (
        sa.select(RetrainPart)
        .options(defer(RetrainPart.before))
        .where(RetrainPart.retrain_id == retrain_id, RetrainPart.number > after)
    )
    yield from session.scalars(query.order_by(RetrainPart.number).execution_options(yield_per=16))


def part_numbers(session: Session, retrain_id: int) -> list[int]:
    """Numbers of the parts that something of can be rolled back."""
    query = sa.select(RetrainPart.number).where(RetrainPart.retrain_id == retrain_id, RetrainPart.before.is_not(None))
    return list(session.scalars(query.order_by(RetrainPart.number)))


def part(session: Session, retrain_id: int, number: int) -> RetrainPart:
    return session.get_one(RetrainPart, (retrain_id, number))


def of_series(session: Session, series: Series, *, limit: int, before_id: int) -> list[tuple[Retrain, Decided]]:
    """What retrains decided of a series, the newest first; a page of so many, of retrains before that id."""
    query = (
        sa.select(Retrain, RetrainPart)
        .join(RetrainPart, RetrainPart.retrain_id == Retrain.id)
        .where(
            RetrainPart.partition == series.partition,
            RetrainPart.first_series <= series.id,
            RetrainPart.last_series >= series.id,
            Retrain.id < before_id,
        )
        .order_by(Retrain.id.desc(), RetrainPart.number)
        .options(defer(RetrainPart.before))
    )
    found: list[tuple[Retrain, Decided]] = []
    for retrain, part_ in session.execute(query.execution_options(yield_per=16)):
        packed = Packed(part_.decisions)
        row = np.flatnonzero(packed["series"] == series.id)
        if row.size:
            found.append((retrain, Decided(part_, {name: packed[name][row] for name in packed})))
        if len(found) == limit:
            break
    return found


def rolled_back_ids(part_: RetrainPart) -> tuple[Ints, Ints]:
    """Ids of a part's series that were rolled back, and of those that keep what a later retrain gave them."""
    if part_.rolled_back is None:
        nothing = np.zeros(0, np.int64)
        return nothing, nothing
    packed = Packed(part_.rolled_back)
    return packed["restored"], packed["kept"]


def only_rolled_back(session: Session, retrain_ids: Collection[int]) -> list[int]:
    """Those of these retrains that somebody rolled back."""
    query = sa.select(Retrain.id).where(Retrain.id.in_(retrain_ids), Retrain.rolled_back_at.is_not(None))
    return list(session.scalars(query.order_by(Retrain.id)))


def version(session: Session, version_id: int) -> BaselineVersion | None:
    return session.get(BaselineVersion, version_id)


def forget_snapshots(session: Session, before: datetime) -> int:
    """Drop what would bring back baselines of retrains that ended before then; returns of how many parts."""
    old = sa.select(Retrain.id).where(Retrain.ended_at < before)
    mine = RetrainPart.before.is_not(None) & RetrainPart.retrain_id.in_(old)
    return int(session.connection().execute(sa.update(RetrainPart).where(mine).values(before=None)).rowcount)


def forget_nights(session: Session, before: datetime) -> int:
    """Drop what nightly trainings that ended before then decided; returns of how many nights."""
    old = Retrain.once_key.startswith(NIGHT) & (Retrain.ended_at < before)
    session.execute(sa.delete(RetrainPart).where(RetrainPart.retrain_id.in_(sa.select(Retrain.id).where(old))))
    return int(session.connection().execute(sa.delete(Retrain).where(old)).rowcount)


def forget_series(session: Session, series: Series) -> None:
    """Leave nothing of a series in what retrains have kept."""
    of_it = sa.select(Retrain.id).where(Retrain.series_id == series.id)
    session.execute(sa.delete(RetrainPart).where(RetrainPart.retrain_id.in_(of_it)))
    session.execute(sa.delete(Retrain).where(Retrain.series_id == series.id))
    near = sa.select(RetrainPart).where(
        RetrainPart.partition == series.partition,
        RetrainPart.first_series <= series.id,
        RetrainPart.last_series >= series.id,
    )
    for part_ in session.scalars(near).all():
        decisions = without_series(part_.decisions, series.id)
        if decisions is None:
            session.delete(part_)
            continue
        part_.decisions = decisions
        part_.before = part_.before and without_series(part_.before, series.id)
        ids = Packed(decisions)["series"]
        part_.first_series, part_.last_series = int(ids.min()), int(ids.max())
        if part_.rolled_back is not None:
            restored, kept = (each[each != series.id] for each in rolled_back_ids(part_))
            part_.rolled_back = pack({"restored": restored, "kept": kept})


def without_series(packed: bytes, series_id: int) -> bytes | None:
    """The same planes without the row of a series; None where nothing is left."""
    planes = Packed(packed)
    kept = planes["series"] != series_id
    if not kept.any():
        return None
    return pack({name: planes[name][kept] for name in planes})


def _update(session: Session, those: sa.ColumnElement[bool], **values: Any) -> int:
    changed = session.connection().execute(sa.update(Retrain).where(those).values(**values))
    session.expire_all()
    return int(changed.rowcount)


def _joined(ids: Iterable[Plane]) -> Ints:
    some: Sequence[Plane] = [*ids]
    return np.concatenate(some) if some else np.zeros(0, np.int64)
